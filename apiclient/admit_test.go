package apiclient

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Admit is asked once for each request, right before it is sent: when the
// token is there, and again for the repetition after a 401.
func TestAdmitIsAskedRightBeforeEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		c := fake.client(t)
		var asked []int // logins so far
		admit := func(context.Context) error {
			asked = append(asked, fake.count("token"))
			return nil
		}
		if _, err := c.Session(t.Context(), admit, testRef); err != nil {
			t.Fatal(err)
		}
		denied := 0
		fake.session = func(w http.ResponseWriter, r *http.Request) {
			denied++
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, err := c.Session(t.Context(), admit, testRef)
		wantKind(t, err, Denied)
		if denied != 2 || len(asked) != 3 || asked[0] != 1 || asked[1] != 1 || asked[2] != 2 {
			t.Errorf("%d requests denied, asked after %v logins", denied, asked)
		}
	})
}

// A call that is not let out has sent nothing, says so, and keeps the reason.
func TestCallThatIsNotLetOutIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		c := fake.client(t)
		full := errors.New("full")
		admit := func(context.Context) error { return full }
		_, create := c.CreateSession(t.Context(), admit, testQuery())
		_, session := c.Session(t.Context(), admit, testRef)
		_, document := c.Document(t.Context(), admit, testRef, "")
		_, report := c.Report(t.Context(), admit, testRef, "")
		for call, err := range map[string]error{"create": create, "session": session, "document": document, "report": report} {
			wantKind(t, err, NotSent)
			if !errors.Is(err, full) {
				t.Errorf("%s: %v", call, err)
			}
		}
		for _, call := range []string{"create", "session", "document", "report"} {
			if n := fake.count(call); n != 0 {
				t.Errorf("%d requests to %s", n, call)
			}
		}
	})
}

// However long a call waits to be let out, its timeout is its own.
func TestWaitingToBeLetOutCostsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		c := fake.client(t)
		admit := func(context.Context) error {
			time.Sleep(10 * time.Minute)
			return nil
		}
		if _, err := c.Session(t.Context(), admit, testRef); err != nil {
			t.Error(err)
		}
		if _, err := c.CreateSession(t.Context(), admit, testQuery()); err != nil {
			t.Error(err)
		}
	})
}

// A caller that ended while it waited lets nothing out.
func TestCallerThatEndedIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		c := fake.client(t)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.CreateSession(ctx, func(context.Context) error { cancel(); return nil }, testQuery())
		wantKind(t, err, NotSent)
		if !errors.Is(err, context.Canceled) || fake.count("create") != 0 {
			t.Errorf("%v, %d requests", err, fake.count("create"))
		}
	})
}

// Trouble before a request was sent to the API is told apart.
func TestTroubleAtLoginSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = jsonAnswer(503, ``)
		_, err := fake.client(t).Session(t.Context(), nil, testRef)
		var e *Error
		if !errors.As(err, &e) || !e.Login {
			t.Errorf("%v", err)
		}
		fake = newFake()
		fake.session = jsonAnswer(503, ``)
		if _, err := fake.client(t).Session(t.Context(), nil, testRef); !errors.As(err, &e) || e.Login {
			t.Errorf("%v", err)
		}
	})
}

func TestQuotasAreToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		h := jsonAnswer(200, `{"jsonData": "IN_PROGRESS"}`, "RateLimit", `"default";r=3;t=60`)
		fake.session = h
		var told []Quota
		c := fake.client(t, func(cfg *Config) {
			cfg.OnQuota = func(creation bool, q Quota) {
				if creation {
					t.Error("a poll is no creation")
				}
				told = append(told, q)
			}
		})
		if _, err := c.Session(t.Context(), nil, testRef); err != nil {
			t.Fatal(err)
		}
		if len(told) != 1 || told[0] != (Quota{3, time.Minute}) {
			t.Errorf("told of %v", told)
		}
	})
}
