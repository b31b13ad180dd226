package worker

import (
	"math"
	"time"
)

// poolAhead is for how much of a worker's own pace departures are leased at a
// time beyond those that are waited for. At a few calls per second that is none;
// at hundreds it saves a write of the record for each.
const poolAhead = 50 * time.Millisecond

// pooled takes a departure from the pool, if a call waits for one and there is
// any that will not die before it is used. The mutex is held.
func (l *limiter) pooled(a *ask) (time.Time, bool) {
	if a.need > callPoll {
		return time.Time{}, false
	}
	now, life := l.clock.Now(), l.limits.Requests.life()
	for len(l.pool) > 0 {
		at := l.pool[0]
		l.pool = l.pool[1:]
		if now.Before(at.Add(life / 2)) {
			return at, true
		}
	}
	return time.Time{}, false
}

// pace is how often something happens: a count that fades.
type pace struct {
	count float64
	at    time.Time
}

// paceFades is the time in which a count fades to a third.
const paceFades = 500 * time.Millisecond

func (p *pace) add(now time.Time) {
	p.count, p.at = p.faded(now)+1, now
}

func (p *pace) faded(now time.Time) float64 {
	return p.count * math.Exp(-max(0, now.Sub(p.at).Seconds())/paceFades.Seconds())
}

// expected is how many more there will be in the next moment.
func (p *pace) expected(now time.Time) int {
	return int(p.faded(now) / paceFades.Seconds() * poolAhead.Seconds())
}
