package apiclient

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"rescreen/apiclient/nationalid"
)

// canary stands for what an answer must not carry into an error: a number that
// no living person holds.
const canary = "01010750241"

// quiet checks that an error tells of nobody.
func quiet(t *testing.T, err error) {
	t.Helper()
	if err != nil && nationalid.Looks(err.Error()) {
		t.Errorf("the error holds what reads as a national number: %v", err)
	}
}

// FuzzRawAnswer: whatever a server sends as status, headers and body, the call
// ends as one kind of error or with one JSON object, as it was sent.
func FuzzRawAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n{}",
		"HTTP/1.1 302 Found\r\nLocation: https://x/" + canary + "\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: https://" + canary + "/\r\n\r\n",
		"HTTP/1.1 422 No\r\n\r\n{\"ssn\":\"" + canary + "\"}",
		"HTTP/1.1 429 No\r\nRetry-After: " + canary + "\r\nDate: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n<!DOCTYPE html><html>" + canary,
		"HTTP/1.1 999 " + canary + "\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", "\x00", "",
		"HTTP/1.1 200 OK\r\n\r\n{\"a\":" + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}",
	} {
		f.Add([]byte(seed))
	}
	fake := newFake()
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := fake.client(t, func(cfg *Config) {
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host != "api.example.test" {
					return inProcess{fake}.RoundTrip(r)
				}
				gotConn(r)
				return http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), r)
			})
		})
		doc, err := c.Document(context.Background(), nil, testRef, "")
		quiet(t, err)
		switch kind, known := KindOf(err); {
		case err != nil && (!known || kind == 0):
			t.Errorf("an error of no kind: %v", err)
		case err == nil && (!json.Valid(doc) || !bytes.Contains(raw, doc[:1])):
			t.Errorf("%q is no document", doc)
		}
		id, err := c.CreateSession(context.Background(), nil, testQuery())
		quiet(t, err)
		if (err == nil) != (id != "") {
			t.Errorf("session %q and error %v", id, err)
		}
	})
}

func FuzzTokenAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"t1","expires_in":300,"token_type":"bearer","scope":"aml_person/basic"}`,
		`{"access_token":"t1"}`, `{"access_token":"a\r\nX: y","expires_in":300}`, `{"access_token":"","expires_in":-1}`,
		`{"access_token":"t1","expires_in":1e300}`, `{"access_token":"t1","expires_in":"300"}`, `{"access_token":"t1","token_type":"mac"}`,
		`{"access_token":7}`, `{"access_token":"` + strings.Repeat("x", 17<<10) + `"}`, `access_token=t1&expires_in=9`,
		`{"error":"invalid_client","error_description":"` + canary + `"}`, `{"error":"` + canary + `"}`,
		`<!DOCTYPE html>` + canary, strings.Repeat("[", 100_000), `{"access_token":"t1","expires_in":-9223372036854775808}`, `null`, ``,
	} {
		for _, status := range []int{200, 400, 503} {
			f.Add(status, "application/json", []byte(seed))
		}
		f.Add(200, "application/x-www-form-urlencoded", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		if status < 200 || status > 599 || strings.ContainsAny(contentType, "\r\n") {
			return
		}
		fake := newFake()
		fake.token = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
		c := fake.client(t)
		got, err := c.tokens.fetch(context.Background(), fakeIssuer+"/token")
		if err != nil {
			quiet(t, err)
			if got != nil || err.Kind == 0 {
				t.Errorf("a token, or no kind of error: %v", err)
			}
			return
		}
		if status/100 != 2 || !usableToken(got.value) {
			t.Errorf("status %d gives the token %q", status, got.value)
		}
		// It is never renewed at once: that would be a login for each call.
		if got.refreshAt.Sub(got.fetchedAt) < time.Second/2 || got.expiresAt.Before(got.refreshAt) {
			t.Errorf("fetched %v, renewed %v, ends %v", got.fetchedAt, got.refreshAt, got.expiresAt)
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	for _, seed := range []string{
		`{"issuer":"` + fakeIssuer + `","token_endpoint":"` + fakeIssuer + `/token","aml-baseurl":"` + fakeBase + `"}`, `{}`, `[]`, `{"token_endpoint":"http://x/t"}`,
		`{"token_endpoint":"https://u:p@x/t","aml-baseurl":"https://x"}`, `{"token_endpoint":"https://x/t","aml-baseurl":"javascript:1"}`,
		`{"token_endpoint":"https://x/t?q#f","aml-baseurl":"https://x/%zz"}`, `{"token_endpoint":1}`, `{"token_endpoint":"//` + canary + `"}`,
		`{"issuer":"` + canary + `","token_endpoint":"https://` + canary + `:` + canary + `/"}`,
	} {
		f.Add([]byte(seed))
	}
	c := newFake().client(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := c.where.read(outcome{status: 200, body: body})
		quiet(t, err)
		if err != nil {
			return
		}
		for _, u := range []*url.URL{e.base, e.token} {
			if u == nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
				t.Errorf("%s leads to %v", body, u)
			}
		}
	})
}

// FuzzSessionID: a session id that is accepted stays one segment of a path.
func FuzzSessionID(f *testing.F) {
	for _, seed := range []string{
		`{"sessionId":"5f1c9f0e"}`, `{"sessionId":"../token"}`, `{"sessionId":".."}`, `{"sessionId":"a/../../b"}`, `{"sessionId":"a%2fb"}`,
		`{"sessionId":"{session}{country}"}`, `{"sessionId":"a?b#c"}`, `{"sessionId":"a\u0000"}`, `{"sessionId":12345678901234567890}`,
		`{"sessionId":1e5}`, `{"sessionId":null}`, `{"sessionId":["a"]}`, `{"sessionId":"a","sessionId":"b"}`, `{"sessionid":"a"}`, `{"sessionId":"\\..\\"}`,
	} {
		f.Add([]byte(seed))
	}
	c := newFake().client(f)
	base, err := url.Parse(fakeBase)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		id, err := c.sessionID(outcome{status: 201, body: body})
		quiet(t, err)
		if err != nil {
			return
		}
		got, err := c.sessionTarget(endpoints{base: base}, Ref{ID: id, Country: "no"}, "/person/session/{country}/{session}/json")
		if err != nil {
			t.Fatalf("id %q: %v", id, err)
		}
		before, rest := fakeBase+"/person/session/no/", got.url.String()
		segment, found := strings.CutPrefix(strings.TrimSuffix(rest, "/json"), before)
		if back, err := url.PathUnescape(segment); !found || err != nil || back != string(id) || strings.ContainsAny(segment, "/?#") {
			t.Errorf("id %q leads to %s", id, got.url)
		}
	})
}

// FuzzLink: a token goes to the API's own origin, and no error shows a link.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{
		"", "json", "/x", "//evil.test/x", "https://api.example.test/x", "https://api.example.test:443/x", "https://api.example.test.evil.test",
		"http://api.example.test/x", "https://u@api.example.test/x", "https://api.example.test@evil.test/", "\\\\evil.test\\x", "https:\\\\evil.test",
		"HTTPS://API.EXAMPLE.TEST/x#f", "javascript:alert(1)", "https://api.example.test\r\nX: y", "?a=b", "https://[::1]/", "https://" + canary + "/",
		"../../../../x", "%2e%2e/%2e%2e/x", strings.Repeat("a", maxLinkBytes+1),
	} {
		f.Add(seed)
	}
	c := newFake().client(f)
	base, err := url.Parse(fakeBase)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, link string) {
		got, err := c.entityTarget(endpoints{base: base}, testRef, link, c.profile.Paths.Document)
		quiet(t, err)
		if err != nil {
			return
		}
		if !got.token || got.url.Scheme != "https" || !strings.EqualFold(got.url.Hostname(), base.Hostname()) || got.url.User != nil || got.url.Fragment != "" {
			t.Errorf("link %q leads to %s, with our token: %t", link, got.url, got.token)
		}
		if _, err := http.NewRequest(http.MethodGet, got.url.String(), nil); err != nil {
			t.Errorf("link %q cannot be asked for: %v", link, err)
		}
	})
}

// FuzzMaskedText: what is kept of an error body is one short line of text in
// which neither a national number nor the word is left.
func FuzzMaskedText(f *testing.F) {
	f.Add([]byte(`{"message":"Kanarifugl `+canary+` is invalid"}`), "Kanarifugl")
	f.Add([]byte(`{"m":"K\u0061narifugl \\u004banarifugl &#75;anarifugl %4Banarifugl KANARIFUGL"}`), "Kanarifugl")
	f.Add([]byte("Kanari\r\nfugl\x00 \xff\xfe"), "Kanari fugl")
	f.Add([]byte("Ødegårdſ ødegårds"), "Ødegårds")
	f.Add([]byte(strings.Repeat("%30%31010750241 ", 40)), "")
	f.Fuzz(func(t *testing.T, body []byte, word string) {
		got := maskedText(body, []string{word})
		if len(got) > maxMessageBytes || strings.ContainsAny(got, "\r\n\x00\t") {
			t.Errorf("%d bytes, or not a line: %q", len(got), got)
		}
		if nationalid.Looks(got) {
			t.Errorf("a number is left: %q", got)
		}
		if plainWord.MatchString(word) && !strings.EqualFold(word, "redacted") && strings.Contains(strings.ToLower(got), strings.ToLower(word)) {
			t.Errorf("%q is left: %q", word, got)
		}
	})
}

// plainWord is a name that cannot be a part of "[redacted]" or of a mask.
var plainWord = regexp.MustCompile(`^[A-Za-z]{9,40}$`)

// FuzzCheckJSON: what passes can be decoded and nests no deeper than allowed;
// what does not pass is not JSON, or does.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":"[[[[{{{{"}`, `{"a":"\"[["}`, `"\`, `[`, "]]]]]]]][[[[[[[[", `{"a":1}{"b":2}`, "\ufeff{}", `{"a":"\\"}`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkJSON(data)
		if (err == nil) != (json.Valid(data) && depthOf(data) <= maxDepth) {
			t.Errorf("%v: valid %t, depth %d", err, json.Valid(data), depthOf(data))
		}
	})
}

// depthOf is how deep JSON nests, as far as it can be read.
func depthOf(data []byte) int {
	depth, deepest := 0, 0
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		tok, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// FuzzReadProfile: a profile that is accepted can be worked with, and reads
// back as it was written.
func FuzzReadProfile(f *testing.F) {
	whole, err := yaml.Marshal(DefaultProfile())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(whole), "", "paths: {create: /x/{country}}", "paths: {create: //evil/{country}}", "countries: []", "countries: [NO]", "countries: [..]",
		"create: {date_layout: '2006'}", "statuses: {gone: [200]}", "session: {failed: ['']}", "links: {allowed_origins: [{origin: http://x, send_token: true}]}",
		"a: &a [*a]", "x: !!binary aGk=", "- x", "--- \n---\n", "paths: {session: '/{session}/{other}'}", "\x00", "paths: {session: '/{session}\u00a0?a=%zz'}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadProfile(bytes.NewReader(data))
		if err != nil {
			return
		}
		written, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadProfile(bytes.NewReader(written))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		if again, err := yaml.Marshal(back); err != nil || !bytes.Equal(again, written) {
			t.Fatalf("%v; reads back as\n%s\nwas\n%s", err, again, written)
		}
		fake := newFake()
		c := fake.client(t, func(cfg *Config) { cfg.Profile = p })
		for _, path := range []string{p.Paths.Session, p.Paths.Document, p.Paths.Report} {
			base, err := url.Parse(fakeBase)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.sessionTarget(endpoints{base: base}, testRef, path); err != nil {
				t.Errorf("path %q is accepted and leads nowhere: %v", path, err)
			}
		}
		if _, err := p.ViewDocument([]byte(wholeDocument)); err != nil && !reflect.DeepEqual(p.Document, DefaultProfile().Document) {
			quiet(t, err)
		}
	})
}
