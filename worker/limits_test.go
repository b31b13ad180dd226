package worker

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lease is try, with a note of who leased what.
func (l Limits) lease(now time.Time, w want) (Limits, grant) {
	l, g := l.try(now, w)
	l.note(now, w, g)
	return l, g
}

// fleetModel is the record and workers that lease from it, in no particular
// order, with what can go wrong: reads that are old, workers that die with
// what they have leased, clocks that disagree, calls that take their time.
type fleetModel struct {
	limits Limits
	seq    int
	now    time.Time // true time
	old    []Limits  // by sequence
}

// lease is what a worker does: it read the record behind versions ago, and
// its clock is off. nil: somebody else was quicker.
func (m *fleetModel) lease(w want, behind int, off time.Duration) *grant {
	based := max(0, m.seq-behind)
	next, got := m.old[based].lease(m.now.Add(off), w)
	if based != m.seq { // the compare-and-set
		return nil
	}
	m.limits = next
	m.old = append(m.old, next)
	m.seq++
	return &got
}

func newFleetModel(create, requests Budget) *fleetModel {
	l := NewLimits(create, requests, 1_000_000, "test", time.Time{})
	return &fleetModel{limits: l, now: time.Unix(1_700_000_000, 0).UTC(), old: []Limits{l}}
}

// Whatever workers do, whatever their clocks say, even by minutes, and however
// old what they read is: no two departures of a budget are ever nearer to each
// other than its interval.
func TestDeparturesAreNeverLeasedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newFleetModel(drawBudget(t, "create"), drawBudget(t, "requests"))
		var creates, calls []time.Time
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			w := want{
				by: fmt.Sprint("w", i%5), counted: -1, lifetime: 100 * time.Hour,
				first: rapid.IntRange(0, 20).Draw(t, "first"), polls: rapid.IntRange(0, 20).Draw(t, "polls"),
				again: rapid.IntRange(0, 5).Draw(t, "again"), fresh: rapid.IntRange(0, 20).Draw(t, "fresh"),
			}
			off := time.Duration(rapid.Int64Range(-int64(10*time.Minute), int64(10*time.Minute)).Draw(t, "clock"))
			if got := m.lease(w, rapid.IntRange(0, 2).Draw(t, "behind"), off); got != nil {
				creates = append(append(creates, got.again...), got.fresh...)
				calls = append(calls, got.requests...)
			}
			m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "passes")))
		}
		for name, line := range map[string]struct {
			at []time.Time
			Budget
		}{"create": {creates, m.limits.Create.Budget}, "requests": {calls, m.limits.Requests.Budget}} {
			slices.SortFunc(line.at, time.Time.Compare)
			for i := 1; i < len(line.at); i++ {
				if d := line.at[i].Sub(line.at[i-1]); d < line.interval() {
					t.Fatalf("%s: departures %v apart, the interval is %v", name, d, line.interval())
				}
			}
		}
	})
}

// What arrives at the API keeps within both budgets in every window, for any
// interleaving of any number of workers and any crash, as long as clocks and
// network together take no longer than a permit lives.
func TestCallsKeepWithinTheBudgetInEveryWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newFleetModel(drawBudget(t, "create"), drawBudget(t, "requests"))
		life := func(b Budget, share float64) time.Duration { return time.Duration(share * float64(b.life())) }
		workers := rapid.IntRange(1, 16).Draw(t, "workers")
		var clocks []float64 // of each worker, in lives by which it is off
		for range workers {
			clocks = append(clocks, rapid.Float64Range(-0.25, 0.25).Draw(t, "clock"))
		}
		arrivals := map[string][]time.Time{}
		arrive := func(line string, b Budget, departures []time.Time, off time.Duration) {
			for _, at := range departures {
				if rapid.IntRange(0, 9).Draw(t, "dies") == 0 {
					continue // its worker, or nobody waited any more
				}
				used := at.Add(-off).Add(life(b, rapid.Float64Range(0, 1).Draw(t, "used")))
				arrivals[line] = append(arrivals[line], used.Add(life(b, rapid.Float64Range(0, 0.5).Draw(t, "network"))))
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			i := rapid.IntRange(0, workers-1).Draw(t, "worker")
			w := want{
				by: fmt.Sprint("w", i), counted: -1, lifetime: 100 * time.Hour,
				first: rapid.IntRange(0, 20).Draw(t, "first"), polls: rapid.IntRange(0, 20).Draw(t, "polls"),
				again: rapid.IntRange(0, 5).Draw(t, "again"), fresh: rapid.IntRange(0, 20).Draw(t, "fresh"),
			}
			tightest := min(m.limits.Create.life(), m.limits.Requests.life())
			off := time.Duration(clocks[i] * float64(tightest))
			if got := m.lease(w, rapid.IntRange(0, 1).Draw(t, "behind"), off); got != nil {
				arrive("create", m.limits.Create.Budget, append(got.again, got.fresh...), off)
				arrive("requests", m.limits.Requests.Budget, got.requests, off)
			}
			m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "passes")))
		}
		checkWindows(t, "create", arrivals["create"], m.limits.Create.Budget)
		checkWindows(t, "requests", arrivals["requests"], m.limits.Requests.Budget)
	})
}

// A lease leaves the record it was made from as it was, so that it can be made
// again from another one.
func TestLeaseLeavesItsRecordAlone(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{200, 20})
	m.lease(want{by: "a", fresh: 3, polls: 2, counted: 5, lifetime: time.Hour}, 0, 0)
	before, err := m.limits.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = m.limits.lease(m.now.Add(time.Second), want{by: "b", fresh: 3, polls: 2, counted: 5, lifetime: time.Hour, used: Tally{Tries: 1}})
	if after, err := m.limits.Encode(); err != nil || string(after) != string(before) {
		t.Errorf("%s became %s", before, after)
	}
}

func TestLimitsReadBackAsWritten(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{200, 20})
	m.lease(want{by: "a", fresh: 3, polls: 2, counted: 5, lifetime: time.Hour}, 0, 0)
	m.limits.hear(m.now, Answer{Class: Create, Verdict: Throttled, Sent: m.now, RetryAfter: time.Minute}, "a")
	value, err := m.limits.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeLimits(value)
	if err != nil || !reflect.DeepEqual(back, m.limits) {
		t.Errorf("%+v, %v; want %+v", back, err, m.limits)
	}
}

func TestLimitsThatCannotBeKeptAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `{`, `[]`, `{}`, `{"create":{"rate":5,"burst":5,"share":1}}`,
		`{"create":{"rate":5,"burst":5,"share":0},"requests":{"rate":5,"burst":5,"share":1},"open_sessions":{"max":1}}`,
		`{"create":{"rate":5,"burst":5,"share":2},"requests":{"rate":5,"burst":5,"share":1},"open_sessions":{"max":1}}`,
		`{"create":{"rate":5,"burst":5,"share":1},"requests":{"rate":5,"burst":5,"share":1},"open_sessions":{"max":0}}`,
		`{"create":{"rate":5,"burst":5,"share":1,"slow_until":"2026-01-01T00:00:00Z"},"requests":{"rate":5,"burst":5,"share":1},"open_sessions":{"max":1}}`,
	} {
		if _, err := DecodeLimits([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func FuzzDecodeLimits(f *testing.F) {
	f.Add([]byte(`{"create":{"rate":5,"burst":5,"share":1},"requests":{"rate":5,"burst":5,"share":1},"open_sessions":{"max":1}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		l, err := DecodeLimits(value)
		if err != nil {
			return
		}
		// Whatever is accepted can be leased from and written again.
		next, _ := l.lease(time.Unix(1_700_000_000, 0), want{by: "w", first: 3, polls: 3, again: 3, fresh: 3, counted: 1, lifetime: time.Hour})
		again, err := next.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeLimits(again); err != nil {
			t.Fatal(err)
		}
	})
}

// Polls leave room for what goes before them in the whole fleet.
func TestFetchesAndCreationsGoBeforeThePollsOfOthers(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{200, 20})
	polls := m.lease(want{by: "a", polls: 1000, counted: -1}, 0, 0)
	if n := len(polls.requests); n != 11 { // 50 ms of 200/s, and the one that goes now
		t.Fatalf("%d polls leased", n)
	}
	if got := m.lease(want{by: "b", polls: 1, counted: -1}, 0, 0); !got.empty() {
		t.Error("another poll leased")
	}
	got := m.lease(want{by: "b", first: 3, counted: -1}, 0, 0)
	if len(got.requests) != 3 || got.requests[2].Sub(m.now) > firstAhead {
		t.Errorf("fetches leased: %v", got.requests)
	}
}

// Creations wait while calls queue for longer than those that come at once.
func TestCreationsGetWhatCallsLeave(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{200, 20})
	created := 0
	for range 400 { // four seconds in which the calls never end
		got := m.lease(want{by: "a", polls: 1000, fresh: 5, counted: -1, lifetime: 100 * time.Hour}, 0, 0)
		created += len(got.fresh)
		m.now = m.now.Add(10 * time.Millisecond)
	}
	if created < 90 || created > 115 { // two seconds are not queueing yet
		t.Errorf("%d creations in four seconds of queueing calls", created)
	}
	m.now = m.now.Add(100 * time.Millisecond)
	if got := m.lease(want{by: "a", fresh: 5, counted: -1, lifetime: 100 * time.Hour}, 0, 0); len(got.fresh) == 0 {
		t.Error("no creation after the calls have gone")
	}
}

// Nothing is created that could not be fetched inside its lifetime.
func TestNothingIsCreatedThatWouldPerish(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{1, 5})
	w := want{by: "a", fresh: 1, again: 1, lifetime: 2 * time.Hour}
	for open, wanted := range map[int]int{0: 1, 1100: 1, 1300: 0} { // an hour of 1/s is 1,200 sessions of three calls
		w.counted = open
		_, got := m.limits.lease(m.now, w)
		if len(got.fresh) != wanted {
			t.Errorf("%d open: %d created", open, len(got.fresh))
		}
		if len(got.again) != 1 { // it is open already: only creating makes it fewer
			t.Errorf("%d open: a job that has waited is kept back", open)
		}
	}
}

// Silence keeps creations back, but for one a minute: there may be nothing left
// that could be answered.
func TestSilenceKeepsCreationsBackButOne(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{200, 20})
	l := m.limits
	l.hear(m.now, Answer{Class: Fetch, Verdict: Silent, Sent: m.now}, "a")
	created := func(after time.Duration) int {
		var got grant
		l, got = l.lease(m.now.Add(after), want{by: "a", fresh: 5, lifetime: 2 * time.Hour})
		return len(got.fresh)
	}
	minute := time.Minute
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{4 * minute, 5}, {6 * minute, 1}, {6*minute + time.Second, 0}, {7*minute - time.Second, 0}, {7*minute + time.Second, 1}} {
		if got := created(c.after); got != c.want {
			t.Errorf("after %v of silence %d created, want %d", c.after, got, c.want)
		}
	}
	l.hear(m.now.Add(8*minute), Answer{Class: Poll, Verdict: Answered, Sent: m.now.Add(8 * minute)}, "a")
	if created(8*minute+time.Second) != 5 {
		t.Error("kept back after an answer")
	}
}

// What slowed departures down for a while leaves none of them far away.
func TestNoDepartureIsFarAheadAfterAQuota(t *testing.T) {
	m := newFleetModel(Budget{50, 10}, Budget{200, 20})
	l := m.limits
	l.hear(m.now, quotaAnswer(Poll, m.now, 1, time.Minute), "a")
	l, _ = l.lease(m.now.Add(time.Second), want{by: "a", polls: 5, again: 5, counted: -1})
	reset := l.Set(m.now.Add(2*time.Second), Change{Reset: true}, "kari")
	l.refresh(m.now.Add(61 * time.Second))
	for name, l := range map[string]struct {
		Limits
		at time.Duration
	}{"over": {l, 61 * time.Second}, "reset": {reset, 2 * time.Second}} {
		now := m.now.Add(l.at)
		if l.farAhead(now) || l.Requests.lead(now) > time.Second || l.Create.lead(now) > time.Second {
			t.Errorf("%s: calls in %v, creations in %v", name, l.Requests.lead(now), l.Create.lead(now))
		}
	}
}

// However many workers there are, they open no more sessions together than are
// allowed, those that are under way included.
func TestRoomIsSharedByTheFleet(t *testing.T) {
	l := NewLimits(Budget{1000, 100}, Budget{5000, 500}, 10, "test", time.Time{})
	now := time.Unix(1_700_000_000, 0)
	l, got := l.lease(now, want{by: "a", fresh: 6, counted: 2, creating: 0, lifetime: time.Hour})
	if len(got.fresh) != 6 {
		t.Fatalf("%d of 6", len(got.fresh))
	}
	l, got = l.lease(now, want{by: "b", fresh: 6, counted: -1, lifetime: time.Hour})
	if len(got.fresh) != 2 {
		t.Errorf("%d of the last 2", len(got.fresh))
	}
	// Counted anew while all eight are still under way.
	l, got = l.lease(now.Add(time.Second), want{by: "b", fresh: 6, counted: 2, creating: 2, lifetime: time.Hour})
	if len(got.fresh) != 0 {
		t.Errorf("%d beyond the limit", len(got.fresh))
	}
	// Jobs that have waited before are counted already.
	if _, got = l.lease(now.Add(time.Second), want{by: "b", again: 3, counted: -1, lifetime: time.Hour}); len(got.again) != 3 {
		t.Errorf("%d of 3 again", len(got.again))
	}
	// A worker that died is believed to be busy for as long as a creation takes.
	_, got = l.lease(now.Add(30*time.Second), want{by: "b", fresh: 6, counted: 5, creating: 0, lifetime: time.Hour})
	if len(got.fresh) != 5 {
		t.Errorf("%d of 5 after a worker has died", len(got.fresh))
	}
}

func TestChangesByPeople(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{0.1, 1}, Budget{200, 20}, 10, "first", now)
	l, _ = l.lease(now, want{by: "a", fresh: 1, polls: 1, counted: 0, lifetime: 100 * time.Hour})
	l.hear(now, Answer{Class: Poll, Verdict: Throttled, Sent: now, RetryAfter: time.Hour}, "a")
	ten := 20
	l = l.Set(now, Change{Create: &Budget{50, 10}, MaxOpen: &ten}, "kari")
	if l.Revision != 2 || l.SetBy != "kari" || !l.SetAt.Equal(now) || l.Open.Max != 20 || l.Requests.Budget != (Budget{200, 20}) {
		t.Errorf("%+v", l)
	}
	if !l.Gate.Until.After(now) {
		t.Error("the gate was opened")
	}
	l = l.Set(now, Change{Reset: true}, "kari")
	if l.Gate.Until.After(now) {
		t.Error("the gate is still closed")
	}
	// The departure that was ten seconds away at the old rate is near now.
	if _, got := l.lease(now.Add(time.Second), want{by: "a", fresh: 1, counted: 0, lifetime: 100 * time.Hour}); len(got.fresh) != 1 {
		t.Error("the new rate waits for the old one")
	}
}
