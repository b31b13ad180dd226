package amlsim

import (
	"math"
	"time"
)

// gcra is the generic cell rate algorithm: in every window w it lets through at
// most rate × w + burst calls. The zero value has no limit.
type gcra struct {
	interval  time.Duration // between calls at the full rate; 0: no limit
	tolerance time.Duration // how much earlier than that a call may come
	next      time.Duration // when the next call is due
	virtual   time.Duration // when the next call would be due if none were refused
	most      time.Duration // by how much a call came earlier than that, at most
}

// newGCRA makes a limit of rate calls per second, burst of them at once.
func newGCRA(rate float64, burst int) gcra {
	if !(rate > 0) {
		return gcra{}
	}
	// Rounded up, so that the limit is never looser than it says.
	interval := time.Duration(math.Ceil(float64(time.Second) / rate))
	return gcra{interval: interval, tolerance: interval * time.Duration(burst-1)}
}

// arrived counts a call, whether or not it is let through.
func (g *gcra) arrived(at time.Duration) {
	due := max(g.virtual, at)
	g.most = max(g.most, due-at)
	g.virtual = due + g.interval
}

// needed is the burst that would have let every call through that has arrived.
// 0: there is no limit.
func (g *gcra) needed() float64 {
	if g.interval == 0 {
		return 0
	}
	return 1 + float64(g.most)/float64(g.interval)
}

// take lets a call through at the time and returns 0, or returns how long it
// would have to wait. A refused call costs nothing.
func (g *gcra) take(at time.Duration) time.Duration {
	if g.interval == 0 {
		return 0
	}
	due := max(g.next, at)
	if wait := due - at - g.tolerance; wait > 0 {
		return wait
	}
	g.next = due + g.interval
	return 0
}
