package amlsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"rescreen/apiclient/amlsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is where the in-process transport is called; no such host exists.
const host = "http://sim.example.invalid"

// caller is a client of the simulator as plain as can be.
type caller struct {
	t     testing.TB
	http  *http.Client
	base  string
	token string
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// newCaller returns a caller through the in-process transport, with a token.
func newCaller(t testing.TB, sim *amlsim.Simulator) *caller {
	t.Helper()
	c := &caller{t: t, http: &http.Client{Transport: sim.Transport()}, base: host}
	c.authorize()
	return c
}

func (c *caller) authorize() {
	c.t.Helper()
	if err := c.tryAuthorize(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) tryAuthorize() error {
	r := c.tokenRequest(url.Values{"grant_type": {"client_credentials"}, "scope": {amlsim.ScopeBasic + " " + amlsim.ScopeOFAC}})
	r.SetBasicAuth(amlsim.DefaultClientID, amlsim.DefaultClientSecret)
	got, err := c.try(r)
	if err != nil {
		return err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err = json.Unmarshal(got.body, &token)
	c.token = token.AccessToken
	return err
}

func (c *caller) tokenRequest(form url.Values) *http.Request {
	c.t.Helper()
	r := c.request(http.MethodPost, amlsim.RealmPath+"/protocol/openid-connect/token", form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Del("Authorization")
	return r
}

func (c *caller) request(method, path, body string) *http.Request {
	c.t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = c.base + path
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// try sends a request and reads the answer; the error is that of either.
func (c *caller) try(r *http.Request) (reply, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	return reply{resp.StatusCode, resp.Header, body}, err
}

func (c *caller) send(r *http.Request) reply {
	c.t.Helper()
	got, err := c.try(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

func (c *caller) get(path string) reply {
	c.t.Helper()
	return c.send(c.request(http.MethodGet, path, ""))
}

func (c *caller) decode(got reply, into any) {
	c.t.Helper()
	if err := json.Unmarshal(got.body, into); err != nil {
		c.t.Fatalf("status %d: %v", got.status, err)
	}
}

// person is a body of a creation; zero members are left out.
type person struct {
	FirstName   string   `json:"firstName,omitempty"`
	LastName    string   `json:"lastName,omitempty"`
	DateOfBirth string   `json:"dateOfBirth,omitempty"`
	SSN         string   `json:"ssn,omitempty"`
	Country     string   `json:"country,omitempty"`
	Language    string   `json:"language,omitempty"`
	Expands     []string `json:"expands,omitempty"`
}

// nobody is a person who does not exist.
func nobody() person {
	return person{FirstName: "Attrapp", LastName: "Testesen", DateOfBirth: "1990-01-31", Expands: []string{"aml"}}
}

const sessions = "/person/session/no"

func (c *caller) create(p person) reply {
	c.t.Helper()
	return c.send(c.createRequest(p))
}

func (c *caller) createRequest(p person) *http.Request {
	c.t.Helper()
	body, err := json.Marshal(p)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.request(http.MethodPost, sessions, string(body))
}

// session creates a session and returns its path.
func (c *caller) session(p person) string {
	c.t.Helper()
	got := c.create(p)
	if got.status != http.StatusCreated {
		c.t.Fatalf("create: status %d: %s", got.status, got.body)
	}
	var created struct {
		SessionID string `json:"sessionId"`
	}
	c.decode(got, &created)
	return sessions + "/" + created.SessionID
}

// wantStatus fails unless the answer has the status.
func wantStatus(t testing.TB, got reply, want int) {
	t.Helper()
	if got.status != want {
		t.Fatalf("status %d, want %d: %.300s", got.status, want, got.body)
	}
}
