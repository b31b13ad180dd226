package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"rescreen/queue"
)

const (
	// surveyEvery is how often a busy worker asks for new jobs: it may know of one
	// batch only.
	surveyEvery = 2 * time.Second
	// reopenPause is how long after its opening, spread over the workers, the
	// upstream is tried again, and recheckPause how long at most.
	reopenPause  = 200 * time.Millisecond
	recheckPause = 2 * time.Second
	// troublePause keeps a loop that meets errors from spinning.
	troublePause = time.Second
	// turnWait is how long a loop waits for a slot or a permit before it begins
	// another turn, so that one can tell a loop that waits from one that hangs.
	turnWait = 10 * time.Second
)

// errBusy ends a turn that found no slot or permit in time. Nothing was asked.
var errBusy = errors.New("all slots or permits are in use")

// dispatcher starts steps. Its loops hold no logic of the job's life: they take a
// slot, for new jobs a permit, then a message, because messages taken before
// there is room for them are hoarded while others could work on them.
type dispatcher struct {
	*Worker
	steps   context.Context // of the steps: outlives the loops by the grace
	stop    context.Context // ends as soon as the worker stops
	running sync.WaitGroup
	watched int       // batches looked at for what dead workers have left
	asked   time.Time // for permits for new jobs, while there are none; zero: not at present
	lobby   *lobby
}

// dueLoop starts the steps of due wake-ups until ctx ends.
func (d *dispatcher) dueLoop(ctx context.Context) {
	pending := 0 // what the server last said is there
	for ctx.Err() == nil {
		d.health.turned("due")
		var err error
		pending, err = d.dueTurn(ctx, pending)
		d.pause(ctx, dueHealth, "pull wake-ups", err)
	}
}

// dueTurn takes wake-ups: as many as there is room for when some are known to
// be there, else it waits for one. Their calls get their departures when they
// are ready to go, so that none is lost for want of a message; the lobby keeps
// a worker from taking many more messages than it gets departures for.
func (d *dispatcher) dueTurn(ctx context.Context, known int) (pending int, err error) {
	if err := d.limiter.closed(); err != nil {
		return known, err
	}
	turn, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	if d.slots.take(turn, collecting) != nil {
		return known, errBusy
	}
	n, err := d.lobby.enter(turn, d.limiter.mayHold, min(max(known, 1), 1+d.slots.free(collecting)))
	if err != nil { // the turn has ended
		d.slots.release(collecting, 1)
		return known, errBusy
	}
	slots := 1 + d.slots.more(collecting, n-1)
	wait := d.cfg.IdleWait
	if known > 0 {
		wait = 0
	}
	got, err := d.due.Pull(ctx, slots, wait)
	d.lobby.leave(n - len(got))
	d.slots.release(collecting, slots-len(got))
	for _, msg := range got {
		d.start(msg, collecting, nil, 0)
	}
	if len(got) == 0 {
		return 0, err
	}
	return int(got[len(got)-1].Pending), err
}

// jobsLoop starts the steps of new jobs, fair to all batches, until ctx ends.
func (d *dispatcher) jobsLoop(ctx context.Context) {
	backlog := newBacklog()
	var asked time.Time
	for ctx.Err() == nil {
		d.health.turned("jobs")
		if idle := backlog.pending() == 0; idle || time.Since(asked) >= surveyEvery {
			d.pause(ctx, jobsHealth, "look for jobs", d.survey(ctx, backlog))
			asked = time.Now()
			if idle && backlog.pending() == 0 {
				_ = wait(ctx, jitter(d.cfg.LookEvery, d.cfg.ID, asked.Nanosecond()))
			}
			continue
		}
		d.pause(ctx, jobsHealth, "pull jobs", d.jobsRush(ctx, backlog))
	}
}

// survey asks what waits in which batch, and takes what dead workers have left.
func (d *dispatcher) survey(ctx context.Context, backlog *backlog) error {
	batches, err := d.jobs.Backlog(ctx)
	if err != nil {
		return err
	}
	backlog.learn(batches)
	for range backlog.unsettled {
		d.health.turned("jobs")
		batch := backlog.unsettled[d.watched%len(backlog.unsettled)]
		d.watched++ // in turn: the others must not wait behind one that is in trouble
		if err := d.jobsWatch(ctx, batch); err != nil {
			return fmt.Errorf("batch %s: %w", batch, err)
		}
	}
	return nil
}

// jobsRush takes a slot, then permits and as many slots, then as many jobs, once.
// Only one slot is held while there is no permit: the others may be of use meanwhile.
func (d *dispatcher) jobsRush(ctx context.Context, backlog *backlog) error {
	turn, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	if d.slots.take(turn, starting) != nil {
		return errBusy
	}
	if d.asked.IsZero() {
		d.asked = time.Now()
	}
	permits, err := d.limiter.reserve(turn, fresh, min(backlog.pending(), 1+d.slots.free(starting)))
	if err != nil {
		d.slots.release(starting, 1)
		if turn.Err() != nil {
			return errBusy // asked for again in the next turn
		}
		d.asked = time.Time{}
		return err
	}
	waited := time.Since(d.asked)
	d.asked = time.Time{}
	n := 1 + d.slots.more(starting, len(permits)-1)
	d.limiter.giveBack(permits[n:]...)
	permits = permits[:n]
	d.creations.Add(int64(n)) // they count as under way until they are given back
	defer func() {
		d.creations.Add(-int64(len(permits)))
		d.slots.release(starting, len(permits))
		d.limiter.giveBack(permits...)
	}()
	for _, share := range backlog.allot(n) {
		got, err := d.jobs.Pull(ctx, share.batch, share.n)
		for _, msg := range got {
			d.start(msg, starting, &permits[0], waited)
			permits = permits[1:]
			d.creations.Add(-1) // the step counts now
		}
		backlog.took(share, got)
		if err != nil {
			return fmt.Errorf("batch %s: %w", share.batch, err)
		}
	}
	return nil
}

// jobsWatch takes what a dead worker has left in a batch: messages that count as
// delivered until somebody asks for them again. Their steps wait for permits
// themselves. One round brings as many as one worker can have held.
func (d *dispatcher) jobsWatch(ctx context.Context, batch queue.BatchID) error {
	turn, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	for range d.cfg.Slots {
		if d.slots.take(turn, starting) != nil {
			return errBusy
		}
		got, err := d.jobs.Pull(ctx, batch, 1)
		if len(got) == 0 {
			d.slots.release(starting, 1)
			return err
		}
		d.start(got[0], starting, nil, 0)
	}
	return nil
}

// start runs the step of one message, with a slot and perhaps a permit, that was
// waited for, in a goroutine that Run waits for.
func (d *dispatcher) start(msg *queue.Delivery, t tier, p *permit, waited time.Duration) {
	d.flight.add(msg)
	d.running.Go(func() {
		s := d.newStep(d.stop, msg)
		s.tier, s.permit, s.waited = t, p, waited
		if t == collecting {
			s.admitted = sync.OnceFunc(func() { d.lobby.leave(1) })
		} else {
			d.creations.Add(1)
		}
		d.run(s, msg)
		if s.tier != collecting {
			d.creations.Add(-1)
		}
		d.slots.release(s.tier, 1)
		d.flight.remove(msg)
	})
}

// run takes one step and settles its message.
func (d *dispatcher) run(s *step, msg *queue.Delivery) {
	take := s.wakeup
	if s.tier == starting {
		take = s.intake
	}
	err := take(d.steps, msg)
	s.admitted()
	s.dropPermit()
	d.settle(d.steps, s, msg, err)
	if s.alone {
		d.suspects.Unlock()
	}
}

// pause takes in the end of a loop's turn, in which something was asked for: an
// error becomes trouble and a pause. A closed upstream pauses until it opens;
// being stopped is no error.
func (d *dispatcher) pause(ctx context.Context, of, what string, err error) {
	var closed *ClosedError
	switch {
	case ctx.Err() != nil, errors.Is(err, errBusy):
	case errors.As(err, &closed):
		// Looked at again before long: it may be opened early.
		_ = wait(ctx, min(closed.Until.Sub(d.clock.Now())+jitter(reopenPause, d.cfg.ID, 0), recheckPause))
	case err != nil:
		d.health.Heard(of, err)
		d.logger.Debug(what, zap.Error(err))
		_ = wait(ctx, jitter(troublePause, d.cfg.ID, time.Now().Nanosecond()))
	default:
		d.health.Heard(of, nil)
	}
}

// wait sleeps for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
