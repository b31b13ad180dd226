package worker

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// limiter lets this worker's calls go out within the limits of the fleet. It
// leases departure times from the shared record for those who wait, keeps each
// call back until its time, and carries what calls have been told into the
// record. Only its loop, run, speaks to the record.
type limiter struct {
	limiterConfig
	kick    chan struct{} // something has changed that the loop should look at
	repeats *repeats
	counts  limiterCounts

	mu        sync.Mutex
	limits    Limits // as last known
	seq       uint64 // of the register, 0: none is known
	loaded    time.Time
	contended bool // others write the record, too
	waiting   [needs][]*ask
	spare     []permit    // creations that were leased and not used
	pool      []time.Time // departures leased for calls that are about to come
	pace      pace        // of this worker's calls
	creates   pace        // of its creations
	heard     []Answer    // that the record does not know yet
	ok        lineTimes
	used      Tally     // since the last lease
	shut      Gate      // of this worker alone
	reload    bool      // the record is to be read, whether or not anybody waits
	away      time.Time // since when the record cannot be reached; zero: it can
	safe      Line      // what may be used meanwhile to save results
}

// limiterConfig is what a limiter works with. All fields are required.
type limiterConfig struct {
	register string
	by       string // this worker's id
	first    Limits // the limits of a fleet that has none yet
	lifetime time.Duration
	creating func() int                         // creations under way in this worker
	open     func(context.Context) (int, error) // sessions open in the fleet

	registers Registers
	signals   Signals
	clock     Clock
	health    *Health
	log       *zap.Logger
}

// limiterCounts is what a limiter has done since it began.
type limiterCounts struct{ leases, tries, conflicts, loads, used, late atomic.Int64 }

func newLimiter(c limiterConfig) *limiter {
	return &limiter{limiterConfig: c, limits: c.first, kick: make(chan struct{}, 1), repeats: newRepeats()}
}

// A need is what somebody waits for, in the order in which they are served. A
// creation that has its permit goes first: it was let in because the calls of
// the fleet left room for it, its intent is written down, and its permit dies.
type need int

const (
	callCreate need = iota // a departure for a creation that has its permit
	callFetch              // for a fetch
	callPoll               // for a poll
	again                  // a permit for a job that has waited before
	fresh                  // permits for new jobs
	needs      = int(fresh) + 1
)

// departureOf is what a call of the class waits for.
func departureOf(c Class) need {
	switch c {
	case Create:
		return callCreate
	case Fetch:
		return callFetch
	}
	return callPoll
}

// An ask is one caller who waits.
type ask struct {
	need  need
	limit int
	until time.Time   // when what it is for may perish; zero: it does not
	got   []time.Time // departures, at most limit
	err   error
	done  chan struct{} // closed when one of the two is set
}

func (a *ask) settle(got []time.Time, err error) {
	a.got, a.err = got, err
	close(a.done)
}

// shortWait is how long callers wait for a closed gate to open; for longer
// closings they are turned away, to come back later.
const shortWait = 2 * time.Second

// A call is what admit lets out.
type call struct {
	class  Class
	permit *permit   // of a creation
	until  time.Time // when what the call is for may perish; zero: it does not
	repeat bool      // it repeats one that had no answer
}

// urgentBelow is how near the end of its life a result must be for its fetch to
// be let out on the safe share while the record is away, and for no retry
// budget to hold it.
const urgentBelow = 30 * time.Minute

// reserve waits for permits to create sessions and returns up to limit of
// them: for new jobs, or for one that has waited before. It returns a
// *ClosedError when none can be had for a while, else the context's cause.
func (l *limiter) reserve(ctx context.Context, n need, limit int) ([]permit, error) {
	if p := l.takeSpare(limit); len(p) > 0 {
		return p, nil
	}
	got, err := l.wait(ctx, &ask{need: n, limit: limit})
	if err != nil {
		return nil, err
	}
	permits := make([]permit, len(got))
	life := l.life(Create)
	for i, at := range got {
		permits[i] = permit{at: at, dies: at.Add(life)}
	}
	return permits, nil
}

// giveBack returns permits that were not used, for others of this worker.
func (l *limiter) giveBack(permits ...permit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = append(l.spare, permits...)
}

// takeSpare returns up to limit permits that were given back and still live.
func (l *limiter) takeSpare(limit int) []permit {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(limit, l.spares(l.clock.Now()))
	p := slices.Clone(l.spare[:n])
	l.spare = l.spare[n:]
	return p
}

// spares forgets the spare permits that have died and counts the others. The
// mutex is held.
func (l *limiter) spares(now time.Time) int {
	l.spare = slices.DeleteFunc(l.spare, func(p permit) bool { return now.After(p.dies) })
	return len(l.spare)
}

// admit waits until the call may go out, and counts it as gone. It is asked
// right before a call is sent, when all that takes time has been done. Its
// errors: *ClosedError, errNoRepeat, the context's cause.
func (l *limiter) admit(ctx context.Context, c call) error {
	if c.repeat && !l.urgent(c) && !l.repeats.take() {
		return errNoRepeat
	}
	err := l.depart(ctx, c)
	if c.repeat && err != nil {
		l.repeats.forgive()
	}
	if !c.repeat && err == nil {
		l.repeats.first()
	}
	return err
}

func (l *limiter) urgent(c call) bool {
	return perishes(c.until, l.clock.Now())
}

func perishes(until, now time.Time) bool { return !until.IsZero() && until.Sub(now) < urgentBelow }

// depart waits for the call's departure time. What wakes up too late for it
// asks for another one.
func (l *limiter) depart(ctx context.Context, c call) error {
	for {
		if c.class == Create {
			if err := l.untilNear(ctx, &c); err != nil {
				return err
			}
		}
		got, err := l.wait(ctx, &ask{need: departureOf(c.class), limit: 1, until: c.until})
		if err != nil {
			return err
		}
		at, dies := got[0], got[0].Add(l.life(Fetch))
		if c.permit != nil {
			at = later(at, c.permit.at)
		}
		if err := l.sleepUntil(ctx, at); err != nil {
			return err
		}
		now := l.clock.Now()
		switch {
		case now.After(dies), c.permit != nil && now.After(c.permit.dies):
			l.counts.late.Add(1)
		case l.use(c.class, now):
			return nil
		}
	}
}

// nearBy is how long before its time a creation asks for its departure among
// all calls, which must not die before that time.
const nearBy = 5 * time.Millisecond

// untilNear waits until the creation's time is near. One without a permit, or
// whose permit has died, gets a new one first.
func (l *limiter) untilNear(ctx context.Context, c *call) error {
	if c.permit == nil || l.clock.Now().After(c.permit.dies) {
		got, err := l.reserve(ctx, again, 1)
		if err != nil {
			return err
		}
		c.permit = &got[0]
	}
	return l.sleepUntil(ctx, c.permit.at.Add(-nearBy))
}

// sleepUntil waits for a time of the server's clock.
func (l *limiter) sleepUntil(ctx context.Context, at time.Time) error {
	if wait(ctx, at.Sub(l.clock.Now())) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// use counts a call as gone, unless the gate is closed by now.
func (l *limiter) use(c Class, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.gate().Until) {
		return false
	}
	l.counts.used.Add(1)
	l.pace.add(now)
	l.used.UsedRequests++
	if c == Create {
		l.used.UsedCreates++
		l.creates.add(now)
	}
	return true
}

// closed returns a *ClosedError while the gate is closed. It may be opened early
// by a person: what is known of it is read again.
func (l *limiter) closed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gate()
	if !l.clock.Now().Before(g.Until) {
		return nil
	}
	if time.Since(l.loaded) >= reloadEvery {
		l.reload = true
		l.look()
	}
	return &ClosedError{Until: g.Until, Why: g.Why}
}

// gate is the one that opens last, the fleet's or this worker's own. The
// mutex is held.
func (l *limiter) gate() Gate {
	if l.shut.Until.After(l.limits.Gate.Until) {
		return l.shut
	}
	return l.limits.Gate
}

// life is how long after its departure a call of the class may go out.
func (l *limiter) life(c Class) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c == Create {
		return l.limits.Create.life()
	}
	return l.limits.Requests.life()
}

// patience is how long a step waits for a permit to create, or to use the one it
// has: it holds a slot meanwhile, and fetches must not starve behind creates.
// A slow budget takes longer, as far as the claim of a creation allows.
func (l *limiter) patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	const atLeast, atMost = 3 * time.Second, 9 * time.Second
	now := l.clock.Now()
	return min(max(2*l.limits.Create.spacing(now), 2*l.limits.Requests.spacing(now), atLeast), atMost)
}

// mayHold is how many messages this worker should have taken whose calls wait
// for their departure: those of a tenth of a second, so that there is always a
// call for a departure and never many held back from other workers.
func (l *limiter) mayHold() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	const atLeast, atMost = 4, 1000
	return int(min(max(l.limits.Requests.Effective(l.clock.Now())/10, atLeast), atMost))
}

// wait queues a caller and waits until it is served, turned away, or gives up.
func (l *limiter) wait(ctx context.Context, a *ask) ([]time.Time, error) {
	a.done = make(chan struct{})
	l.mu.Lock()
	if at, ok := l.pooled(a); ok {
		l.mu.Unlock()
		return []time.Time{at}, nil
	}
	l.waiting[a.need] = append(l.waiting[a.need], a)
	l.mu.Unlock()
	l.look()
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		return a.got, a.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting[a.need], a); i >= 0 {
		l.waiting[a.need] = slices.Delete(l.waiting[a.need], i, i+1)
	} else if a.need >= again { // it was served in this very moment
		life := l.limits.Create.life()
		for _, at := range a.got {
			l.spare = append(l.spare, permit{at: at, dies: at.Add(life)})
		}
	}
	return nil, context.Cause(ctx)
}

// look makes the loop look again.
func (l *limiter) look() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// hear takes in what the end of a call says about all calls, and returns until
// when the upstream is closed on its account; zero if it is not. The calls of
// this worker are kept back at once, those of the others within the time of a
// message.
func (l *limiter) hear(a Answer) (until time.Time) {
	now := l.clock.Now()
	a.Heard = now
	gate := l.take(a, now)
	if gate.Until.IsZero() {
		return time.Time{}
	}
	if a.Verdict != Denied && a.Verdict != NoLogin { // those may be this worker's alone
		l.announce(gate)
	}
	return gate.Until
}

// take is hear without the announcement. It returns the closing, if any.
func (l *limiter) take(a Answer, now time.Time) (closes Gate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	closing := a.closing(l.shut.Pauses)
	switch a.Verdict {
	case Answered:
		l.shut.Pauses = 0
		news := !l.limits.SilentSince.IsZero()
		if a.Class == Create {
			l.ok.create = later(l.ok.create, a.Sent)
			news = l.limits.Doubt.Unknowns > 0
		} else {
			l.ok.requests = later(l.ok.requests, a.Sent)
		}
		if !news {
			return Gate{} // the record learns of it with the next lease
		}
	case NoLogin:
		if !now.Before(l.shut.Until) { // else the same trouble
			l.shut.Pauses++
		}
	case Silent:
		if !l.limits.SilentSince.IsZero() {
			return Gate{}
		}
	case Slowed:
		line := l.limits.Requests
		if a.Class == Create {
			line = l.limits.Create
		}
		if !line.slow(now, a.Rate, now.Add(a.Lasts)) {
			return Gate{}
		}
	case Unsent:
		if a.Class != Create || !l.limits.Doubt.Out {
			return Gate{}
		}
	}
	if closing > 0 {
		closes = Gate{Until: now.Add(closing), Why: a.Verdict, By: l.by, At: now}
		l.shutUntil(closes)
	}
	if len(l.heard) < maxHeard {
		l.heard = append(l.heard, a)
	}
	l.look()
	return closes
}

// shutUntil closes this worker's own gate, unless it is closed for longer. The
// mutex is held.
func (l *limiter) shutUntil(g Gate) {
	if g.Until.After(l.shut.Until) {
		g.Pauses = l.shut.Pauses
		l.shut = g
	}
}

// maxHeard bounds what is kept for a record that cannot be reached.
const maxHeard = 100
