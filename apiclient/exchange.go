package apiclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// request is one HTTP request to be made.
type request struct {
	op     string // for the log
	call   CallName
	method string
	target target
	accept string
	body   []byte
	limit  int64                   // of the answer's body, bytes after decompression
	check  func(body []byte) error // of the whole body of a 200; must not keep it
	whole  bool                    // ask for the bytes as they are, without compression
}

// outcome is what came of it. Either err is nil and body is whole, or err says
// what went wrong; status is 0 if no answer began.
type outcome struct {
	status        int
	location      string // where a redirect leads, as it may be shown
	body          []byte // of a 2xx answer: whole; of others: the beginning
	retryAfter    time.Duration
	hasRetryAfter bool
	requestID     string
	gotConn       bool
	foreign       bool // asked of an origin that does not get our token
	err           error
}

// Causes of failures, in words that hold nothing of the answer.
var (
	errTimeout    = errors.New("no whole answer in time")
	errExchange   = errors.New("broken exchange")
	errNoTimeLeft = errors.New("too little time left to begin")
)

// exchange makes one request and reads the answer.
//
// It goes to the transport itself instead of through http.Client, which would
// follow redirects and take the token along.
//
// A POST is sent at most once. net/http repeats requests by itself in four
// cases, and what it needs for all but the harmless one is Request.GetBody or
// an idempotent method:
//   - HTTP/1, nothing written on a reused connection: needs GetBody;
//   - HTTP/1, a reused connection broke before the answer: only idempotent
//     methods, or with an Idempotency-Key header;
//   - HTTP/2, GOAWAY, REFUSED_STREAM, and PROTOCOL_ERROR sent by the peer
//     (golang/go#47635), the last of which proves nothing: needs GetBody. A
//     server that ends streams so got 2,949 creations for one within 15 s;
//   - HTTP/2, the connection was full or closing before the body was begun:
//     repeated in any case, and nothing had been sent.
//
// http.NewRequest sets GetBody, so it is taken away here. The price is that
// the first and the third case, mostly harmless, count as unknown outcomes.
func (c *Client) exchange(ctx context.Context, r request, bearer string) outcome {
	out := outcome{requestID: rand.Text(), foreign: !r.target.token}
	var gotConn atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { gotConn.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.method,
		r.target.url.String(), bytes.NewReader(r.body))
	if err != nil {
		out.err = errors.New("request cannot be built")
		return out
	}
	req.GetBody = nil
	if len(r.body) == 0 {
		req.Body = nil
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	c.setHeaders(req, r, bearer, out.requestID)

	started := time.Now()
	resp, err := c.transport.RoundTrip(req)
	if err == nil {
		c.readAnswer(ctx, &out, resp, r)
	} else {
		out.err = err
	}
	if out.gotConn = gotConn.Load(); out.gotConn {
		c.traces.Store(true)
	}
	if out.err != nil {
		out.err = safeCause(ctx, out.err)
	}
	took := time.Since(started)
	c.onCall(Call{Name: r.call, Status: out.status, Took: took})
	c.log.Debug("api call", zap.String("op", r.op), zap.Int("status", out.status),
		zap.Int("bytes", len(out.body)), zap.Duration("took", took),
		zap.String("request_id", out.requestID), zap.Error(out.err))
	return out
}

func (c *Client) setHeaders(req *http.Request, r request, bearer, requestID string) {
	req.Header.Set("Accept", r.accept)
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("X-Request-Id", requestID)
	if r.target.token && bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if r.whole {
		// The transport neither asks for gzip nor undoes it once the header
		// is set: what DisableCompression does, for this request only.
		req.Header.Set("Accept-Encoding", "identity")
	}
}

// readAnswer reads status, headers and as much of the body as is wanted.
func (c *Client) readAnswer(ctx context.Context, out *outcome, resp *http.Response, r request) {
	defer resp.Body.Close()
	out.status = resp.StatusCode
	out.retryAfter, out.hasRetryAfter = retryAfter(resp.Header, c.now())
	if q, ok := quota(resp.Header, c.now()); ok && r.target.token {
		c.onQuota(r.method == http.MethodPost, q)
	}
	if u, err := resp.Location(); err == nil && u.Host != "" && resp.StatusCode/100 == 3 {
		out.location = shownOrigin(u)
	}
	if isStatus2xx(resp.StatusCode) {
		check := r.check
		if resp.StatusCode != http.StatusOK {
			check = nil // it is not the answer that was asked for
		}
		out.body, out.err = c.readBody(ctx, resp, r.limit, check)
		return
	}
	// The text of an error is a help, not evidence: what can be read is kept.
	out.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
}

// toError begins an Error with all that the outcome itself tells.
func (out outcome) toError(words []string) *Error {
	e := &Error{Status: out.status, RetryAfter: out.retryAfter, RequestID: out.requestID, Err: out.err}
	if out.status != 0 && !isStatus2xx(out.status) {
		e.Message = maskedText(out.body, words)
	}
	if out.location != "" && e.Err == nil {
		e.Err = fmt.Errorf("redirect to %s is not followed", out.location)
	}
	return e
}

// safeCause returns err if its text is known to hold nothing that a server
// sent, and a plain word otherwise: net/http quotes malformed answers in its
// errors.
func safeCause(ctx context.Context, err error) error {
	if stopped := callerEnded(ctx); stopped != nil {
		return stopped
	}
	if ctx.Err() != nil {
		return errTimeout
	}
	var ours *answerError
	var network *net.OpError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &network):
		// Only its text: a dial timeout claims to be context.DeadlineExceeded,
		// which here stands for a caller that was stopped.
		return errors.New(network.Error())
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &record):
		return errors.New("the other side does not speak TLS")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: connection closed", errExchange)
	}
	return errExchange
}

// callerEnded returns the context's error if it was the caller who ended it,
// and nil if it still runs or ended by the client's own timeout.
func callerEnded(ctx context.Context) error {
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), errTimeout) {
		return nil
	}
	return ctx.Err()
}
