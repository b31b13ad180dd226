package apiclient

import (
	"fmt"
	"time"
)

// How long a failure of discovery or of the token endpoint is remembered: one
// second first, doubling to fifteen, so that half a minute after an outage it is
// over for us, too. Without it every step of every worker would try to log in
// during an outage.
const (
	minPause = time.Second
	maxPause = 15 * time.Second
)

// pause remembers a failure. Its user guards it.
type pause struct {
	failures int
	until    time.Time
	err      *Error
}

// failed remembers err, for the time its server asked for or else one that
// grows with each failure in a row.
func (p *pause) failed(now time.Time, err *Error) {
	d := maxPause
	if p.failures < 4 { // 2^4 s is past the maximum
		d = minPause << p.failures
	}
	p.failures++
	p.until, p.err = now.Add(max(d, err.RetryAfter)), err
}

// succeeded forgets.
func (p *pause) succeeded() { *p = pause{} }

// check returns the remembered failure while it is to be believed.
func (p *pause) check(now time.Time) *Error {
	if p.err == nil || !now.Before(p.until) {
		return nil
	}
	e := *p.err
	e.RequestID = "" // of a request long ago
	left := p.until.Sub(now)
	if e.RetryAfter != 0 {
		e.RetryAfter = max(left, minRetryAfter)
	}
	e.Err = fmt.Errorf("%w (not asked again for %s)", p.err.Err, left.Round(time.Millisecond))
	return &e
}

// gate lets one caller through at a time. It is a channel and not a mutex
// because waiting must end with the caller's context, and because only a
// channel counts as durable blocking in a testing/synctest bubble.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) leave() { <-g }
