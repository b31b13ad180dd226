package worker

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"rescreen/queue"
	"rescreen/store"
)

// How long a message rests before it is delivered again, by why the step
// ended. Deliveries are spread by ±20 % so that a cluster that comes back is
// not met by all of them at once.
const (
	// A stale read is over when the follower has caught up: milliseconds, or
	// a leader change, which took up to 7.4 s when measured.
	staleDelay = 2 * time.Second
	// staleAtMost is how long a read may be stale: far beyond what was seen.
	staleAtMost = time.Minute
	// Store trouble: long enough not to hammer, short against the 2 hours.
	troubleDelay = 5 * time.Second
	// Something nobody foresaw.
	puzzleDelay = 10 * time.Second
	// An earlier attempt takes seconds to hours to end.
	earlierDelay = 30 * time.Second
)

var (
	// errStopping is the cause with which the worker ends a step that can be
	// repeated by somebody else. It is not a failed attempt.
	errStopping = errors.New("worker is stopping")
	// errStale is returned when what was read cannot be what is: a wake-up
	// without a record, or a record of an attempt before the message's.
	errStale = errors.New("record is behind its message")
	// errEarlier is returned when a job is queued again while its earlier
	// attempt is still open.
	errEarlier = errors.New("earlier attempt is still open")
	// errMoved is returned when a commit found the record changed by somebody
	// else: start again from the record as it is now.
	errMoved = errors.New("record moved on")
	// errSuspect is returned for a message that was struck before, while this worker
	// tries another one that was.
	errSuspect = errors.New("another step that may kill the worker is under way")
	// errIllegal is returned for a transition that the table does not have: a
	// mistake in this package, never committed.
	errIllegal = errors.New("transition not in the table")
)

// An ending is what becomes of the message whose step has ended.
type ending struct {
	outcome string        // what logs, metrics and spans call it
	ack     bool          // else it is delivered again after delay
	delay   time.Duration // 0: at once, to another worker
	// orderly endings do not count against the message (law 10): the step is
	// done, or was stopped by something known to pass, not by its own content.
	orderly bool
	level   zapcore.Level // of the step's line in the log
}

// endingOf is the one switch from the error of a step to what happens to its
// message. Failures of the screening never come here: they are published and
// end in nil.
func endingOf(err error) ending {
	switch {
	case err == nil:
		return ending{outcome: stepDone, ack: true, orderly: true}
	case errors.Is(err, errStopping):
		return ending{outcome: "stopped", orderly: true}
	case errors.Is(err, errStale):
		return ending{outcome: "stale", delay: staleDelay, orderly: true}
	case errors.Is(err, errEarlier):
		return ending{outcome: "earlier", delay: earlierDelay, orderly: true}
	case errors.Is(err, errSuspect):
		return ending{outcome: "suspect", delay: staleDelay, orderly: true}
	case errors.Is(err, errUnknownState):
		// A newer worker takes it; this one keeps its hands off.
		return ending{outcome: "newer_state", delay: puzzleDelay, orderly: true, level: zapcore.WarnLevel}
	case isAny(err, errIllegal, store.ErrKey, store.ErrRefused, store.ErrCorrupt, queue.ErrTooLarge):
		// It will not pass. It comes back, is counted, and ends the job.
		return ending{outcome: "rejected", delay: puzzleDelay, level: zapcore.ErrorLevel}
	case errors.Is(err, errMoved), errors.Is(err, store.ErrConflict):
		// Contended more often than the step was willing to start again.
		return ending{outcome: "conflict", delay: staleDelay, orderly: true}
	default:
		// The interfaces in ports.go promise: any other error is trouble that
		// passes.
		return ending{outcome: "trouble", delay: troubleDelay, orderly: true, level: zapcore.WarnLevel}
	}
}

// settle ends the step of d: the only place where messages are acknowledged
// or given back, and where it is told what steps did. An acknowledgement that gets
// lost costs a repetition, which the record makes harmless.
func (w *Worker) settle(ctx context.Context, s *step, d *queue.Delivery, err error) {
	end := endingOf(err)
	w.counts.settled(end)
	if end.orderly && s.struck {
		s.unstrike(ctx)
	}
	again := jitter(end.delay, s.key.String(), int(d.Delivered))
	if end.ack {
		if err := d.Ack(); err != nil {
			s.log().Debug("acknowledgement lost", zap.Error(err))
		}
	} else if err := d.Nak(again); err != nil {
		s.log().Debug("message not given back, it comes again by itself", zap.Error(err))
	}
	w.observe(s, end, again, err)
}

// transient reports whether err is trouble that passes.
func transient(err error) bool {
	return err != nil && !errors.Is(err, errMoved) && endingOf(err).delay == troubleDelay
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
