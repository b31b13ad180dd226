package apiclient

import (
	"context"
	"errors"
	"net/http"
)

// authorized makes a request with a token: it finds the addresses, gets a
// token, and after a 401 tries once more with a new one, if renewable says
// that a 401 lets it. The request is built when the addresses are known, and
// built again for the second try.
func (c *Client) authorized(ctx context.Context, build func(endpoints) (request, error), renewable bool) (outcome, *Error) {
	e, err := c.where.endpoints(ctx)
	if err != nil {
		return outcome{}, err
	}
	for try := 1; ; try++ {
		t, err := c.tokens.get(ctx, e.token.String())
		if err != nil {
			return outcome{}, err
		}
		r, berr := build(e)
		if berr != nil {
			return outcome{}, buildError(berr)
		}
		out := c.exchange(ctx, r, t.value)
		if out.status != http.StatusUnauthorized {
			if out.status != 0 && r.target.token {
				t.accepted.Store(true)
			}
			return out, nil
		}
		if try == 2 || !renewable || !r.target.token || !c.tokens.drop(t) {
			return out, nil
		}
	}
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
	locate func(endpoints) (target, error)
	accept string
	limit  int64
	whole  bool
	plain  bool // the address holds no session: 404 means a wrong address
}

// get makes a reading call within GetTimeout and says what its answer means.
func (c *Client) get(ctx context.Context, g getCall) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.getTimeout, errTimeout)
	defer cancel()
	out, ferr := c.authorized(ctx, func(e endpoints) (request, error) {
		t, err := g.locate(e)
		return request{op: g.op, method: http.MethodGet, target: t, accept: g.accept, limit: g.limit, whole: g.whole}, err
	}, true)
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
