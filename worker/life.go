package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"rescreen/queue"
	"rescreen/store"
)

// CreateClaim is how long a create call belongs to whoever committed the
// intent. A younger creating record is somebody's call under way; an older one
// is a call whose outcome nobody knows.
const CreateClaim = 20 * time.Second

// storeTimeout bounds one write or read of the store within a step. Commits go
// on under it when the worker is stopping: they record what has happened.
const storeTimeout = 15 * time.Second

// maxRestarts is how often a step starts again from a record that moved on
// under it, before it gives its message back.
const maxRestarts = 5

// A step is the work that one message starts: at most a few calls, at least
// one trace in the record or the schedule, then the message is settled.
type step struct {
	*Worker
	key     store.Key
	attempt int
	// message names the message that started the step, for law 10.
	message    string
	deliveries uint64 // of this message, this one included
	struck     bool   // a strike may have been written for this delivery
	bare       bool   // the result is published without its document
	alone      bool   // holds the worker's one place for suspects
	// tries is how often a wake-up for a create found no permit.
	tries int
	// tier is which slot the step holds, permit the one for a creation, if it came
	// with one: both were taken before the message was.
	tier   tier
	permit *permit
	// admitted is called, at most once, when the first call of the step has been
	// let out, or none will be for now.
	admitted func()
	sent     time.Time // when the last call was let out, server's time
	// shutUntil is when the upstream opens again that was closed on account of
	// the last call; zero if it was not.
	shutUntil time.Time
	// document holds the bytes fetched in this step, stored under their hash, so
	// that publishing need not read them back.
	document       []byte
	documentSHA256 string
	// stop ends as soon as the worker stops; what may be long in coming, like
	// a permit, is waited for under it.
	stop context.Context
	observation
}

func (w *Worker) newStep(stop context.Context, d *queue.Delivery) *step {
	return &step{
		Worker:     w,
		message:    fmt.Sprintf("%s:%d", d.Stream, d.Sequence),
		deliveries: d.Delivered,
		stop:       stop,
		admitted:   func() {},

		observation: observation{began: time.Now()},
	}
}

func (s *step) log() *zap.Logger {
	return s.logger.With(zap.String("batch", s.key.Batch), zap.String("job", s.key.Job), zap.Int("attempt", s.attempt))
}

func (s *step) redelivered() bool { return s.deliveries > 1 }

// intake is the step of a job message. Most jobs are new, so it commits the
// intent to create at once; a record that exists turns that into a conflict,
// and the record says what to do.
func (s *step) intake(ctx context.Context, d *queue.Delivery) error {
	s.ofJob = true
	ctx = s.startSpan(ctx, d, traceOf(d))
	batch, err := d.Batch()
	if err != nil {
		return fmt.Errorf("job message: %w", err)
	}
	job, err := queue.DecodeJob(d.Data)
	s.key = store.Key{Batch: string(batch), Job: string(job.ID)}
	s.attempt = max(job.Attempt, 1)
	if err != nil {
		return s.invalid(ctx, d, job, err)
	}
	fresh := Record{Attempt: s.attempt, CustomerRef: job.CustomerRef, Query: &job, Traceparent: traceOf(d), Stored: d.Stored}
	if !s.redelivered() {
		if err := s.create(ctx, fresh, 0); !errors.Is(err, errMoved) {
			return err
		}
	}
	return s.fromRecord(ctx, &fresh)
}

// traceOf is the trace context that a message brings. Whatever else stands in
// that header stays there: it would go into record, outcome and span.
func traceOf(d *queue.Delivery) string {
	if trace := d.Header.Get("traceparent"); queue.ValidTraceparent(trace) {
		return trace
	}
	return ""
}

// wakeup is the step of a wake-up that has come due. A session is polled
// without reading its record; everything else begins with the record.
func (s *step) wakeup(ctx context.Context, d *queue.Delivery) error {
	wk := decodeWake(d.Data)
	ctx = s.startSpan(ctx, d, wk.Trace)
	key, attempt, err := store.DueKey(d.Subject)
	if err != nil {
		return fmt.Errorf("wake-up: %w", err)
	}
	s.key, s.attempt = key, attempt
	s.tries = wk.Poll
	if s.redelivered() {
		if ended, err := s.strike(ctx, nil); ended || err != nil {
			return err
		}
	}
	if wk.Session == "" || wk.CreatedAt.IsZero() {
		return s.fromRecord(ctx, nil)
	}
	return s.poll(ctx, wk)
}

// fromRecord starts, or starts again, from the record as it is now. fresh is
// the record that a job message asks for; nil for a wake-up.
func (s *step) fromRecord(ctx context.Context, fresh *Record) error {
	if fresh != nil && s.redelivered() {
		if ended, err := s.strike(ctx, fresh); ended || err != nil {
			return err
		}
	}
	for range maxRestarts {
		rec, seq, err := s.load(ctx)
		switch {
		case errors.Is(err, store.ErrNotFound) && fresh != nil:
			err = s.create(ctx, *fresh, 0)
		case errors.Is(err, store.ErrNotFound):
			return s.recordless(ctx)
		case err != nil:
			return err
		default:
			err = s.advance(ctx, rec, seq, fresh)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return errMoved
}

// advance does what the record asks for: the table of the design.
func (s *step) advance(ctx context.Context, rec Record, seq uint64, fresh *Record) error {
	switch {
	case rec.Attempt > s.attempt:
		return nil // a later attempt has taken over
	case rec.Attempt < s.attempt:
		return s.fromEarlier(ctx, rec, seq, fresh)
	}
	now := s.clock.Now()
	switch {
	case rec.State == Queued && fresh == nil && !now.Before(rec.NotBefore):
		return s.create(ctx, rec, seq)
	case rec.State == Creating && !now.Before(rec.Since.Add(CreateClaim)):
		return s.createAgain(ctx, rec, seq)
	}
	return s.follow(ctx, rec, seq)
}

// fromEarlier handles a message of a later attempt than the record's. A failed
// attempt makes way once its outcome is out; a done one never does; an open
// one is still running, or the read was stale.
func (s *step) fromEarlier(ctx context.Context, rec Record, seq uint64, fresh *Record) error {
	switch {
	case fresh != nil && rec.State == Failed:
		before := *s
		before.attempt = rec.Attempt
		if err := before.publish(ctx, rec); err != nil {
			return err
		}
		return s.create(ctx, *fresh, seq)
	case fresh != nil && rec.State == Done:
		s.log().Warn("job has its result already, later attempt dropped", zap.Int("done_attempt", rec.Attempt))
		return nil
	case fresh != nil:
		return errEarlier
	}
	return errStale
}

// follow does what a record implies (law 3): the next wake-up of an open job,
// the outcome of an ended one. A session past its deadline gets its poll, too:
// what the API says then decides.
func (s *step) follow(ctx context.Context, rec Record, seq uint64) error {
	switch rec.State {
	case Queued:
		return s.park(ctx, wakeFor(rec, seq), rec.NotBefore)
	case Creating:
		return s.park(ctx, wakeFor(rec, seq), rec.Since.Add(CreateClaim))
	case Waiting:
		return s.parkPoll(ctx, wakeFor(rec, seq), 0)
	case Done, Failed:
		return s.publish(ctx, rec)
	}
	return errUnknownState
}

// end commits the failed record and publishes its outcome.
func (s *step) end(ctx context.Context, from, failed Record, seq uint64) error {
	seq, err := s.commit(ctx, from, failed, seq)
	if err != nil {
		return err
	}
	return s.follow(ctx, failed, seq)
}

// invalid ends a job message that cannot be a job. Its failure is addressed by
// its place in the stream and not by the id it claims: under that id a good job
// may be on its way, which must not find its place taken.
func (s *step) invalid(ctx context.Context, d *queue.Delivery, job queue.Job, problem error) error {
	s.key.Job = fmt.Sprintf("invalid-%d", d.Sequence)
	message := problem.Error()
	if job.ID != "" {
		message = fmt.Sprintf("%s (it claims the id %s)", message, job.ID)
	}
	bad := Record{Attempt: s.attempt, CustomerRef: job.CustomerRef, Traceparent: traceOf(d)}
	err := s.end(ctx, bad, bad.fail(s.clock.Now(), queue.InvalidJob, 0, message), 0)
	if !errors.Is(err, errMoved) {
		return err
	}
	rec, seq, err := s.load(ctx)
	if err != nil {
		return err
	}
	if rec.State != Failed || rec.Failure.Reason != queue.InvalidJob { // else this message came before
		s.log().Error("message is no job, and a job has the id its failure would have", zap.String("problem", message))
	}
	return s.follow(ctx, rec, seq)
}

// recordless handles a wake-up whose job has no record. The read may be stale;
// when it stays so the record was lost, and since only a compare-and-set on
// "nothing there" can say so, that is how the job is failed.
func (s *step) recordless(ctx context.Context) error {
	if s.deliveries <= maxStrikes {
		return errStale
	}
	lost := Record{Attempt: s.attempt}
	return s.end(ctx, lost, lost.fail(s.clock.Now(), queue.InternalError, 0, "the record of this job is lost"), 0)
}

// strike counts a delivery that finds the record as the last one of the same
// message left it (law 10), before anything is done that might kill the worker
// once more. It leaves a creating record alone: that one is somebody's call,
// and its own re-creations bound it. A job that is done cannot fail any more; what
// is left out then is the one part of its result that anybody else has written.
// ended says that nothing is left to do.
func (s *step) strike(ctx context.Context, fresh *Record) (ended bool, err error) {
	rec, seq, err := s.load(ctx)
	switch {
	case errors.Is(err, store.ErrNotFound) && fresh != nil:
		rec, seq = *fresh, 0
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case rec.Attempt != s.attempt, rec.State != Queued && rec.State != Waiting && rec.State != Done:
		return false, nil
	}
	next := rec
	next.Strikes = &Strikes{Message: s.message, Count: 1}
	if rec.Strikes != nil && rec.Strikes.Message == s.message {
		next.Strikes.Count = rec.Strikes.Count + 1
	}
	if next.Strikes.Count > maxStrikes && rec.State == Done {
		s.log().Error("result could not be published with its document, published without", zap.Int("deliveries", next.Strikes.Count))
		s.bare = true
		return false, nil
	}
	if next.Strikes.Count > maxStrikes {
		s.log().Error("step never ends, job given up", zap.Int("deliveries", next.Strikes.Count))
		return true, s.end(ctx, rec, rec.fail(s.clock.Now(), queue.InternalError, 0, "a step of this job was started again and again and never ended"), seq)
	}
	if next.Strikes.Count > 1 && !s.alone {
		// It may have been the others around it: what was struck before is tried
		// without others of its like, so that each death tells of one job.
		if s.alone = s.suspects.TryLock(); !s.alone {
			return false, errSuspect
		}
	}
	if rec.State == none {
		next.State, next.Since, next.NotBefore = Queued, s.clock.Now(), s.clock.Now()
	}
	s.struck = true // also when the outcome of the commit is unknown
	if _, err := s.commit(ctx, rec, next, seq); err != nil && !errors.Is(err, errMoved) {
		return false, err
	}
	return false, nil
}

// unstrikePatience is for how long taking a strike back is tried again.
const unstrikePatience = 3 * time.Second

// unstrike takes the strike of an orderly ended delivery back. One that stays
// brings the count closer to its bound by one, so it is tried more than once:
// what made the step end early is often trouble with the store.
func (s *step) unstrike(ctx context.Context) {
	began := time.Now()
	err := s.takeStrikeBack(ctx)
	for transient(err) && time.Since(began) < unstrikePatience && wait(s.stop, troublePause) == nil {
		err = s.takeStrikeBack(ctx)
	}
	if err != nil {
		s.log().Debug("strike stays", zap.Error(err))
	}
}

func (s *step) takeStrikeBack(ctx context.Context) error {
	rec, seq, err := s.load(ctx)
	if err != nil || rec.State == Failed || rec.Strikes == nil || rec.Strikes.Message != s.message {
		return err
	}
	next := rec
	next.Strikes = nil
	_, err = s.commit(ctx, rec, next, seq)
	return err
}

// load reads the record of the step's job.
func (s *step) load(ctx context.Context) (Record, uint64, error) {
	ctx, cancel := lasting(ctx, storeTimeout)
	defer cancel()
	stored, err := s.ledger.Load(ctx, s.key)
	if err != nil {
		return Record{}, 0, fmt.Errorf("load record: %w", err)
	}
	rec, err := decodeRecord(stored.Value)
	s.state = rec.State
	return rec, stored.Seq, err
}

// commit replaces the record from, stored at seq, by to. It goes on while the
// worker is stopping: what it writes has happened.
func (s *step) commit(ctx context.Context, from, to Record, seq uint64) (uint64, error) {
	newAttempt := from.State == none && seq > 0 // over a failed earlier attempt
	if !allowed(from.State, to.State) && !newAttempt && !counted(from, to) {
		return 0, fmt.Errorf("%s to %s: %w", from.State, to.State, errIllegal)
	}
	value, err := json.Marshal(to)
	if err != nil {
		return 0, fmt.Errorf("encode record: %w", err)
	}
	ctx, cancel := lasting(ctx, storeTimeout)
	defer cancel()
	next, err := s.ledger.Commit(ctx, s.key, value, seq, to.State.terminal())
	if errors.Is(err, store.ErrConflict) {
		s.counts.conflicts.Add(1)
		return 0, fmt.Errorf("commit %s record: %w", to.State, errMoved)
	}
	if err != nil {
		return 0, fmt.Errorf("commit %s record: %w", to.State, err)
	}
	s.committed(from, to)
	return next, nil
}

// committed notes a change of the record.
func (s *step) committed(from, to Record) {
	s.counts.commits.Add(1)
	s.metrics.changed(from, to)
	s.recorded(to.State)
	s.state = to.State
	s.ended = s.ended || to.State.terminal() && !counted(from, to)
	if to.State == Creating {
		s.did(createStep)
	}
}

// counted reports whether a change only counts a strike of a done job, or takes one
// back.
func counted(from, to Record) bool { return from.State == Done && to.State == Done }

// park sets the job's next wake-up to the time at.
func (s *step) park(ctx context.Context, wk wake, at time.Time) error {
	if wk.Trace == "" {
		wk.Trace = s.origin
	}
	value, err := wk.encode()
	if err != nil {
		return err
	}
	ctx, cancel := lasting(ctx, storeTimeout)
	defer cancel()
	if err := s.wakes.Park(ctx, store.Wake{Key: s.key, Attempt: s.attempt, At: at, Value: value, Traceparent: s.traceparent()}); err != nil {
		return fmt.Errorf("park wake-up: %w", err)
	}
	s.next = at
	return nil
}

// lasting is a context that outlives the worker's stop, but not by more than d.
func lasting(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
