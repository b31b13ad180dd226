package apiclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenRequestStyles(t *testing.T) {
	for _, style := range []AuthStyle{"", AuthBasic, AuthPost} {
		fake := newFake()
		c := fake.client(t, func(cfg *Config) { cfg.AuthStyle = style })
		if _, err := c.Session(context.Background(), nil, testRef); err != nil {
			t.Fatal(err)
		}
		user, password, basic := fake.seen["token"].BasicAuth()
		body := fake.sent["token"]
		if !strings.Contains(body, "grant_type=client_credentials") ||
			!strings.Contains(body, "scope=aml_person%2Fbasic+aml_person%2FOFAC") {
			t.Errorf("%q: sent %s", style, body)
		}
		inBody := strings.Contains(body, "client_id=id") && strings.Contains(body, "client_secret=secret")
		switch {
		case style == AuthPost && (basic || !inBody):
			t.Errorf("post: basic %t, in body %t", basic, inBody)
		case style != AuthPost && (user != "id" || password != "secret" || strings.Contains(body, "secret")):
			t.Errorf("basic: %q, body %s", user, body)
		}
	}
}

func TestTokenIsRenewedEarly(t *testing.T) {
	for _, tc := range []struct {
		life         int
		fresh, later time.Duration // still the first token; then the second
	}{
		{300, 269 * time.Second, 271 * time.Second},
		{60, 44 * time.Second, 46 * time.Second},
		{4, 2900 * time.Millisecond, 3100 * time.Millisecond},
		{0, 44 * time.Second, 46 * time.Second},              // no life told
		{-5, 700 * time.Millisecond, 800 * time.Millisecond}, // no login per call
	} {
		t.Run(fmt.Sprint(tc.life), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake()
				fake.token = tokenNumbered(tc.life)
				c := fake.client(t)
				ask := func(want string) {
					t.Helper()
					if _, err := c.Session(t.Context(), nil, testRef); err != nil {
						t.Fatal(err)
					}
					if got := fake.seen["session"].Header.Get("Authorization"); got != "Bearer "+want {
						t.Errorf("%s, want %s", got, want)
					}
				}
				ask("t1")
				time.Sleep(tc.fresh)
				ask("t1")
				time.Sleep(tc.later - tc.fresh)
				ask("t2")
			})
		})
	}
}

func TestOneTokenRequestForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = slow(time.Second, tokenNumbered(300))
		c := fake.client(t)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.Session(t.Context(), nil, testRef); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// In the last half minute one caller renews; the others go on with what
		// they have and do not wait.
		time.Sleep(275 * time.Second)
		started := time.Now()
		for range 50 {
			wg.Go(func() { _, _ = c.Session(t.Context(), nil, testRef) })
		}
		wg.Wait()
		if took := time.Since(started); took != time.Second {
			t.Errorf("took %s", took)
		}
		if got := fake.counts(); got["token"] != 2 || got["discovery"] != 1 || got["session"] != 100 {
			t.Errorf("calls: %v", got)
		}
	})
}

func TestAWaitingCallerLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = slow(4*time.Second, tokenNumbered(300))
		c := fake.client(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Session(t.Context(), nil, testRef); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		_, err := c.Session(ctx, nil, testRef)
		if e := wantKind(t, err, Unavailable); !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%v", e)
		}
		if took := time.Since(started); took != time.Second {
			t.Errorf("waited %s", took)
		}
		wg.Wait()
	})
}

// The caller who asks for the token may be stopped; the next one asks anew and
// does not inherit the stop as an outage.
func TestAStoppedTokenRequestIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = slow(2*time.Second, tokenNumbered(300))
		c := fake.client(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Session(ctx, nil, testRef)
		wantKind(t, err, Unavailable)
		if _, err := c.Session(t.Context(), nil, testRef); err != nil {
			t.Error(err)
		}
	})
}

func TestTokenEndpointFailures(t *testing.T) {
	for _, tc := range []struct {
		name  string
		token http.HandlerFunc
		want  Kind
		says  string
	}{
		{"down", jsonAnswer(500, `{"error":"server_error"}`), Unavailable, "status 500: server_error"},
		{"gateway", answer(502, "text/html", "<html>"), Unavailable, "status 502"},
		{"throttling", jsonAnswer(429, `{}`, "Retry-After", "40"), Throttled, "status 429"},
		{"maintenance", jsonAnswer(503, ``, "Retry-After", "40"), Throttled, "status 503"},
		{"wrong secret", jsonAnswer(401, `{"error":"invalid_client","error_description":"x"}`), Denied, "invalid_client"},
		{"wrong secret, as Keycloak said it once", jsonAnswer(400, `{"error":"invalid_client"}`), Denied, "invalid_client"},
		{"scope not provisioned", jsonAnswer(400, `{"error":"invalid_scope"}`), Denied, "invalid_scope"},
		{"error under 200", jsonAnswer(200, `{"error":"invalid_client"}`), Denied, "invalid_client"},
		{"busy for now", jsonAnswer(400, `{"error":"temporarily_unavailable"}`), Unavailable, "temporarily_unavailable"},
		{"400 without a code", jsonAnswer(400, `no`), Misconfigured, "status 400"},
		{"not found", answer(404, "text/html", "<html>"), Misconfigured, "status 404"},
		{"redirect is not followed", jsonAnswer(302, ``, "Location", "https://elsewhere.example.test/x/token"), Misconfigured, "status 302"},
		{"html", answer(200, "text/html", "<html>Canary</html>"), Unavailable, "cannot be read"},
		{"no token in it", jsonAnswer(200, `{"token_type":"bearer"}`), Unavailable, "cannot be read"},
		{"empty", jsonAnswer(200, ``), Unavailable, "cannot be read"},
		{"cut by our limit", jsonAnswer(200, `{"x":"`+strings.Repeat("a", 2*maxTokenBytes)+`","access_token":"t"}`), Unavailable, "cannot be read"},
		{"token no header can carry", jsonAnswer(200, `{"access_token":"a\nb"}`), Unavailable, "unusable"},
		{"another type", jsonAnswer(200, `{"access_token":"a","token_type":"DPoP"}`), Misconfigured, "not bearer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			fake.token = tc.token
			_, err := fake.client(t).Session(context.Background(), nil, testRef)
			e := wantKind(t, err, tc.want)
			if !strings.Contains(e.Error(), tc.says) || strings.Contains(e.Error(), "Canary") {
				t.Errorf("%v does not say %q", e, tc.says)
			}
			if e.Status != 0 || e.Op != "read session" {
				t.Errorf("%+v", e)
			}
			if n := fake.count("token"); n != 1 {
				t.Errorf("%d token requests", n)
			}
		})
	}
}

func TestTokenTypeInAnyCase(t *testing.T) {
	for _, kind := range []string{"bearer", "Bearer", "BEARER", ""} {
		fake := newFake()
		fake.token = jsonAnswer(200, fmt.Sprintf(`{"access_token":"x","expires_in":300,"token_type":%q}`, kind))
		if _, err := fake.client(t).Session(context.Background(), nil, testRef); err != nil {
			t.Errorf("%q: %v", kind, err)
		}
		if got := fake.seen["session"].Header.Get("Authorization"); got != "Bearer x" {
			t.Errorf("%q: sent %q", kind, got)
		}
	}
}

// An hour's outage under constant demand is four logins a minute, not one a call.
func TestAnOutageMakesNoLoginStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = jsonAnswer(500, ``)
		c := fake.client(t)
		var at []time.Duration
		started := time.Now()
		for time.Since(started) < time.Hour {
			before := fake.count("token")
			_, err := c.Session(t.Context(), nil, testRef)
			wantKind(t, err, Unavailable)
			if fake.count("token") > before {
				at = append(at, time.Since(started).Round(time.Second))
			}
			time.Sleep(250 * time.Millisecond)
		}
		if len(at) > 245 {
			t.Errorf("%d logins within an hour", len(at))
		}
		want := []time.Duration{0, 1, 3, 7, 15, 30, 45, 60}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(at[:len(want)], want) {
			t.Errorf("logins at %v, want %v", at[:len(want)], want)
		}
		fake.mu.Lock()
		fake.token = tokenNumbered(300)
		fake.mu.Unlock()
		time.Sleep(time.Minute)
		if _, err := c.Session(t.Context(), nil, testRef); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestTheTokenEndpointsRetryAfterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = inTurn(jsonAnswer(429, ``, "Retry-After", "40"), tokenNumbered(300))
		c := fake.client(t)
		_, err := c.Session(t.Context(), nil, testRef)
		if e := wantKind(t, err, Throttled); e.RetryAfter != 40*time.Second {
			t.Errorf("Retry-After %s", e.RetryAfter)
		}
		time.Sleep(39 * time.Second)
		_, err = c.Session(t.Context(), nil, testRef)
		if e := wantKind(t, err, Throttled); e.RetryAfter != time.Second {
			t.Errorf("Retry-After %s, a second before its end", e.RetryAfter)
		}
		time.Sleep(time.Second)
		if _, err = c.Session(t.Context(), nil, testRef); err != nil {
			t.Error(err)
		}
	})
}

func TestAShortOutageOfTheTokenEndpointIsNotNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = inTurn(tokenNumbered(300), jsonAnswer(500, ``), jsonAnswer(500, ``), jsonAnswer(500, ``), tokenNumbered(300))
		c := fake.client(t)
		for range 400 { // until well past the first token's end
			if _, err := c.Session(t.Context(), nil, testRef); err != nil {
				t.Fatalf("after %d tokens: %v", fake.count("token"), err)
			}
			time.Sleep(time.Second)
		}
		if n := fake.count("token"); n != 5 {
			t.Errorf("%d token requests", n)
		}
	})
}

func TestASlowTokenEndpointIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = hang
		c := fake.client(t)
		started := time.Now()
		_, err := c.Session(t.Context(), nil, testRef)
		e := wantKind(t, err, Unavailable)
		if took := time.Since(started); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		if errors.Is(e, context.DeadlineExceeded) {
			t.Error("looks as if the caller had stopped")
		}
	})
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	t.Run("mid-run", func(t *testing.T) {
		fake := newFake()
		fake.token = tokenNumbered(300)
		fake.session = inTurn(jsonAnswer(200, `{}`), jsonAnswer(401, `{}`), jsonAnswer(200, `{}`))
		c := fake.client(t)
		for range 3 {
			if _, err := c.Session(context.Background(), nil, testRef); err != nil {
				t.Fatal(err)
			}
		}
		if got := fake.counts(); got["token"] != 2 || got["session"] != 4 {
			t.Errorf("calls: %v", got)
		}
	})
	t.Run("for a creation too, since 401 creates nothing", func(t *testing.T) {
		fake := newFake()
		fake.token = tokenNumbered(300)
		fake.create = inTurn(jsonAnswer(401, `{}`), jsonAnswer(201, `{"sessionId":"a"}`))
		if _, err := fake.client(t).CreateSession(context.Background(), nil, testQuery()); err != nil {
			t.Fatal(err)
		}
		if got := fake.seen["create"].Header.Get("Authorization"); got != "Bearer t2" {
			t.Errorf("sent %s", got)
		}
		if fake.sent["create"] == "" {
			t.Error("the second try had no body")
		}
	})
	t.Run("unless the profile does not trust 401", func(t *testing.T) {
		fake := newFake()
		fake.create = jsonAnswer(401, `{}`)
		p := DefaultProfile()
		p.Statuses.NotCreated = []int{400}
		_, err := fake.client(t, func(cfg *Config) { cfg.Profile = p }).CreateSession(context.Background(), nil, testQuery())
		wantKind(t, err, Unknown)
		if n := fake.count("create"); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
	t.Run("refused again", func(t *testing.T) {
		fake := newFake()
		fake.token = tokenNumbered(300)
		fake.session, fake.create = jsonAnswer(401, `{}`), jsonAnswer(401, `{}`)
		c := fake.client(t)
		_, err := c.Session(context.Background(), nil, testRef)
		wantKind(t, err, Denied)
		_, err = c.CreateSession(context.Background(), nil, testQuery())
		wantKind(t, err, Denied)
		for range 20 {
			_, err = c.Session(context.Background(), nil, testRef)
			wantKind(t, err, Denied)
		}
		if n := fake.count("token"); n != 2 {
			t.Errorf("%d token requests: a login storm", n)
		}
	})
}

// Many callers whose token is refused at once share one renewal.
func TestARevokedTokenIsRenewedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = slow(time.Second, tokenNumbered(300))
		fake.session = func(w http.ResponseWriter, r *http.Request) {
			status := 401
			if r.Header.Get("Authorization") == "Bearer t2" {
				status = 200
			}
			slow(time.Second, jsonAnswer(status, `{}`))(w, r)
		}
		c := fake.client(t)
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := c.Session(t.Context(), nil, testRef); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := fake.count("token"); n != 2 {
			t.Errorf("%d token requests", n)
		}
	})
}

func TestMissingScopesAreToldOnce(t *testing.T) {
	for scope, want := range map[string]int{
		`"aml_person/basic"`:                 1,
		`"profile aml_person/basic"`:         1,
		`"aml_person/OFAC aml_person/basic"`: 0,
		`""`:                                 0,
		`null`:                               0,
		`7`:                                  0,
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake()
			fake.token = jsonAnswer(200, `{"access_token":"x","expires_in":10,"scope":`+scope+`}`)
			log, logs := observed()
			c := fake.client(t, func(cfg *Config) { cfg.Log = log })
			for range 5 {
				if _, err := c.Session(t.Context(), nil, testRef); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			if got := logs.FilterMessageSnippet("scopes").Len(); got != want {
				t.Errorf("scope %s: warned %d times, want %d", scope, got, want)
			}
		})
	}
}
