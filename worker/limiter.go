package worker

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Budget is how many calls may go out: Rate per second in the long run, Burst
// at once.
type Budget struct {
	Rate  float64 // calls per second
	Burst int     // calls
}

// Limiter is the Permits of one process: two token buckets, one for creates
// and one for all calls, and a gate. In every window w at most
// Rate × w + Burst calls get a permit.
type Limiter struct {
	clock Clock

	mu       sync.Mutex
	create   *rate.Limiter
	requests *rate.Limiter
	until    time.Time     // closed until then, server's time
	waiting  [classes]int  // callers of Take by class
	changed  chan struct{} // closed and replaced when a waiter should look again
}

// NewLimiter returns a limiter with full buckets and an open gate.
func NewLimiter(clock Clock, create, requests Budget) *Limiter {
	return &Limiter{
		clock:    clock,
		create:   rate.NewLimiter(rate.Limit(create.Rate), create.Burst),
		requests: rate.NewLimiter(rate.Limit(requests.Rate), requests.Burst),
		changed:  make(chan struct{}),
	}
}

// Take implements Permits. A caller waits behind every caller of a higher
// class, so fetches pass polls and polls pass creates.
func (l *Limiter) Take(ctx context.Context, c Class, limit int) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[c]++
	defer func() {
		l.waiting[c]--
		l.wakeAll()
	}()
	for {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		if now := l.clock.Now(); now.Before(l.until) {
			return 0, &ClosedError{Until: l.until}
		}
		n, wait := l.tryTake(c, limit)
		if n > 0 {
			return n, nil
		}
		l.sleep(ctx, wait)
	}
}

// tryTake takes what may go out now, or says how long until it is worth
// looking again (0: only when something changes).
func (l *Limiter) tryTake(c Class, limit int) (n int, wait time.Duration) {
	for higher := Fetch; higher < c; higher++ {
		if l.waiting[higher] > 0 {
			return 0, 0
		}
	}
	now := time.Now()
	buckets := []*rate.Limiter{l.requests}
	if c == Create {
		buckets = append(buckets, l.create)
	}
	n = limit
	for _, b := range buckets {
		tokens := b.TokensAt(now)
		n = min(n, int(tokens))
		if tokens < 1 {
			wait = max(wait, time.Duration((1-tokens)/float64(b.Limit())*float64(time.Second))+time.Microsecond)
		}
	}
	if n < 1 {
		return 0, wait
	}
	for _, b := range buckets {
		b.AllowN(now, n)
	}
	return n, 0
}

// sleep gives up the mutex until d has passed (0: no such bound), something
// changed, or ctx ended.
func (l *Limiter) sleep(ctx context.Context, d time.Duration) {
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
	case <-changed:
	case <-ctx.Done():
	}
}

func (l *Limiter) wakeAll() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Return implements Permits: the tokens go back into their buckets, which
// never hold more than their burst.
func (l *Limiter) Return(c Class, n int) {
	if n <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	giveBack(l.requests, now, n)
	if c == Create {
		giveBack(l.create, now, n)
	}
	l.wakeAll()
}

// giveBack cancels a reservation's worth of tokens. rate.Limiter has no call
// for it; taking a negative number is how its arithmetic spells it.
func giveBack(b *rate.Limiter, now time.Time, n int) {
	if room := b.Burst() - int(b.TokensAt(now)); room < n {
		n = max(room, 0)
	}
	b.AllowN(now, -n)
}

// Close implements Permits.
func (l *Limiter) Close(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.until) {
		l.until = until
		l.wakeAll()
	}
}
