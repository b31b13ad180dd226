package amlsim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
)

// overBoth runs a test through the in-process transport and through a socket:
// both have to break in the same way.
func overBoth(t *testing.T, cfg amlsim.Config, run func(t *testing.T, sim *amlsim.Simulator, c *caller)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		sim := amlsim.New(cfg)
		run(t, sim, newCaller(t, sim))
	})
	t.Run("socket", func(t *testing.T) {
		sim := amlsim.New(cfg)
		server := httptest.NewServer(sim)
		defer server.Close()
		c := &caller{t: t, http: server.Client(), base: server.URL}
		defer c.http.CloseIdleConnections()
		c.authorize()
		run(t, sim, c)
	})
}

func onCreate(do amlsim.Action) amlsim.Config {
	return amlsim.Config{Faults: []amlsim.Fault{{Name: "it", Call: amlsim.CallCreate, Do: do}}}
}

func onDocument(do amlsim.Action) amlsim.Config {
	return amlsim.Config{Plain: true, Faults: []amlsim.Fault{{Name: "it", Call: amlsim.CallDocument, Do: do}}}
}

func sessionsOfNobody(sim *amlsim.Simulator) int {
	p := nobody()
	return sim.SessionsOf(p.FirstName, p.LastName, p.DateOfBirth, p.SSN)
}

func TestMadeUpAnswers(t *testing.T) {
	for _, tt := range []struct {
		do      amlsim.Action
		created int
	}{
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 503, RetryAfter: 1500 * time.Millisecond, Body: "<html>"}, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 503, RetryAfter: 1500 * time.Millisecond, Body: "<html>", Applied: true}, 1},
	} {
		overBoth(t, onCreate(tt.do), func(t *testing.T, sim *amlsim.Simulator, c *caller) {
			got := c.create(nobody())
			wantStatus(t, got, 503)
			if got.header.Get("Retry-After") != "2" || string(got.body) != "<html>" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
				t.Errorf("header %v, body %s", got.header, got.body)
			}
			if n := sessionsOfNobody(sim); n != tt.created {
				t.Errorf("%d sessions, want %d", n, tt.created)
			}
		})
	}
}

func TestRetryAfterAsDate(t *testing.T) {
	overBoth(t, onCreate(amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: time.Hour, RetryAfterDate: true}), func(t *testing.T, _ *amlsim.Simulator, c *caller) {
		got := c.create(nobody())
		until, err := http.ParseTime(got.header.Get("Retry-After"))
		if err != nil {
			t.Fatal(err)
		}
		date, err := http.ParseTime(got.header.Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		// Both are cut to seconds, the first after rounding up.
		if wait := until.Sub(date); wait < time.Hour || wait > time.Hour+time.Second {
			t.Errorf("wait of %v by the answer's own clock, want 1h", wait)
		}
	})
}

func TestRedirect(t *testing.T) {
	overBoth(t, onDocument(amlsim.Action{Kind: amlsim.ActRedirect, Location: "https://elsewhere.example.invalid/x"}), func(t *testing.T, _ *amlsim.Simulator, c *caller) {
		path := c.session(nobody()) + "/json"
		client := *c.http
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		c.http = &client
		got := c.get(path)
		wantStatus(t, got, http.StatusFound)
		if got.header.Get("Location") != "https://elsewhere.example.invalid/x" {
			t.Errorf("location %s", got.header.Get("Location"))
		}
	})
}

// hookLog notes which hooks were called.
type hookLog struct {
	mu   sync.Mutex
	seen []string
}

func (l *hookLog) note(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, name)
}

func (l *hookLog) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.seen, name)
}

func (l *hookLog) watch(r *http.Request) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GetConn:              func(string) { l.note("GetConn") },
		GotConn:              func(httptrace.GotConnInfo) { l.note("GotConn") },
		WroteHeaders:         func() { l.note("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { l.note("WroteRequest") },
		GotFirstResponseByte: func() { l.note("GotFirstResponseByte") },
	}))
}

func TestBrokenConnections(t *testing.T) {
	for _, tt := range []struct {
		do      amlsim.Action
		created int
	}{
		{amlsim.Action{Kind: amlsim.ActReset}, 0},
		{amlsim.Action{Kind: amlsim.ActReset, Applied: true}, 1},
		{amlsim.Action{Kind: amlsim.ActLoseAnswer}, 1},
		{amlsim.Action{Kind: amlsim.ActLoseAnswer, Wait: 20 * time.Millisecond}, 1},
	} {
		overBoth(t, onCreate(tt.do), func(t *testing.T, sim *amlsim.Simulator, c *caller) {
			var hooks hookLog
			_, err := c.try(hooks.watch(c.createRequest(nobody())))
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want a reset connection", err)
			}
			if !hooks.has("GotConn") || !hooks.has("WroteRequest") || hooks.has("GotFirstResponseByte") {
				t.Errorf("hooks %v", hooks.seen)
			}
			if n := sessionsOfNobody(sim); n != tt.created {
				t.Errorf("%d sessions, want %d", n, tt.created)
			}
			if st := sim.Stats().Calls[amlsim.CallCreate]; st.Total != 1 || st.Broken != 1 || len(st.Status) != 0 {
				t.Errorf("statistics %+v", st)
			}
		})
	}
}

func TestRefusedConnection(t *testing.T) {
	sim := amlsim.New(onCreate(amlsim.Action{Kind: amlsim.ActRefuse}))
	c := newCaller(t, sim)
	var hooks hookLog
	_, err := c.try(hooks.watch(c.createRequest(nobody())))
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want a refused connection", err)
	}
	if !hooks.has("GetConn") || hooks.has("GotConn") || hooks.has("WroteRequest") {
		t.Errorf("hooks %v", hooks.seen)
	}
	st := sim.Stats()
	if sessionsOfNobody(sim) != 0 || st.Calls[amlsim.CallCreate].Total != 0 || st.PeakCreate.Minute != 0 || st.Faults["it"] != 1 {
		t.Errorf("statistics %+v", st)
	}
}

// Over a socket the connection is there before the handler is.
func TestRefusedConnectionOverSocketIsReset(t *testing.T) {
	sim := amlsim.New(onCreate(amlsim.Action{Kind: amlsim.ActRefuse}))
	server := httptest.NewServer(sim)
	defer server.Close()
	c := &caller{t: t, http: server.Client(), base: server.URL}
	defer c.http.CloseIdleConnections()
	c.authorize()
	if _, err := c.try(c.createRequest(nobody())); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want a reset connection", err)
	}
	if sessionsOfNobody(sim) != 0 {
		t.Error("a session was created")
	}
}

func TestCutAnswers(t *testing.T) {
	for _, do := range []amlsim.Action{
		{Kind: amlsim.ActTruncate},
		{Kind: amlsim.ActTruncate, Bytes: 100},
		{Kind: amlsim.ActWrongLength, Bytes: 7},
		{Kind: amlsim.ActWrongLength},
	} {
		overBoth(t, onDocument(do), func(t *testing.T, sim *amlsim.Simulator, c *caller) {
			got, err := c.try(c.request(http.MethodGet, c.session(nobody())+"/json", ""))
			if !errors.Is(err, io.ErrUnexpectedEOF) || got.status != http.StatusOK {
				t.Errorf("%+v: status %d, error %v, want an unexpected end", do, got.status, err)
			}
			if do.Kind == amlsim.ActTruncate && int64(len(got.body)) != do.Bytes {
				t.Errorf("%d bytes came, want %d", len(got.body), do.Bytes)
			}
			if do.Kind == amlsim.ActWrongLength && !json.Valid(got.body) {
				t.Errorf("body %s is not whole", got.body)
			}
			if st := sim.Stats().Calls[amlsim.CallDocument]; st.Broken != 1 || len(st.Status) != 0 {
				t.Errorf("statistics %+v", st)
			}
		})
	}
}

func TestBodyThatLooksWhole(t *testing.T) {
	_, whole := newCaller(t, amlsim.New(amlsim.Config{Plain: true})).document(nobody())
	overBoth(t, onDocument(amlsim.Action{Kind: amlsim.ActWrongLength, Bytes: -10}), func(t *testing.T, _ *amlsim.Simulator, c *caller) {
		got := c.get(c.session(nobody()) + "/json")
		if !bytes.Equal(got.body, whole[:len(whole)-10]) {
			t.Errorf("body %s", got.body)
		}
	})
}

func TestSpoiltBodies(t *testing.T) {
	for _, tt := range []struct {
		do    amlsim.Action
		check func(got reply) bool
	}{
		{amlsim.Action{Kind: amlsim.ActGarbage}, func(got reply) bool { return len(got.body) == 1024 && !json.Valid(got.body) }},
		{amlsim.Action{Kind: amlsim.ActGarbage, Bytes: 5}, func(got reply) bool { return len(got.body) == 5 }},
		{amlsim.Action{Kind: amlsim.ActHTML}, func(got reply) bool {
			return strings.HasPrefix(got.header.Get("Content-Type"), "text/html") && bytes.Contains(got.body, []byte("<h1>"))
		}},
		{amlsim.Action{Kind: amlsim.ActDeep, Depth: 300}, func(got reply) bool {
			return json.Valid(got.body) && bytes.Count(got.body, []byte("[")) == 300
		}},
		{amlsim.Action{Kind: amlsim.ActHuge, Bytes: 3_000_001}, func(got reply) bool { return len(got.body) == 3_000_001 && json.Valid(got.body) }},
		{amlsim.Action{Kind: amlsim.ActGzipBomb, Bytes: 3_000_001}, func(got reply) bool { return len(got.body) == 3_000_001 && json.Valid(got.body) }},
	} {
		overBoth(t, onDocument(tt.do), func(t *testing.T, _ *amlsim.Simulator, c *caller) {
			if got := c.get(c.session(nobody()) + "/json"); got.status != http.StatusOK || !tt.check(got) {
				t.Errorf("%+v: status %d, %s, %d bytes: %.80q", tt.do, got.status, got.header.Get("Content-Type"), len(got.body), got.body)
			}
		})
	}
}

// A spoilt answer to a creation does not undo it.
func TestSpoiltAnswerLeavesTheSession(t *testing.T) {
	for _, kind := range []amlsim.ActionKind{amlsim.ActGarbage, amlsim.ActHTML, amlsim.ActTruncate, amlsim.ActDeep} {
		sim := amlsim.New(onCreate(amlsim.Action{Kind: kind}))
		c := newCaller(t, sim)
		got, _ := c.try(c.createRequest(nobody()))
		if got.status != http.StatusCreated || sessionsOfNobody(sim) != 1 {
			t.Errorf("%s: status %d, %d sessions", kind, got.status, sessionsOfNobody(sim))
		}
	}
}

// A gigabyte on the wire is about a megabyte.
func TestBombIsSmallUntilUnpacked(t *testing.T) {
	c := newCaller(t, amlsim.New(onDocument(amlsim.Action{Kind: amlsim.ActGzipBomb})))
	r := c.request(http.MethodGet, c.session(nobody())+"/json", "")
	r.Header.Set("Accept-Encoding", "gzip")
	if got := c.send(r); len(got.body) > 3<<20 || got.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes on the wire", len(got.body))
	}
}

func TestSlowBody(t *testing.T) {
	overBoth(t, onDocument(amlsim.Action{Kind: amlsim.ActSlow, BytesPerSecond: 20_000}), func(t *testing.T, _ *amlsim.Simulator, c *caller) {
		start := time.Now()
		got := c.get(c.session(person{FirstName: "A", LastName: "B", DateOfBirth: "1990-01-31", Expands: everything()}) + "/json")
		if !json.Valid(got.body) {
			t.Errorf("body %s", got.body)
		}
		if wait := time.Duration((len(got.body)-1)/2000) * 100 * time.Millisecond; time.Since(start) < wait {
			t.Errorf("%d bytes took %v, want %v or more", len(got.body), time.Since(start), wait)
		}
	})
}
