package apiclient

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"go.uber.org/zap"
)

// maxTokenBytes bounds a token answer; Keycloak's have some 2 KiB.
const maxTokenBytes = 256 << 10

// tokenCarrier carries one token request for the oauth2 library: it adds our
// headers, keeps the answer small and remembers how far things went.
type tokenCarrier struct {
	client    *Client
	requestID string
	started   time.Time // zero: no request was made
	status    int       // 0: no answer began
}

func (c *tokenCarrier) answered() bool { return c.status != 0 }

// tell tells of the request, when its answer has been read.
func (c *tokenCarrier) tell() {
	if !c.started.IsZero() {
		c.client.onCall(Call{Name: CallToken, Status: c.status, Took: time.Since(c.started)})
	}
}

func (c *tokenCarrier) RoundTrip(req *http.Request) (*http.Response, error) {
	c.requestID = rand.Text()
	traces := &c.client.traces
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { traces.Store(true) },
	})
	req = req.Clone(ctx)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.client.userAgent)
	req.Header.Set("X-Request-Id", c.requestID)

	c.started = time.Now()
	resp, err := c.client.transport.RoundTrip(req)
	if err != nil {
		c.client.log.Debug("token call", zap.Duration("took", time.Since(c.started)),
			zap.String("request_id", c.requestID), zap.Error(safeCause(ctx, err)))
		return nil, err
	}
	c.status = resp.StatusCode
	c.client.log.Debug("token call", zap.Int("status", resp.StatusCode),
		zap.Duration("took", time.Since(c.started)), zap.String("request_id", c.requestID))
	resp.Body = boundedBody{io.LimitReader(resp.Body, maxTokenBytes), resp.Body}
	return resp, nil
}

// boundedBody ends early and closes the whole.
type boundedBody struct {
	io.Reader
	io.Closer
}
