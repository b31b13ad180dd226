package apiclient

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func discoveryDoc(issuer, token, base string) http.HandlerFunc {
	return jsonAnswer(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q,"aml-baseurl":%q,"other":[1]}`, issuer, token, base))
}

func TestWhereTheAddressesComeFrom(t *testing.T) {
	const set = "https://set.example.test/base"
	for _, tc := range []struct {
		name      string
		discovery http.HandlerFunc
		change    func(*Config)
		want      string // address of the session call
		asked     int    // discoveries
	}{
		{"discovery", nil, func(*Config) {}, fakeBase, 1},
		{"a slash at the end", discoveryDoc(fakeIssuer, fakeIssuer+"/token", fakeBase+"/"), func(*Config) {}, fakeBase, 1},
		{"setting before discovery", nil, func(c *Config) { c.BaseURL = set }, set, 1},
		{"both set: no discovery", nil, func(c *Config) { c.BaseURL, c.TokenURL = set, fakeIssuer+"/token" }, set, 0},
		{"both set: no issuer needed", nil, func(c *Config) { c.Issuer, c.BaseURL, c.TokenURL = "", set, fakeIssuer+"/token" }, set, 0},
		{"profile after discovery", discoveryDoc(fakeIssuer, fakeIssuer+"/token", ""),
			func(c *Config) { c.Env = EnvProd }, "https://aml.bankidapis.no", 1},
		{"another issuer's name is only warned of", discoveryDoc("https://old.example.test", fakeIssuer+"/token", fakeBase), func(*Config) {}, fakeBase, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			if tc.discovery != nil {
				fake.discovery = tc.discovery
			}
			c := fake.client(t, tc.change)
			for range 2 {
				if _, err := c.Session(context.Background(), nil, testRef); err != nil {
					t.Fatal(err)
				}
			}
			if got := fake.seen["session"].URL.String(); got != tc.want+"/person/session/no/"+string(fakeID) {
				t.Errorf("asked %s", got)
			}
			if n := fake.count("discovery"); n != tc.asked {
				t.Errorf("%d discoveries", n)
			}
		})
	}
}

func TestDiscoveryFailures(t *testing.T) {
	for _, tc := range []struct {
		name      string
		discovery http.HandlerFunc
		want      Kind
	}{
		{"not found", jsonAnswer(404, `{}`), Misconfigured},
		{"redirect", jsonAnswer(302, ``, "Location", "https://elsewhere.example.test/"), Misconfigured},
		{"html", answer(200, "text/html", "<html>"), Misconfigured},
		{"wrong types", jsonAnswer(200, `{"token_endpoint":7}`), Misconfigured},
		{"no token endpoint", jsonAnswer(200, `{"aml-baseurl":"https://a.example.test"}`), Misconfigured},
		{"no base URL anywhere", discoveryDoc(fakeIssuer, fakeIssuer+"/token", ""), Misconfigured},
		{"token endpoint without TLS", discoveryDoc(fakeIssuer, "http://a.example.test/token", fakeBase), Misconfigured},
		{"base URL without TLS", discoveryDoc(fakeIssuer, fakeIssuer+"/token", "http://a.example.test"), Misconfigured},
		{"base URL with a password", discoveryDoc(fakeIssuer, fakeIssuer+"/token", "https://u:p@a.example.test"), Misconfigured},
		{"too deep", jsonAnswer(200, strings.Repeat("[", 300)+strings.Repeat("]", 300)), Misconfigured},
		{"down", jsonAnswer(503, ``), Unavailable},
		{"down with Retry-After", jsonAnswer(503, ``, "Retry-After", "3"), Throttled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			fake.discovery = tc.discovery
			c := fake.client(t)
			_, err := c.CreateSession(context.Background(), nil, testQuery())
			if e := wantKind(t, err, tc.want); e.Status != 0 {
				t.Errorf("status %d is not the API's", e.Status)
			}
			_, err = c.Session(context.Background(), nil, testRef)
			wantKind(t, err, tc.want)
			if got := fake.counts(); got["discovery"] != 1 || got["create"] != 0 {
				t.Errorf("calls: %v", got)
			}
		})
	}
}

func TestOneDiscoveryForManyCallersAndAgainAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		good := fake.discovery
		fake.discovery = inTurn(hang, slow(time.Second, good))
		c := fake.client(t)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := c.Session(t.Context(), nil, testRef)
				if kind, _ := KindOf(err); kind != Unavailable {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		for range 20 {
			wg.Go(func() {
				if _, err := c.Session(t.Context(), nil, testRef); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := fake.count("discovery"); n != 2 {
			t.Errorf("%d discoveries", n)
		}
	})
}

func TestEnvironments(t *testing.T) {
	for name, host := range map[string]string{
		EnvCurrent: "https://auth.current.bankid.no/", EnvProd: "https://auth.bankid.no/", EnvLocal: "http://127.0.0.1:8117/",
	} {
		e, err := Environment(name)
		if err != nil || !strings.HasPrefix(e.Issuer, host) || !strings.HasPrefix(e.TokenURL, e.Issuer) || e.BaseURL == "" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if _, err := New(Config{Env: name, ClientID: "a", ClientSecret: "b"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Environment("production"); err == nil {
		t.Error("an unknown environment is accepted")
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"unknown environment":          func(c *Config) { c.Env = "production" },
		"nowhere to go":                func(c *Config) { c.Issuer = "" },
		"only a base URL":              func(c *Config) { c.Issuer, c.BaseURL = "", fakeBase },
		"no client id":                 func(c *Config) { c.ClientID = "" },
		"no secret":                    func(c *Config) { c.ClientSecret = "" },
		"auth style":                   func(c *Config) { c.AuthStyle = "digest" },
		"negative timeout":             func(c *Config) { c.GetTimeout = -1 },
		"user agent with a line break": func(c *Config) { c.UserAgent = "a\r\nX-Evil: 1" },
		"issuer without TLS":           func(c *Config) { c.Issuer = "http://login.example.test" },
		"base URL without TLS in prod": func(c *Config) { c.Env, c.BaseURL = EnvProd, "http://api.example.test" },
		"base URL with a query":        func(c *Config) { c.BaseURL = fakeBase + "?a=b" },
		"base URL with a user":         func(c *Config) { c.BaseURL = "https://me@api.example.test" },
		"relative base URL":            func(c *Config) { c.BaseURL = "/aml" },
		"profile":                      func(c *Config) { c.Profile = Profile{Countries: []string{"no"}} },
	} {
		cfg := Config{Issuer: fakeIssuer, ClientID: "id", ClientSecret: "secret"}
		change(&cfg)
		if c, err := New(cfg); err == nil {
			c.Close()
			t.Errorf("%s is accepted", name)
		}
	}
	// The simulator may run in the container next door.
	cfg := Config{Env: EnvLocal, BaseURL: "http://simulator:8117", ClientID: "id", ClientSecret: "secret"}
	if _, err := New(cfg); err != nil {
		t.Errorf("plain http in the local environment: %v", err)
	}
}
