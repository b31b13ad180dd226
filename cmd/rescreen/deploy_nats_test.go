package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.yaml.in/yaml/v3"

	"rescreen/store"
)

const natsDeploy = "../../deploy/nats/"

// exampleCluster is the configuration of deploy/nats, moved to ports and
// directories of this test, with certificates and keys.
type exampleCluster struct {
	*testing.T
	dir   string
	ports []int // of the servers' clients
}

func newExampleCluster(t *testing.T) *exampleCluster {
	t.Helper()
	c := &exampleCluster{T: t, dir: t.TempDir()}
	c.certificates()
	all, err := roles()
	must(t, err)
	for _, name := range append(names(all), "sys") {
		pair, err := nkeys.CreateUser()
		must(t, err)
		public, err := pair.PublicKey()
		must(t, err)
		seed, err := pair.Seed()
		must(t, err)
		t.Setenv(strings.ToUpper(name)+"_NKEY", public)
		must(t, os.WriteFile(c.keyOf(name), seed, 0o600))
	}
	ports := freePorts(t, 6)
	c.ports = ports[:3]
	for i := range 3 {
		// A directory for each server: they share the names of the files.
		must(t, os.Mkdir(c.server(i), 0o700))
		replace := []string{
			"/etc/nats/tls", c.dir, "/var/lib/nats", filepath.Join(c.server(i), "data"),
			"0.0.0.0:4222", fmt.Sprint("127.0.0.1:", ports[i]), "0.0.0.0:6222", fmt.Sprint("127.0.0.1:", ports[3+i]), "127.0.0.1:8222", "127.0.0.1:-1",
			"200GB", "4GB", // more than a small disk has
		}
		for j := range 3 {
			replace = append(replace, fmt.Sprintf("nats-%d.example.net:6222", j+1), fmt.Sprint("127.0.0.1:", ports[3+j]))
		}
		for _, name := range []string{fmt.Sprintf("nats-%d.conf", i+1), "cluster.conf", "rescreen-permissions.conf"} {
			text, err := os.ReadFile(natsDeploy + name)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(c.server(i), name), []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600))
		}
	}
	return c
}

func names(all []role) (names []string) {
	for _, r := range all {
		names = append(names, r.name)
	}
	return names
}

func (c *exampleCluster) server(i int) string      { return filepath.Join(c.dir, fmt.Sprint(i+1)) }
func (c *exampleCluster) keyOf(name string) string { return filepath.Join(c.dir, name+".nk") }
func (c *exampleCluster) path(name string) string  { return filepath.Join(c.dir, name) }
func (c *exampleCluster) configuration(i int) string {
	return filepath.Join(c.server(i), fmt.Sprintf("nats-%d.conf", i+1))
}

// certificates makes an authority and one certificate for all servers.
func (c *exampleCluster) certificates() {
	c.Helper()
	sign := func(name string, serial int64, template, parent *x509.Certificate, by *ecdsa.PrivateKey) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(c.T, err)
		if by == nil {
			by = key
		}
		template.SerialNumber, template.Subject = big.NewInt(serial), pkix.Name{CommonName: name}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		must(c.T, err)
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		must(c.T, err)
		must(c.T, os.WriteFile(c.path(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		must(c.T, os.WriteFile(c.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
		return key
	}
	authority := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	key := sign("ca", 1, authority, authority, nil)
	sign("server", 2, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, authority, key)
}

// The example says what the README promises of it, as nats-server reads it.
func TestExampleOfNATS(t *testing.T) {
	c := newExampleCluster(t)
	all, err := roles()
	must(t, err)
	zones := map[string]bool{}
	for i := range 3 {
		o, err := server.ProcessConfigFile(c.configuration(i))
		must(t, err)
		zones[strings.Join(o.Tags, " ")] = true
		for what, ok := range map[string]bool{
			"every write is synced":                 o.SyncAlways,
			"copies in different zones":             o.JetStreamUniqueTag == "az" && len(o.Tags) == 1 && strings.HasPrefix(o.Tags[0], "az:"),
			"a name":                                o.ServerName == fmt.Sprintf("nats-%d", i+1),
			"JetStream with limits":                 o.JetStream && o.JetStreamMaxStore > 0 && o.JetStreamMaxMemory > 0 && o.StoreDir != "",
			"TLS for clients":                       o.TLSConfig != nil && o.TLSConfig.MinVersion >= 0x0303,
			"mutual TLS in the cluster":             o.Cluster.TLSConfig != nil && o.Cluster.TLSConfig.ClientAuth == 4, // RequireAndVerifyClientCert
			"three routes":                          len(o.Routes) == 3,
			"nobody without credentials":            o.NoAuthUser == "" && o.Username == "" && o.Authorization == "",
			"a system account":                      o.SystemAccount == "SYS",
			"monitoring, not for everybody":         o.HTTPHost == "127.0.0.1" && o.HTTPPort != 0,
			"time to leave":                         o.LameDuckDuration == 30*time.Second,
			"the messages that the program expects": o.MaxPayload == 1<<20,
			"users by key, one for each role":       len(o.Users) == 0 && len(o.Nkeys) == len(all)+1,
		} {
			if !ok {
				t.Errorf("nats-%d: not %s", i+1, what)
			}
		}
		for _, r := range all {
			p := r.permissions()
			if !slices.ContainsFunc(o.Nkeys, func(u *server.NkeyUser) bool {
				return u.Nkey == os.Getenv(strings.ToUpper(r.name)+"_NKEY") && u.Account.Name == "SCREENING" && u.Permissions != nil &&
					slices.Equal(u.Permissions.Publish.Allow, p.Publish.Allow) && slices.Equal(u.Permissions.Subscribe.Allow, p.Subscribe.Allow) &&
					len(u.Permissions.Publish.Deny)+len(u.Permissions.Subscribe.Deny) == 0
			}) {
				t.Errorf("nats-%d: no %s with its permissions", i+1, r.name)
			}
		}
	}
	if len(zones) != 3 {
		t.Errorf("zones %v", zones)
	}
	t.Setenv("WORKER_NKEY", "")
	must(t, os.Unsetenv("WORKER_NKEY"))
	if _, err := server.ProcessConfigFile(c.configuration(0)); err == nil {
		t.Error("a server starts without the key of a user")
	}
}

// The values say of the chart what the configuration says of servers.
func TestValuesOfTheNATSChart(t *testing.T) {
	text, err := os.ReadFile(natsDeploy + "values.yaml")
	must(t, err)
	var values struct {
		Config struct {
			Cluster   struct{ Replicas int }
			JetStream struct {
				Merge map[string]string
			} `yaml:"jetstream"`
			Merge struct {
				Accounts map[string]struct{ Users []map[string]string }
			}
		}
		Container struct {
			Image struct{ Tag string }
			Env   map[string]any
		}
		PodTemplate struct {
			TopologySpreadConstraints map[string]any `yaml:"topologySpreadConstraints"`
		} `yaml:"podTemplate"`
	}
	must(t, yaml.Unmarshal(text, &values))
	if c := values.Config; c.Cluster.Replicas != 3 || c.JetStream.Merge["sync_interval"] != "always" || values.PodTemplate.TopologySpreadConstraints["topology.kubernetes.io/zone"] == nil {
		t.Errorf("%+v", values)
	}
	version, _, _ := strings.Cut(values.Container.Image.Tag, "-")
	must(t, checkServerVersion(version))
	all, err := roles()
	must(t, err)
	for _, r := range all {
		variable := strings.ToUpper(r.name) + "_NKEY"
		user := map[string]string{"nkey": "<< $" + variable + " >>", "permissions": "<< $" + r.variable() + " >>"}
		if !slices.ContainsFunc(values.Config.Merge.Accounts["SCREENING"].Users, func(u map[string]string) bool { return maps.Equal(u, user) }) || values.Container.Env[variable] == nil {
			t.Errorf("no %s", r.name)
		}
	}
}

// Three servers, with the very files of the example, hold three copies of every
// stream, and let each role in by its key.
func TestExampleOfNATSRuns(t *testing.T) {
	c := newExampleCluster(t)
	var urls []string
	for i := range 3 {
		o, err := server.ProcessConfigFile(c.configuration(i))
		must(t, err)
		o.NoSigs, o.NoLog = true, true
		s, err := server.NewServer(o)
		must(t, err)
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		urls = append(urls, fmt.Sprint("tls://127.0.0.1:", c.ports[i]))
	}
	run := func(role string, args ...string) (string, error) {
		args = append(args, "--server", strings.Join(urls, ","), "--nkey", c.keyOf(role), "--tlsca", c.path("ca.crt"))
		out, diagnostics, err := runIn(t, nil, args...)
		if err != nil {
			err = fmt.Errorf("%s %v: %w\n%s", role, args, err, diagnostics)
		}
		return out, err
	}
	for deadline := time.Now().Add(2 * longEnough); ; time.Sleep(200 * time.Millisecond) { // until they have a leader
		_, err := run("setup", "setup")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	portfolio := filepath.Join(t.TempDir(), "portfolio.csv")
	must(t, os.WriteFile(portfolio, []byte(rolePortfolio()), 0o600))
	for _, command := range [][]string{
		{"submitter", "batch", "submit", portfolio, "--batch", "example"},
		{"operator", "batch", "list"},
		{"operator", "setup", "--dry-run"},
	} {
		if out, err := run(command[0], command[1:]...); err != nil || command[1] == "setup" && strings.ContainsAny(out, "+~!") {
			t.Errorf("%s%v", out, err)
		}
	}
	who, err := nats.NkeyOptionFromSeed(c.keyOf("operator"))
	must(t, err)
	nc, err := nats.Connect(urls[0], who, nats.RootCAs(c.path("ca.crt")), nats.CustomInboxPrefix(inboxOf("operator")+".x"))
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	for _, name := range []string{store.RecordsStream, store.WakesStream, store.ResultsStream} {
		stream, err := js.Stream(t.Context(), name)
		must(t, err)
		info := stream.CachedInfo()
		if info.Config.Replicas != 3 || len(info.Cluster.Replicas) != 2 {
			t.Errorf("%s: %d copies, on %s and %d others", name, info.Config.Replicas, info.Cluster.Leader, len(info.Cluster.Replicas))
		}
	}
}
