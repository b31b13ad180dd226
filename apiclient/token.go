package apiclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// tokenEarly is how long before its end a token is renewed (documented
	// life: 300 s). A token that lives shorter is renewed after three quarters.
	tokenEarly = 30 * time.Second
	// tokenLifeUnknown is assumed of a token without expires_in.
	tokenLifeUnknown = time.Minute
	// renewPause is how long a token that was fetched because of a 401, and
	// was never accepted itself, is not renewed for another 401.
	renewPause = 10 * time.Second
)

// token is one access token. Its value is opaque to us.
type token struct {
	value      string
	fetchedAt  time.Time
	refreshAt  time.Time     // from here on it is renewed
	expiresAt  time.Time     // up to here it can be used
	forRefused bool          // fetched because its predecessor was refused
	granted    []string      // scopes; nil: the answer did not say
	life       time.Duration // 0: the answer did not say
	accepted   atomic.Bool
}

func (t *token) fresh(now time.Time) bool  { return t != nil && now.Before(t.refreshAt) }
func (t *token) usable(now time.Time) bool { return t != nil && now.Before(t.expiresAt) }

// tokenSource keeps one token and renews it early. One caller at a time asks
// the endpoint; as long as the old token can be used, nobody else waits.
type tokenSource struct {
	client  *Client
	timeout time.Duration
	config  clientcredentials.Config // without TokenURL, which is discovered

	current atomic.Pointer[token]
	refused atomic.Bool // the next token replaces a refused one
	warned  atomic.Bool // missing scopes were told of
	gate    gate
	pause   pause // guarded by gate
}

func newTokenSource(c *Client, cfg Config) *tokenSource {
	style := oauth2.AuthStyleInHeader
	if cfg.AuthStyle == AuthPost {
		style = oauth2.AuthStyleInParams
	}
	return &tokenSource{
		client:  c,
		timeout: prepareTimeout(cfg),
		config: clientcredentials.Config{
			ClientID:     cfg.ClientID,
			ClientSecret: cfg.ClientSecret.Reveal(),
			Scopes:       slices.Clone(cfg.Scopes),
			AuthStyle:    style, // never auto-detected: that would log in twice
		},
		gate: newGate(),
	}
}

// get returns a token that can be used now.
func (s *tokenSource) get(ctx context.Context, tokenURL string) (*token, *Error) {
	now := s.client.now()
	old := s.current.Load()
	if old.fresh(now) {
		return old, nil
	}
	if old.usable(now) {
		select {
		case s.gate <- struct{}{}:
		default:
			return old, nil // somebody is renewing it
		}
	} else {
		select {
		case s.gate <- struct{}{}:
		case <-ctx.Done():
			return nil, waitEnded(ctx, "token")
		}
	}
	defer s.gate.leave()
	if t := s.current.Load(); t.fresh(s.client.now()) {
		return t, nil
	}
	t, err := s.renew(ctx, tokenURL)
	if err != nil && old.usable(s.client.now()) && s.current.Load() == old && callerEnded(ctx) == nil {
		return old, nil // a short outage of the endpoint is nobody's business
	}
	return t, err
}

// renew asks the endpoint, unless it failed a moment ago. The caller holds the
// gate.
func (s *tokenSource) renew(ctx context.Context, tokenURL string) (*token, *Error) {
	if err := s.pause.check(s.client.now()); err != nil {
		return nil, err
	}
	t, err := s.fetch(ctx, tokenURL)
	if err != nil {
		// A caller that was stopped says nothing about the endpoint.
		if callerEnded(ctx) == nil {
			s.pause.failed(s.client.now(), err)
			s.client.onToken(err)
		}
		return nil, err
	}
	s.pause.succeeded()
	s.client.onToken(nil)
	t.forRefused = s.refused.Swap(false)
	s.current.Store(t)
	return t, nil
}

// drop forgets a token that the API refused, and reports whether another one
// is worth a try: the one that replaced it in the meantime, or a new one.
func (s *tokenSource) drop(t *token) bool {
	if s.current.Load() != t {
		return true
	}
	if t.forRefused && !t.accepted.Load() && s.client.now().Sub(t.fetchedAt) < renewPause {
		return false // it is not the token that they dislike; no login storm
	}
	s.refused.Store(true)
	s.current.CompareAndSwap(t, nil)
	return true
}

// fetch makes one token request.
func (s *tokenSource) fetch(ctx context.Context, tokenURL string) (*token, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()
	carrier := &tokenCarrier{client: s.client}
	httpClient := &http.Client{
		Transport: carrier,
		// No redirect gets our secret.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	config := s.config
	config.TokenURL = tokenURL
	asked := s.client.now()
	got, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, httpClient))
	carrier.tell()
	if err != nil {
		return nil, s.failure(ctx, err, carrier)
	}
	if got.TokenType != "" && !strings.EqualFold(got.TokenType, "bearer") {
		return nil, &Error{Kind: Misconfigured, RequestID: carrier.requestID, Err: errors.New("token: type is not bearer")}
	}
	if !usableToken(got.AccessToken) {
		return nil, &Error{Kind: Unavailable, RequestID: carrier.requestID, Err: errors.New("token: unusable value")}
	}
	granted := s.checkScopes(got)
	life, told := tokenLifeUnknown, time.Duration(0)
	if !got.Expiry.IsZero() {
		// A life of nothing or less would mean a login per call.
		life = max(time.Until(got.Expiry), time.Second)
		told = life
	}
	return &token{
		value: got.AccessToken, fetchedAt: asked, granted: granted, life: told,
		refreshAt: asked.Add(life - min(tokenEarly, life/4)),
		expiresAt: asked.Add(life),
	}, nil
}

// usableToken accepts what a header can carry; 16 KiB are ten times a large
// JWT.
func usableToken(value string) bool {
	return value != "" && len(value) <= 16<<10 &&
		strings.IndexFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// oauthCode returns an error code of RFC 6749 as it is, and none other: it is
// printed.
func oauthCode(code string) string {
	known := []string{
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "access_denied", "server_error", "temporarily_unavailable",
	}
	if slices.Contains(known, code) {
		return code
	}
	return "unknown error code"
}

// failure says what a failed token request means. The library's own error
// repeats the answer and is not passed on.
func (s *tokenSource) failure(ctx context.Context, err error, carrier *tokenCarrier) *Error {
	e := &Error{Kind: Unavailable, RequestID: carrier.requestID}
	var refusal *oauth2.RetrieveError
	switch {
	case errors.As(err, &refusal) && refusal.Response != nil:
		status := refusal.Response.StatusCode
		after, has := retryAfter(refusal.Response.Header, s.client.now())
		e = aside("token", s.client.profile.Statuses, outcome{
			status: status, retryAfter: after, hasRetryAfter: has, requestID: carrier.requestID,
		})
		e.Message = maskedText([]byte(refusal.ErrorDescription), nil)
		if refusal.ErrorCode != "" {
			// RFC 6749: 400 or 401 with a code; Keycloak uses both for a wrong
			// secret. A code under any other status is a refusal all the same.
			if status < http.StatusInternalServerError && e.Kind != Throttled {
				e.Kind = Denied
			}
			if refusal.ErrorCode == "temporarily_unavailable" || refusal.ErrorCode == "server_error" {
				e.Kind = Unavailable
			}
			e.Err = fmt.Errorf("%w: %s", e.Err, oauthCode(refusal.ErrorCode))
		}
	case carrier.answered() && ctx.Err() == nil:
		e.Err = errors.New("token: answer cannot be read")
	default:
		e.Err = fmt.Errorf("token: %w", safeCause(ctx, err))
	}
	return e
}

// checkScopes warns, once, if less was granted than asked for: an AML search
// without the OFAC list looks complete. Without the member everything was
// granted (RFC 6749, section 5.1), and nil is returned, else what was granted.
func (s *tokenSource) checkScopes(t *oauth2.Token) []string {
	granted, ok := t.Extra("scope").(string)
	if !ok || strings.TrimSpace(granted) == "" {
		return nil
	}
	has := strings.Fields(granted)
	var missing []string
	for _, want := range s.config.Scopes {
		if !slices.Contains(has, want) {
			missing = append(missing, want)
		}
	}
	if len(missing) > 0 && s.warned.CompareAndSwap(false, true) {
		s.client.log.Warn("token lacks scopes that were asked for", zap.Strings("missing", missing))
	}
	return has
}
