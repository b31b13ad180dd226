package main

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// recorder is a transport that remembers of every answer what the checks ask
// about. It keeps neither requests nor tokens, and of bodies only those of the API
// itself, for as long as the checks last: they are read and never shown.
type recorder struct {
	next http.RoundTripper
	now  func() time.Time

	mu   sync.Mutex
	seen []*answerSeen
}

// answerSeen is one answer.
type answerSeen struct {
	host          string // and port
	method, path  string
	api           bool // with a token: of the API itself
	status        int
	header        http.Header
	before, after time.Time // when it was asked and began to be answered, by the local clock
	date          time.Time // of the answer; zero if it has none
	cert          *x509.Certificate
	body          *bytes.Buffer // of the API, as far as it was read
}

// maxRecorded bounds what is kept of a body: session information is small.
const maxRecorded = 1 << 20

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	a := &answerSeen{
		host: request.URL.Host, method: request.Method, path: request.URL.Path, before: r.now(),
		api:  strings.HasPrefix(request.Header.Get("Authorization"), "Bearer "),
		body: &bytes.Buffer{},
	}
	response, err := r.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	a.after, a.status, a.header = r.now(), response.StatusCode, response.Header.Clone()
	a.date, _ = http.ParseTime(response.Header.Get("Date")) // zero if it is not to be read
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		a.cert = response.TLS.PeerCertificates[0]
	}
	if a.api {
		response.Body = teeBody{io.TeeReader(response.Body, &boundedBuffer{a.body, maxRecorded}), response.Body}
	}
	r.mu.Lock()
	r.seen = append(r.seen, a)
	r.mu.Unlock()
	return response, nil
}

type teeBody struct {
	io.Reader
	io.Closer
}

// boundedBuffer takes everything and keeps the beginning.
type boundedBuffer struct {
	to   *bytes.Buffer
	left int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	keep := min(len(p), b.left)
	b.to.Write(p[:keep])
	b.left -= keep
	return len(p), nil
}

// all returns what was answered so far.
func (r *recorder) all() []*answerSeen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*answerSeen(nil), r.seen...)
}

// last returns the last answer of the API to a call, nil if there is none.
func (r *recorder) last(method string, pathEnds string) *answerSeen {
	all := r.all()
	for i := len(all) - 1; i >= 0; i-- {
		if a := all[i]; a.api && a.method == method && strings.HasSuffix(a.path, pathEnds) {
			return a
		}
	}
	return nil
}
