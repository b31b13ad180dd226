package worker

import (
	"context"
	"errors"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
)

const (
	// maxMissing early 404 answers to a poll, missingDelay apart, make a
	// session not found.
	maxMissing   = 3
	missingDelay = 30 * time.Second

	// repeatPause is until the next try of a call that was kept back because too
	// many calls are repetitions.
	repeatPause = 20 * time.Second
)

// poll asks the API once how far the session is, without reading the record,
// and collects what is ready.
func (s *step) poll(ctx context.Context, wk wake) error {
	s.session = wk.Session
	s.did(pollStep)
	session, err := s.sessions.Session(ctx, s.admitPoll(wk), wk.ref())
	s.told(Poll, wk.Unanswered > 0, err)
	if err != nil {
		return s.pollFailed(ctx, wk, err)
	}
	s.counts.polls.Add(1)
	wk.Poll++
	wk.Missing = 0
	// A session may fail with its document ready: then that is collected first.
	if session.Failed() && session.Document.State() != apiclient.EntityReady {
		return s.giveUp(ctx, wk, queue.SessionFailed, 0, "the session ended as "+literal(session.Status))
	}
	return s.collect(ctx, wk, session)
}

// pollFailed sorts out a poll without a usable answer. None of it is the
// screening's failure, except that the session is gone.
func (s *step) pollFailed(ctx context.Context, wk wake, err error) error {
	if stopped(ctx) || errors.Is(err, errStopping) {
		return errStopping
	}
	if notLetOut(err) {
		return s.heldBack(ctx, wk, err)
	}
	s.counts.polls.Add(1)
	kind, _ := apiclient.KindOf(err)
	if kind != apiclient.NotReady {
		s.callErr = err
	}
	if !s.shutUntil.IsZero() {
		return s.pollFrom(ctx, wk, s.shutUntil)
	}
	switch kind {
	case apiclient.Gone:
		return s.gone(ctx, wk, err)
	case apiclient.NotReady:
		wk.Answered, wk.Unanswered = s.clock.Now(), 0
	default:
		wk.Unanswered++
	}
	wk.Poll++
	return s.nextPoll(ctx, wk, retryAfter(err))
}

// literal is a status of the API as a failure's message may quote it: foreign
// text that is not a plain word may be anything, a person's data included.
func literal(status string) string {
	plain := len(status) <= 40
	for _, r := range status {
		plain = plain && (r == '_' || r == '-' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
	}
	if !plain || status == "" {
		return "a status that is no plain word"
	}
	return status
}

// gone handles a session the API does not know. If its results may have
// perished it has expired, else it may not be there yet.
func (s *step) gone(ctx context.Context, wk wake, err error) error {
	if s.clock.Now().Sub(wk.Answered) >= s.cfg.ResultLifetime {
		return s.expired(ctx, wk)
	}
	wk.Missing++
	if wk.Missing < maxMissing {
		wk.Poll++
		return s.nextPoll(ctx, wk, missingDelay)
	}
	return s.giveUp(ctx, wk, queue.SessionNotFound, statusOf(err), "the API does not know the session")
}

// expired handles results that perished before they were fetched: what is
// stored already makes a result, else the session is created anew.
func (s *step) expired(ctx context.Context, wk wake) error {
	return s.conclude(ctx, wk, func(rec Record) Record {
		now := s.clock.Now()
		if rec.Document != nil {
			return rec.finish(now, wk.Poll, rec.Document, &Report{State: queue.ReportExpired})
		}
		again := rec.Expiries < maxExpiries
		rec = rec.expire()
		if rec.Polls = 0; !again {
			rec.Polls = wk.Poll // of the last one
			return rec.fail(now, queue.ResultExpired, 0, "the results of every session perished before they could be fetched")
		}
		return rec.queueAgain(now, now)
	})
}

// nextPoll parks the next poll after wait (0: as planned), unless the session
// has had its time.
func (s *step) nextPoll(ctx context.Context, wk wake, wait time.Duration) error {
	if !s.clock.Now().Before(s.deadline(wk)) {
		return s.giveUp(ctx, wk, queue.SessionTimeout, 0, "the session was not ready by its deadline")
	}
	return s.parkPoll(ctx, wk, wait)
}

// parkPoll parks the next poll after wait (0: as planned), at the latest for
// the session's deadline.
func (s *step) parkPoll(ctx context.Context, wk wake, wait time.Duration) error {
	if wait <= 0 {
		wait = s.plan.Delay(s.key.String(), wk.Poll)
	}
	at := s.clock.Now().Add(wait)
	if deadline := s.deadline(wk); at.After(deadline) {
		at = deadline
	}
	return s.park(ctx, wk, at)
}

func (s *step) deadline(wk wake) time.Time { return wk.CreatedAt.Add(s.cfg.SessionDeadline) }

// pollFrom parks the next poll for when the upstream opens again, spread so
// that not all sessions come back in the same second. A session whose deadline
// passes meanwhile gets its poll all the same.
func (s *step) pollFrom(ctx context.Context, wk wake, opens time.Time) error {
	return s.park(ctx, wk, later(opens, s.clock.Now()).Add(s.plan.Delay(s.key.String(), 0)))
}

// heldBack parks the poll of a step whose call was not let out.
func (s *step) heldBack(ctx context.Context, wk wake, err error) error {
	var closed *ClosedError
	if errors.As(err, &closed) {
		return s.pollFrom(ctx, wk, closed.Until)
	}
	return s.park(ctx, wk, s.clock.Now().Add(jitter(repeatPause, s.key.String(), wk.Poll)))
}

// complete makes the result: the record says done with what is stored.
func (s *step) complete(ctx context.Context, wk wake, report *Report) error {
	return s.conclude(ctx, wk, func(rec Record) Record {
		return rec.finish(s.clock.Now(), wk.Poll, wk.Document, report)
	})
}

// reportWithout is what has become of the report when a session ends for the
// reason after its document was stored.
var reportWithout = map[queue.Reason]queue.ReportState{
	queue.SessionFailed:   queue.ReportFailed,
	queue.SessionNotFound: queue.ReportExpired,
	queue.SessionTimeout:  queue.ReportLate,
}

// giveUp ends a session that will bring nothing more: as a failure, or, when
// its document is stored, as a result without a report. The record is asked
// for the document, because a wake-up may be older than what it says.
func (s *step) giveUp(ctx context.Context, wk wake, reason queue.Reason, status int, message string) error {
	return s.conclude(ctx, wk, func(rec Record) Record {
		rec.Polls = wk.Poll
		if state, ok := reportWithout[reason]; ok && rec.Document != nil {
			return rec.finish(s.clock.Now(), wk.Poll, rec.Document, &Report{State: state})
		}
		return rec.fail(s.clock.Now(), reason, status, message)
	})
}

// conclude changes the record of the polled session and does what follows.
func (s *step) conclude(ctx context.Context, wk wake, change func(Record) Record) error {
	rec, seq, ours, err := s.update(ctx, wk, change)
	if err != nil || !ours {
		return err
	}
	return s.follow(ctx, rec, seq)
}

// update changes the record of the polled session. The wake-up alone is not
// enough to go by: the record is read, and must still wait for this session.
// When it does not, what it asks for instead is done and ours is false.
func (s *step) update(ctx context.Context, wk wake, change func(Record) Record) (rec Record, seq uint64, ours bool, err error) {
	for range maxRestarts {
		rec, seq, err = s.load(ctx)
		if errors.Is(err, store.ErrNotFound) {
			return rec, 0, false, s.recordless(ctx)
		}
		if err != nil {
			return rec, 0, false, err
		}
		if rec.State != Waiting || rec.Attempt != s.attempt || rec.Session != wk.Session {
			err = s.advance(ctx, rec, seq, nil)
			if errors.Is(err, errMoved) {
				continue
			}
			return rec, 0, false, err
		}
		next := change(rec)
		seq, err = s.commit(ctx, rec, next, seq)
		if !errors.Is(err, errMoved) {
			return next, seq, err == nil, err
		}
	}
	return rec, 0, false, err
}

// stopped reports whether the worker has ended the step to stop.
func stopped(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), errStopping)
}

// retryAfter is what the answer behind err asks for; 0 when it does not.
func retryAfter(err error) time.Duration {
	var api *apiclient.Error
	if errors.As(err, &api) {
		return api.RetryAfter
	}
	return 0
}
