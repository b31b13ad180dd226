package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"rescreen/apiclient/personal"
)

// canaryQuery is about nobody: the number is of the synthetic series.
func canaryQuery() Query {
	return Query{
		FirstName: "Kanari Åse", LastName: "Fuglesang-Gulfjær", DateOfBirth: "1985-03-17",
		SSN: personal.Text(canarySSN), Expands: []string{"aml"},
	}
}

const canarySSN = "17838500199"

// canaries are the forms in which the query could come back.
var canaries = []string{
	"kanari", "åse", "fuglesang", "gulfjær", `gulfj\u00e6r`, canarySSN, "178385 00199", "1985-03-17", "19850317", "17.03.1985",
}

func assertNoCanary(t *testing.T, where, text string) {
	t.Helper()
	lower := strings.ToLower(text)
	for _, canary := range canaries {
		if strings.Contains(lower, canary) {
			t.Errorf("%s shows %q: %s", where, canary, text)
		}
	}
}

// echo answers with everything it was told, as a careless server would, in
// every encoding it can think of.
func echo(status int, headers ...string) http.HandlerFunc {
	q := canaryQuery()
	details := []string{
		q.FirstName.Reveal(), strings.ToUpper(q.LastName.Reveal()), q.SSN.Reveal(), "178385 00199",
		q.DateOfBirth.Reveal(), "19850317", "17.03.1985", "ssn" + canarySSN,
	}
	body, _ := json.Marshal(map[string]any{"title": "bad request", "detail": details, "ssn": 17838500199})
	escaped := strings.NewReplacer("å", `\u00e5`, "Å", `\u00c5`, "æ", `\u00e6`, "Æ", `\u00c6`).Replace(string(body))
	return jsonAnswer(status, escaped, append([]string{"X-Person", canarySSN}, headers...)...)
}

func TestNoErrorOrLogShowsAPerson(t *testing.T) {
	link := "https://" + canarySSN + ".example.test/" + canarySSN + "?name=Fuglesang"
	text := "<html>K&aring;re &Aring;se &#229;se " + strings.Join(canaries, " ") + "</html>"
	handlers := map[string]http.HandlerFunc{
		"html under 200":   answer(200, "text/html", text),
		"html under 502":   answer(502, "text/html", text),
		"redirect":         echo(302, "Location", "/"+canarySSN+"?name=Fuglesang"),
		"broken JSON":      jsonAnswer(200, `{"name":"Kanari Fuglesang","ssn":`+canarySSN),
		"broken PDF":       answer(200, "application/pdf", "%PDF-1.7 Kanari "+canarySSN),
		"wrong id":         jsonAnswer(201, `{"sessionId":"Kanari Fuglesang"}`),
		"oauth error":      jsonAnswer(400, `{"error":"kanari","error_description":"`+canarySSN+`"}`),
		"Retry-After":      jsonAnswer(429, text, "Retry-After", canarySSN+" Kanari"),
		"strange encoding": jsonAnswer(200, `{}`, "Content-Encoding", "kanari"),
	}
	for _, status := range []int{201, 202, 204, 301, 400, 401, 403, 404, 405, 409, 410, 415, 422, 425, 429, 500, 503} {
		handlers[fmt.Sprint("echo ", status)] = echo(status, "Retry-After", "2")
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			for _, where := range []string{"api", "token", "discovery"} {
				fake := answering(h)
				fake.create = h
				switch where {
				case "token":
					fake = newFake()
					fake.token = h
				case "discovery":
					fake = newFake()
					fake.discovery = h
				}
				log, logs := observed()
				c := fake.client(t, func(cfg *Config) { cfg.Log = log })
				_, err := c.CreateSession(context.Background(), nil, canaryQuery())
				errs := reads(context.Background(), c)
				errs["create"] = err
				_, errs["linked"] = c.Document(context.Background(), nil, testRef, link)
				for call, err := range errs {
					checkNoCanary(t, where+", "+call, err, call == "create")
				}
				for _, entry := range logs.All() {
					assertNoCanary(t, where+", log", entry.Message+fmt.Sprint(entry.ContextMap()))
				}
				assertNoCanary(t, where+", client", fmt.Sprintf("%v %+v", c, c))
			}
		})
	}
}

// checkNoCanary looks at an error in every form in which it could be printed.
// The names of the query can be masked only where the query is known.
func checkNoCanary(t *testing.T, where string, err error, names bool) {
	t.Helper()
	if err == nil {
		return
	}
	assertNoCanary(t, where, err.Error())
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		assertNoCanary(t, where+", cause", fmt.Sprintf("%v", inner))
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %v is no *Error", where, err)
		return
	}
	if names {
		assertNoCanary(t, where+", message", e.Message)
	}
	if strings.Contains(e.Message, canarySSN) {
		t.Errorf("%s: message shows a number: %s", where, e.Message)
	}
	if len(e.Message) > maxMessageBytes || !utf8.ValidString(e.Message) || strings.ContainsAny(e.Message, "\n\r\t") {
		t.Errorf("%s: message is not one bounded line: %q", where, e.Message)
	}
}

// net/http quotes what it cannot understand; nothing of it may pass.
func TestTransportErrorsAreNotRepeated(t *testing.T) {
	for name, cause := range map[string]error{
		"malformed answer": fmt.Errorf("malformed HTTP response %q", canarySSN+" Kanari"),
		"with an address":  &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")},
		"end":              fmt.Errorf("after Kanari: %w", io.EOF),
		"temporary":        &net.DNSError{Err: "no such host", Name: "api.example.test", IsTimeout: true},
	} {
		fake := newFake()
		c := fake.client(t, failing(fake, func(r *http.Request) (*http.Response, error) {
			gotConn(r)
			return nil, cause
		}))
		_, err := c.CreateSession(context.Background(), nil, canaryQuery())
		checkNoCanary(t, name, err, true)
	}
}

func TestMessagesKeepWhatHelps(t *testing.T) {
	fake := newFake()
	fake.create = jsonAnswer(400, `{"error":"invalid date about language","field":"dateOfBirth","value":"1985-03-17","who":"BO Å17838500199"}`)
	q := canaryQuery()
	q.FirstName = "Bo"
	_, err := fake.client(t).CreateSession(context.Background(), nil, q)
	e := wantKind(t, err, Refused)
	for _, want := range []string{"invalid date about language", `"field":"dateOfBirth"`, "[redacted]"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("message lacks %q: %s", want, e.Message)
		}
	}
	if strings.Contains(e.Error(), "invalid date") {
		t.Errorf("the error prints foreign text: %v", e)
	}
}

// Gateways show a request as they saw it, not as JSON.
func TestMessagesMaskWhateverTheSpelling(t *testing.T) {
	q := Query{FirstName: "Åse", LastName: "Nordmann Øyåsen", DateOfBirth: "1990-02-03"}
	words := newFake().client(t).personalWords(q)
	for _, said := range []string{
		"firstName=%C3%85se", "firstName=%c3%85se", "Nordmann+%C3%98y%C3%A5sen", "%4Eordmann", "%%C3%85se",
		"born 03/02/1990", "born 03-02-1990", "born 1990/02/03", "born 3.2.1990", "born 03021990",
	} {
		got := maskedText([]byte(said), words)
		for _, shown := range []string{"%4E", "%C3", "%c3", "ordmann", "Åse", "1990"} {
			if strings.Contains(got, shown) {
				t.Errorf("%s: %s", said, got)
			}
		}
	}
	for _, said := range []string{"100% of 5%", "%zz %C3", "%ff%fe"} {
		if got := maskedText([]byte(said), words); got != said {
			t.Errorf("%s became %s", said, got)
		}
	}
}

func TestBounded(t *testing.T) {
	for _, tc := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aå", 2, "a"}, {"å", 1, ""}, {"日本", 5, "日"}} {
		if got := bounded(tc.s, tc.n); got != tc.want {
			t.Errorf("%q to %d: %q", tc.s, tc.n, got)
		}
	}
}
