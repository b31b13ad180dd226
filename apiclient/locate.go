package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// endpoints are the addresses that calls go to.
type endpoints struct {
	base     *url.URL // of the API
	token    *url.URL
	baseFrom BaseSource
}

// locator finds the addresses: settings first, then the issuer's discovery
// document, then the profile. They are looked for when first needed and kept
// for the life of the client.
type locator struct {
	client    *Client
	timeout   time.Duration
	issuer    string
	set       endpoints // what settings say; nil members are to be discovered
	otherwise *url.URL  // base if discovery does not name one; may be nil

	found atomic.Pointer[endpoints]
	gate  gate
	pause pause // guarded by gate
}

func newLocator(c *Client, cfg Config) (*locator, error) {
	l := &locator{client: c, timeout: prepareTimeout(cfg), issuer: cfg.Issuer, gate: newGate()}
	for _, a := range []struct {
		name, address string
		to            **url.URL
	}{
		{"base URL", cfg.BaseURL, &l.set.base},
		{"token URL", cfg.TokenURL, &l.set.token},
		{"profile: base_urls", cfg.Profile.BaseURLs[cfg.Env], &l.otherwise},
	} {
		if a.address == "" {
			continue
		}
		u, err := parseEndpoint(a.address, c.plainHTTP)
		if err != nil {
			return nil, fmt.Errorf("api client: %s: %w", a.name, err)
		}
		*a.to = u
	}
	l.set.baseFrom = BaseFromSetting
	if l.set.base != nil && l.set.token != nil {
		l.found.Store(&l.set)
	}
	return l, nil
}

// prepareTimeout bounds a discovery and a token request: a third of the
// shorter call, so that the call itself keeps the larger part of its time.
func prepareTimeout(cfg Config) time.Duration {
	return min(cfg.PostTimeout, cfg.GetTimeout) / 3
}

// endpoints returns the addresses.
func (l *locator) endpoints(ctx context.Context) (endpoints, *Error) {
	if e := l.found.Load(); e != nil {
		return *e, nil
	}
	select {
	case l.gate <- struct{}{}:
		defer l.gate.leave()
	case <-ctx.Done():
		return endpoints{}, waitEnded(ctx, "discovery")
	}
	if e := l.found.Load(); e != nil {
		return *e, nil
	}
	now := l.client.now()
	if err := l.pause.check(now); err != nil {
		return endpoints{}, err
	}
	e, err := l.discover(ctx)
	if err != nil {
		if callerEnded(ctx) == nil {
			l.pause.failed(l.client.now(), err)
		}
		return endpoints{}, err
	}
	l.pause.succeeded()
	l.found.Store(&e)
	return e, nil
}

// waitEnded is the error of a caller whose context ended while somebody else
// fetched what it needs.
func waitEnded(ctx context.Context, what string) *Error {
	err := callerEnded(ctx)
	if err == nil {
		err = errTimeout
	}
	return &Error{Kind: Unavailable, Err: fmt.Errorf("%s: %w", what, err)}
}

// discover reads the issuer's discovery document.
func (l *locator) discover(ctx context.Context) (endpoints, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, errTimeout)
	defer cancel()
	u, err := url.Parse(strings.TrimRight(l.issuer, "/") + "/.well-known/openid-configuration")
	if err != nil {
		return endpoints{}, &Error{Kind: Misconfigured, Err: errors.New("discovery: issuer is not a URL")}
	}
	out := l.client.exchange(ctx, request{
		op: "discovery", call: CallDiscovery, method: http.MethodGet, target: target{url: u}, accept: "application/json", limit: maxSmallJSONBytes,
	}, "")
	if out.err != nil && (out.status == 0 || !isAnswerFault(out.err)) {
		return endpoints{}, &Error{Kind: Unavailable, RequestID: out.requestID, Err: fmt.Errorf("discovery: %w", out.err)}
	}
	if out.status != http.StatusOK {
		return endpoints{}, aside("discovery", l.client.profile.Statuses, out)
	}
	e, err := l.read(out)
	if err != nil {
		return endpoints{}, &Error{Kind: Misconfigured, RequestID: out.requestID, Err: fmt.Errorf("discovery: %w", err)}
	}
	return e, nil
}

// aside is the error of an endpoint that is not the API's: its status stands
// in the text only, since Error.Status is the API's.
func aside(what string, s Statuses, out outcome) *Error {
	kind := s.readKind(out.status, out.hasRetryAfter, false)
	if kind == Refused || kind == Invalid {
		kind = Misconfigured
	}
	return &Error{Kind: kind, RetryAfter: out.retryAfter, RequestID: out.requestID,
		Err: fmt.Errorf("%s: status %d", what, out.status)}
}

// read takes the addresses from the document. "aml-baseurl" is BankID's
// documented extension of it.
func (l *locator) read(out outcome) (endpoints, error) {
	if out.err != nil {
		return endpoints{}, out.err
	}
	if err := checkJSON(out.body); err != nil {
		return endpoints{}, err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Token  string `json:"token_endpoint"`
		Base   string `json:"aml-baseurl"`
	}
	if json.Unmarshal(out.body, &doc) != nil {
		return endpoints{}, errors.New("members have unexpected types")
	}
	if strings.TrimRight(doc.Issuer, "/") != strings.TrimRight(l.issuer, "/") {
		// OpenID Connect Discovery wants them equal. The same realm answers
		// under an old and a new host, so it is no reason to stop.
		l.client.log.Warn("discovery names another issuer than was asked for")
	}
	e := l.set
	var err error
	if e.token == nil {
		if e.token, err = parseEndpoint(doc.Token, l.client.plainHTTP); err != nil {
			return endpoints{}, fmt.Errorf("token_endpoint: %w", err)
		}
	}
	if e.base == nil && doc.Base != "" {
		if e.base, err = parseEndpoint(doc.Base, l.client.plainHTTP); err != nil {
			return endpoints{}, fmt.Errorf("aml-baseurl: %w", err)
		}
		e.baseFrom = BaseFromDiscovery
	}
	if e.base == nil {
		e.base, e.baseFrom = l.otherwise, BaseFromProfile
	}
	if e.base == nil {
		return endpoints{}, errors.New("no aml-baseurl, and no base URL set")
	}
	l.client.log.Info("api located", zap.String("base", origin(e.base)), zap.String("token", origin(e.token)))
	return e, nil
}

func isAnswerFault(err error) bool {
	var fault *answerError
	return errors.As(err, &fault)
}
