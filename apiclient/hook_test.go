package apiclient

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heardCalls is an OnCall that remembers.
type heardCalls struct {
	mu    sync.Mutex
	calls []Call
}

func (h *heardCalls) hear(c Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

// take returns what was heard since the last time.
func (h *heardCalls) take() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.calls
	h.calls = nil
	return calls
}

// Every request is told of once, under its name, with what the answer began with
// and what it took: without the wait to be let out, and without the login before it.
func TestEveryRequestIsToldOf(t *testing.T) {
	const took = 300 * time.Millisecond
	admit := func(context.Context) error {
		time.Sleep(10 * time.Minute)
		return nil
	}
	unauthorizedOnce := inTurn(jsonAnswer(401, `{}`), jsonAnswer(200, `{"jsonData":"READY"}`))
	for _, c := range []struct {
		name string
		give func(*fakeAPI)
		call func(context.Context, *Client)
		want []Call // after discovery and token
	}{
		{"create", func(f *fakeAPI) { f.create = slow(took, f.create) },
			func(ctx context.Context, c *Client) { _, _ = c.CreateSession(ctx, admit, testQuery()) },
			[]Call{{Name: CallCreate, Status: 201, Took: took}}},
		{"create, throttled", func(f *fakeAPI) { f.create = jsonAnswer(429, `{}`, "Retry-After", "7") },
			func(ctx context.Context, c *Client) { _, _ = c.CreateSession(ctx, admit, testQuery()) },
			[]Call{{Name: CallCreate, Status: 429}}},
		{"create, no answer", func(f *fakeAPI) { f.create = hang },
			func(ctx context.Context, c *Client) { _, _ = c.CreateSession(ctx, admit, testQuery()) },
			[]Call{{Name: CallCreate, Took: DefaultPostTimeout}}},
		{"poll", func(f *fakeAPI) { f.session = slow(took, f.session) },
			func(ctx context.Context, c *Client) { _, _ = c.Session(ctx, admit, testRef) },
			[]Call{{Name: CallPoll, Status: 200, Took: took}}},
		{"poll, repeated with a new token", func(f *fakeAPI) { f.session = slow(took, unauthorizedOnce) },
			func(ctx context.Context, c *Client) { _, _ = c.Session(ctx, admit, testRef) },
			[]Call{{Name: CallPoll, Status: 401, Took: took}, {Name: CallToken, Status: 200}, {Name: CallPoll, Status: 200, Took: took}}},
		{"poll, not let out", nil,
			func(ctx context.Context, c *Client) {
				_, _ = c.Session(ctx, func(context.Context) error { return errors.New("full") }, testRef)
			}, nil},
		{"document", func(f *fakeAPI) { f.document = slow(took, f.document) },
			func(ctx context.Context, c *Client) { _, _ = c.Document(ctx, admit, testRef, "") },
			[]Call{{Name: CallDocument, Status: 200, Took: took}}},
		{"document, no JSON", func(f *fakeAPI) { f.document = jsonAnswer(200, `<html>`) },
			func(ctx context.Context, c *Client) { _, _ = c.Document(ctx, admit, testRef, "") },
			[]Call{{Name: CallDocument, Status: 200}}},
		{"report", func(f *fakeAPI) { f.report = slow(took, f.report) },
			func(ctx context.Context, c *Client) { _, _ = c.Report(ctx, admit, testRef, "") },
			[]Call{{Name: CallReport, Status: 200, Took: took}}},
		{"access rights", func(f *fakeAPI) { f.access = jsonAnswer(403, `{}`) },
			func(ctx context.Context, c *Client) { _, _, _ = c.AccessRights(ctx) },
			[]Call{{Name: CallAccessRights, Status: 403}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, heard := newFake(), &heardCalls{}
				if c.give != nil {
					c.give(fake)
				}
				client := fake.client(t, func(cfg *Config) { cfg.OnCall = heard.hear })
				c.call(t.Context(), client)
				want := append([]Call{{Name: CallDiscovery, Status: 200}, {Name: CallToken, Status: 200}}, c.want...)
				if got := heard.take(); !slices.Equal(got, want) {
					t.Errorf("told of %+v, want %+v", got, want)
				}
			})
		})
	}
}

// Requests for addresses and tokens that come to nothing are told of, too.
func TestLoginsThatFailAreToldOf(t *testing.T) {
	for _, c := range []struct {
		name string
		give func(*fakeAPI)
		want []Call
	}{
		{"no discovery", func(f *fakeAPI) { f.discovery = jsonAnswer(503, `{}`) }, []Call{{Name: CallDiscovery, Status: 503}}},
		{"discovery hangs", func(f *fakeAPI) { f.discovery = hang }, []Call{{Name: CallDiscovery, Took: DefaultPostTimeout / 3}}},
		{"refused", func(f *fakeAPI) { f.token = slow(time.Second, jsonAnswer(401, `{"error":"invalid_client"}`)) },
			[]Call{{Name: CallDiscovery, Status: 200}, {Name: CallToken, Status: 401, Took: time.Second}}},
		{"token hangs", func(f *fakeAPI) { f.token = hang },
			[]Call{{Name: CallDiscovery, Status: 200}, {Name: CallToken, Took: DefaultPostTimeout / 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, heard := newFake(), &heardCalls{}
				c.give(fake)
				client := fake.client(t, func(cfg *Config) { cfg.OnCall = heard.hear })
				_, err := client.Session(t.Context(), nil, testRef)
				if got := heard.take(); err == nil || !slices.Equal(got, c.want) {
					t.Errorf("told of %+v (%v), want %+v", got, err, c.want)
				}
			})
		})
	}
}

func TestCallsAtTheSameTimeAreToldOf(t *testing.T) {
	const callers, calls = 8, 25
	fake, heard := newFake(), &heardCalls{}
	client := fake.client(t, func(cfg *Config) { cfg.OnCall = heard.hear })
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls {
				_, _ = client.CreateSession(t.Context(), nil, testQuery())
				_, _ = client.Session(t.Context(), nil, testRef)
				_, _ = client.Document(t.Context(), nil, testRef, "")
			}
		})
	}
	all.Wait()
	told := map[Call]int{}
	for _, c := range heard.take() {
		c.Took = 0
		told[c]++
	}
	for call, want := range map[Call]int{
		{Name: CallDiscovery, Status: http.StatusOK}:   1,
		{Name: CallToken, Status: http.StatusOK}:       1,
		{Name: CallCreate, Status: http.StatusCreated}: callers * calls,
		{Name: CallPoll, Status: http.StatusOK}:        callers * calls,
		{Name: CallDocument, Status: http.StatusOK}:    callers * calls,
	} {
		if told[call] != want {
			t.Errorf("told %d times of %+v, want %d", told[call], call, want)
		}
	}
	if len(told) != 5 {
		t.Errorf("told of other calls: %+v", told)
	}
}
