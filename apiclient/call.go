package apiclient

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Admit is asked right before a request of a call is sent to the API, when
// addresses and token are at hand: it waits until the request may go out. A
// call that has to be repeated with a new token asks again. The wait does not
// count against the timeouts of the client. An error ends the call as NotSent,
// with that error as its cause. A nil Admit lets everything pass.
type Admit func(ctx context.Context) error

// A plan is one call at the API, before its addresses are known.
type plan struct {
	timeout time.Duration // of all that the client does, waits for Admit excluded
	least   time.Duration // of it that must be left when the request is sent
	admit   Admit
	build   func(endpoints) (request, error)
	// renewable says that after a 401 the request may be sent again.
	renewable bool
}

// authorized makes a request with a token: it finds the addresses, gets a
// token, and after a 401 tries once more with a new one. The request is built
// when the addresses are known, and built again for the second try.
func (c *Client) authorized(ctx context.Context, p plan) (outcome, *Error) {
	left := p.timeout
	for try := 1; ; try++ {
		began := time.Now()
		e, t, err := c.logIn(ctx, left)
		if err != nil {
			return outcome{}, err
		}
		r, berr := p.build(e)
		if berr != nil {
			return outcome{}, buildError(berr)
		}
		if left -= time.Since(began); left < p.least {
			return outcome{}, buildError(errNoTimeLeft)
		}
		if err := admitted(ctx, p.admit); err != nil {
			return outcome{}, &Error{Kind: NotSent, Err: err}
		}
		began = time.Now()
		out := c.within(ctx, left, r, t.value)
		left -= time.Since(began)
		if out.status != http.StatusUnauthorized {
			if out.status != 0 && r.target.token {
				t.accepted.Store(true)
			}
			return out, nil
		}
		if try == 2 || !p.renewable || !r.target.token || !c.tokens.drop(t) {
			return out, nil
		}
	}
}

// logIn finds the addresses and gets a token. Its error is about nobody's call.
func (c *Client) logIn(ctx context.Context, timeout time.Duration) (endpoints, *token, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	e, err := c.where.endpoints(ctx)
	if err != nil {
		return endpoints{}, nil, err.atLogin()
	}
	t, err := c.tokens.get(ctx, e.token.String())
	if err != nil {
		return endpoints{}, nil, err.atLogin()
	}
	return e, t, nil
}

// admitted asks whether the request may go out. A caller that has ended lets
// nothing out.
func admitted(ctx context.Context, admit Admit) error {
	if admit != nil {
		if err := admit(ctx); err != nil {
			return err
		}
	}
	return callerEnded(ctx)
}

// within is exchange with a timeout.
func (c *Client) within(ctx context.Context, timeout time.Duration, r request, bearer string) outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	return c.exchange(ctx, r, bearer)
}

// buildError says what it means that a request was not even built.
func buildError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errNoTimeLeft):
		return &Error{Kind: Unavailable, Err: err}
	}
	return &Error{Kind: Misconfigured, Err: err}
}

// getCall is one of the four calls that read.
type getCall struct {
	op     string
	call   CallName
	admit  Admit
	locate func(endpoints) (target, error)
	accept string
	limit  int64
	check  func(body []byte) error // what the body must be; must not keep it
	whole  bool
	plain  bool // the address holds no session: 404 means a wrong address
}

// get makes a reading call within GetTimeout and says what its answer means.
func (c *Client) get(ctx context.Context, g getCall) (outcome, error) {
	out, ferr := c.authorized(ctx, plan{
		timeout: c.getTimeout, admit: g.admit, renewable: true,
		build: func(e endpoints) (request, error) {
			t, err := g.locate(e)
			return request{op: g.op, call: g.call, method: http.MethodGet, target: t, accept: g.accept, limit: g.limit, check: g.check, whole: g.whole}, err
		},
	})
	if ferr != nil {
		return outcome{}, ferr.named(g.op)
	}
	if out.err == nil && out.status == http.StatusOK {
		return out, nil
	}
	e := out.toError(nil)
	e.Op = g.op
	switch {
	case out.err == nil:
		e.Kind = c.profile.Statuses.readKind(out.status, out.hasRetryAfter, !g.plain)
		if out.foreign && (e.Kind == Denied || e.Kind == Throttled) {
			// A store never saw our token: 403 is how presigned links run out.
			// Only the API can refuse us, or slow the whole fleet down.
			e.Kind = Unavailable
		}
	case isAnswerFault(out.err):
		e.Kind = Invalid
	default:
		e.Kind = Unavailable
	}
	return outcome{}, e
}
