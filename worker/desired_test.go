package worker

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Worked examples: what the formula of DesiredWorkers comes to.
func TestDesiredWorkers(t *testing.T) {
	const million = 1_000_000
	for _, c := range []struct {
		name string
		Demand
		want int
	}{
		// Nothing to do, or nothing that may be done, is worth one worker.
		{"idle", Demand{CreateRate: 50, RequestRate: 200, Slots: 64}, 1},
		{"no limits", Demand{Backlog: million, Due: million, Open: million, Slots: 64}, 1},

		// 5 creations and 20 calls per second, the first limits: 20 × 0.3 s = 6 of 48 slots.
		{"gentle limits", Demand{Backlog: million, CreateRate: 5, RequestRate: 20, Slots: 64, CallTime: 300 * time.Millisecond}, 1},
		// 200 × 0.3 s = 60 slots at 48 a worker; creations 50 × 0.3 s = 15 at 24.
		{"200 calls", Demand{Backlog: million, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 300 * time.Millisecond}, 2},
		// 200 × 2 s = 400 at 48, which is 8.3; creations 50 × 2 s = 100 at 24, which is 4.2.
		{"a slow API", Demand{Backlog: million, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 9},
		// Creations decide where they are most of the calls: 150 × 2 s = 300 at 24, which is 12.5.
		{"creations decide", Demand{Backlog: million, CreateRate: 150, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 13},
		// 2,000 calls of 50 ms are 100 slots at 48, which is 2.1; but 500 a worker.
		{"quick calls", Demand{Backlog: million, CreateRate: 400, RequestRate: 2000, Slots: 64, CallTime: time.Millisecond}, 4},
		{"nothing measured yet", Demand{Backlog: million, CreateRate: 400, RequestRate: 2000, Slots: 64}, 4},

		// 600 jobs in a minute: 10 creations and 40 calls per second × 2 s = 80 at 48.
		{"the end of a backlog", Demand{Backlog: 600, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 2},
		{"a few jobs", Demand{Backlog: 60, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 1},
		// 3,000 due of 10,000 open: 316.7 calls per second, of which 200 may go: as above.
		{"after an outage", Demand{Due: 3000, Open: 10_000, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 9},
		// 6,000 polls in a minute: 100 per second × 2 s = 200 at 48, which is 4.2.
		{"open sessions alone", Demand{Open: 6000, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 5},
		{"the same in five minutes", Demand{Open: 6000, CreateRate: 50, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second, Horizon: 5 * time.Minute}, 1},
		// Creations closed: what waits for them is not worth a worker.
		{"creations closed", Demand{Backlog: million, Open: 600, RequestRate: 200, Slots: 64, CallTime: 2 * time.Second}, 1},
		// The fewest slots: 20 × 1 s at 2.25; creations 5 × 1 s at 0.75.
		{"three slots", Demand{Backlog: million, CreateRate: 5, RequestRate: 20, Slots: 3, CallTime: time.Second}, 9},
	} {
		if got := c.DesiredWorkers(); got != c.want {
			t.Errorf("%s: %d workers, want %d", c.name, got, c.want)
		}
	}
}

func anyDemand() *rapid.Generator[Demand] {
	return rapid.Custom(func(t *rapid.T) Demand {
		rate := func(name string) float64 {
			return rapid.OneOf(rapid.Float64Range(0, 10), rapid.Float64Range(0, 1e7), rapid.SampledFrom([]float64{0, minRate, 0.2, 5, 20, 50, 200})).Draw(t, name)
		}
		number := func(name string) int {
			return rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(0, 100_000), rapid.SampledFrom([]int{0, 1, 60, 600, 1_000_000, math.MaxInt})).Draw(t, name)
		}
		return Demand{
			Backlog: number("backlog"), Due: number("due"), Open: number("open"),
			CreateRate: rate("create rate"), RequestRate: rate("request rate"),
			Slots:    rapid.IntRange(3, 512).Draw(t, "slots"),
			CallTime: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "call time")),
			Horizon:  time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "horizon")),
		}
	})
}

// perWorker is how many calls, and creations, one worker makes in a second: said
// again, in the words of the promise.
func perWorker(d Demand) (calls, creations float64) {
	callTime := max(d.CallTime, 50*time.Millisecond).Seconds()
	forNewJobs := d.Slots - 2*max(1, d.Slots/4)
	return min(500, 0.75*float64(d.Slots)/callTime), min(500, 0.75*float64(forNewJobs)/callTime)
}

const rounding = 1e-6

// Without one of the workers the others could not spend what the limits allow, of
// calls or of creations.
func TestDesiredWorkersAreFed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDemand().Draw(t, "demand")
		n := d.DesiredWorkers()
		if n < 1 {
			t.Fatalf("%d workers", n)
		}
		calls, creations := perWorker(d)
		others := float64(n - 1)
		if n > 1 && others*calls >= d.RequestRate*(1+rounding) && others*creations >= min(d.CreateRate, d.RequestRate)*(1+rounding) {
			t.Fatalf("%d workers: %d make %v calls and %v creations per second", n, n-1, others*calls, others*creations)
		}
	})
}

// They are enough: for all that the limits allow, or to be done in time.
func TestDesiredWorkersAreEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDemand().Draw(t, "demand")
		n := float64(d.DesiredWorkers())
		if n == mostWorkers {
			return
		}
		calls, creations := perWorker(d)
		horizon := d.Horizon.Seconds()
		if d.Horizon == 0 {
			horizon = 60
		}
		create := min(float64(d.Backlog)/horizon, d.CreateRate)
		if n*creations < min(create, d.RequestRate)*(1-rounding) {
			t.Fatalf("%v workers make %v creations per second of %v", n, n*creations, create)
		}
		wanted := 4*min(create, d.RequestRate) + (3*float64(d.Due)+float64(d.Open))/horizon
		if n*calls < min(wanted, d.RequestRate)*(1-rounding) {
			t.Fatalf("%v workers make %v calls per second of %v", n, n*calls, wanted)
		}
	})
}

// More work, higher rates and slower calls never make it less, more slots and
// more time never more.
func TestDesiredWorkersAreMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDemand().Draw(t, "demand")
		more := anyDemand().Draw(t, "more")
		more = Demand{
			Backlog: max(d.Backlog, more.Backlog), Due: max(d.Due, more.Due), Open: max(d.Open, more.Open),
			CreateRate: max(d.CreateRate, more.CreateRate), RequestRate: max(d.RequestRate, more.RequestRate),
			CallTime: max(d.CallTime, more.CallTime), Slots: min(d.Slots, more.Slots), Horizon: d.Horizon,
		}
		if d.Horizon > 0 && more.Horizon > 0 {
			more.Horizon = min(d.Horizon, more.Horizon)
		}
		// A worker of fewer slots gives creations a share that may be rounded up.
		if ringSize(more.Slots, starting) > ringSize(d.Slots, starting) {
			more.Slots = d.Slots
		}
		if a, b := d.DesiredWorkers(), more.DesiredWorkers(); a > b {
			t.Fatalf("%d workers for %+v, %d for %+v", a, d, b, more)
		}
	})
}

// Whatever a record says: no number that is none.
func TestDesiredWorkersOfNonsense(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		d := Demand{Backlog: -5, Due: 1000, Open: 1000, CreateRate: x, RequestRate: x, Slots: -1, CallTime: -time.Hour, Horizon: -time.Hour}
		if n := d.DesiredWorkers(); n < 1 || n > mostWorkers {
			t.Errorf("%v: %d workers", x, n)
		}
	}
}

func TestFeed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	in := now.Add
	for _, c := range []struct {
		name             string
		change           func(*Limits)
		creates, request float64
		untilC, untilR   time.Time
	}{
		{"open", func(*Limits) {}, 50, 200, time.Time{}, time.Time{}},
		{"cut by a 429", func(l *Limits) { l.Requests.Share = 0.5 }, 50, 100, time.Time{}, time.Time{}},
		{"closed for a moment", func(l *Limits) { l.Gate = Gate{At: ago(time.Second), Until: in(14 * time.Second)} }, 50, 200, in(14 * time.Second), in(14 * time.Second)},
		{"closed for long", func(l *Limits) { l.Gate = Gate{At: ago(time.Minute), Until: in(time.Second)} }, 0, 0, in(time.Second), in(time.Second)},
		{"closed for long, others got through", func(l *Limits) {
			l.Gate = Gate{At: ago(time.Minute), Until: in(time.Hour)}
			l.Requests.OK = ago(59 * time.Second)
		}, 0, 0, in(time.Hour), in(time.Hour)},
		{"was closed for long", func(l *Limits) { l.Gate = Gate{At: ago(time.Hour), Until: ago(time.Second)} }, 50, 200, time.Time{}, time.Time{}},
		{"closed again and again for two minutes", func(l *Limits) {
			l.Gate = Gate{At: ago(time.Second), Until: in(14 * time.Second)}
			l.Create.OK, l.Requests.OK = ago(3*time.Minute), ago(2*time.Minute)
		}, 0, 0, in(14 * time.Second), in(14 * time.Second)},
		{"open between two of these", func(l *Limits) {
			l.Gate = Gate{At: ago(16 * time.Second), Until: ago(time.Second)}
			l.Create.OK, l.Requests.OK = ago(3*time.Minute), ago(2*time.Minute)
		}, 0, 0, time.Time{}, time.Time{}},
		{"nobody has tried since", func(l *Limits) {
			l.Gate = Gate{At: ago(time.Hour), Until: ago(59 * time.Minute)}
			l.Create.OK, l.Requests.OK = ago(3*time.Hour), ago(2*time.Hour)
		}, 50, 200, time.Time{}, time.Time{}},
		{"creations in doubt", func(l *Limits) { l.Doubt = Doubt{Unknowns: 3, ClosedAt: ago(time.Second), Until: in(5 * time.Second)} }, 0, 200, in(5 * time.Second), time.Time{}},
		{"silence", func(l *Limits) { l.SilentSince, l.SilentProbe = ago(6*time.Minute), in(30*time.Second) }, 0, 200, in(30 * time.Second), time.Time{}},
		{"silent for a moment", func(l *Limits) { l.SilentSince = ago(time.Minute) }, 50, 200, time.Time{}, time.Time{}},
	} {
		l := NewLimits(Budget{Rate: 50, Burst: 10}, Budget{Rate: 200, Burst: 20}, 100, "test", now)
		l.Create.OK, l.Requests.OK = ago(2*time.Second), ago(2*time.Second)
		c.change(&l)
		creates, requests := l.Feed(now, time.Minute)
		if math.Abs(creates-c.creates) > rounding || math.Abs(requests-c.request) > rounding {
			t.Errorf("%s: fed with %v and %v, want %v and %v", c.name, creates, requests, c.creates, c.request)
		}
		if untilC, untilR := l.ClosedUntil(now); !untilC.Equal(c.untilC) || !untilR.Equal(c.untilR) {
			t.Errorf("%s: closed until %v and %v, want %v and %v", c.name, untilC, untilR, c.untilC, c.untilR)
		}
	}
}
