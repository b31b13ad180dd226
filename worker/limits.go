package worker

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// LimitsRegister is the name of the register that holds the limits of an
// environment of the API.
func LimitsRegister(apiEnv string) string { return "upstream-" + apiEnv }

// Limits is the one record by which the whole fleet shares the budgets of an
// upstream. Workers lease departure times from it by compare-and-set, so that
// no two calls ever have the same. Everything in it is decided by pure
// functions of the record, the server's time and what a worker asks for or has
// been told. All times are the server's.
type Limits struct {
	// Revision counts the changes by people; SetBy and SetAt are of the last.
	Revision int       `json:"revision"`
	SetBy    string    `json:"set_by"`
	SetAt    time.Time `json:"set_at"`

	Create   Line  `json:"create"`   // sessions created
	Requests Line  `json:"requests"` // all calls, creations included
	Open     Open  `json:"open_sessions"`
	Gate     Gate  `json:"gate"`
	Doubt    Doubt `json:"doubt"`
	// SilentSince is when the first of the polls and fetches was sent that all
	// went without an answer since; SilentProbe when the next creation may go
	// out although it lasts.
	SilentSince time.Time        `json:"silent_since,omitzero"`
	SilentProbe time.Time        `json:"silent_probe,omitzero"`
	Workers     map[string]Usage `json:"workers,omitempty"` // by worker id

	added *unknown // by a newer worker, and written back as it was read
}

// Open bounds the sessions open at a time.
type Open struct {
	Max int `json:"max"`
	// Counted is how many there were At that time, Busy how many creations
	// were under way then, and Granted how many have been leased since.
	Counted int       `json:"counted"`
	Busy    int       `json:"busy"`
	Granted int       `json:"granted"`
	At      time.Time `json:"at,omitzero"`
}

// Gate keeps every call back while it is closed.
type Gate struct {
	Until time.Time `json:"until,omitzero"`
	Why   Verdict   `json:"why,omitempty"`
	By    string    `json:"by,omitempty"` // the worker that closed it
	At    time.Time `json:"at,omitzero"`
	// Pauses counts closings in a row, without a call answered in between, for
	// which the API did not say how long.
	Pauses int `json:"pauses,omitempty"`
}

// Doubt keeps creations back after several of unknown outcome: each may have
// been billed. Now and then one goes out to see how things are.
type Doubt struct {
	Unknowns int       `json:"unknowns,omitempty"`  // in a row
	Last     time.Time `json:"last,omitzero"`       // when the last of them was sent
	ClosedAt time.Time `json:"closed_at,omitzero"`  // zero: creations go out
	Until    time.Time `json:"until,omitzero"`      // when the next probe may go
	Out      bool      `json:"probe_out,omitempty"` // a probe was leased, and nothing heard of it
	Probes   int       `json:"probes,omitempty"`    // that ended as unknown, too
}

const (
	// pollAhead and firstAhead are how far ahead of now departures are leased:
	// of polls, and of what goes before them in the whole fleet, for which
	// there is always room beyond what polls can lease. A call that has one goes
	// out at that time; other workers cannot have it, and if its worker dies
	// nobody does.
	pollAhead  = 50 * time.Millisecond
	firstAhead = 100 * time.Millisecond
	// createAhead is the same of permits to create, which need the time in which
	// the job is pulled and the intent is written down.
	createAhead = 100 * time.Millisecond
	// countEvery is the age at which the count of open sessions is taken anew.
	countEvery = time.Second
	// busyAge is for how long a worker that leases nothing is believed to be
	// busy with creations; none takes longer.
	busyAge = CreateClaim
	// doubtAfter unknown outcomes in a row close creations.
	doubtAfter = 3
	// silenceAfter of only unanswered polls and fetches, nothing new is
	// bought: what is open already might perish. One creation in silenceProbe
	// goes out all the same, for there may be nothing left to poll that could
	// be answered.
	silenceAfter = 5 * time.Minute
	silenceProbe = time.Minute
	// callsPerSession is what collecting one session takes: the poll that
	// finds it ready, the document, the report.
	callsPerSession = 3
	// queueMemory is for how long creations keep to what the calls leave after
	// these have queued.
	queueMemory = 30 * time.Second
	// aloneAfter without a call answered for anybody, trouble with credentials
	// is everybody's and not that of one worker that has the wrong ones.
	aloneAfter = 10 * time.Second
)

// pauseOf is the n-th pause (from 0) of those that double from first, at most 15 s:
// recovery is noticed half a minute after it came.
func pauseOf(first time.Duration, n int) time.Duration {
	const longest = 15 * time.Second
	for range min(n, 10) {
		first = min(2*first, longest)
	}
	return min(first, longest)
}

// NewLimits returns the limits of a fleet that has none yet.
func NewLimits(create, requests Budget, maxOpen int, by string, now time.Time) Limits {
	return Limits{
		Revision: 1, SetBy: by, SetAt: now,
		Create: newLine(create), Requests: newLine(requests), Open: Open{Max: maxOpen},
	}
}

// ErrLimits is returned for a record that cannot be read as limits.
var ErrLimits = errors.New("limits cannot be read")

// DecodeLimits reads the record. Its error wraps ErrLimits.
func DecodeLimits(value []byte) (Limits, error) {
	var l Limits
	added, err := decodeKeeping(value, &l)
	if err != nil {
		return Limits{}, fmt.Errorf("%w: %w", ErrLimits, err)
	}
	l.added = added
	if err := l.Validate(); err != nil {
		return Limits{}, fmt.Errorf("%w: %w", ErrLimits, err)
	}
	return l, nil
}

// Encode renders the record.
func (l Limits) Encode() ([]byte, error) {
	b, err := encodeKeeping(l, l.added)
	if err != nil {
		return nil, fmt.Errorf("encode limits: %w", err)
	}
	return b, nil
}

// Validate reports limits that nobody could keep.
func (l Limits) Validate() error {
	var problems []error
	for _, line := range []struct {
		name string
		Line
	}{{"create", l.Create}, {"requests", l.Requests}} {
		if err := line.Budget.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", line.name, err))
		}
		if !(line.Share > 0 && line.Share <= 1) {
			problems = append(problems, fmt.Errorf("%s: share %v is not above 0 and at most 1", line.name, line.Share))
		}
		if !line.SlowUntil.IsZero() && !(line.SlowRate > 0) {
			problems = append(problems, fmt.Errorf("%s: slow rate %v is not above 0", line.name, line.SlowRate))
		}
	}
	if l.Open.Max < 1 {
		problems = append(problems, errors.New("open sessions: at least 1 must be allowed"))
	}
	return errors.Join(problems...)
}

// Change is what a person changes of the limits; nil leaves it as it is.
type Change struct {
	Create, Requests *Budget
	MaxOpen          *int
	// Reset opens what is closed and forgets what answers have taught.
	Reset bool
}

// noneOf reports whether everything already is as the change wants it.
func (c Change) noneOf(l Limits) bool {
	return !c.Reset && (c.Create == nil || *c.Create == l.Create.Budget) &&
		(c.Requests == nil || *c.Requests == l.Requests.Budget) && (c.MaxOpen == nil || *c.MaxOpen == l.Open.Max)
}

// Set returns the limits after a change. One that changes nothing is none.
func (l Limits) Set(now time.Time, c Change, by string) Limits {
	if c.noneOf(l) {
		return l
	}
	l.Revision++
	l.SetBy, l.SetAt = by, now
	if c.Reset {
		l.Gate, l.Doubt, l.SilentSince, l.SilentProbe = Gate{}, Doubt{}, time.Time{}, time.Time{}
		l.Create.forget(now)
		l.Requests.forget(now)
	}
	if c.Create != nil {
		l.Create.set(now, *c.Create)
	}
	if c.Requests != nil {
		l.Requests.set(now, *c.Requests)
	}
	if c.MaxOpen != nil {
		l.Open.Max = *c.MaxOpen
	}
	return l
}

// A Hold is a reason why calls, or creations alone, do not go out.
type Hold struct {
	Creations bool      // only these
	Why       string    // in words
	Until     time.Time // zero: until that changes
}

// Holds returns every reason why calls, or creations, do not go out now.
// lifetime is how long the API keeps a result.
func (l Limits) Holds(now time.Time, lifetime time.Duration) []Hold {
	var holds []Hold
	if now.Before(l.Gate.Until) {
		holds = append(holds, Hold{Why: fmt.Sprintf("%s, seen by %s", l.Gate.Why, l.Gate.By), Until: l.Gate.Until})
	}
	create := func(until time.Time, format string, args ...any) {
		holds = append(holds, Hold{Creations: true, Why: fmt.Sprintf(format, args...), Until: until})
	}
	if !l.Doubt.ClosedAt.IsZero() {
		create(l.Doubt.Until, "%d in a row had an unknown outcome, and may have been billed; one at a time probes", l.Doubt.Unknowns)
	}
	switch open := l.Open.Counted + l.Open.Granted; {
	case l.silent(now):
		create(l.SilentProbe, "no poll or fetch was answered since %s; one at a time probes", l.SilentSince.UTC().Format(time.DateTime))
	case l.starved(now, lifetime):
		create(time.Time{}, "%d sessions are open, more than could be fetched in time at this rate of calls", open)
	case l.room() <= 0 && !l.Open.At.IsZero():
		create(time.Time{}, "%d sessions are open or under way, %d are allowed", open+l.Open.Busy, l.Open.Max)
	}
	return holds
}

// A want is what a worker asks of the limits.
type want struct {
	by       string
	first    int // creations and fetches that wait for their departure
	polls    int // polls that do
	again    int // creations of jobs that have waited before
	fresh    int // creations of new jobs, each of which opens a session more
	creating int // creations under way in this worker, and permits for them
	// counted is the number of open sessions, if it was just asked for; else -1.
	counted  int
	lifetime time.Duration // of results at the API
	used     Tally         // since the last lease
	ok       lineTimes     // when the last call was sent that was answered well
}

// lineTimes is a time for each line.
type lineTimes struct{ create, requests time.Time }

// A grant is the departure times that were leased.
type grant struct{ requests, again, fresh []time.Time }

func (g grant) empty() bool { return len(g.requests)+len(g.again)+len(g.fresh) == 0 }

// try returns the record after w has got what can be had now. The record that it
// was called on stays as it is.
//
// Calls go before creations: none is leased while the calls of the fleet queue.
// So creations get what polls and fetches leave.
func (l Limits) try(now time.Time, w want) (Limits, grant) {
	var g grant
	l.Create.OK, l.Requests.OK = later(l.Create.OK, w.ok.create), later(l.Requests.OK, w.ok.requests)
	l.answered(w.ok)
	l.refresh(now)
	if w.counted >= 0 {
		l.count(now, w)
	}
	if !now.Before(l.Gate.Until) {
		spacing := l.Requests.spacing(now)
		g.requests = append(l.Requests.book(now, w.first, firstAhead, spacing), l.Requests.book(now, w.polls, pollAhead, spacing)...)
		if l.Requests.queues(now) {
			l.Requests.QueuedAt = now
		}
		g.again, g.fresh = l.leaseCreates(now, w)
	}
	return l, g
}

// leaseCreates leases creations, those of jobs that have waited first.
func (l *Limits) leaseCreates(now time.Time, w want) (again, fresh []time.Time) {
	if l.createsWait(now) > 0 {
		return nil, nil
	}
	n := w.again
	if !l.starved(now, w.lifetime) {
		n += max(0, min(w.fresh, l.room()))
	}
	doubtful, silent := !l.Doubt.ClosedAt.IsZero(), l.silent(now)
	if doubtful || silent {
		n = min(n, 1)
	}
	booked := l.Create.book(now, n, createAhead, l.createSpacing(now))
	if len(booked) > 0 && doubtful {
		l.Doubt.Until, l.Doubt.Out = now.Add(CreateClaim), true
	}
	if len(booked) > 0 && silent {
		l.SilentProbe = now.Add(silenceProbe)
	}
	again = booked[:min(w.again, len(booked))]
	fresh = booked[len(again):]
	l.Open.Granted += len(fresh)
	return again, fresh
}

// refresh lets pass what has an end.
func (l *Limits) refresh(now time.Time) {
	created, called := l.Create.endSlow(now), l.Requests.endSlow(now)
	if created || called {
		l.Create.near(now)
		l.Requests.near(now)
	}
	l.Create.grow(now)
	l.Requests.grow(now)
}

// createsWait is for how long no creation may be leased, whosever it is: 0 is
// not at all. It is near enough, what it waits for is looked at again.
func (l *Limits) createsWait(now time.Time) time.Duration {
	switch {
	case !l.Doubt.ClosedAt.IsZero() && now.Before(l.Doubt.Until):
		return l.Doubt.Until.Sub(now)
	case l.silent(now) && now.Before(l.SilentProbe):
		return l.SilentProbe.Sub(now)
	}
	// In a slow budget a permit would die before there is a departure for it.
	if life := l.Create.life(); l.Requests.spacing(now) > life && l.Requests.lead(now) > life {
		return l.Requests.lead(now) - life
	}
	if l.Requests.queues(now) {
		return max(l.Requests.lead(now)/2, pollAhead/2)
	}
	return 0
}

// createSpacing is the time between two creations. When calls have queued of
// late, creations keep to what the calls leave that each of them brings with it,
// as measured over the last minute: else the fleet would create at full speed,
// then not at all while it collects, and use neither time to the full.
func (l *Limits) createSpacing(now time.Time) time.Duration {
	spacing := l.Create.spacing(now)
	if now.Sub(l.Requests.QueuedAt) > queueMemory {
		return spacing
	}
	return max(spacing, time.Duration(l.callsPerCreate(now)*float64(l.Requests.spacing(now))))
}

// callsPerCreate is how many calls there were for each creation in the last minute.
func (l *Limits) callsPerCreate(now time.Time) float64 {
	var sum Tally
	for _, u := range l.Workers {
		sum = sum.Plus(u.LastMinute(now))
	}
	const enough, most = 20, 20.0
	if sum.UsedCreates < enough {
		return callsPerSession
	}
	return min(most, float64(sum.UsedRequests)/float64(sum.UsedCreates))
}

// starved reports whether what is open already could perish before it is
// fetched: there is more of it than half of its lifetime has calls for. It keeps
// new jobs back; one that has waited before is open already.
func (l *Limits) starved(now time.Time, lifetime time.Duration) bool {
	collectable := l.Requests.Effective(now) * (lifetime / 2).Seconds() / callsPerSession
	return float64(l.Open.Counted+l.Open.Granted) >= max(1, collectable)
}

// silent reports whether polls and fetches have gone without an answer for long.
func (l *Limits) silent(now time.Time) bool {
	return !l.SilentSince.IsZero() && now.Sub(l.SilentSince) > silenceAfter
}

// room is how many sessions more may be opened.
func (l *Limits) room() int { return l.Open.Max - l.Open.Counted - l.Open.Busy - l.Open.Granted }

// count takes in how many sessions are open, and what is under way besides.
func (l *Limits) count(now time.Time, w want) {
	busy := w.creating
	for id, u := range l.Workers {
		if id != w.by && now.Sub(u.Seen) < busyAge {
			busy += u.Creating
		}
	}
	l.Open.Counted, l.Open.Busy, l.Open.Granted, l.Open.At = w.counted, busy, 0, now
}

// countDue reports whether the open sessions should be counted again.
func (l *Limits) countDue(now time.Time) bool { return now.Sub(l.Open.At) >= countEvery }

// note writes down who leased what.
func (l *Limits) note(now time.Time, w want, g grant) {
	u := l.Workers[w.by].at(now)
	u.Seen = now
	u.Creating = w.creating + len(g.fresh)
	w.used.LeasedCreates += len(g.again) + len(g.fresh)
	w.used.LeasedRequests += len(g.requests)
	u.This = u.This.Plus(w.used)
	workers := maps.Clone(l.Workers) // the caller's record shares the map
	if workers == nil {
		workers = make(map[string]Usage)
	}
	workers[w.by] = u
	maps.DeleteFunc(workers, func(_ string, u Usage) bool { return now.Sub(u.Seen) > UsageAge })
	l.Workers = workers
}

// farAhead reports whether departures are leased further ahead than any lease,
// or a pause after this was noticed, reaches.
func (l *Limits) farAhead(now time.Time) bool {
	for _, line := range []*Line{&l.Create, &l.Requests} {
		reach := max(time.Duration(float64(line.interval())/leastShare), line.spacing(now), l.createSpacing(now)) + createAhead + healPause + time.Second
		if line.lead(now) > reach {
			return true
		}
	}
	return false
}

// restart lets departures begin at a time, whatever was leased.
func (l *Limits) restart(at time.Time) { l.Create.Next, l.Requests.Next = at, at }
