package apiclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// clientTo returns a client with a transport of its own for the API at base;
// discovery and token come from the fake, in the process.
func clientTo(t *testing.T, base string, roots *x509.CertPool) *Client {
	t.Helper()
	own := NewTransport(DefaultPostTimeout)
	own.TLSClientConfig.RootCAs = roots
	t.Cleanup(own.CloseIdleConnections)
	fake := newFake()
	fake.discovery = discoveryDoc(fakeIssuer, fakeIssuer+"/token", base)
	return fake.client(t, func(cfg *Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "login.example.test" {
				return inProcess{fake}.RoundTrip(r)
			}
			return own.RoundTrip(r)
		})
	})
}

// listen serves connections by serve until the test ends.
func listen(t *testing.T, l net.Listener, serve func(net.Conn)) string {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// secure wraps a listener in TLS and returns who trusts it.
func secure(t *testing.T, l net.Listener, cfg *tls.Config) (net.Listener, *x509.CertPool) {
	t.Helper()
	known := httptest.NewTLSServer(http.NotFoundHandler())
	defer known.Close()
	cfg.Certificates = known.TLS.Certificates
	return tls.NewListener(l, cfg), known.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

// A kept connection that breaks under a creation: net/http would repeat a GET.
func TestACreationIsNotRepeatedOnABrokenConnection(t *testing.T) {
	var seen atomic.Int32
	addr := listen(t, loopback(t), func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for n := 0; ; n++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if seen.Add(1); n > 0 {
				return // created, perhaps, and gone
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 17\r\n\r\n{\"sessionId\":\"a\"}")
		}
	})
	c := clientTo(t, "http://"+addr, nil)
	if _, err := c.CreateSession(context.Background(), nil, testQuery()); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateSession(context.Background(), nil, testQuery())
	wantKind(t, err, Unknown)
	if n := seen.Load(); n != 2 {
		t.Errorf("%d creations arrived for 2 calls", n)
	}
}

// serveH2 speaks just enough HTTP/2 to end every stream with an error.
func serveH2(conn net.Conn, streams *atomic.Int32, end func(stream uint32) []byte) {
	in := bufio.NewReader(conn)
	if _, err := in.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		return
	}
	_, _ = conn.Write(frameH2(4, 0, 0, nil)) // SETTINGS
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		if _, err := in.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			return
		}
		switch {
		case kind == 4 && flags&1 == 0:
			_, _ = conn.Write(frameH2(4, 1, 0, nil)) // SETTINGS ACK
		case kind == 1:
			streams.Add(1)
		}
		if kind <= 1 && flags&1 != 0 { // END_STREAM on DATA or HEADERS
			_, _ = conn.Write(end(stream))
		}
	}
}

func frameH2(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	f := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return append(binary.BigEndian.AppendUint32(f, stream), payload...)
}

// HTTP/2 servers end streams in ways that net/http answers by repeating the
// request, also a POST if it can: PROTOCOL_ERROR among them, which may come
// after the request was worked on.
func TestACreationIsNotRepeatedOverHTTP2(t *testing.T) {
	reset := func(code uint32) func(uint32) []byte {
		return func(stream uint32) []byte {
			return frameH2(3, 0, stream, binary.BigEndian.AppendUint32(nil, code))
		}
	}
	for name, end := range map[string]func(uint32) []byte{
		"PROTOCOL_ERROR": reset(1),
		"INTERNAL_ERROR": reset(2),
		"REFUSED_STREAM": reset(7),
		"CANCEL":         reset(8),
		"GOAWAY":         func(uint32) []byte { return frameH2(7, 0, 0, make([]byte, 8)) },
	} {
		t.Run(name, func(t *testing.T) {
			var streams atomic.Int32
			l, roots := secure(t, loopback(t), &tls.Config{NextProtos: []string{"h2"}})
			addr := listen(t, l, func(conn net.Conn) { serveH2(conn, &streams, end) })
			c := clientTo(t, "https://"+addr, roots)
			_, err := c.CreateSession(context.Background(), nil, testQuery())
			wantKind(t, err, Unknown)
			if n := streams.Load(); n != 1 {
				t.Errorf("%d creations arrived for 1 call", n)
			}
		})
	}
}

func TestConnectionsThatAreNeverMade(t *testing.T) {
	closed := loopback(t)
	_ = closed.Close()
	plain := listen(t, loopback(t), func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n") })
	oldTLS, roots := secure(t, loopback(t), &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	old := listen(t, oldTLS, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	strange, _ := secure(t, loopback(t), &tls.Config{})
	untrusted := listen(t, strange, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for name, tc := range map[string]struct {
		base  string
		roots *x509.CertPool
	}{
		"nobody listens":          {"http://" + closed.Addr().String(), nil},
		"no TLS at the other end": {"https://" + plain, roots},
		"TLS too old":             {"https://" + old, roots},
		"certificate unknown":     {"https://" + untrusted, x509.NewCertPool()},
	} {
		t.Run(name, func(t *testing.T) {
			c := clientTo(t, tc.base, tc.roots)
			_, err := c.CreateSession(context.Background(), nil, testQuery())
			if e := wantKind(t, err, NotSent); e.Err == nil {
				t.Error("no cause")
			}
			_, err = c.Session(context.Background(), nil, testRef)
			wantKind(t, err, Unavailable)
		})
	}
}

func TestHeadersAreBounded(t *testing.T) {
	srv := httptest.NewServer(jsonAnswer(200, `{}`, "X-Long", strings.Repeat("a", 128<<10)))
	defer srv.Close()
	c := clientTo(t, srv.URL, nil)
	_, err := c.Session(context.Background(), nil, testRef)
	wantKind(t, err, Unavailable)
}

func TestOwnTransportSpeaksHTTP2(t *testing.T) {
	var proto atomic.Value
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(fmt.Sprint(r.Proto, " ", r.TLS != nil))
		jsonAnswer(200, `{"jsonData":"READY"}`)(w, r)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := clientTo(t, srv.URL, srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs)
	if _, err := c.Session(context.Background(), nil, testRef); err != nil {
		t.Fatal(err)
	}
	if got := proto.Load(); got != "HTTP/2.0 true" {
		t.Errorf("spoke %v", got)
	}
}
