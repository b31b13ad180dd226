package apiclient

import (
	"context"
	"net/http"
	"testing"
)

func TestReadAnswers(t *testing.T) {
	type row struct {
		status  int
		headers []string
		want    Kind
	}
	rows := map[string]row{
		"202 not ready":           {202, nil, NotReady},
		"204":                     {204, nil, Invalid},
		"302 is not followed":     {302, []string{"Location", "https://elsewhere.example.test/"}, Misconfigured},
		"400":                     {400, nil, Refused},
		"403":                     {403, nil, Denied},
		"404":                     {404, nil, Gone},
		"405":                     {405, nil, Misconfigured},
		"408":                     {408, nil, Unavailable},
		"409":                     {409, nil, NotReady},
		"410":                     {410, nil, Gone},
		"418":                     {418, nil, Misconfigured},
		"422":                     {422, nil, Refused},
		"425":                     {425, nil, NotReady},
		"429":                     {429, nil, Throttled},
		"429 with Retry-After":    {429, []string{"Retry-After", "5"}, Throttled},
		"500":                     {500, nil, Unavailable},
		"502":                     {502, nil, Unavailable},
		"503 without Retry-After": {503, nil, Unavailable},
		"503 with Retry-After":    {503, []string{"Retry-After", "5"}, Throttled},
		"504 with Retry-After":    {504, []string{"Retry-After", "5"}, Unavailable},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			h := jsonAnswer(r.status, `{"m":"x"}`, r.headers...)
			if r.status == http.StatusNoContent {
				h = jsonAnswer(r.status, "")
			}
			fake.session, fake.document, fake.report = h, h, h
			c := fake.client(t)
			_, err := c.Session(context.Background(), nil, testRef)
			wantKind(t, err, r.want)
			_, err = c.Document(context.Background(), nil, testRef, "")
			wantKind(t, err, r.want)
			_, err = c.Report(context.Background(), nil, testRef, "")
			e := wantKind(t, err, r.want)
			if e.Status != r.status {
				t.Errorf("status %d", e.Status)
			}
			if got := e.RetryAfter != 0; got != (len(r.headers) > 0 && r.headers[0] == "Retry-After") {
				t.Errorf("Retry-After %s", e.RetryAfter)
			}
			if n := fake.count("elsewhere"); n != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

// Without a session in the address, "not found" says that it is wrong.
func TestAccessRightsNotFoundIsAWrongAddress(t *testing.T) {
	for status, want := range map[int]Kind{404: Misconfigured, 410: Misconfigured, 409: Refused, 202: Invalid, 403: Denied} {
		fake := newFake()
		fake.access = jsonAnswer(status, `{}`)
		_, _, err := fake.client(t).AccessRights(context.Background())
		wantKind(t, err, want)
	}
}

func TestAccessRightsAreShownNotInterpreted(t *testing.T) {
	for body, want := range map[string]string{
		`{"nationalRegistry":{"access":true}}`:  "true",
		`{"nationalRegistry":{"access":false}}`: "false",
		`{"nationalRegistry":{"access":null}}`:  "nil",
		`{"nationalRegistry":{"access":"yes"}}`: "nil",
		`{"nationalRegistry":true}`:             "nil",
		`[1]`:                                   "nil",
		`"ok"`:                                  "nil",
	} {
		fake := newFake()
		fake.access = jsonAnswer(200, body)
		raw, granted, err := fake.client(t).AccessRights(context.Background())
		got := "nil"
		if granted != nil {
			got = map[bool]string{true: "true", false: "false"}[*granted]
		}
		if err != nil || string(raw) != body || got != want {
			t.Errorf("%s: %s, %s, %v", body, raw, got, err)
		}
	}
}

func TestKindsHaveDifferentWords(t *testing.T) {
	seen := map[string]bool{}
	for k := Refused; k <= Invalid; k++ {
		if seen[k.String()] || k.String() == "" {
			t.Errorf("kind %d is called %q", int(k), k)
		}
		seen[k.String()] = true
	}
	if got := Kind(99).String(); got != "kind 99" {
		t.Errorf("an unknown kind is called %q", got)
	}
	if _, ok := KindOf(context.Canceled); ok {
		t.Error("a foreign error has a kind")
	}
}
