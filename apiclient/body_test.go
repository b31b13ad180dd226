package apiclient

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reads makes the four reading calls and returns their errors by name.
func reads(ctx context.Context, c *Client) map[string]error {
	errs := map[string]error{}
	_, errs["session"] = c.Session(ctx, nil, testRef)
	_, errs["document"] = c.Document(ctx, nil, testRef, "")
	_, errs["report"] = c.Report(ctx, nil, testRef, "")
	_, _, errs["access"] = c.AccessRights(ctx)
	return errs
}

// answering makes every reading call of the fake answer by h.
func answering(h http.HandlerFunc) *fakeAPI {
	fake := newFake()
	fake.session, fake.document, fake.report, fake.access = h, h, h, h
	return fake
}

func TestBodiesThatCannotBeUsed(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000)
	for name, h := range map[string]http.HandlerFunc{
		"empty":           jsonAnswer(200, ""),
		"HTML":            answer(200, "text/html", "<!doctype html><title>Maintenance</title>"),
		"cut JSON":        jsonAnswer(200, `{"jsonData":"RE`),
		"two values":      jsonAnswer(200, `{} {}`),
		"deep nesting":    jsonAnswer(200, deep),
		"deep lists":      jsonAnswer(200, strings.Repeat("[", 5000000)),
		"invalid UTF-16":  jsonAnswer(200, "\xff\xfe{\x00}\x00"),
		"unknown coding":  jsonAnswer(200, `{}`, "Content-Encoding", "br"),
		"announced giant": jsonAnswer(200, `{}`, "Content-Length", "99999999999"),
	} {
		t.Run(name, func(t *testing.T) {
			for call, err := range reads(context.Background(), answering(h).client(t)) {
				if kind, _ := KindOf(err); kind != Invalid {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
}

func TestADocumentIsAnObject(t *testing.T) {
	for body, ok := range map[string]bool{
		`{}`: true, " \r\n\t{\"a\":[]}\n": true, `[]`: false, `null`: false, `"x"`: false, `1`: false, "\xef\xbb\xbf{}": false,
	} {
		fake := newFake()
		fake.document = jsonAnswer(200, body)
		got, err := fake.client(t).Document(context.Background(), nil, testRef, "")
		if (err == nil) != ok || ok && string(got) != body {
			t.Errorf("%q: %q, %v", body, got, err)
		}
	}
}

func TestDepthIsCountedOutsideOfStrings(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for name, tc := range map[string]struct {
		data []byte
		want bool
	}{
		"at the limit":     {nested(maxDepth), false},
		"above it":         {nested(maxDepth + 1), true},
		"side by side":     {bytes.Repeat([]byte("[]"), 1000), false},
		"in a string":      {[]byte(`{"a":"` + strings.Repeat("[", 1000) + `"}`), false},
		"behind an escape": {[]byte(`{"a":"\"` + strings.Repeat("[", 1000) + `"}`), false},
		"after a string":   {append([]byte(`["\\",`), nested(maxDepth)...), true},
	} {
		if got := tooDeep(tc.data); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// counting counts what is read of an endless body.
type counting struct{ read int64 }

func (c *counting) Read(p []byte) (int, error) {
	n := copy(p, blanks)
	c.read += int64(n)
	if c.read > 1<<30 {
		return 0, errors.New("read a whole gigabyte")
	}
	return n, nil
}

var blanks = strings.Repeat(" ", 1<<16)

func TestAGigabyteIsNotRead(t *testing.T) {
	for call, limit := range map[string]int64{
		"session": maxSmallJSONBytes, "document": maxDocumentBytes, "report": maxReportBytes, "error": maxErrorBytes,
	} {
		t.Run(call, func(t *testing.T) {
			fake := newFake()
			body := &counting{}
			c := fake.client(t, func(cfg *Config) {
				cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host != "api.example.test" {
						return inProcess{fake}.RoundTrip(r)
					}
					gotConn(r)
					status := 200
					if call == "error" {
						status = 500
					}
					return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(body)}, nil
				})
			})
			var err error
			want := Invalid
			switch call {
			case "session":
				_, err = c.Session(context.Background(), nil, testRef)
			case "document":
				_, err = c.Document(context.Background(), nil, testRef, "")
			case "report":
				_, err = c.Report(context.Background(), nil, testRef, "")
			case "error":
				_, err = c.Document(context.Background(), nil, testRef, "")
				want = Unavailable
			}
			wantKind(t, err, want)
			if body.read > limit+1 {
				t.Errorf("read %d bytes, the limit is %d", body.read, limit)
			}
		})
	}
}

// served runs the fake behind a real network.
func served(t *testing.T, fake *fakeAPI) *Client {
	t.Helper()
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	fake.discovery = discoveryDoc(srv.URL, srv.URL+"/token", srv.URL)
	c := fake.client(t, func(cfg *Config) { cfg.Transport, cfg.Issuer = nil, srv.URL })
	t.Cleanup(c.Close)
	return c
}

// gzipped answers with n bytes of JSON that are a thousandth of it on the wire.
func gzipped(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		_, _ = z.Write([]byte(`{"a":"`))
		_, _ = io.CopyN(z, &counting{}, int64(n))
		_, _ = z.Write([]byte(`"}`))
		_ = z.Close()
	}
}

func TestCompressedBodiesCountDecompressed(t *testing.T) {
	fake := newFake()
	c := served(t, fake)
	fake.document = gzipped(maxDocumentBytes / 2)
	if doc, err := c.Document(context.Background(), nil, testRef, ""); err != nil || len(doc) != maxDocumentBytes/2+8 {
		t.Errorf("%d bytes, %v", len(doc), err)
	}
	fake.document = gzipped(2 * maxDocumentBytes)
	_, err := c.Document(context.Background(), nil, testRef, "")
	wantKind(t, err, Invalid)
	fake.document = answer(200, "application/json", "\x1f\x8b\x08 this is no gzip", "Content-Encoding", "gzip")
	_, err = c.Document(context.Background(), nil, testRef, "")
	wantKind(t, err, Invalid)
	// The PDF is asked for as it is, and a server that compresses it all the
	// same does not give evidence.
	fake.report = gzipped(100)
	_, err = c.Report(context.Background(), nil, testRef, "")
	wantKind(t, err, Invalid)
	if got := fake.seen["report"].Header.Get("Accept-Encoding"); got != "identity" {
		t.Errorf("Accept-Encoding %q", got)
	}
}

// torn answers with fewer bytes than it announced, and hangs up.
func torn(t *testing.T, body []byte, announced int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", announced)
		_, _ = buf.Write(body)
		_ = buf.Flush()
		_ = conn.Close()
	}
}

func TestAWrongContentLengthIsInvalid(t *testing.T) {
	fake := newFake()
	c := served(t, fake)
	fake.document = torn(t, []byte(`{"a":1}`), 100)
	_, err := c.Document(context.Background(), nil, testRef, "")
	wantKind(t, err, Invalid)
	// A transport other than net/http's may hand out more or less.
	for _, announced := range []string{"1", "8"} {
		fake := newFake()
		fake.document = jsonAnswer(200, `{"a":1}`, "Content-Length", announced)
		_, err = fake.client(t).Document(context.Background(), nil, testRef, "")
		wantKind(t, err, Invalid)
	}
}

func TestHangingCallsEnd(t *testing.T) {
	hangingBody := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"jsonData":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, h := range map[string]http.HandlerFunc{"no answer": hang, "body": hangingBody} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			c := served(t, fake)
			fake.document, fake.create = h, h
			c.getTimeout, c.postTimeout = 200*time.Millisecond, 200*time.Millisecond
			_, err := c.Document(context.Background(), nil, testRef, "")
			if e := wantKind(t, err, Unavailable); errors.Is(e, context.DeadlineExceeded) {
				t.Error("looks as if the caller had stopped")
			}
			_, err = c.CreateSession(context.Background(), nil, testQuery())
			wantKind(t, err, Unknown)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			_, err = c.Document(ctx, nil, testRef, "")
			if e := wantKind(t, err, Unavailable); !errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("does not tell of the stop: %v", e)
			}
		})
	}
}

func TestGetTimeoutBoundsTheWholeCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.token = slow(3*time.Second, fake.token)
		fake.session = inTurn(slow(20*time.Second, jsonAnswer(401, `{}`)), hang)
		c := fake.client(t)
		started := time.Now()
		_, err := c.Session(t.Context(), nil, testRef)
		wantKind(t, err, Unavailable)
		if took := time.Since(started); took != DefaultGetTimeout {
			t.Errorf("took %s", took)
		}
	})
}

// Large bodies are read one at a time: those that wait for their turn hold no
// more than the beginning, and those of a usual size do not wait for it.
func TestLargeBodiesWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anything := func([]byte) error { return nil }
		b := newBodies()
		b.turn <- struct{}{} // another large body is being read
		for _, usual := range []string{blanks, strings.Repeat("x", smallBody+1), strings.Repeat("x", mediumBody)} {
			if got, err := b.read(t.Context(), strings.NewReader(usual), maxDocumentBytes, anything); err != nil || string(got) != usual {
				t.Errorf("a body of %d: %d bytes, %v", len(usual), len(got), err)
			}
		}
		endless := &counting{}
		watched := reader(func(p []byte) (int, error) {
			if endless.read > mediumBody && len(b.turn) != 1 {
				t.Error("read on without having the turn")
			}
			return endless.Read(p)
		})
		ended := make(chan error, 1)
		go func() {
			_, err := b.read(t.Context(), watched, maxDocumentBytes, anything)
			ended <- err
		}()
		synctest.Wait()
		if endless.read != mediumBody+1 {
			t.Errorf("%d bytes are read out of turn", endless.read)
		}
		b.turn.leave()
		if err := <-ended; err != errTooLarge || endless.read != maxDocumentBytes+1 {
			t.Errorf("%d bytes are read, %v", endless.read, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range mediumBodies {
			<-b.medium
		}
		if _, err := b.read(ctx, &counting{}, maxDocumentBytes, anything); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a buffer that does not come: %v", err)
		}
	})
}

// A body that is kept is the caller's own: the next one does not change it.
func TestBodiesAreKeptApart(t *testing.T) {
	b := newBodies()
	var kept [][]byte
	for _, size := range []int{0, 1, smallBody, smallBody + 1, mediumBody, mediumBody + 1, 1 << 20, maxDocumentBytes - 1, maxDocumentBytes} {
		for _, fill := range []string{"a", "b"} {
			got, err := b.read(t.Context(), strings.NewReader(strings.Repeat(fill, size)), maxDocumentBytes, func([]byte) error { return nil })
			if err != nil || len(got) != size {
				t.Fatalf("%d bytes of %d, %v", len(got), size, err)
			}
			kept = append(kept, got)
		}
	}
	for i, body := range kept {
		if want := []string{"a", "b"}[i%2]; strings.Trim(string(body), want) != "" {
			t.Errorf("body %d of %d bytes was changed", i, len(body))
		}
	}
}

// reader is a function that reads.
type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }
