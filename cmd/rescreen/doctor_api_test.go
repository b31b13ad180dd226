package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
)

// brokenAPIs are the same for the checks of the API.
func brokenAPIs() []broken {
	fault := func(call amlsim.Call, status int, body string) amlsim.Config {
		return amlsim.Config{Faults: []amlsim.Fault{{Call: call, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: status, Body: body}}}}
	}
	return []broken{
		{name: "no simulator", check: "api-reach", status: statusFail, found: "nobody listens there", do: "rescreen simulator",
			wreck: func(s *doctorSite) { s.api.Close() }},
		{name: "a firewall", check: "api-reach", status: statusFail, found: "no connection to 127.0.0.1: connect: connection refused", do: "HTTPS_PROXY",
			wreck: func(s *doctorSite) { s.atCurrent("https://127.0.0.1:1") }},
		{name: "no DNS", check: "api-reach", status: statusFail, found: "the name login.example.test is not found", do: "getent hosts",
			wreck: func(s *doctorSite) {
				s.atCurrent("https://login.example.test")
				s.edit = func(d *doctor) {
					d.resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
						return nil, errors.New("no name server answers")
					}}
				}
			}},
		{name: "something that does not speak TLS", check: "api-reach", status: statusFail, found: "no TLS", do: "does not speak TLS",
			wreck: func(s *doctorSite) { s.atCurrent("https://" + strings.TrimPrefix(s.api.URL, "http://")) }},
		{name: "a certificate that has ended", check: "api-certificate", status: statusFail, found: "ended on 20", do: "renew",
			wreck: func(s *doctorSite) { s.certified(time.Now().Add(-25*time.Hour), "127.0.0.1", true) }},
		{name: "a certificate that ends next week", check: "api-certificate", status: statusWarn, found: "ends on 20", do: "being renewed",
			wreck: func(s *doctorSite) { s.certified(time.Now().Add(7*24*time.Hour), "127.0.0.1", true) }},
		{name: "a certificate of somebody else", check: "api-certificate", status: statusFail, found: "does not trust", do: "SSL_CERT_FILE",
			wreck: func(s *doctorSite) { s.certified(time.Now().Add(99*24*time.Hour), "127.0.0.1", false) }},
		{name: "a certificate for another host", check: "api-certificate", status: statusFail, found: "is for another host", do: "Check the address",
			wreck: func(s *doctorSite) { s.certified(time.Now().Add(99*24*time.Hour), "127.0.0.2", true) }},
		{name: "no discovery document", check: "api-addresses", status: statusFail, found: "discovery: status 404", do: "--api-issuer", sim: fault(amlsim.CallDiscovery, 404, "")},
		{name: "an issuer that is down", check: "api-addresses", status: statusFail, found: "discovery: status 503", do: "statuspage", sim: fault(amlsim.CallDiscovery, 503, "")},
		{name: "a discovery without the API's address", check: "api-addresses", status: statusWarn, found: "is assumed", do: "--api-base-url",
			wreck: func(s *doctorSite) {
				s.answering(func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
						return false
					}
					_, _ = io.WriteString(w, `{"issuer":"`+s.api.URL+amlsim.RealmPath+`","token_endpoint":"`+s.api.URL+amlsim.RealmPath+`/protocol/openid-connect/token"}`)
					return true
				})
			}},
		{name: "a wrong secret", check: "api-token", status: statusFail, found: "invalid_client", do: "--api-client-secret-file",
			wreck: func(s *doctorSite) { s.args = []string{"--api-client-secret", "wr0ng"} }},
		{name: "a scope that nobody may have", check: "api-token", status: statusFail, found: "invalid_scope", do: "--api-scopes",
			sim: amlsim.Config{Scopes: []string{amlsim.ScopeBasic}, StrictScopes: true}},
		{name: "a token endpoint that is down", check: "api-token", status: statusFail, found: "status 503", do: "statuspage", sim: fault(amlsim.CallToken, 503, "")},
		{name: "a scope that was withdrawn", check: "api-scopes", status: statusFail, found: "aml_person/OFAC (without it the OFAC sanctions list is not searched", do: "grant",
			sim: amlsim.Config{Scopes: []string{amlsim.ScopeBasic}}},
		{name: "no access to the National Registry", check: "national-registry", status: statusWarn, found: "no access", do: "RF-1514", sim: amlsim.Config{NoRegistryAccess: true}},
		{name: "a client that is not provisioned", check: "national-registry", status: statusFail, found: "the token is refused", do: "provisioned", sim: fault(amlsim.CallAccessRights, 403, "")},
		{name: "an API that is down", check: "national-registry", status: statusFail, found: "the API answers with status 503", do: "statuspage", sim: fault(amlsim.CallAccessRights, 503, "")},
		{name: "an API that breaks connections off", check: "national-registry", status: statusFail, found: "the API does not answer", do: "statuspage",
			sim:   amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallAccessRights, Do: amlsim.Action{Kind: amlsim.ActReset}}}},
			wreck: func(s *doctorSite) { s.hideAll(`unavailable: .*`, "unavailable: CAUSE") }},
		{name: "an API that is asked too often", check: "national-registry", status: statusWarn, found: "status 429", do: "rescreen limits show", sim: fault(amlsim.CallAccessRights, 429, "")},
		{name: "no such call", check: "national-registry", status: statusUnknown, found: "does not know the path", sim: fault(amlsim.CallAccessRights, 404, "")},
		{name: "an API by another clock", check: "api-clock", status: statusWarn, found: "an hour ahead of ours", do: "NTP",
			wreck: func(s *doctorSite) {
				simulator := s.api.Config.Handler
				s.answering(func(w http.ResponseWriter, r *http.Request) bool {
					answer := httptest.NewRecorder()
					simulator.ServeHTTP(answer, r)
					maps.Copy(w.Header(), answer.Header())
					w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
					w.WriteHeader(answer.Code)
					_, _ = w.Write(answer.Body.Bytes())
					return true
				})
				s.hideAll(`3[56]\d\d\.\d s ahead`, "an hour ahead") // the date has whole seconds
			}},
	}
}

// atCurrent looks at another issuer, as at the test environment's.
func (s *doctorSite) atCurrent(issuer string) {
	s.bare = true
	s.args = []string{"--server", s.nats.ClientURL(), "--api-env", "current", "--api-issuer", issuer, "--api-client-id", "x", "--api-client-secret", "y"}
}

// answering puts somebody before the simulated API; false leaves the answer to that.
func (s *doctorSite) answering(first func(http.ResponseWriter, *http.Request) bool) {
	simulator := s.api.Config.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !first(w, r) {
			simulator.ServeHTTP(w, r)
		}
	}))
	s.t.Cleanup(front.Close)
	s.api = front
	s.hide(strings.TrimPrefix(front.URL, "http://"), "API")
}

// certified serves the simulated API with a certificate of one's own making.
func (s *doctorSite) certified(until time.Time, host string, trusted bool) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: until.Add(-5000 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(s.t, err)
	cert, err := x509.ParseCertificate(der)
	must(s.t, err)
	front := httptest.NewUnstartedServer(s.api.Config.Handler)
	front.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are cut off are what this is about
	front.StartTLS()
	s.t.Cleanup(front.Close)
	s.api = front
	s.hide(strings.TrimPrefix(front.URL, "https://"), "API")
	s.hide(until.UTC().Format(time.DateOnly), "20YY-MM-DD")
	s.edit = func(d *doctor) {
		d.roots = x509.NewCertPool()
		if trusted {
			d.roots.AddCert(cert)
		}
	}
}

// Every field of the profile that rests on an assumption belongs to one reading.
func TestEveryAssumptionIsLookedAt(t *testing.T) {
	var looked []string
	names := map[string]bool{}
	for _, a := range assumptions() {
		looked = append(looked, a.fields...)
		if names[a.name] {
			t.Errorf("two readings are called %s", a.name)
		}
		names[a.name] = true
	}
	want := apiclient.DefaultProfile().Assumed()
	slices.Sort(looked)
	slices.Sort(want)
	if !slices.Equal(looked, want) {
		t.Errorf("looked at:\n%s\nassumed:\n%s", strings.Join(looked, "\n"), strings.Join(want, "\n"))
	}
}

// A live session tells which readings hold of APIs that differ, and nothing about the person.
func TestDoctorLive(t *testing.T) {
	t.Parallel()
	quick := func(edit func(*amlsim.Config)) amlsim.Config {
		c := amlsim.Config{ReadyAfter: amlsim.Fixed(20 * time.Millisecond)}
		edit(&c)
		return c
	}
	fault := func(f amlsim.Fault) amlsim.Config {
		return quick(func(c *amlsim.Config) { c.Faults = []amlsim.Fault{f} })
	}
	status := func(call amlsim.Call, status int) amlsim.Config {
		return fault(amlsim.Fault{Call: call, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: status}})
	}
	for name, c := range map[string]struct {
		sim     amlsim.Config
		args    []string
		reading string
		status  string
		found   string
	}{
		"as assumed":      {quick(func(*amlsim.Config) {}), nil, "live-session-shape", "ok", "held: nested"},
		"flat":            {quick(func(c *amlsim.Config) { c.Shape = amlsim.ShapeFlat }), nil, "live-session-shape", "ok", "held: flat"},
		"a list":          {quick(func(c *amlsim.Config) { c.Shape = amlsim.ShapeList }), nil, "live-session-shape", "ok", "held: a list"},
		"no links":        {quick(func(c *amlsim.Config) { c.Links = amlsim.LinksNone }), nil, "live-links", "warn", "no links"},
		"relative links":  {quick(func(c *amlsim.Config) { c.Links = amlsim.LinksRelative }), nil, "live-links", "ok", "link is relative"},
		"foreign links":   {quick(func(c *amlsim.Config) { c.Links = amlsim.LinksForeign }), nil, "live-links", "fail", "and is not followed"},
		"too early":       {quick(func(c *amlsim.Config) { c.NotReadyStatus = 404 }), nil, "live-not-ready", "warn", "status 404"},
		"unsigned":        {fault(amlsim.Fault{Call: amlsim.CallReport, Do: amlsim.Action{Kind: amlsim.ActUnsigned}}), nil, "live-report-signature", "warn", "absent"},
		"no create":       {status(amlsim.CallCreate, 404), nil, "live-create", "fail", "there is no such call"},
		"refused":         {status(amlsim.CallCreate, 422), nil, "live-create", "fail", "the query is refused"},
		"unknown outcome": {status(amlsim.CallCreate, 500), nil, "live-create", "fail", "unknown whether it was created"},
		"no poll":         {status(amlsim.CallSession, 405), nil, "live-session-path", "fail", "cannot be asked for"},
		"no document":     {status(amlsim.CallDocument, 405), nil, "live-document", "fail", "cannot be fetched"},
		"no report":       {status(amlsim.CallReport, 405), nil, "live-report-path", "warn", "not at the path"},
		"failed":          {fault(amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActLiteral, Literal: "FAILED"}}), nil, "live-session-status", "fail", "the session failed, by its document's status FAILED"},
		"another word":    {fault(amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActLiteral, Literal: "KLAR"}}), []string{"--live-wait", "300ms"}, "live-session-status", "fail", "KLAR"},
		"never there":     {status(amlsim.CallSession, 404), nil, "live-unknown-session", "ok", "status 404"},
		"everything 200":  {status(amlsim.CallSession, 200), []string{"--live-wait", "300ms"}, "live-unknown-session", "warn", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := newDoctorSite(t, &server.Options{}, c.sim)
			found := site.live(append(c.args, "--poll-first", "20ms")...)
			f := named(t, found, c.reading)
			if string(f.Status) != c.status || !strings.Contains(f.Found, c.found) {
				t.Errorf("%+v, want %s, %q", f, c.status, c.found)
			}
			for _, f := range found {
				for _, secret := range []string{"Topstad", "Tomas", "01010750160", "2007-01-01", "PEP_Edge", "500"} {
					if strings.Contains(f.Found+f.Do, secret) && !strings.Contains(f.Found, "status 500") {
						t.Errorf("%s tells of the person: %+v", f.Name, f)
					}
				}
			}
			if name == "as assumed" {
				for reading, s := range statuses(found) {
					if s != statusUnknown {
						t.Errorf("%s: %s", reading, s)
					}
				}
			}
		})
	}
}

// Nobody is screened in prod, and billed, by a slip of the finger.
func TestDoctorLiveInProd(t *testing.T) {
	t.Parallel()
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	site.bare = true
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const header = "customer_ref,first_name,last_name,date_of_birth,ssn\n"
	one := file("one.csv", header+"C-1,Nobody,Atall,1980-02-03,\n")
	prod := []string{"--api-env", "prod", "--api-client-id", "x", "--api-client-secret", "y"}
	current := []string{"--api-env", "current", "--api-client-id", "x", "--api-client-secret", "y"}
	for name, c := range map[string]struct {
		args []string
		want string // "" is: it would go on
	}{
		"nobody named":       {prod, "is billed"},
		"nothing agreed":     {append(prod, "--person", one), "is billed"},
		"named and agreed":   {append(prod, "--person", one, "--accept-bill"), ""},
		"two people":         {append(prod, "--accept-bill", "--person", file("two.csv", header+"C-1,A,B,1980-02-03,\nC-2,C,D,1980-02-03,\n")), "more than one row"},
		"an empty file":      {append(prod, "--accept-bill", "--person", file("none.csv", header)), "holds nobody"},
		"a number for tests": {append(prod, "--accept-bill", "--person", file("test.csv", header+"C-1,A,B,,01835499977\n")), "ssn"},
		"no file":            {append(prod, "--accept-bill", "--person", "nowhere.csv"), "cannot be read"},
		"prod's issuer":      {append(current, "--api-issuer", "https://auth.bankid.no/auth/realms/prod"), "auth.bankid.no, which is prod"},
		"prod's API":         {append(current, "--api-base-url", "https://AML.bankidapis.no:443/v1"), "aml.bankidapis.no, which is prod"},
		"prod's tokens":      {append(current, "--api-token-url", "https://auth.bankid.no./token"), "auth.bankid.no, which is prod"},
		"prod in a profile":  {append(current, "--api-profile", file("profile.yaml", "base_urls: {current: https://aml.bankidapis.no}\n")), "aml.bankidapis.no, which is prod"},
		"prod, and agreed":   {append(current, "--api-issuer", "https://auth.bankid.no/auth/realms/prod", "--person", one, "--accept-bill"), ""},
		"a test in prod":     {append(current, "--api-issuer", "https://auth.bankid.no/auth/realms/prod", "--accept-bill", "--person", file("test2.csv", header+"C-1,A,B,,01835499977\n")), "ssn"},
		"the test people":    {current, ""},
	} {
		d, cmd := site.doctor(c.args...)
		_, err := cmd.live(d)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "Atall") || exitCode(withCode(exitUnknown, err)) != exitUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
