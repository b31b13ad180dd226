package worker

import "time"

// A Line is one budget as the fleet spends it: the queue of departure times,
// and what the API's answers have taught about the budget's true size.
//
// A 429 cuts the share of the budget that is in effect; without one the share
// grows back. It grows fast to just below the level at which the 429 came,
// stays there for a while, and then probes beyond in growing steps. A probe
// that fails goes back to what held and makes the next wait twice as long. So
// a budget above the API's true limit settles just under it, and one that was
// cut for a passing trouble is whole again within half a minute.
type Line struct {
	Budget
	// Next is the first departure time that is not leased, server's time.
	Next time.Time `json:"next,omitzero"`
	// BusySince is since when there has always been a departure ahead.
	BusySince time.Time `json:"busy_since,omitzero"`
	// QueuedAt is when calls were last seen to come faster than they may go out.
	QueuedAt time.Time `json:"queued_at,omitzero"`

	// Share of the budget's rate that is in effect, above 0 and at most 1.
	Share float64 `json:"share"`
	// Ceiling is the share at which the API last said 429; 0: it has not.
	Ceiling float64 `json:"ceiling,omitempty"`
	// Since is when the share took effect.
	Since time.Time `json:"since,omitzero"`
	// Raises counts the steps beyond the ceiling; 0 is below it. Base is the
	// share to go back to when they fail, and Last the share before the last one.
	Raises int     `json:"raises,omitempty"`
	Base   float64 `json:"base,omitempty"`
	Last   float64 `json:"last,omitempty"`
	// HoldSeconds is how long the share stays just below the ceiling.
	HoldSeconds int `json:"hold_seconds,omitempty"`
	// CutAt is when the share was last cut. OK is when the last call was sent
	// that the API is known to have answered well.
	CutAt time.Time `json:"cut_at,omitzero"`
	OK    time.Time `json:"ok,omitzero"`
	// ThrottledAt is when a call of this line itself was last answered by a 429.
	ThrottledAt time.Time `json:"throttled_at,omitzero"`
	// SlowRate, in calls per second until SlowUntil, is what RateLimit headers
	// have asked for; they can only slow us down.
	SlowRate  float64   `json:"slow_rate,omitempty"`
	SlowUntil time.Time `json:"slow_until,omitzero"`
}

const (
	// leastShare is as far as a budget is cut: from there it is whole again within
	// half a minute. A limit that is ten times too high has to be set right.
	leastShare  = 0.1
	growEvery   = 2500 * time.Millisecond // between two steps of growth
	nearCeiling = 0.98
	firstHold   = 5   // seconds
	lastHold    = 160 // seconds
	// provenAfter is how long the whole budget must have been in effect
	// without a 429 for a cut to start from scratch.
	provenAfter = 30 * time.Second
	leastCut    = 0.97
	mostCut     = 0.7
	firstRaise  = 0.05 // doubled with each
)

// newLine returns a line in full effect.
func newLine(b Budget) Line { return Line{Budget: b, Share: 1} }

// spacing is the time between two departures as in effect now.
func (l Line) spacing(now time.Time) time.Duration {
	d := time.Duration(float64(l.interval()) / l.Share)
	if now.Before(l.SlowUntil) {
		d = max(d, time.Duration(float64(time.Second)/l.SlowRate))
	}
	return d
}

// Effective is the rate in effect, in calls per second.
func (l Line) Effective(now time.Time) float64 {
	return float64(time.Second) / float64(l.spacing(now))
}

// lead is how far ahead of now the next departure is that is not leased.
func (l Line) lead(now time.Time) time.Duration { return later(l.Next, now).Sub(now) }

// book leases up to n departure times that are step apart, none further ahead of
// now than that.
func (l *Line) book(now time.Time, n int, ahead, step time.Duration) []time.Time {
	at, end := later(l.Next, now), now.Add(ahead)
	idle := !l.Next.After(now)
	var booked []time.Time
	for len(booked) < n && !at.After(end) {
		booked = append(booked, at)
		at = at.Add(step)
	}
	if len(booked) > 0 {
		l.Next = at
		if idle {
			l.BusySince = now
		}
	}
	return booked
}

// queues reports whether calls come faster than they may go out: there has been a
// departure ahead for longer than it takes to see off those that come at once.
func (l Line) queues(now time.Time) bool {
	return l.lead(now) > 0 && now.Sub(l.BusySince) > max(clump, 3*l.spacing(now))
}

// clump is how long calls may queue before that counts: wake-ups come due together,
// four times a second, and creations that were kept back for each clump would leave
// gaps where their polls should have been.
const clump = 2 * time.Second

// endSlow ends what RateLimit headers asked for when its time is over, and
// reports whether it was.
func (l *Line) endSlow(now time.Time) bool {
	if l.SlowUntil.IsZero() || now.Before(l.SlowUntil) {
		return false
	}
	l.SlowRate, l.SlowUntil = 0, time.Time{}
	return true
}

// grow lets the share grow as far as the time since its last change allows.
func (l *Line) grow(now time.Time) {
	for l.Share < 1 {
		target := min(1, nearCeiling*l.Ceiling)
		settled := l.Raises == 0 && l.Share >= 0.99*target
		wait := growEvery
		if settled {
			wait = time.Duration(l.HoldSeconds) * time.Second
		}
		if now.Sub(l.Since) < wait {
			return
		}
		l.Since = l.Since.Add(wait)
		switch {
		case settled:
			l.Base, l.Last = l.Share, l.Share
			l.raise()
		case l.Raises > 0:
			if l.Raises > 1 { // two steps ago is what has held for a while
				l.Base = l.Last
			}
			l.Last = l.Share
			l.raise()
		default:
			l.Share += (target - l.Share) / 2
		}
	}
}

func (l *Line) raise() {
	step := firstRaise
	for range l.Raises {
		step *= 2
	}
	l.Raises++
	l.Share = min(1, l.Share*(1+step))
}

// throttled takes in a 429 to a call sent at the given time, after which the
// upstream opens at opens. It reports whether the answer says anything about
// the rate: answers to calls sent before the last cut do not, and neither do
// those of an API that has said nothing else since.
func (l *Line) throttled(now, sent, opens time.Time) bool {
	switch {
	case !sent.After(l.CutAt):
		return true // the same episode
	case !l.OK.After(l.CutAt):
		return false
	}
	ran := now.Sub(l.Since)
	failedProbe := l.Raises > 0 && (l.Share < 1 || ran < provenAfter)
	l.CutAt, l.Since = now, later(now, opens)
	if failedProbe {
		l.Share, l.Ceiling, l.Raises = l.Base, l.Base/nearCeiling, 0
		l.HoldSeconds = min(2*l.HoldSeconds, lastHold)
		return true
	}
	// A bucket of Burst calls that was emptied in the time ran says how much
	// too fast the calls were.
	excess := 1.0
	if ran > 0 {
		excess = float64(l.Burst) / (ran.Seconds() * l.Rate)
	}
	l.Ceiling, l.Raises, l.HoldSeconds = l.Share, 0, firstHold
	l.Share = max(leastShare, min(leastCut*l.Share, max(mostCut*l.Share, l.Share-excess)))
	return true
}

// slow takes in what a RateLimit header asks for. It reports whether that
// changes anything.
func (l *Line) slow(now time.Time, rate float64, until time.Time) bool {
	rate = max(rate, minRate)
	if rate >= 0.9*l.Effective(now) {
		return false
	}
	l.SlowRate, l.SlowUntil = rate, until
	return true
}

// near brings the next departure near that a slower rate has put far into the
// future, but not before any that can have been leased.
func (l *Line) near(now time.Time) {
	if soon := now.Add(createAhead + l.spacing(now)); l.Next.After(soon) {
		l.Next = soon
	}
}

// set replaces the budget and forgets what was learned about the old one.
func (l *Line) set(now time.Time, b Budget) {
	if l.Budget == b {
		return
	}
	next := l.Next
	*l = newLine(b)
	l.Next = next
	l.near(now)
}

// forget forgets what answers have taught.
func (l *Line) forget(now time.Time) {
	*l = Line{Budget: l.Budget, Next: l.Next, Share: 1}
	l.near(now)
}
