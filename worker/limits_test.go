package worker

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rescreen/apiclient"
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

// What one worker's answers say, and how the record takes it.
func TestGate(t *testing.T) {
	const by = "a"
	start := time.Unix(1_700_000_000, 0).UTC()
	fresh := func() Limits {
		l := NewLimits(Budget{50, 10}, Budget{200, 20}, 10, "first", start)
		l.Requests.OK = start.Add(-time.Hour)
		return l
	}
	for _, c := range []struct {
		name    string
		before  func(l *Limits)
		answers []Answer
		closed  time.Duration
	}{
		{name: "answered", answers: []Answer{{Class: Poll, Verdict: Answered}}},
		{name: "429 with a time", answers: []Answer{{Class: Poll, Verdict: Throttled, RetryAfter: 7 * time.Second}}, closed: 7 * time.Second},
		{name: "429 alone, of an API that works", before: func(l *Limits) { l.Requests.OK = start }, answers: []Answer{{Class: Poll, Verdict: Throttled, Sent: start.Add(1)}}},
		{name: "429 alone, of an API that says nothing else", before: func(l *Limits) { l.Requests.CutAt = start }, answers: []Answer{{Class: Poll, Verdict: Throttled, Sent: start.Add(1)}}, closed: time.Second},
		{name: "503 with a time", answers: []Answer{{Class: Create, Verdict: Overloaded, RetryAfter: 9 * time.Second}}, closed: 9 * time.Second},
		{name: "the longer of two", answers: []Answer{{Class: Poll, Verdict: Throttled, RetryAfter: 9 * time.Second}, {Class: Poll, Verdict: Throttled, RetryAfter: 2 * time.Second}}, closed: 9 * time.Second},
		{name: "quota used up", answers: []Answer{{Class: Poll, Verdict: Exhausted, RetryAfter: 5 * time.Second}}, closed: 5 * time.Second},
		{name: "nobody is let in", answers: []Answer{{Class: Poll, Verdict: Denied}}, closed: deniedPause},
		{name: "one is not let in, others are", before: func(l *Limits) { l.Requests.OK = start.Add(-time.Second) }, answers: []Answer{{Class: Poll, Verdict: Denied}}},
		{name: "nobody gets a token", answers: []Answer{{Class: Poll, Verdict: NoLogin}}, closed: time.Second},
		{name: "silence", answers: []Answer{{Class: Poll, Verdict: Silent}}},
		{name: "one creation in doubt", answers: []Answer{{Class: Create, Verdict: InDoubt}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := fresh()
			if c.before != nil {
				c.before(&l)
			}
			for _, a := range c.answers {
				if a.Sent.IsZero() {
					a.Sent = start
				}
				l.hear(start, a, by)
			}
			if got := max(0, l.Gate.Until.Sub(start)); got != c.closed {
				t.Errorf("closed for %v, want %v", got, c.closed)
			}
			_, got := l.lease(start, want{by: by, polls: 1, again: 1, counted: -1, lifetime: time.Hour})
			if got.empty() != (c.closed > 0) {
				t.Errorf("leased %+v", got)
			}
		})
	}
}

// Pauses that the API does not set grow until a call is answered.
func TestPausesGrow(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{50, 10}, Budget{200, 20}, 10, "first", now)
	var pauses []time.Duration
	for range 6 {
		l.hear(now, Answer{Class: Poll, Verdict: NoLogin, Sent: now}, "a")
		l.hear(now, Answer{Class: Poll, Verdict: NoLogin, Sent: now}, "b") // everybody notices, it counts once
		pauses = append(pauses, l.Gate.Until.Sub(now))
		now = l.Gate.Until
	}
	second := time.Second
	if want := []time.Duration{second, 2 * second, 4 * second, 8 * second, 15 * second, 15 * second}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	l.hear(now, Answer{Class: Poll, Verdict: Answered, Sent: now.Add(time.Second)}, "a")
	now = now.Add(time.Minute)
	if l.hear(now, Answer{Class: Poll, Verdict: NoLogin, Sent: now}, "a"); l.Gate.Until.Sub(now) != second {
		t.Errorf("after an answer: %v", l.Gate.Until.Sub(now))
	}
}

// Three creations of unknown outcome in a row keep creations back; one goes out
// now and then to see how things are.
func TestDoubtAboutCreations(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{50, 10}, Budget{200, 20}, 1000, "first", now)
	create := want{by: "a", fresh: 5, counted: 0, lifetime: time.Hour}
	grants := func() int {
		var got grant
		l, got = l.lease(now, create)
		return len(got.fresh)
	}
	doubt := func(sent time.Time) { l.hear(now, Answer{Class: Create, Verdict: InDoubt, Sent: sent}, "a") }

	doubt(now)
	doubt(now)
	l.hear(now, Answer{Class: Create, Verdict: Answered, Sent: now.Add(time.Millisecond)}, "a") // not in a row
	now = now.Add(time.Second)
	doubt(now.Add(-10 * time.Second)) // sent before one that went well
	doubt(now)
	doubt(now)
	if grants() == 0 {
		t.Fatal("closed after two in a row")
	}
	doubt(now)
	if grants() != 0 {
		t.Fatal("open after three in a row")
	}
	doubt(now.Add(-time.Second)) // late news of one sent before
	for i, pause := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 15 * time.Second} {
		now = now.Add(pause - time.Millisecond)
		if grants() != 0 {
			t.Errorf("probe %d comes early", i)
		}
		now = now.Add(time.Millisecond)
		if n := grants(); n != 1 {
			t.Errorf("probe %d: %d creations", i, n)
		}
		if grants() != 0 {
			t.Error("two probes at a time")
		}
		doubt(now)
	}
	now = now.Add(15 * time.Second)
	if grants() != 1 {
		t.Fatal("no probe")
	}
	l.hear(now, Answer{Class: Create, Verdict: Unsent}, "a") // it told nothing
	if grants() != 1 {
		t.Fatal("no other probe at once")
	}
	now = now.Add(CreateClaim) // its worker died
	if grants() != 1 {
		t.Fatal("no probe after one whose worker died")
	}
	l.hear(now, Answer{Class: Create, Verdict: Answered, Sent: now.Add(time.Millisecond)}, "a")
	now = now.Add(time.Second)
	if grants() != 5 {
		t.Error("still closed after a creation that went well")
	}
	if _, got := l.lease(now, want{by: "a", polls: 1, counted: -1}); got.empty() {
		t.Error("polls were kept back, too")
	}
}

// RateLimit headers can only slow the fleet down.
func TestQuotaOnlySlowsDown(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{50, 10}, Budget{200, 20}, 1000, "first", now)
	for _, c := range []struct {
		remaining int
		want      float64
	}{{100_000, 200}, {11_900, 200}, {600, 10}, {6000, 10}} {
		l.hear(now, quotaAnswer(Poll, now, c.remaining, time.Minute), "a")
		if got := l.Requests.Effective(now); got < c.want*0.99 || got > c.want*1.01 {
			t.Errorf("%d left for a minute: %v/s, want %v", c.remaining, got, c.want)
		}
	}
	l, _ = l.lease(now.Add(2*time.Minute), want{by: "a", polls: 1, counted: -1})
	if got := l.Requests.Effective(now.Add(2 * time.Minute)); got < 199 {
		t.Errorf("after the quota's time: %v/s", got)
	}
	l.hear(now, quotaAnswer(Poll, now, 0, time.Minute), "a")
	if l.Gate.Until.Sub(now) != time.Minute {
		t.Errorf("nothing left: closed for %v", l.Gate.Until.Sub(now))
	}
}

func TestAnswerOfEveryError(t *testing.T) {
	for _, c := range []struct {
		class Class
		err   apiclient.Error
		want  Verdict
	}{
		{Create, apiclient.Error{Kind: apiclient.Throttled, Status: 429}, Throttled},
		{Poll, apiclient.Error{Kind: apiclient.Throttled, Status: 503}, Overloaded},
		{Create, apiclient.Error{Kind: apiclient.Denied, Status: 403}, Denied},
		{Fetch, apiclient.Error{Kind: apiclient.Denied, Status: 401}, Denied},
		{Create, apiclient.Error{Kind: apiclient.Misconfigured, Status: 404}, Denied},
		{Fetch, apiclient.Error{Kind: apiclient.Misconfigured}, Answered}, // a link to elsewhere is this session's
		{Poll, apiclient.Error{Kind: apiclient.Unavailable, Login: true}, NoLogin},
		{Create, apiclient.Error{Kind: apiclient.Throttled, Login: true}, NoLogin},
		{Create, apiclient.Error{Kind: apiclient.Unknown}, InDoubt},
		{Poll, apiclient.Error{Kind: apiclient.Unavailable, Status: 502}, Silent},
		{Fetch, apiclient.Error{Kind: apiclient.Invalid, Status: 200}, Silent},
		{Create, apiclient.Error{Kind: apiclient.Unavailable}, Unsent},
		{Create, apiclient.Error{Kind: apiclient.NotSent}, Unsent},
		{Create, apiclient.Error{Kind: apiclient.Refused, Status: 400}, Answered},
		{Poll, apiclient.Error{Kind: apiclient.NotReady, Status: 409}, Answered},
		{Poll, apiclient.Error{Kind: apiclient.Gone, Status: 404}, Answered},
	} {
		if got := answerOf(c.class, time.Time{}, fmt.Errorf("call: %w", &c.err)); got.Verdict != c.want {
			t.Errorf("%s, %s, %d, login %v: %s, want %s", c.class, c.err.Kind, c.err.Status, c.err.Login, got.Verdict, c.want)
		}
	}
	if got := answerOf(Poll, time.Time{}, nil); got.Verdict != Answered {
		t.Errorf("no error: %s", got.Verdict)
	}
}
