package worker

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient"
)

// reserve takes a permit to create unless the step came with one. It gives up
// after a while. A create needs a slot of its kind besides.
func (s *step) reserve() error {
	if s.permit != nil {
		return nil
	}
	s.admitted() // what it waits for is no poll
	if !s.mayCreate() {
		return errNoPermit
	}
	ctx, cancel := context.WithTimeoutCause(s.stop, s.limiter.patience(), errNoPermit)
	defer cancel()
	asked := time.Now()
	got, err := s.limiter.reserve(ctx, again, 1)
	if s.stop.Err() != nil {
		s.limiter.giveBack(got...)
		return errStopping
	}
	if err != nil {
		return err
	}
	s.permit, s.waited = &got[0], time.Since(asked)
	return nil
}

// mayCreate makes the step's slot one for creates, if one of those is free.
func (s *step) mayCreate() bool {
	if s.tier == collecting && s.slots.raise() {
		s.tier = creating
		s.creations.Add(1)
	}
	return s.tier != collecting
}

// takePermit takes the permit from the step; nil if it has none.
func (s *step) takePermit() *permit {
	p := s.permit
	s.permit = nil
	return p
}

// dropPermit gives the step's permit to others, if it has one.
func (s *step) dropPermit() {
	if p := s.takePermit(); p != nil {
		s.limiter.giveBack(*p)
	}
}

// admitPoll and admitFetch let a poll and a fetch out.
func (s *step) admitPoll(wk wake) apiclient.Admit  { return s.admitCall(Poll, wk) }
func (s *step) admitFetch(wk wake) apiclient.Admit { return s.admitCall(Fetch, wk) }

func (s *step) admitCall(c Class, wk wake) apiclient.Admit {
	return func(context.Context) error {
		return s.letOut(s.stop, call{class: c, until: wk.Answered.Add(s.cfg.ResultLifetime), repeat: wk.Unanswered > 0})
	}
}

// errLateClaim is why a creation is not let out whose claim is nearly over.
var errLateClaim = errors.New("paused between intent and call")

// admitCreate lets a creation out whose claim, on the local clock, ends at the
// time given. A process that was paused since the intent may have lost it:
// that is looked at last.
func (s *step) admitCreate(claimEnds time.Time) apiclient.Admit {
	return func(context.Context) error {
		ctx, cancel := context.WithTimeoutCause(s.stop, s.limiter.patience(), errNoPermit)
		defer cancel()
		if err := s.letOut(ctx, call{class: Create, permit: s.takePermit()}); err != nil {
			return err
		}
		if time.Until(claimEnds)-claimMargin < s.cfg.PostTimeout/2 {
			return errLateClaim
		}
		return nil
	}
}

// letOut waits until the call may go out, or ctx, which is the worker's until it
// stops, ends.
func (s *step) letOut(ctx context.Context, c call) error {
	defer s.admitted()
	asked := time.Now()
	err := s.limiter.admit(ctx, c)
	if err != nil && s.stop.Err() != nil {
		return errStopping
	}
	if err == nil {
		s.metrics.letOut(c.class, s.waited+time.Since(asked))
		s.waited = 0
	}
	s.sent = s.clock.Now()
	return err
}

// told reports the end of a call to the limits. Calls that were not let out tell
// nothing.
func (s *step) told(c Class, repeat bool, err error) {
	s.shutUntil = time.Time{}
	if kind, _ := apiclient.KindOf(err); notLetOut(err) || ended(err) && kind != apiclient.Unknown {
		return
	}
	s.called(c, err)
	a := answerOf(c, s.sent, err)
	if repeat && a.Verdict == Answered {
		s.limiter.repeats.forgive()
	}
	s.shutUntil = s.limiter.hear(a)
	if a.Verdict == Denied || a.Verdict == NoLogin {
		s.log().Error("the API does not let us in: check credentials, scopes and addresses", zap.Error(err), zap.Time("closed_until", s.shutUntil))
	}
}

// notLetOut reports whether a call ended before it was sent, because the
// limits did not let it out.
func notLetOut(err error) bool {
	var closed *ClosedError
	return errors.As(err, &closed) || isAny(err, errNoPermit, errNoRepeat, errLateClaim)
}

// ended reports whether a call ended because its caller did: a worker that
// stops, a claim that was over.
func ended(err error) bool {
	return isAny(err, errStopping, context.Canceled, context.DeadlineExceeded)
}
