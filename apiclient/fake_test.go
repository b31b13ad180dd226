package apiclient

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	fakeIssuer = "https://login.example.test/auth/realms/x"
	fakeBase   = "https://api.example.test/aml"
	fakeID     = SessionID("5f1c9f0e-6a55-4f0e-9c0a-0c8a2c7a5b11")
)

// fakeAPI answers for issuer, token endpoint and API alike. A test replaces
// the answer it is about.
type fakeAPI struct {
	mu    sync.Mutex
	calls map[string]int
	seen  map[string]*http.Request // the last request of each kind
	sent  map[string]string        // its body

	discovery, token, create, session, document, report, access http.HandlerFunc
}

func newFake() *fakeAPI {
	return &fakeAPI{
		calls: map[string]int{}, seen: map[string]*http.Request{}, sent: map[string]string{},
		discovery: jsonAnswer(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q,"aml-baseurl":%q}`,
			fakeIssuer, fakeIssuer+"/token", fakeBase)),
		token:    jsonAnswer(200, `{"access_token":"t1","expires_in":300,"token_type":"bearer","scope":"aml_person/basic aml_person/OFAC"}`),
		create:   jsonAnswer(201, fmt.Sprintf(`{"sessionId":%q}`, fakeID)),
		session:  jsonAnswer(200, `{"jsonData":"READY","aml-report":"READY"}`),
		document: jsonAnswer(200, `{"aml":{"status":"NONE"}}`),
		report:   pdfAnswer(plainPDF()),
		access:   jsonAnswer(200, `{"nationalRegistry":{"access":true}}`),
	}
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, h := f.route(r)
	var body strings.Builder
	if r.Body != nil {
		_, _ = fmt.Fprint(&body, readAll(r))
	}
	f.mu.Lock()
	f.calls[name]++
	f.seen[name], f.sent[name] = r, body.String()
	f.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h(w, r)
}

func (f *fakeAPI) route(r *http.Request) (string, http.HandlerFunc) {
	switch p := r.URL.Path; {
	case strings.HasSuffix(p, "/.well-known/openid-configuration"):
		return "discovery", f.discovery
	case strings.HasSuffix(p, "/token"):
		return "token", f.token
	case strings.HasSuffix(p, "/access-rights"):
		return "access", f.access
	case r.Method == http.MethodPost:
		return "create", f.create
	case strings.HasSuffix(p, "/json"):
		return "document", f.document
	case strings.HasSuffix(p, "/report/aml"):
		return "report", f.report
	case strings.HasSuffix(p, string(fakeID)):
		return "session", f.session
	}
	return "elsewhere", nil
}

func (f *fakeAPI) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

func (f *fakeAPI) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.calls)
}

// client returns a client that calls the fake without a network.
func (f *fakeAPI) client(t testing.TB, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Issuer: fakeIssuer, ClientID: "id", ClientSecret: "secret", Transport: inProcess{f}}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inProcess serves requests by a handler, as net/http would over a network.
type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	done := make(chan *http.Response, 1)
	go func() {
		rec := httptest.NewRecorder()
		p.h.ServeHTTP(rec, req)
		done <- rec.Result()
	}()
	select {
	case resp := <-done:
		resp.Request = req
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// roundTrip is a transport made of a function; it says that it got a
// connection only if the function does.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func gotConn(req *http.Request) {
	httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{})
}

func readAll(r *http.Request) string {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

func answer(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func jsonAnswer(status int, body string, headers ...string) http.HandlerFunc {
	return answer(status, "application/json", body, headers...)
}

func pdfAnswer(data []byte) http.HandlerFunc { return answer(200, "application/pdf", string(data)) }

// inTurn answers with each handler once and then with the last one.
func inTurn(hs ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	next := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := hs[min(next, len(hs)-1)]
		next++
		mu.Unlock()
		h(w, r)
	}
}

// hang answers nothing until the caller has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// slow answers after d.
func slow(d time.Duration, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			h(w, r)
		case <-r.Context().Done():
		}
	}
}

// tokenNumbered gives tokens t1, t2, … of the given life in seconds.
func tokenNumbered(life int) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		body := fmt.Sprintf(`{"access_token":"t%d","expires_in":%d,"token_type":"Bearer"}`, n, life)
		mu.Unlock()
		jsonAnswer(200, body)(w, r)
	}
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

// testQuery is about a test person of the test environment.
func testQuery() Query {
	return Query{
		FirstName: "Tomas", LastName: "Topstad", DateOfBirth: "2007-01-01", SSN: "01010750160",
		Language: "nb", Expands: []string{"aml", "roles"}, Report: true,
	}
}

var testRef = Ref{ID: fakeID}

// wantKind fails the test unless err is an *Error of the kind.
func wantKind(t *testing.T, err error, want Kind) *Error {
	t.Helper()
	got, ok := KindOf(err)
	if !ok || got != want {
		t.Fatalf("error %v has kind %v, want %v", err, got, want)
	}
	return err.(*Error)
}
