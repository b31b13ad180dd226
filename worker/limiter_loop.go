package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"rescreen/store"
)

const (
	// reloadEvery is how old the known record may be while somebody waits: a
	// change by a person reaches everybody in this time even if its
	// announcement is lost.
	reloadEvery = time.Second
	// turnTimeout bounds one read or write of the record.
	turnTimeout = 3 * time.Second
	// conflictPause is before the third and later tries in a row, doubled each time.
	conflictPause = 2 * time.Millisecond
	// awayPause is between two tries to reach the record.
	awayPause = 500 * time.Millisecond
	// healPause is how long nothing departs after the server's clock was set
	// back: by then all workers know its time.
	healPause = 15 * time.Second
	// never is a sleep that only a kick ends.
	never = time.Hour
	// idleTurn is how often the loop turns when nobody wants anything.
	idleTurn = 30 * time.Second
)

// run serves callers until ctx ends.
func (l *limiter) run(ctx context.Context) {
	stop, err := l.signals.Listen(l.register, l.announced)
	if err != nil {
		l.log.Warn("changes of the limits are not announced to this worker, it reads them every second", zap.Error(err))
	} else {
		defer stop()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	conflicts := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-timer.C:
		}
		select {
		case <-l.kick: // it is looked at now
		default:
		}
		if ctx.Err() != nil {
			return
		}
		l.health.turned("limits")
		next, err := l.turn(ctx)
		switch {
		case err == nil:
			conflicts = 0
		case errors.Is(err, store.ErrConflict):
			if conflicts++; conflicts > 1 {
				next = partOf(conflictPause<<min(conflicts, 5), l.by, l.clock.Now().Nanosecond())
			}
		default:
			next = l.trouble(ctx, err)
		}
		timer.Reset(min(next, idleTurn))
	}
}

// turn does what can be done now, with at most one write, and returns when
// there will be more to do.
func (l *limiter) turn(ctx context.Context) (time.Duration, error) {
	read := l.takeReload() || l.wanted() && l.old()
	if read {
		if err := l.load(ctx); err != nil {
			return 0, err
		}
	}
	t, busy := l.begin()
	if !busy {
		return never, nil
	}
	next, got := t.lease()
	if t.pointless(next, got) {
		if read {
			l.reached()
		}
		return t.nextLook(next), nil
	}
	again := l.contended
	if again {
		// What is known is likely old. It was good enough to see that there is
		// something to be had: others only ever take.
		if err := l.load(ctx); err != nil {
			return 0, err
		}
		t, _ = l.begin()
	}
	prepared, err := l.prepare(ctx, &t)
	if err != nil {
		return 0, err
	}
	if again || prepared {
		if next, got = t.lease(); t.pointless(next, got) {
			return t.nextLook(next), nil
		}
	}
	next.note(t.now, t.wanted(), got)
	if err := l.commit(ctx, t, next, got); err != nil {
		return 0, err
	}
	l.reached()
	if t, busy = l.begin(); !busy {
		return never, nil
	}
	return t.nextLook(next), nil
}

// A turn is what the limiter works on: the record as known, who waits for
// what, and what is to be written down.
type turn struct {
	now     time.Time
	limits  Limits
	seq     uint64
	want    want
	heard   []Answer
	shut    time.Time // this worker stays away until then
	healing bool      // the record has to change, whatever else there is
}

// begin looks at who waits. It turns away those for whom the gate is closed
// for long, and reports whether there is anything to do.
func (l *limiter) begin() (turn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := turn{now: l.clock.Now(), limits: l.limits, seq: l.seq, heard: slices.Clone(l.heard), shut: l.shut.Until}
	l.turnAway(t.now)
	w := want{by: l.by, counted: -1, lifetime: l.lifetime, used: l.used, ok: l.ok}
	w.first, w.polls = len(l.waiting[callCreate])+len(l.waiting[callFetch]), len(l.waiting[callPoll])
	if more := l.pace.expected(t.now) - w.polls - w.first; more > 0 && w.first > 0 {
		w.first += more
	} else if more > 0 && w.polls > 0 {
		w.polls += more
	}
	w.again = len(l.waiting[again])
	for _, a := range l.waiting[fresh] {
		w.fresh += a.limit
	}
	if w.fresh > 0 {
		w.fresh = max(w.fresh, l.creates.expected(t.now))
	}
	w.creating = l.creating() + l.spares(t.now)
	t.want = w
	return t, w.first+w.polls+w.again+w.fresh+len(t.heard) > 0
}

// turnAway ends the waiting of those who would wait for long. The mutex is held.
func (l *limiter) turnAway(now time.Time) {
	if g := l.gate(); g.Until.Sub(now) > shortWait {
		for n := range l.waiting {
			l.refuse(need(n), g.Until, g.Why)
		}
	}
	if d := l.limits.Doubt; !d.ClosedAt.IsZero() && d.Until.Sub(now) > shortWait {
		l.refuse(again, d.Until, InDoubt)
		l.refuse(fresh, d.Until, InDoubt)
	}
}

func (l *limiter) refuse(n need, until time.Time, why Verdict) {
	for _, a := range l.waiting[n] {
		a.settle(nil, &ClosedError{Until: until, Why: why})
	}
	l.waiting[n] = nil
}

// lease is what the record would be after this turn. While this worker stays
// away nothing is leased.
func (t turn) lease() (Limits, grant) {
	next := t.limits
	for _, a := range t.heard {
		next.hear(a.Heard, a, t.want.by)
	}
	return next.try(t.now, t.wanted())
}

// wanted is what is wanted now.
func (t turn) wanted() want {
	w := t.want
	if t.now.Before(t.shut) {
		w.first, w.polls, w.again, w.fresh = 0, 0, 0, 0
	}
	return w
}

// pointless reports whether there is nothing worth a write.
func (t turn) pointless(next Limits, got grant) bool {
	return got.empty() && len(t.heard) == 0 && t.want.counted < 0 && !t.healing && !next.farAhead(t.now) &&
		!(t.want.fresh > 0 && t.limits.countDue(t.now) && !t.now.Before(later(t.shut, t.limits.Gate.Until)))
}

// nextLook is when there may be something to lease. Those who wait for the
// same departures are spread by it, and come when there are several at once.
func (t turn) nextLook(l Limits) time.Duration {
	const least, most = time.Millisecond, reloadEvery
	if opens := later(t.shut, l.Gate.Until); t.now.Before(opens) {
		return min(most, opens.Sub(t.now)+t.part(pollAhead/4))
	}
	next := most
	if t.want.first > 0 {
		next = min(next, l.Requests.lead(t.now)-firstAhead)
	}
	if t.want.polls > 0 {
		next = min(next, l.Requests.lead(t.now)-pollAhead/2+t.part(pollAhead/4))
	}
	if t.want.again+t.want.fresh > 0 {
		d := max(l.Create.lead(t.now)-createAhead/2+t.part(createAhead/4), l.createsWait(t.now))
		if t.want.again == 0 && (l.room() <= 0 || l.starved(t.now, t.want.lifetime)) {
			d = max(d, l.Open.At.Add(countEvery).Sub(t.now)+t.part(countEvery/4))
		}
		next = min(next, d)
	}
	return max(next, least)
}

func (t turn) part(d time.Duration) time.Duration { return partOf(d, t.want.by, t.now.Nanosecond()) }

// prepare asks for what the lease needs to know, and reports whether that has
// changed anything.
func (l *limiter) prepare(ctx context.Context, t *turn) (changed bool, err error) {
	if t.want.fresh > 0 && t.limits.countDue(t.now) {
		counting, cancel := context.WithTimeout(ctx, turnTimeout)
		n, err := l.open(counting)
		cancel()
		if err != nil { // calls go on without new jobs
			l.log.Warn("open sessions cannot be counted", zap.Error(err))
			n, t.want.fresh = -1, 0
		}
		t.want.counted, changed = n, true
	}
	if t.limits.refresh(t.now); t.limits.farAhead(t.now) {
		// No lease reaches so far, unless a clock is wrong: first of all ours.
		if err := l.clock.Refresh(ctx); err != nil {
			return false, fmt.Errorf("read the server's clock: %w", err)
		}
		changed = true
		if t.now = l.clock.Now(); t.limits.farAhead(t.now) {
			l.log.Warn("the server's clock was set back, calls pause until everybody knows", zap.Duration("for", healPause))
			t.limits.restart(t.now.Add(healPause))
			t.healing = true
		}
	}
	return changed, nil
}

// wanted reports whether anybody waits.
func (l *limiter) wanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.heard) > 0 || slices.ContainsFunc(l.waiting[:], func(w []*ask) bool { return len(w) > 0 })
}

// takeReload reports whether the record is to be read in any case.
func (l *limiter) takeReload() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	reload := l.reload
	l.reload = false
	return reload && l.seq > 0
}

// old reports whether the record was read too long ago, or never.
func (l *limiter) old() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq == 0 || time.Since(l.loaded) >= reloadEvery
}

// load reads the record, and writes the first one if there is none.
func (l *limiter) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	l.counts.loads.Add(1)
	value, seq, err := l.registers.Load(ctx, l.register)
	if errors.Is(err, store.ErrNotFound) {
		return l.found(ctx)
	}
	if err != nil {
		return err
	}
	limits, err := DecodeLimits(value)
	if err != nil {
		return fmt.Errorf("%w; write them anew with: rescreen limits set --reset", err)
	}
	l.learn(limits, seq)
	return nil
}

// found makes the record from this worker's settings.
func (l *limiter) found(ctx context.Context) error {
	limits := l.first
	limits.SetAt = l.clock.Now()
	value, err := limits.Encode()
	if err != nil {
		return err
	}
	seq, err := l.registers.Commit(ctx, l.register, value, 0)
	if err != nil {
		return err
	}
	l.learn(limits, seq)
	return nil
}

// learn takes in the record as read.
func (l *limiter) learn(limits Limits, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.contended = seq != l.seq
	changed := limits.Revision != l.limits.Revision || !limits.SetAt.Equal(l.limits.SetAt)
	if l.seq > 0 && changed {
		l.log.Info("limits have changed", limits.fields()...)
	}
	if l.seq == 0 && limits.differs(l.first) {
		l.log.Warn("the fleet's limits are not those of this worker's settings, and count: change them with rescreen limits set", limits.fields()...)
	}
	if l.seq == 0 || changed {
		l.warnOfBursts(limits)
	}
	l.limits, l.seq, l.loaded = limits, seq, time.Now()
}

// warnOfBursts tells of budgets that cannot be used to the full.
func (l *limiter) warnOfBursts(limits Limits) {
	for name, b := range map[string]Budget{"create": limits.Create.Budget, "request": limits.Requests.Budget} {
		if b.Usable() < 0.97*b.Rate {
			l.log.Warn("burst is too small for its rate: calls have to keep further apart", zap.String("limit", name),
				zap.Float64("rate", b.Rate), zap.Int("burst", b.Burst), zap.Float64("usable_rate", b.Usable()))
		}
	}
}

func (l Limits) differs(o Limits) bool {
	return l.Create.Budget != o.Create.Budget || l.Requests.Budget != o.Requests.Budget || l.Open.Max != o.Open.Max
}

func (l Limits) fields() []zap.Field {
	return []zap.Field{
		zap.Float64("create_rate", l.Create.Rate), zap.Int("create_burst", l.Create.Burst),
		zap.Float64("request_rate", l.Requests.Rate), zap.Int("request_burst", l.Requests.Burst),
		zap.Int("max_open", l.Open.Max), zap.Int("revision", l.Revision), zap.String("set_by", l.SetBy),
	}
}

// commit writes the record and serves those who wait. Of a write whose outcome
// is unknown the departures are lost, which is safe.
func (l *limiter) commit(ctx context.Context, t turn, next Limits, got grant) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	l.counts.tries.Add(1)
	l.mu.Lock()
	l.used.Tries++
	l.mu.Unlock()
	value, err := next.Encode()
	if err != nil {
		return err
	}
	seq, err := l.registers.Commit(ctx, l.register, value, t.seq)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.contended = true
		l.loaded = time.Time{}
		if errors.Is(err, store.ErrConflict) {
			l.counts.conflicts.Add(1)
		}
		return err
	}
	l.counts.leases.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if next.Gate.Until.After(l.limits.Gate.Until) && next.Gate.By == l.by {
		l.log.Warn("upstream closed for all workers", zap.String("why", string(next.Gate.Why)), zap.Time("until", next.Gate.Until))
	}
	if l.limits.Doubt.ClosedAt.IsZero() && !next.Doubt.ClosedAt.IsZero() {
		l.log.Error("several creations in a row had an unknown outcome: no more for now, but one to probe", zap.Int("unknown", next.Doubt.Unknowns))
	}
	l.limits, l.seq, l.loaded = next, seq, time.Now()
	l.heard = l.heard[len(t.heard):]
	l.used = l.used.minus(t.want.used)
	l.serve(got)
	return nil
}

// serve hands out what was leased, in the order of needs. The mutex is held.
func (l *limiter) serve(got grant) {
	for n := callCreate; n <= callPoll; n++ {
		got.requests = l.hand(n, got.requests)
	}
	l.pool = append(l.pool, got.requests...)
	got.again = l.hand(again, got.again)
	got.fresh = l.hand(fresh, append(got.again, got.fresh...))
	life := l.limits.Create.life()
	for _, at := range got.fresh { // nobody waits any more
		l.spare = append(l.spare, permit{at: at, dies: at.Add(life)})
	}
}

// hand serves those who wait for n with departures, in the order they came,
// and returns what is left.
func (l *limiter) hand(n need, at []time.Time) []time.Time {
	for len(at) > 0 && len(l.waiting[n]) > 0 {
		a := l.waiting[n][0]
		l.waiting[n] = l.waiting[n][1:]
		some := min(a.limit, len(at))
		a.settle(at[:some:some], nil)
		at = at[some:]
	}
	return at
}
