package amlsim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/apiclient/amlsim"
)

func TestHooksFireInOrder(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	var hooks hookLog
	c.send(hooks.watch(c.createRequest(nobody())))
	if want := []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte"}; !slices.Equal(hooks.seen, want) {
		t.Errorf("hooks %v, want %v", hooks.seen, want)
	}
}

func TestHangEndsWithTheContext(t *testing.T) {
	for _, applied := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sim := amlsim.New(onCreate(amlsim.Action{Kind: amlsim.ActHang, Wait: time.Minute, Applied: applied}))
			c := newCaller(t, sim)
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			start := time.Now()
			if _, err := c.try(c.createRequest(nobody()).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the deadline", err)
			}
			if took := time.Since(start); took != 15*time.Second {
				t.Errorf("took %v, want 15s", took)
			}
			synctest.Wait()
			if n := sessionsOfNobody(sim); (n == 1) != applied {
				t.Errorf("%d sessions, applied %v", n, applied)
			}
			if st := sim.Stats().Calls[amlsim.CallCreate]; st.Broken != 1 {
				t.Errorf("statistics %+v", st)
			}
			wantStatus(t, c.create(nobody()), http.StatusCreated) // a minute later
			if took := time.Since(start); took != 75*time.Second {
				t.Errorf("took %v in all, want 75s", took)
			}
		})
	}
}

// The handler of a real server learns from the broken connection that nobody waits.
func TestHangEndsWithTheConnection(t *testing.T) {
	sim := amlsim.New(onCreate(amlsim.Action{Kind: amlsim.ActHang, Wait: time.Hour}))
	server := httptest.NewServer(sim)
	c := &caller{t: t, http: server.Client(), base: server.URL}
	c.authorize()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.try(c.createRequest(nobody()).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
	c.http.CloseIdleConnections()
	server.Close() // waits for the handler
	if sessionsOfNobody(sim) != 0 {
		t.Error("a session was created for a client that had left")
	}
}

func TestRefusalWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(onCreate(amlsim.Action{Kind: amlsim.ActRefuse, Wait: 2 * time.Second})))
		start := time.Now()
		if _, err := c.try(c.createRequest(nobody())); err == nil || time.Since(start) != 2*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.try(c.createRequest(nobody()).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
	})
}

// The http.Client's own timeout covers the body.
func TestSlowBodyEndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(onDocument(amlsim.Action{Kind: amlsim.ActSlow, BytesPerSecond: 2})))
		c.http.Timeout = 10 * time.Second
		path := c.session(nobody())
		start := time.Now()
		got, err := c.try(c.request(http.MethodGet, path+"/json", ""))
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 10*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		if len(got.body) < 18 || len(got.body) > 22 {
			t.Errorf("%d bytes came in 10 s at 2 a second", len(got.body))
		}
	})
}

// Closing a body ends the goroutine that writes it; synctest.Test would report
// one that stays.
func TestClosedBodyEndsTheHandler(t *testing.T) {
	for _, do := range []amlsim.Action{
		{Kind: amlsim.ActSlow, BytesPerSecond: 1},
		{Kind: amlsim.ActHuge},
		{Kind: amlsim.ActEndless},
		{Kind: amlsim.ActGzipBomb},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCaller(t, amlsim.New(onDocument(do)))
			r := c.request(http.MethodGet, c.session(nobody())+"/json", "")
			r.Header.Set("Accept-Encoding", "identity")
			resp, err := c.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 3)); err != nil {
				t.Error(err)
			}
			start := time.Now()
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("%s: closing took %v", do.Kind, took)
			}
			if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("reading a closed body: %v", err)
			}
		})
	}
}

// A small answer that nobody reads holds no goroutine either.
func TestUnreadAnswerEndsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{}))
		resp, err := c.http.Do(c.request(http.MethodGet, c.session(nobody()), "")) // and leave the body alone
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(err)
		}
	})
}

func TestCancelledBeforeTheCall(t *testing.T) {
	sim := amlsim.New(amlsim.Config{})
	c := newCaller(t, sim)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.try(c.createRequest(nobody()).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancelled context", err)
	}
	if sessionsOfNobody(sim) != 0 {
		t.Error("a session was created")
	}
}

// closeNoter is a request body that tells whether it was closed.
type closeNoter struct {
	io.Reader
	closed bool
}

func (c *closeNoter) Close() error {
	c.closed = true
	return nil
}

func TestRequestBodyIsAlwaysClosed(t *testing.T) {
	for _, kind := range []amlsim.ActionKind{amlsim.ActRefuse, amlsim.ActReset, amlsim.ActUnsigned} {
		c := newCaller(t, amlsim.New(onCreate(amlsim.Action{Kind: kind})))
		r := c.createRequest(nobody())
		body := &closeNoter{Reader: strings.NewReader("{}")}
		r.Body = body
		_, _ = c.try(r) // whether it works is not the question
		if !body.closed {
			t.Errorf("%s: body not closed", kind)
		}
	}
}

func TestAnswerHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{}))
		r := c.request(http.MethodGet, "/access-rights", "")
		r.Header.Set("X-Request-Id", "42")
		got := c.send(r)
		if got.header.Get("X-Request-Id") != "42" || got.header.Get("Date") != time.Now().UTC().Format(http.TimeFormat) || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("header %v", got.header)
		}
	})
}
