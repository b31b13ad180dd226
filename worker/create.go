package worker

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
)

// How often a session may be created anew within one attempt.
const (
	maxExpiries    = 2 // after results that perished
	maxRecreations = 3 // after calls of unknown outcome
)

// idPatience is how long what was paid for and cannot be written down is kept.
const idPatience = 10 * time.Minute

// claimMargin is kept at the end of a claim for writing down what came of it.
const claimMargin = time.Second

// doubtPatience is how long after a call of unknown outcome the next one waits,
// by how many calls of the job were repeated already: the first is repeated at
// once, and the last chance is kept until a longer trouble is over.
func doubtPatience(recreations int) time.Duration {
	switch recreations {
	case 0:
		return 0
	case 1:
		return time.Minute
	}
	return 15 * time.Minute
}

// create makes a session for the job whose record is from, stored at seq (0:
// no record yet): the intent first, then the call, then its outcome.
func (s *step) create(ctx context.Context, from Record, seq uint64) error {
	if from.added.in("query") != nil {
		return errUnknownState // a newer worker knows what is to be bought
	}
	if from.Query.TestNumber() && !s.cfg.AllowTestNumbers {
		refused := &queue.JobError{Member: "ssn", Problem: "is a synthetic or aid number, which this environment refuses"}
		return s.end(ctx, from, from.fail(s.clock.Now(), queue.InvalidJob, 0, refused.Error()), seq)
	}
	if err := s.reserve(); err != nil {
		return s.createLater(ctx, from, seq, err)
	}
	claimed := time.Now()
	intent := from.startCreating(s.clock.Now())
	seq, err := s.commit(ctx, from, intent, seq)
	if err != nil {
		s.dropPermit()
		return err
	}
	return s.call(ctx, intent, seq, claimed.Add(CreateClaim))
}

// createAgain handles a call whose outcome nobody knows: by setting it is
// repeated, flagged and counted, or the job fails.
func (s *step) createAgain(ctx context.Context, rec Record, seq uint64) error {
	if rec.added.in("query") != nil {
		return errUnknownState
	}
	if s.cfg.OnUnknown == FailUnknown || rec.Recreations >= maxRecreations {
		rec.PossibleDuplicate = true
		return s.end(ctx, rec, rec.fail(s.clock.Now(), queue.CreateUnknown, 0,
			"a create call was made and its outcome is unknown"), seq)
	}
	if earliest := rec.Since.Add(doubtPatience(rec.Recreations)); s.clock.Now().Before(earliest) {
		return s.park(ctx, wakeFor(rec, seq), later(earliest, rec.Since.Add(CreateClaim)))
	}
	if err := s.reserve(); err != nil {
		return s.createLater(ctx, rec, seq, err)
	}
	claimed := time.Now()
	again := rec.startCreating(s.clock.Now())
	again.Recreations++
	again.PossibleDuplicate = true
	seq, err := s.commit(ctx, rec, again, seq)
	if err != nil {
		s.dropPermit()
		return err
	}
	s.counts.recreations.Add(1)
	s.log().Warn("session created again after an unknown outcome", zap.Int("recreations", again.Recreations))
	return s.call(ctx, again, seq, claimed.Add(CreateClaim))
}

// createLater parks a job that may not create now: the upstream is closed, or
// no permit came in time. A job without a record goes back to its stream.
func (s *step) createLater(ctx context.Context, rec Record, seq uint64, why error) error {
	var closed *ClosedError
	now := s.clock.Now()
	at := now.Add(s.limiter.patience())
	switch {
	case errors.As(why, &closed):
		at = closed.Until
	case !errors.Is(why, errNoPermit):
		return why
	}
	if rec.State == none {
		queued := rec.queueAgain(now, at)
		newSeq, err := s.commit(ctx, rec, queued, seq)
		if err != nil {
			return err
		}
		rec, seq = queued, newSeq
	}
	if rec.State == Creating {
		at = later(at, rec.Since.Add(CreateClaim))
	}
	wk := wakeFor(rec, seq)
	wk.Poll = s.tries + 1
	return s.park(ctx, wk, at.Add(s.plan.Delay(s.key.String(), s.tries)))
}

// call makes the create call of a committed intent and commits what came of
// it. The call is never cut short by a stop: an answer not waited for would be
// an unknown outcome.
func (s *step) call(ctx context.Context, rec Record, seq uint64, claimEnds time.Time) error {
	// A process that was paused since the commit may have lost its claim. The
	// monotonic clock tells, and the deadline keeps the call inside the claim.
	if time.Until(claimEnds)-claimMargin < s.cfg.PostTimeout/2 {
		s.dropPermit()
		return s.notCreated(ctx, rec, seq, errLateClaim)
	}
	postCtx, cancel := lasting(ctx, time.Until(claimEnds)-claimMargin)
	defer cancel()
	id, err := s.sessions.CreateSession(postCtx, s.admitCreate(claimEnds), queryOf(rec.Query))
	s.told(Create, false, err)
	if err == nil {
		return s.created(ctx, rec, seq, id)
	}
	if !notLetOut(err) && !errors.Is(err, errStopping) {
		s.callErr = err
	}
	switch kind, _ := apiclient.KindOf(err); kind {
	case apiclient.Refused:
		status, message := whatWasSaid(err)
		return s.end(ctx, rec, rec.fail(s.clock.Now(), queue.RequestRejected, status, message), seq)
	case apiclient.NotSent, apiclient.Throttled, apiclient.Denied, apiclient.Misconfigured, apiclient.Unavailable:
		return s.notCreated(ctx, rec, seq, err)
	default:
		s.counts.unknowns.Add(1)
		s.log().Warn("outcome of a create call is unknown", zap.Error(err))
		return s.createAgain(ctx, rec, seq)
	}
}

// created commits the session id. When the claim was lost meanwhile, the
// session belongs to nobody; it is written into the record it lost against.
func (s *step) created(ctx context.Context, rec Record, seq uint64, id apiclient.SessionID) error {
	s.counts.created.Add(1)
	s.session = id
	waiting := rec.startWaiting(s.clock.Now(), id)
	newSeq, err := s.commit(ctx, rec, waiting, seq)
	// While the store is away nobody else can take the job over: the id is kept
	// and written down when it is back, unless the worker has to stop.
	for tried := time.Now(); transient(err) && time.Since(tried) < idPatience && wait(s.stop, troublePause) == nil; {
		newSeq, err = s.commit(ctx, rec, waiting, seq)
	}
	if errors.Is(err, errMoved) {
		return s.orphaned(ctx, rec, id)
	}
	if err != nil {
		// Paid for and not written down: whoever finds the record later has to
		// call it unknown. The id in the log is what a person can go by.
		s.log().Error("session id could not be stored", zap.String("session", string(id)), zap.Error(err))
		return err
	}
	return s.follow(ctx, waiting, newSeq)
}

// orphaned records a session that nobody polls in the record of its job, and
// goes on from there. A record that is gone, with its stream or by itself, is
// put back as the intent that the session was created for.
func (s *step) orphaned(ctx context.Context, intent Record, id apiclient.SessionID) error {
	var err error
	for range maxRestarts {
		var rec Record
		var seq uint64
		rec, seq, err = s.load(ctx)
		if errors.Is(err, store.ErrNotFound) {
			if seq, err = s.commit(ctx, Record{}, intent, 0); err == nil {
				s.log().Warn("record was lost, put back with its session", zap.String("session", string(id)))
				waiting := intent.startWaiting(s.clock.Now(), id)
				if seq, err = s.commit(ctx, intent, waiting, seq); err == nil {
					return s.follow(ctx, waiting, seq)
				}
			}
			if errors.Is(err, errMoved) {
				continue
			}
		}
		if err != nil {
			break
		}
		if rec.knows(id) { // its commit was stored, and somebody has written on top of it
			return s.advance(ctx, rec, seq, nil)
		}
		if rec.Attempt == s.attempt && !rec.State.terminal() {
			kept := rec.withOrphan(id)
			if seq, err = s.commit(ctx, rec, kept, seq); errors.Is(err, errMoved) {
				continue
			}
			if err != nil {
				break
			}
			rec = kept
		}
		s.counts.orphans.Add(1)
		s.log().Warn("session created in vain, its job went on without it", zap.String("session", string(id)), zap.String("state", string(rec.State)))
		return s.advance(ctx, rec, seq, nil)
	}
	s.log().Error("orphaned session could not be stored", zap.String("session", string(id)), zap.Error(err))
	return err
}

// notCreated queues the job again: the call provably created nothing.
func (s *step) notCreated(ctx context.Context, rec Record, seq uint64, why error) error {
	now := s.clock.Now()
	tries := rec.NotCreated
	if notLetOut(why) {
		tries = 0 // nothing was tried
	}
	at := later(s.shutUntil, now.Add(s.plan.Delay(s.key.String(), tries)))
	var closed *ClosedError
	if errors.As(why, &closed) {
		at = later(at, closed.Until)
	}
	if notLetOut(why) {
		s.log().Debug("creation not let out, tried again later", zap.Error(why), zap.Time("at", at))
	}
	queued := rec.queueAgain(now, at)
	if !notLetOut(why) {
		s.counts.notCreated.Add(1)
		queued.NotCreated++
	}
	seq, err := s.commit(ctx, rec, queued, seq)
	if errors.Is(err, errMoved) {
		return s.fromRecord(ctx, nil)
	}
	if err != nil {
		return err
	}
	return s.follow(ctx, queued, seq)
}

func queryOf(j *queue.Job) apiclient.Query {
	return apiclient.Query{
		Country:     j.Country,
		FirstName:   j.FirstName,
		LastName:    j.LastName,
		DateOfBirth: j.DateOfBirth,
		SSN:         j.SSN,
		SSNCountry:  string(j.SSNCountry),
		Language:    j.Language,
		Expands:     j.Expands,
		Report:      j.Report,
	}
}

// whatWasSaid is what the answer to a create call adds to a failure: its status,
// and its message, in which the client has masked whatever the query held.
// Messages of other calls are not quoted: what to mask is not known there.
func whatWasSaid(err error) (status int, message string) {
	var api *apiclient.Error
	if errors.As(err, &api) {
		return api.Status, api.Message
	}
	return 0, ""
}

// statusOf is the API's status behind err; 0 when there was no answer.
func statusOf(err error) int {
	status, _ := whatWasSaid(err)
	return status
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
