package worker

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/queue"
)

// How often a session may be created anew within one attempt.
const (
	maxExpiries    = 2 // after results that perished
	maxRecreations = 3 // after calls of unknown outcome
)

// idPatience is how long a session id that cannot be written down is kept.
const idPatience = 10 * time.Minute

// permitPatience is how long a step that finds itself in need of a create
// permit waits for one before it parks: it holds a slot meanwhile, and fetches
// must not starve behind creates.
const permitPatience = 3 * time.Second

// create makes a session for the job whose record is from, stored at seq (0:
// no record yet): the intent first, then the call, then its outcome.
func (s *step) create(ctx context.Context, from Record, seq uint64) error {
	if from.Query.TestNumber() && !s.cfg.AllowTestNumbers {
		refused := &queue.JobError{Member: "ssn", Problem: "is a synthetic or aid number, which this environment refuses"}
		return s.end(ctx, from, from.fail(s.clock.Now(), queue.InvalidJob, 0, refused.Error()), seq)
	}
	if err := s.permitted(Create); err != nil {
		return s.createLater(ctx, from, seq, err)
	}
	claimed := time.Now()
	intent := from.startCreating(s.clock.Now())
	seq, err := s.commit(ctx, from, intent, seq)
	if err != nil {
		s.permits.Return(Create, s.takeHeld(Create))
		return err
	}
	return s.call(ctx, intent, seq, claimed.Add(CreateClaim))
}

// createAgain handles a call whose outcome nobody knows: by setting it is
// repeated, flagged and counted, or the job fails.
func (s *step) createAgain(ctx context.Context, rec Record, seq uint64) error {
	if s.cfg.OnUnknown == FailUnknown || rec.Recreations >= maxRecreations {
		rec.PossibleDuplicate = true
		return s.end(ctx, rec, rec.fail(s.clock.Now(), queue.CreateUnknown, 0,
			"a create call was made and its outcome is unknown"), seq)
	}
	if err := s.permitted(Create); err != nil {
		return s.createLater(ctx, rec, seq, err)
	}
	claimed := time.Now()
	again := rec.startCreating(s.clock.Now())
	again.Recreations++
	again.PossibleDuplicate = true
	seq, err := s.commit(ctx, rec, again, seq)
	if err != nil {
		s.permits.Return(Create, s.takeHeld(Create))
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
	at := now.Add(permitPatience)
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
	left := time.Until(claimEnds) - time.Second
	if left < s.cfg.PostTimeout/2 {
		return s.notCreated(ctx, rec, seq, &apiclient.Error{Op: "create", Kind: apiclient.NotSent, Message: "paused between intent and call"})
	}
	s.takeHeld(Create)
	postCtx, cancel := lasting(ctx, min(s.cfg.PostTimeout, left))
	defer cancel()
	id, err := s.sessions.CreateSession(postCtx, queryOf(rec.Query))
	if err == nil {
		return s.created(ctx, rec, seq, id)
	}
	kind, _ := apiclient.KindOf(err)
	log := s.log()
	switch kind {
	case apiclient.Refused:
		status, message := whatWasSaid(err)
		log.Info("session refused", zap.Error(err))
		return s.end(ctx, rec, rec.fail(s.clock.Now(), queue.RequestRejected, status, message), seq)
	case apiclient.NotSent, apiclient.Throttled, apiclient.Denied, apiclient.Misconfigured, apiclient.Unavailable:
		return s.notCreated(ctx, rec, seq, err)
	default:
		s.counts.unknowns.Add(1)
		log.Warn("outcome of a create call is unknown", zap.Error(err))
		return s.createAgain(ctx, rec, seq)
	}
}

// created commits the session id. When the claim was lost meanwhile, the
// session belongs to nobody; it is written into the record it lost against.
func (s *step) created(ctx context.Context, rec Record, seq uint64, id apiclient.SessionID) error {
	s.counts.created.Add(1)
	waiting := rec.startWaiting(s.clock.Now(), id)
	newSeq, err := s.commit(ctx, rec, waiting, seq)
	// While the store is away nobody else can take the job over: the id is kept
	// and written down when it is back, unless the worker has to stop.
	for tried := time.Now(); transient(err) && time.Since(tried) < idPatience && wait(s.stop, troublePause) == nil; {
		newSeq, err = s.commit(ctx, rec, waiting, seq)
	}
	if errors.Is(err, errMoved) {
		return s.orphaned(ctx, id)
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
// goes on from there.
func (s *step) orphaned(ctx context.Context, id apiclient.SessionID) error {
	var err error
	for range maxRestarts {
		var rec Record
		var seq uint64
		if rec, seq, err = s.load(ctx); err != nil {
			break
		}
		if rec.Session == id { // its commit was stored, and somebody has written on top of it
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

// notCreated queues the job again: the call provably created nothing. What the
// answer says about everybody's calls closes the upstream first.
func (s *step) notCreated(ctx context.Context, rec Record, seq uint64, why error) error {
	now := s.clock.Now()
	at := now.Add(s.plan.Delay(s.key.String(), rec.NotCreated))
	if until, closes := s.closes(why); closes {
		at = later(at, until)
	}
	s.counts.notCreated.Add(1)
	s.log().Info("session not created, tried again later", zap.Error(why), zap.Time("at", at))
	queued := rec.queueAgain(now, at)
	queued.NotCreated++
	seq, err := s.commit(ctx, rec, queued, seq)
	if errors.Is(err, errMoved) {
		return s.fromRecord(ctx, nil)
	}
	if err != nil {
		return err
	}
	return s.follow(ctx, queued, seq)
}

// closes shuts the upstream for everybody when err is about all calls and not
// about this job, and returns until when.
func (s *step) closes(err error) (until time.Time, closes bool) {
	var api *apiclient.Error
	if !errors.As(err, &api) {
		return time.Time{}, false
	}
	wait := api.RetryAfter
	switch api.Kind {
	case apiclient.Throttled:
		if wait <= 0 {
			wait = s.cfg.ThrottledPause
		}
	case apiclient.Denied, apiclient.Misconfigured:
		wait = max(wait, s.cfg.DeniedPause)
		s.log().Error("the API does not let us in: check credentials, scopes and addresses", zap.Error(err), zap.Duration("closed_for", wait))
	default:
		return time.Time{}, false
	}
	until = s.clock.Now().Add(wait)
	s.permits.Close(until)
	return until, true
}

// errNoPermit is returned by permitted when none came in time.
var errNoPermit = errors.New("no permit in time")

// permitted takes a permit of the class unless the step came with one. Only
// creates give up: for fetches and polls there is nothing to go back to. A
// create needs a slot of its kind besides.
func (s *step) permitted(c Class) error {
	if s.permit[c] > 0 {
		return nil
	}
	ctx := s.stop
	if c == Create {
		s.permits.Return(Poll, s.takeHeld(Poll))
		if !s.mayCreate() {
			return errNoPermit
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, permitPatience, errNoPermit)
		defer cancel()
	}
	n, err := s.permits.Take(ctx, c, 1)
	s.permit[c] += n
	if s.stop.Err() != nil {
		return errStopping
	}
	return err
}

// mayCreate makes the step's slot one for creates, if one of those is free.
func (s *step) mayCreate() bool {
	if s.tier == collecting && s.slots.raise() {
		s.tier = creating
	}
	return s.tier != collecting
}

// takeHeld uses up the permits of the class that the step came with.
func (s *step) takeHeld(c Class) int {
	n := s.permit[c]
	s.permit[c] = 0
	return n
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
