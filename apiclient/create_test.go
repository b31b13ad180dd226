package apiclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyProofMakesACreationNotUnknown(t *testing.T) {
	kinds := map[int]Kind{
		301: Misconfigured, 307: Misconfigured, 308: Misconfigured,
		400: Refused, 409: Refused, 413: Refused, 422: Refused,
		401: Denied, 402: Denied, 403: Denied, 407: Denied,
		404: Misconfigured, 405: Misconfigured, 406: Misconfigured, 410: Misconfigured, 415: Misconfigured, 431: Misconfigured,
		421: NotSent, 425: NotSent, 429: Throttled,
	}
	for status := 200; status < 600; status++ {
		want, ok := kinds[status]
		switch {
		case status < 300:
			continue
		case !ok && slices.Contains(DefaultProfile().Statuses.NotCreated, status):
			want = Misconfigured
		case !ok:
			want = Unknown
		}
		if got := DefaultProfile().Statuses.createKind(status, false); got != want {
			t.Errorf("status %d: %v, want %v", status, got, want)
		}
	}
}

func TestCreateAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   Kind
	}{
		{"400", jsonAnswer(400, `{}`), Refused},
		{"422", jsonAnswer(422, `{}`), Refused},
		{"403", jsonAnswer(403, `{}`), Denied},
		{"404 before any session", jsonAnswer(404, `{}`), Misconfigured},
		{"405", jsonAnswer(405, `{}`), Misconfigured},
		{"415", jsonAnswer(415, `{}`), Misconfigured},
		{"408 may come from a gateway that passed it on", jsonAnswer(408, ``), Unknown},
		{"302 may follow an accepted form", jsonAnswer(302, ``, "Location", "/elsewhere"), Unknown},
		{"307 says to send it elsewhere", jsonAnswer(307, ``, "Location", "/elsewhere"), Misconfigured},
		{"429", jsonAnswer(429, ``), Throttled},
		{"499", jsonAnswer(499, ``), Unknown},
		{"500", jsonAnswer(500, `{}`), Unknown},
		{"502", answer(502, "text/html", "<html>"), Unknown},
		{"503 without Retry-After", jsonAnswer(503, ``), Unknown},
		{"503 with Retry-After", jsonAnswer(503, ``, "Retry-After", "7"), Throttled},
		{"503 with a Retry-After that is none", jsonAnswer(503, ``, "Retry-After", "soon"), Unknown},
		{"504 with Retry-After", jsonAnswer(504, ``, "Retry-After", "7"), Unknown},
		{"201 without a body", jsonAnswer(201, ``), Unknown},
		{"201 with HTML", answer(201, "text/html", "<html>created</html>"), Unknown},
		{"201 without an id", jsonAnswer(201, `{"id":"x"}`), Unknown},
		{"201 with an empty id", jsonAnswer(201, `{"sessionId":" "}`), Unknown},
		{"201 with a null id", jsonAnswer(201, `{"sessionId":null}`), Unknown},
		{"201 with an object for an id", jsonAnswer(201, `{"sessionId":{"a":1}}`), Unknown},
		{"201 with an id that climbs", jsonAnswer(201, `{"sessionId":".."}`), Unknown},
		{"201 with an id of blanks within", jsonAnswer(201, `{"sessionId":"a b"}`), Unknown},
		{"201 cut short", jsonAnswer(201, `{"sessionId":"a`), Unknown},
		{"201 too large", jsonAnswer(201, `{"x":"`+string(make([]byte, maxSmallJSONBytes))+`"}`), Unknown},
		{"204", jsonAnswer(204, ``), Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			fake.create = tc.answer
			_, err := fake.client(t).CreateSession(context.Background(), nil, testQuery())
			wantKind(t, err, tc.want)
			if n := fake.count("create"); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

func TestCreateAcceptsAnyReadableSuccess(t *testing.T) {
	for body, want := range map[string]SessionID{
		`{"sessionId":"a-1"}`:                        "a-1",
		`{"sessionId":12345678901234567890}`:         "12345678901234567890",
		`{"new":{"x":[1]},"sessionId":"a","y":null}`: "a",
	} {
		for _, status := range []int{200, 201, 202} {
			fake := newFake()
			fake.create = jsonAnswer(status, body, "Location", "https://elsewhere.example.test/x")
			id, err := fake.client(t).CreateSession(context.Background(), nil, testQuery())
			if err != nil || id != want {
				t.Errorf("%d %s: %q, %v", status, body, id, err)
			}
		}
	}
}

// failing answers everything but the creation from the fake.
func failing(fake *fakeAPI, create roundTrip) func(*Config) {
	return func(cfg *Config) {
		cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "api.example.test" && req.Method == http.MethodPost {
				return create(req)
			}
			return inProcess{fake}.RoundTrip(req)
		})
	}
}

func TestACreationThatFailsOnTheWay(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tc := range []struct {
		name   string
		create roundTrip
		want   Kind
	}{
		{"no connection", func(*http.Request) (*http.Response, error) { return nil, refused }, NotSent},
		{"no connection in time", func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
		}, NotSent},
		{"connection closed after sending", func(r *http.Request) (*http.Response, error) {
			gotConn(r)
			return nil, io.EOF
		}, Unknown},
		{"connection reset after sending", func(r *http.Request) (*http.Response, error) {
			gotConn(r)
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
		}, Unknown},
		{"body breaks off", func(r *http.Request) (*http.Response, error) {
			gotConn(r)
			body := io.NopCloser(io.MultiReader(&failingReader{data: `{"sessionId":"a`, err: io.ErrUnexpectedEOF}))
			return &http.Response{StatusCode: 201, Header: http.Header{}, Body: body, ContentLength: 20}, nil
		}, Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			_, err := fake.client(t, failing(fake, tc.create)).CreateSession(context.Background(), nil, testQuery())
			e := wantKind(t, err, tc.want)
			if e.RequestID == "" {
				t.Error("no request id")
			}
			if errors.Is(e, context.DeadlineExceeded) {
				t.Error("looks as if the caller had stopped")
			}
		})
	}
}

type failingReader struct {
	data string
	err  error
}

func (r *failingReader) Read(p []byte) (int, error) {
	if r.data == "" {
		return 0, r.err
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// A transport that never speaks of connections cannot prove that there was none.
func TestATransportWithoutTracesProvesNothing(t *testing.T) {
	fake := newFake()
	c := fake.client(t, func(cfg *Config) {
		cfg.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "api.example.test" {
				return nil, errors.New("no connection")
			}
			silent := req.Clone(context.Background())
			return inProcess{fake}.RoundTrip(silent)
		})
	})
	_, err := c.CreateSession(context.Background(), nil, testQuery())
	wantKind(t, err, Unknown)
}

func TestATokenFailureBeforeACreationIsNotUnknown(t *testing.T) {
	for _, tc := range []struct {
		name  string
		token http.HandlerFunc
		want  Kind
	}{
		{"endpoint down", jsonAnswer(500, ``), Unavailable},
		{"wrong secret", jsonAnswer(401, `{"error":"invalid_client"}`), Denied},
		{"garbage", answer(200, "text/html", "<html>"), Unavailable},
		{"wrong address", jsonAnswer(404, ``), Misconfigured},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := newFake()
			fake.token = tc.token
			_, err := fake.client(t).CreateSession(context.Background(), nil, testQuery())
			e := wantKind(t, err, tc.want)
			if e.Status != 0 {
				t.Errorf("status %d is not the API's", e.Status)
			}
			if n := fake.count("create"); n != 0 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

func TestACreationThatHangsIsUnknownAfterPostTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.create = hang
		c := fake.client(t)
		started := time.Now()
		_, err := c.CreateSession(t.Context(), nil, testQuery())
		e := wantKind(t, err, Unknown)
		if took := time.Since(started); took != DefaultPostTimeout {
			t.Errorf("took %s", took)
		}
		if errors.Is(e, context.DeadlineExceeded) || errors.Is(e, context.Canceled) {
			t.Error("looks as if the caller had stopped")
		}
	})
}

func TestACreationThatIsStoppedIsUnknownOnceSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.create = hang
		c := fake.client(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.CreateSession(ctx, nil, testQuery())
		if e := wantKind(t, err, Unknown); !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("does not tell of the stop: %v", e)
		}
		_, err = c.CreateSession(ctx, nil, testQuery())
		if e := wantKind(t, err, NotSent); !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("does not tell of the stop: %v", e)
		}
		if n := fake.count("create"); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}

// A token that comes late leaves too little time to hear of the creation.
func TestACreationIsNotBegunWithoutTimeToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.discovery = slow(4*time.Second, fake.discovery)
		fake.token = slow(4*time.Second, fake.token)
		c := fake.client(t)
		_, err := c.CreateSession(t.Context(), nil, testQuery())
		wantKind(t, err, Unavailable)
		if n := fake.count("create"); n != 0 {
			t.Errorf("sent %d times", n)
		}
		if _, err = c.CreateSession(t.Context(), nil, testQuery()); err != nil {
			t.Errorf("with the token there: %v", err)
		}
	})
}

func TestCreateBody(t *testing.T) {
	fake := newFake()
	c := fake.client(t)
	if _, err := c.CreateSession(context.Background(), nil, testQuery()); err != nil {
		t.Fatal(err)
	}
	want := `{"country":"NO","dateOfBirth":"2007-01-01","expands":["aml","roles","links.reports.aml"],` +
		`"firstName":"Tomas","language":"nb","lastName":"Topstad","ssn":"01010750160"}`
	if got := fake.sent["create"]; got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	r := fake.seen["create"]
	if r.URL.Path != "/aml/person/session/no" || r.URL.RawQuery != "" {
		t.Errorf("sent to %s", r.URL)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
}

func TestCreateBodyFollowsTheProfile(t *testing.T) {
	p := DefaultProfile()
	p.Countries = []string{"no", "se"}
	p.Create.FirstName, p.Create.LastName = "person.name.first", "person.name.last"
	p.Create.DateOfBirth, p.Create.DateLayout = "person.born", "20060102"
	p.Create.Language, p.Create.ExpandsAsText = "", true
	p.Create.SessionID = "session.id"
	fake := newFake()
	fake.create = jsonAnswer(201, `{"session":{"id":"abc"}}`)
	q := testQuery()
	q.Country, q.SSN, q.Report = "se", "", false
	id, err := fake.client(t, func(cfg *Config) { cfg.Profile = p }).CreateSession(context.Background(), nil, q)
	if err != nil || id != "abc" {
		t.Fatalf("%q, %v", id, err)
	}
	want := `{"expands":"aml,roles","person":{"born":"20070101","name":{"first":"Tomas","last":"Topstad"}}}`
	if got := fake.sent["create"]; got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	if got := fake.seen["create"].URL.Path; got != "/aml/person/session/se" {
		t.Errorf("sent to %s", got)
	}
}

func TestAQueryThatCannotBeAskedIsRefusedAtHome(t *testing.T) {
	for name, change := range map[string]func(*Query){
		"foreign country":          func(q *Query) { q.Country = "xx" },
		"blank first name":         func(q *Query) { q.FirstName = " " },
		"no last name":             func(q *Query) { q.LastName = "" },
		"nothing to identify by":   func(q *Query) { q.DateOfBirth, q.SSN = "", "" },
		"date in another layout":   func(q *Query) { q.DateOfBirth = "01.01.2007" },
		"date that does not exist": func(q *Query) { q.DateOfBirth = "2007-02-30" },
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			q := testQuery()
			change(&q)
			_, err := fake.client(t).CreateSession(context.Background(), nil, q)
			wantKind(t, err, Refused)
			if n := fake.counts(); len(n) != 0 {
				t.Errorf("calls were made: %v", n)
			}
		})
	}
}

func TestNoHTMLEscapesInTheBody(t *testing.T) {
	fake := newFake()
	q := testQuery()
	q.LastName = "O'Hara & <Sønn>"
	if _, err := fake.client(t).CreateSession(context.Background(), nil, q); err != nil {
		t.Fatal(err)
	}
	if got := fake.sent["create"]; !strings.Contains(got, `"lastName":"O'Hara & <Sønn>"`) {
		t.Errorf("sent %s", got)
	}
}
