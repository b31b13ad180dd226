package worker

import "time"

// UsageAge is how long a worker that leases nothing counts as there.
const UsageAge = 2 * time.Minute

// Usage is what one worker does with the limits.
type Usage struct {
	Seen     time.Time `json:"seen"`
	Creating int       `json:"creating,omitempty"` // creations under way
	// This and Before count what was done in the minute that began at Minute,
	// and in the one before.
	Minute time.Time `json:"minute"`
	This   Tally     `json:"this"`
	Before Tally     `json:"before"`
}

// Tally counts departure times and the work of leasing them.
type Tally struct {
	LeasedCreates  int `json:"leased_creates,omitempty"`
	LeasedRequests int `json:"leased_requests,omitempty"`
	UsedCreates    int `json:"used_creates,omitempty"`
	UsedRequests   int `json:"used_requests,omitempty"`
	Tries          int `json:"tries,omitempty"` // of compare-and-set
}

// Plus returns the sum of two tallies.
func (t Tally) Plus(u Tally) Tally {
	return Tally{
		LeasedCreates:  t.LeasedCreates + u.LeasedCreates,
		LeasedRequests: t.LeasedRequests + u.LeasedRequests,
		UsedCreates:    t.UsedCreates + u.UsedCreates,
		UsedRequests:   t.UsedRequests + u.UsedRequests,
		Tries:          t.Tries + u.Tries,
	}
}

func (t Tally) times(x float64) Tally {
	scale := func(n int) int { return int(float64(n)*x + 0.5) }
	return Tally{
		LeasedCreates: scale(t.LeasedCreates), LeasedRequests: scale(t.LeasedRequests),
		UsedCreates: scale(t.UsedCreates), UsedRequests: scale(t.UsedRequests), Tries: scale(t.Tries),
	}
}

// at returns the usage with its minutes as they are at now.
func (u Usage) at(now time.Time) Usage {
	minute := now.Truncate(time.Minute)
	switch {
	case !minute.After(u.Minute):
		return u // a clock may step back a little
	case minute.Sub(u.Minute) == time.Minute:
		u.Before = u.This
	default:
		u.Before = Tally{}
	}
	u.Minute, u.This = minute, Tally{}
	return u
}

// LastMinute is what was done in the minute before now: what the present one
// has, and of the one before the share that is not over for a minute yet.
func (u Usage) LastMinute(now time.Time) Tally {
	u = u.at(now)
	rest := 1 - now.Sub(u.Minute).Seconds()/60
	return u.This.Plus(u.Before.times(min(max(rest, 0), 1)))
}

func (t Tally) minus(u Tally) Tally {
	return Tally{
		LeasedCreates:  t.LeasedCreates - u.LeasedCreates,
		LeasedRequests: t.LeasedRequests - u.LeasedRequests,
		UsedCreates:    t.UsedCreates - u.UsedCreates,
		UsedRequests:   t.UsedRequests - u.UsedRequests,
		Tries:          t.Tries - u.Tries,
	}
}
