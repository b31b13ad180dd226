package apiclient

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestLinks(t *testing.T) {
	const session = fakeBase + "/person/session/no/" + string(fakeID)
	for _, tc := range []struct {
		name, link, want string // want "" means refused
	}{
		{"none", "", session + "/json"},
		{"relative to the session call", "json", fakeBase + "/person/session/no/json"},
		{"relative, with the id", string(fakeID) + "/json?v=1", session + "/json?v=1"},
		{"dots", "./" + string(fakeID) + "/../x", fakeBase + "/person/session/no/x"},
		{"absolute path", "/other/json", "https://api.example.test/other/json"},
		{"absolute", "https://api.example.test/d/1", "https://api.example.test/d/1"},
		{"absolute, other case and port spelt out", "HTTPS://API.example.test:443/d/1", "https://API.example.test:443/d/1"},
		{"fragment is dropped", "https://api.example.test/d/1#frag", "https://api.example.test/d/1"},
		{"foreign host", "https://evil.example.test/d/1", ""},
		{"foreign host that looks alike", "https://api.example.test.evil.test/d", ""},
		{"foreign port", "https://api.example.test:8443/d/1", ""},
		{"without TLS", "http://api.example.test/d/1", ""},
		{"scheme-relative", "//evil.example.test/d/1", ""},
		{"user", "https://api.example.test@evil.example.test/d", ""},
		{"user at our host", "https://u:p@api.example.test/d", ""},
		{"another scheme", "file:///etc/passwd", ""},
		{"data", "data:text/plain,hello", ""},
		{"not a URL", "http://[::1", ""},
		{"control character", "/a\x00b", ""},
		{"backslashes are a path", `\\evil.example.test\d`, fakeBase + "/person/session/no/%5C%5Cevil.example.test%5Cd"},
		{"too long", "/" + strings.Repeat("a", maxLinkBytes), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			var asked string
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "login.example.test" {
					return inProcess{fake}.RoundTrip(r)
				}
				asked = r.URL.String()
				if r.Header.Get("Authorization") != "Bearer t1" {
					t.Error("no token")
				}
				return inProcess{fake.document}.RoundTrip(r)
			})
			c := fake.client(t, func(cfg *Config) { cfg.Transport = transport })
			_, err := c.Document(context.Background(), nil, testRef, tc.link)
			if tc.want == "" {
				wantKind(t, err, Misconfigured)
			} else if err != nil {
				t.Fatal(err)
			}
			if asked != tc.want {
				t.Errorf("asked %q, want %q", asked, tc.want)
			}
		})
	}
}

func TestAllowedOriginsGetTheTokenOnlyIfTheProfileSaysSo(t *testing.T) {
	for _, send := range []bool{false, true} {
		p := DefaultProfile()
		p.Links.AllowedOrigins = []AllowedOrigin{{Origin: "https://files.example.test", SendToken: send}}
		fake := newFake()
		fake.document = jsonAnswer(401, `{}`)
		c := fake.client(t, func(cfg *Config) { cfg.Profile = p })
		_, err := c.Document(context.Background(), nil, testRef, "https://FILES.example.test/json")
		refused := Unavailable
		if send {
			refused = Denied
		}
		wantKind(t, err, refused)
		if got := fake.seen["document"].Header.Get("Authorization"); (got != "") != send {
			t.Errorf("send %t: sent %q", send, got)
		}
		want := 1 // a token that was not shown is not at fault
		if send {
			want = 2
		}
		if n := fake.count("token"); n != want {
			t.Errorf("send %t: %d token requests", send, n)
		}
		_, err = c.Document(context.Background(), nil, testRef, "https://other.example.test/json")
		wantKind(t, err, Misconfigured)
	}
}

// A store behind presigned links answers 403 when a link has run out. That is
// about the link, and must not read as the API refusing us.
func TestWhatAStoreWithoutOurTokenSaysIsNotAboutUs(t *testing.T) {
	p := DefaultProfile()
	p.Links.AllowedOrigins = []AllowedOrigin{{Origin: "https://files.example.test"}}
	for status, want := range map[int]Kind{
		401: Unavailable, 403: Unavailable, 407: Unavailable, 429: Unavailable, 503: Unavailable, 404: Gone, 400: Refused,
	} {
		fake := newFake()
		fake.report = jsonAnswer(status, `{}`, "Retry-After", "7")
		c := fake.client(t, func(cfg *Config) { cfg.Profile = p })
		_, err := c.Report(context.Background(), nil, testRef, "https://files.example.test/report/aml")
		if e := wantKind(t, err, want); e.RetryAfter != 7*time.Second {
			t.Errorf("%d: retry after %v", status, e.RetryAfter)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	for _, location := range []string{"/aml/elsewhere", "https://elsewhere.example.test/x", "", "http://[::1"} {
		fake := newFake()
		h := jsonAnswer(302, ``, "Location", location)
		fake.session, fake.document, fake.report, fake.access = h, h, h, h
		c := fake.client(t)
		ctx := context.Background()
		_, err := c.Session(ctx, nil, testRef)
		wantKind(t, err, Misconfigured)
		_, err = c.Document(ctx, nil, testRef, "")
		wantKind(t, err, Misconfigured)
		_, err = c.Report(ctx, nil, testRef, "")
		wantKind(t, err, Misconfigured)
		_, _, err = c.AccessRights(ctx)
		wantKind(t, err, Misconfigured)
		if n := fake.count("elsewhere"); n != 0 {
			t.Errorf("%q was followed", location)
		}
		if strings.Contains(location, "elsewhere.") && !strings.Contains(err.Error(), "redirect to https://elsewhere.example.test:443") {
			t.Errorf("%v does not say where to", err)
		}
	}
}

// What stands in a session's name cannot leave its place in the path.
func TestSessionIDsAreEscaped(t *testing.T) {
	fake := newFake()
	c := fake.client(t)
	_, _ = c.Session(context.Background(), nil, Ref{Country: "no", ID: "a/../b?c#d%2F"})
	got := fake.seen["elsewhere"]
	if got == nil || got.URL.EscapedPath() != "/aml/person/session/no/a%2F..%2Fb%3Fc%23d%252F" || got.URL.RawQuery != "" {
		t.Errorf("asked %v", got.URL)
	}
}
