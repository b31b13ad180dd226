package worker

import (
	"math"
	"time"
)

// A Demand is what a fleet has to do, and what bounds how fast it may.
type Demand struct {
	Backlog int // jobs that nobody has begun
	Due     int // wake-ups whose time has come, and that are not settled yet
	Open    int // open sessions, those that are due included

	// CreateRate and RequestRate are what the limits feed the fleet with, per
	// second: creations, and all calls with the creations among them. See
	// [Limits.Feed].
	CreateRate, RequestRate float64

	Slots int // of one worker
	// CallTime is for how long a call keeps a slot busy. What was not measured
	// yet (0) is taken for quick: the gauges of a fleet are combined by their
	// maximum, and a worker that has just come must not be the one to raise it.
	CallTime time.Duration
	// Horizon is the time in which the work should be done; 0 means DefaultHorizon.
	Horizon time.Duration
}

const (
	// DefaultHorizon is as long as the longest pause between two polls by default:
	// within it every open session wants to be asked at least once.
	DefaultHorizon = time.Minute
	// leastCallTime is for how long the quickest call keeps its slot busy: what
	// is committed, parked and acknowledged around it takes some milliseconds
	// where each write is synced in three places.
	leastCallTime = 50 * time.Millisecond
	// busyShare is what part of a worker's slots may be busy in the mean. The
	// rest is for calls that come together: wake-ups come due four times a second.
	busyShare = 0.75
	// callsPerWorker is how many calls per second one worker is trusted with,
	// however quick they are. 500 were measured in one process on two busy
	// processors, and 8,000 with an API in the process that answers at once
	// (README, Figures); what lies between is for TLS, large reports and a
	// container that has one processor.
	callsPerWorker = 500.0
	// mostWorkers keeps the number one, whatever the record says.
	mostWorkers = 1_000_000
)

// DesiredWorkers is how many workers the demand is worth: enough to do it
// within the horizon, never more than the limits can feed, at least 1. More work
// and higher rates never make it less.
//
// In units of calls per second, with H the horizon in seconds:
//
//	creations = min(Backlog / H, CreateRate, RequestRate)
//	calls     = min(creations × (1 + 3) + (Due × 3 + Open) / H, RequestRate)
//
// A creation brings the three calls that collecting a session takes: the poll
// that finds it ready, the document, the report. A due wake-up may be that poll;
// any open session is polled once within the horizon.
//
// By Little's law calls × CallTime slots are busy. So one worker does
//
//	callsEach     = min(500, ¾ × Slots / CallTime)
//	creationsEach = min(500, ¾ × (slots that new jobs may have) / CallTime)
//
// and the demand is worth the larger one of calls / callsEach and creations /
// creationsEach, rounded up. As calls ≤ RequestRate and creations ≤ CreateRate,
// it never counts a worker that would find nothing left of either.
//
// There is no hysteresis in it: whoever scales by it should scale down slowly.
func (d Demand) DesiredWorkers() int {
	horizon := d.Horizon.Seconds()
	if horizon <= 0 {
		horizon = DefaultHorizon.Seconds()
	}
	callTime := max(d.CallTime, leastCallTime).Seconds()
	requestRate := positive(d.RequestRate)

	creations := min(positive(float64(d.Backlog))/horizon, positive(d.CreateRate), requestRate)
	calls := creations*(1+callsPerSession) + (positive(float64(d.Due))*callsPerSession+positive(float64(d.Open)))/horizon
	calls = min(calls, requestRate)

	n := math.Max(calls/each(ringSize(d.Slots, collecting), callTime), creations/each(ringSize(d.Slots, starting), callTime))
	// What is a whole number but for rounding is one.
	return int(math.Ceil(min(max(n, 1), mostWorkers) - 1e-9))
}

// each is how many calls per second one worker makes with its slots.
func each(slots int, callTime float64) float64 {
	return min(callsPerWorker, busyShare*float64(slots)/callTime)
}

// positive is x, and 0 for what is no amount.
func positive(x float64) float64 {
	if x > 0 { // false for NaN
		return x
	}
	return 0
}

// Feed is how many creations and calls per second the limits let the fleet count
// on for the time of the horizon: the rates in effect, or none where the gate, or
// that of creations alone, is closed for long. A gate that closes for a moment
// now and then makes no difference: there are just as many calls to be made after it.
func (l Limits) Feed(now time.Time, horizon time.Duration) (creates, requests float64) {
	if l.closedLong(now, horizon) {
		return 0, 0
	}
	requests = l.Requests.Effective(now)
	if l.Doubt.ClosedAt.IsZero() && !l.silent(now) {
		creates = l.Create.Effective(now)
	}
	return creates, requests
}

// closedLong reports whether the gate is closed for longer than the horizon, by one
// closing or by several in a row between which no call was answered well.
func (l Limits) closedLong(now time.Time, horizon time.Duration) bool {
	if now.Before(l.Gate.Until) && l.Gate.Until.Sub(l.Gate.At) > horizon {
		return true
	}
	answered := later(l.Create.OK, l.Requests.OK)
	// A gate that was opened long ago, and nobody has tried since, is open.
	inARow := l.Gate.At.After(answered) && now.Sub(l.Gate.Until) < horizon
	return inARow && later(now, l.Gate.Until).Sub(answered) > horizon
}

// ClosedUntil is until when creations, and all calls, are kept back; zero where
// they are not. Creations that go out one at a time, to see how things are, count
// as kept back until the next one.
func (l Limits) ClosedUntil(now time.Time) (creates, requests time.Time) {
	if now.Before(l.Gate.Until) {
		requests = l.Gate.Until
	}
	creates = requests
	if !l.Doubt.ClosedAt.IsZero() {
		creates = later(creates, l.Doubt.Until)
	}
	if l.silent(now) {
		creates = later(creates, l.SilentProbe)
	}
	return creates, requests
}
