package apiclient

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestLogIn(t *testing.T) {
	asked := []string{"aml_person/basic", "aml_person/OFAC"}
	for name, c := range map[string]struct {
		edit    func(*fakeAPI, *Config)
		from    BaseSource
		granted []string
		missing []string
		life    time.Duration
		kind    Kind
	}{
		"as asked": {func(*fakeAPI, *Config) {}, BaseFromDiscovery, asked, nil, 300 * time.Second, 0},
		"a scope less": {func(f *fakeAPI, _ *Config) {
			f.token = jsonAnswer(200, `{"access_token":"x","scope":"aml_person/basic profile"}`)
		}, BaseFromDiscovery, []string{"aml_person/basic", "profile"}, []string{"aml_person/OFAC"}, 0, 0},
		"silent":       {func(f *fakeAPI, _ *Config) { f.token = jsonAnswer(200, `{"access_token":"x"}`) }, BaseFromDiscovery, nil, nil, 0, 0},
		"wrong secret": {func(f *fakeAPI, _ *Config) { f.token = jsonAnswer(401, `{"error":"invalid_client"}`) }, BaseFromDiscovery, nil, nil, 0, Denied},
		"no discovery": {func(f *fakeAPI, _ *Config) { f.discovery = http.NotFound }, "", nil, nil, 0, Misconfigured},
		"a setting":    {func(_ *fakeAPI, cfg *Config) { cfg.BaseURL = fakeBase }, BaseFromSetting, asked, nil, 300 * time.Second, 0},
		"two settings": {func(_ *fakeAPI, cfg *Config) { cfg.BaseURL, cfg.TokenURL = fakeBase, fakeIssuer+"/token" }, BaseFromSetting, asked, nil, 300 * time.Second, 0},
		"by assumption": {func(f *fakeAPI, cfg *Config) {
			f.discovery = jsonAnswer(200, `{"issuer":"`+fakeIssuer+`","token_endpoint":"`+fakeIssuer+`/token"}`)
			cfg.Env = EnvCurrent
		}, BaseFromProfile, asked, nil, 300 * time.Second, 0},
	} {
		fake := newFake()
		client := fake.client(t, func(cfg *Config) { cfg.Scopes = asked; c.edit(fake, cfg) })
		l, err := client.LogIn(t.Context())
		kind, _ := KindOf(err)
		if kind != c.kind || l.BaseFrom != c.from || !slices.Equal(l.Granted, c.granted) || !slices.Equal(l.Missing(), c.missing) {
			t.Errorf("%s: %+v, missing %v, %v", name, l, l.Missing(), err)
		}
		if l.Life.Round(10*time.Second) != c.life {
			t.Errorf("%s: lives %v", name, l.Life)
		}
		for _, call := range []string{"create", "session", "document", "report", "access"} {
			if fake.calls[call] > 0 {
				t.Errorf("%s: the API itself was called: %s", name, call)
			}
		}
	}
}
