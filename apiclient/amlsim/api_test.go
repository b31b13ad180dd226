package amlsim_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/apiclient/amlsim"
)

func TestWholeSessionOverSocket(t *testing.T) {
	sim := amlsim.New(amlsim.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	c := &caller{t: t, http: server.Client(), base: server.URL}
	defer c.http.CloseIdleConnections()

	var discovery struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
		Base          string `json:"aml-baseurl"`
	}
	c.decode(c.get(amlsim.RealmPath+"/.well-known/openid-configuration"), &discovery)
	if discovery.Issuer != server.URL+amlsim.RealmPath || discovery.Base != server.URL || !strings.HasPrefix(discovery.TokenEndpoint, discovery.Issuer) {
		t.Fatalf("discovery %+v does not follow the host", discovery)
	}
	c.authorize()
	p := nobody()
	p.Expands = append(p.Expands, "links.reports.aml")
	path := c.session(p)
	var info struct {
		JSON, Report struct{ Status, Href string }
	}
	got := c.get(path)
	c.decode(reply{body: []byte(strings.NewReplacer("jsonData", "JSON", "aml-report", "Report").Replace(string(got.body)))}, &info)
	if info.JSON.Status != "READY" || info.Report.Status != "READY" {
		t.Fatalf("session information %s", got.body)
	}
	wantStatus(t, c.get(info.JSON.Href), http.StatusOK)
	report := c.get(info.Report.Href)
	wantStatus(t, report, http.StatusOK)
	if report.header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(string(report.body), "%PDF-") {
		t.Errorf("report: %s, %.20q", report.header.Get("Content-Type"), report.body)
	}
	wantStatus(t, c.get("/access-rights"), http.StatusOK)
	if n := sim.SessionsOf(p.FirstName, p.LastName, p.DateOfBirth, p.SSN); n != 1 {
		t.Errorf("%d sessions of the person, want 1", n)
	}
}

func TestPublicURLAndBasePath(t *testing.T) {
	sim := amlsim.New(amlsim.Config{PublicURL: "https://aml.example.invalid/", BasePath: "/aml"})
	c := newCaller(t, sim)
	var discovery map[string]any
	c.decode(c.get(amlsim.RealmPath+"/.well-known/openid-configuration"), &discovery)
	if discovery["aml-baseurl"] != "https://aml.example.invalid/aml" {
		t.Errorf("aml-baseurl %v", discovery["aml-baseurl"])
	}
	wantStatus(t, c.get("/aml/access-rights"), http.StatusOK)
	wantStatus(t, c.get("/access-rights"), http.StatusNotFound)
}

func TestToken(t *testing.T) {
	const id, secret, both = amlsim.DefaultClientID, amlsim.DefaultClientSecret, amlsim.ScopeBasic + " " + amlsim.ScopeOFAC
	for _, tt := range []struct {
		name       string
		cfg        amlsim.Config
		form       url.Values
		user, pass string
		status     int
		want       map[string]any
	}{
		{"basic", amlsim.Config{}, url.Values{"grant_type": {"client_credentials"}, "scope": {both}}, id, secret, 200, map[string]any{"scope": both, "token_type": "bearer", "expires_in": 300.0}},
		{"post", amlsim.Config{TokenType: "Bearer"}, url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}, "", "", 200, map[string]any{"scope": "", "token_type": "Bearer"}},
		{"encoded basic", amlsim.Config{ClientSecret: "a:b c%"}, url.Values{"grant_type": {"client_credentials"}}, id, url.QueryEscape("a:b c%"), 200, nil},
		{"wrong secret", amlsim.Config{}, url.Values{"grant_type": {"client_credentials"}}, id, "guess", 401, map[string]any{"error": "invalid_client"}},
		{"nobody", amlsim.Config{}, url.Values{"grant_type": {"client_credentials"}}, "", "", 401, map[string]any{"error": "invalid_client"}},
		{"other grant", amlsim.Config{}, url.Values{"grant_type": {"password"}}, id, secret, 400, map[string]any{"error": "unsupported_grant_type"}},
		{"scope dropped", amlsim.Config{Scopes: []string{amlsim.ScopeBasic}}, url.Values{"grant_type": {"client_credentials"}, "scope": {both}}, id, secret, 200, map[string]any{"scope": amlsim.ScopeBasic}},
		{"scope refused", amlsim.Config{Scopes: []string{amlsim.ScopeBasic}, StrictScopes: true}, url.Values{"grant_type": {"client_credentials"}, "scope": {both}}, id, secret, 400, map[string]any{"error": "invalid_scope"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &caller{t: t, http: &http.Client{Transport: amlsim.New(tt.cfg).Transport()}, base: host}
			r := c.tokenRequest(tt.form)
			if tt.user != "" {
				r.SetBasicAuth(tt.user, tt.pass)
			}
			got := c.send(r)
			wantStatus(t, got, tt.status)
			var body map[string]any
			c.decode(got, &body)
			for name, want := range tt.want {
				if body[name] != want {
					t.Errorf("%s is %v, want %v", name, body[name], want)
				}
			}
		})
	}
}

func TestTokenIsNeededAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := amlsim.New(amlsim.Config{})
		c := newCaller(t, sim)
		path := c.session(nobody())
		time.Sleep(299 * time.Second)
		wantStatus(t, c.get(path), http.StatusOK)
		time.Sleep(time.Second)
		wantStatus(t, c.get(path), http.StatusUnauthorized)
		c.authorize()
		wantStatus(t, c.get(path), http.StatusOK)

		c.token += "x"
		wantStatus(t, c.get(path), http.StatusUnauthorized)
		c.token = newCaller(t, amlsim.New(amlsim.Config{})).token
		wantStatus(t, c.get(path), http.StatusUnauthorized)
	})
}

func TestScopeIsNeeded(t *testing.T) {
	c := &caller{t: t, http: &http.Client{Transport: amlsim.New(amlsim.Config{Scopes: []string{amlsim.ScopeOFAC}}).Transport()}, base: host}
	c.authorize()
	wantStatus(t, c.create(nobody()), http.StatusForbidden)
}

func TestUnknownAddresses(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	path := c.session(nobody())
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 404},
		{"GET", "/person", 404},
		{"GET", path + "/xml", 404},
		{"GET", path + "/report/other", 404},
		{"GET", path + "/report/aml", 404}, // none was ordered
		{"GET", sessions + "/00000000-0000-0000-0000-000000000000", 404},
		{"GET", sessions + "/guess", 404},
		{"GET", strings.Replace(path, "/no/", "/se/", 1), 404},
		{"POST", "/person/session/xx", 404},
		{"GET", sessions, 405},
		{"PUT", sessions, 405},
		{"DELETE", path, 405},
		{"POST", path, 405},
		{"POST", path + "/json", 405},
		{"POST", "/access-rights", 405},
	} {
		if got := c.send(c.request(tt.method, tt.path, "")); got.status != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, got.status, tt.status)
		}
	}
}
