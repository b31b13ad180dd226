package worker

import (
	"errors"
	"math"
	"time"
)

// A Budget bounds the calls that go out: in every window w, measured at the
// API, at most Rate × w + Burst.
//
// It is spent by departure times that are evenly spaced, one call each. The
// burst is not for calls at once after a pause; it is what calls may be late.
// A permit may be used from its departure time on and dies life later. That is
// half of the delay that the burst absorbs; the other half is for what the
// network, the clocks and a busy machine do to a call that is on its way. So
// the bound holds whatever happens to a permit.
type Budget struct {
	Rate  float64 `json:"rate"`  // calls per second
	Burst int     `json:"burst"` // calls
}

const (
	// minLife is the shortest time a permit lives: a process that has been
	// scheduled out for a moment should not lose it. A budget whose burst
	// absorbs less has its departures spaced further apart instead.
	minLife = 10 * time.Millisecond
	// maxLife bounds it where the burst would absorb minutes.
	maxLife = 5 * time.Second
)

// life is how long after its departure time a permit may be used.
func (b Budget) life() time.Duration {
	half := float64(b.Burst-1) / (2 * b.Rate) * float64(time.Second)
	return time.Duration(min(max(half, float64(minLife)), float64(maxLife)))
}

// interval is the time between two departures: 1/Rate, or longer where the
// burst is too small for the delay of two lives. Among calls that depart
// every T and arrive up to D late, any k span (k-1)T - D at least; T is chosen
// so that burst + 1 of them span 1/Rate.
func (b Budget) interval() time.Duration {
	whole := float64(time.Second) / b.Rate
	stretched := (2*float64(b.life()) + whole) / float64(b.Burst)
	return time.Duration(math.Ceil(max(whole, stretched)))
}

// Usable is the rate that can be reached, in calls per second: Rate, or less
// where the burst is too small to absorb two times 10 ms of delay.
func (b Budget) Usable() float64 { return float64(time.Second) / float64(b.interval()) }

// Bounds of a rate within which departures can be counted in nanoseconds.
const minRate, maxRate = 1.0 / (24 * 60 * 60), 1e7

// Validate reports a budget that cannot be spent.
func (b Budget) Validate() error {
	switch {
	case !(b.Rate >= minRate && b.Rate <= maxRate): // also refuses NaN
		return errors.New("rate must be between one call a day and 10,000,000 a second")
	case b.Burst < 1 || b.Burst > 1_000_000:
		return errors.New("burst must be between 1 and 1,000,000 calls")
	}
	return nil
}
