package apiclient

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what a failed call means to the caller.
type Kind int

// The kinds. Which status belongs to which is decided by [Statuses].
const (
	// Refused: the API will not answer this query (400, 422), or the query
	// lacks what every query needs. Asking again changes nothing.
	Refused Kind = iota + 1
	// NotReady: the session or entity is not ready yet (202, 409, 425).
	NotReady
	// Gone: the API does not know the session or entity (any more) (404, 410).
	Gone
	// Throttled: too many calls (429, or 503 with Retry-After).
	Throttled
	// Denied: the API refused our token twice (401, 403), or the token
	// endpoint refused us. Nobody's query is at fault.
	Denied
	// Misconfigured: a wrong base URL, path, method or profile (404, 405, 415
	// on a creation; a redirect; a link of a foreign origin; broken discovery).
	Misconfigured
	// Unavailable: the API (5xx, timeout, broken connection) or the token
	// endpoint is out of reach, or a store that does not get our token turned
	// a link down (401, 403, 429). From CreateSession it means that no creation
	// was tried: only the discovery or the token failed.
	Unavailable
	// NotSent: a creation that provably reached nobody: the connection was
	// never made, or the server said that it had not begun (421, 425). Any call
	// that its Admit did not let out.
	NotSent
	// Unknown: a creation that may or may not have made a session.
	Unknown
	// Invalid: the answer cannot be used: broken, too large, too deep, cut
	// short, not a PDF.
	Invalid
)

// String returns the kind in words, "kind 42" if it is none of ours.
func (k Kind) String() string {
	switch k {
	case Refused:
		return "refused"
	case NotReady:
		return "not ready"
	case Gone:
		return "gone"
	case Throttled:
		return "throttled"
	case Denied:
		return "denied"
	case Misconfigured:
		return "misconfigured"
	case Unavailable:
		return "unavailable"
	case NotSent:
		return "not sent"
	case Unknown:
		return "outcome unknown"
	case Invalid:
		return "invalid answer"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error is what every call returns when it fails.
//
// If the caller's context ended, Err wraps its error, so that
// errors.Is(err, context.Canceled) tells being stopped from an outage; a
// timeout of the client's own does not match context.DeadlineExceeded.
type Error struct {
	Op     string // what was tried, in words: "create session"
	Kind   Kind
	Status int // the API's status; 0: no answer, or the failure was not the API's

	// Login says that no request was sent to the API: no token was to be had, or
	// its addresses could not be discovered. It concerns all calls alike.
	Login bool

	// RetryAfter is how long the answer asked us to wait, judged against the
	// answer's own Date and held between one second and fifteen minutes.
	// 0: it did not ask.
	RetryAfter time.Duration

	RequestID string // the X-Request-Id we sent; "" if nothing was sent

	// Message is text from the answer: at most 512 bytes, one line, national
	// ids and the members of the query masked. Meant for the record of a
	// failure; Error does not print it, so that no log repeats foreign text.
	Message string

	Err error // the cause; nil if the status says it all
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	b.WriteString(e.Kind.String())
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.RequestID != "" {
		b.WriteString(" (request ")
		b.WriteString(e.RequestID)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's tree.
func KindOf(err error) (Kind, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Kind, true
}

// atLogin returns a copy of e that says that it concerns all calls.
func (e *Error) atLogin() *Error {
	c := *e
	c.Login = true
	return &c
}

// named returns a copy of e that carries the name of the call it stopped.
func (e *Error) named(op string) *Error {
	c := *e
	c.Op = op
	return &c
}
