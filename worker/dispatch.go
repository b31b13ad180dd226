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
	// idleWait is how long one request for a due wake-up waits at the server,
	// and so how long an idle worker takes to stop.
	idleWait = time.Second
	// backlogEvery is how often an idle worker asks for new jobs, surveyEvery a
	// busy one, which may know of one batch only, and openEvery how often one
	// at its open-session limit asks whether it still is.
	backlogEvery = 500 * time.Millisecond
	surveyEvery  = 2 * time.Second
	openEvery    = time.Second
	// reopenPause is how long after its opening, spread over the workers, the
	// upstream is tried again.
	reopenPause = 200 * time.Millisecond
	// troublePause keeps a loop that meets errors from spinning.
	troublePause = time.Second
)

// dispatcher starts steps. Its loops hold no logic of the job's life: they
// take a slot, then a permit, then a message, in this order, because messages
// taken before permits are hoarded while others could work on them.
type dispatcher struct {
	*Worker
	steps   context.Context // of the steps: outlives the loops by the grace
	stop    context.Context // ends as soon as the worker stops
	running sync.WaitGroup

	roomLeft  int       // sessions that may still be opened, as far as known
	roomAsked time.Time // when it was asked for
}

// dueLoop starts the steps of due wake-ups until ctx ends.
func (d *dispatcher) dueLoop(ctx context.Context) {
	pending := 0 // what the server last said is there
	for ctx.Err() == nil {
		var err error
		if pending > 0 {
			pending, err = d.dueRush(ctx, pending)
		} else {
			pending, err = d.dueWatch(ctx)
		}
		d.pause(ctx, "pull wake-ups", err)
	}
}

// dueRush takes permits and as many wake-ups: there is work, permits are scarce.
func (d *dispatcher) dueRush(ctx context.Context, known int) (pending int, err error) {
	n, err := d.reserve(ctx, collecting, known)
	if err != nil {
		return known, err
	}
	got, err := d.due.Pull(ctx, n, 0)
	d.cancel(collecting, n-len(got))
	for _, msg := range got {
		d.start(msg, collecting)
	}
	return left(got), err
}

// dueWatch waits for one wake-up: there is none, and a permit taken now would
// be dead by the time one comes.
func (d *dispatcher) dueWatch(ctx context.Context) (pending int, err error) {
	if err := d.slots.take(ctx, collecting); err != nil {
		return 0, err
	}
	got, err := d.due.Pull(ctx, 1, idleWait)
	if len(got) == 0 {
		d.slots.release(collecting, 1)
		return 0, err
	}
	return left(got), d.startHeld(ctx, got[0], collecting)
}

// left is how many messages wait behind those that were pulled.
func left(got []*queue.Delivery) int {
	if len(got) == 0 {
		return 0
	}
	return int(got[len(got)-1].Pending)
}

// classOf is the permit that a step of the tier begins with.
func classOf(t tier) Class {
	if t == collecting {
		return Poll
	}
	return Create
}

// reserve waits for a slot of the tier, then for permits, and takes as many
// slots as there are permits; it returns how many messages may be pulled. Only one
// slot is held while there is no permit: the others may be of use meanwhile.
func (d *dispatcher) reserve(ctx context.Context, t tier, limit int) (int, error) {
	if err := d.slots.take(ctx, t); err != nil {
		return 0, err
	}
	permits, err := d.permits.Take(ctx, classOf(t), min(limit, 1+d.slots.free(t)))
	if err != nil {
		d.slots.release(t, 1)
		return 0, err
	}
	n := 1 + d.slots.more(t, permits-1)
	d.permits.Return(classOf(t), permits-n)
	return n, nil
}

// cancel gives back what was reserved for n messages that did not come.
func (d *dispatcher) cancel(t tier, n int) {
	d.permits.Return(classOf(t), n)
	d.slots.release(t, n)
}

// takeOpen takes a permit, waiting also while the upstream is closed.
func (d *dispatcher) takeOpen(ctx context.Context, c Class) error {
	for {
		_, err := d.permits.Take(ctx, c, 1)
		var closed *ClosedError
		if !errors.As(err, &closed) {
			return err
		}
		if err := wait(ctx, closed.Until.Sub(d.clock.Now())); err != nil {
			return err
		}
	}
}

// jobsLoop starts the steps of new jobs, fair to all batches, until ctx ends.
func (d *dispatcher) jobsLoop(ctx context.Context) {
	backlog := newBacklog()
	var asked time.Time
	for ctx.Err() == nil {
		if idle := backlog.pending() == 0; idle || time.Since(asked) >= surveyEvery {
			d.pause(ctx, "look for jobs", d.survey(ctx, backlog))
			asked = time.Now()
			if idle && backlog.pending() == 0 {
				_ = wait(ctx, jitter(backlogEvery, d.cfg.ID, asked.Nanosecond()))
			}
			continue
		}
		d.pause(ctx, "pull jobs", d.jobsRush(ctx, backlog))
	}
}

// survey asks what waits in which batch, and takes what dead workers have left.
func (d *dispatcher) survey(ctx context.Context, backlog *backlog) error {
	batches, err := d.jobs.Backlog(ctx)
	if err != nil {
		return err
	}
	backlog.learn(batches)
	for _, batch := range backlog.unsettled {
		if err := d.jobsWatch(ctx, batch); err != nil {
			return fmt.Errorf("batch %s: %w", batch, err)
		}
	}
	return nil
}

// jobsRush takes slots, permits and as many jobs, once.
func (d *dispatcher) jobsRush(ctx context.Context, backlog *backlog) error {
	room, err := d.room(ctx)
	if err != nil || room == 0 {
		return err
	}
	n, err := d.reserve(ctx, starting, min(room, backlog.pending()))
	if err != nil {
		return err
	}
	defer func() { d.cancel(starting, n) }()
	for _, share := range backlog.allot(n) {
		got, err := d.jobs.Pull(ctx, share.batch, share.n)
		for _, msg := range got {
			d.start(msg, starting)
		}
		n -= len(got)
		d.roomLeft -= len(got)
		backlog.took(share, got)
		if err != nil {
			return fmt.Errorf("batch %s: %w", share.batch, err)
		}
	}
	return nil
}

// jobsWatch takes what a dead worker has left in a batch: messages that count as
// delivered until somebody asks for them again. A permit is only taken when
// there is one. One round brings as many as one worker can have held.
func (d *dispatcher) jobsWatch(ctx context.Context, batch queue.BatchID) error {
	for range d.cfg.Slots {
		if err := d.slots.take(ctx, starting); err != nil {
			return err
		}
		got, err := d.jobs.Pull(ctx, batch, 1)
		if len(got) == 0 {
			d.slots.release(starting, 1)
			return err
		}
		if err := d.startHeld(ctx, got[0], starting); err != nil {
			return err
		}
	}
	return nil
}

// startHeld takes the permit of a message that is held already, as its slot is,
// waiting also while the upstream is closed. A worker that stops meanwhile
// gives the message back, to be taken by another at once.
func (d *dispatcher) startHeld(ctx context.Context, msg *queue.Delivery, t tier) error {
	d.flight.add(msg) // kept alive while it waits
	if err := d.takeOpen(ctx, classOf(t)); err != nil {
		d.flight.remove(msg)
		d.slots.release(t, 1)
		_ = msg.Nak(0)
		return err
	}
	d.start(msg, t)
	return nil
}

// room is how many sessions may still be opened. It asks at most once per
// openEvery, and counts the steps that may be about to open one, and what this
// worker has started since. At the limit it waits a little and says 0.
func (d *dispatcher) room(ctx context.Context) (int, error) {
	if time.Since(d.roomAsked) >= openEvery {
		open, err := d.wakes.Open(ctx)
		if err != nil {
			return 0, err
		}
		d.roomLeft, d.roomAsked = d.cfg.MaxOpen-open-d.slots.creates(), time.Now()
	}
	if d.roomLeft > 0 {
		return d.roomLeft, nil
	}
	_ = wait(ctx, openEvery-time.Since(d.roomAsked))
	return 0, nil
}

// start runs the step of one message, with a slot and a permit, in a goroutine
// that Run waits for.
func (d *dispatcher) start(msg *queue.Delivery, t tier) {
	d.flight.add(msg)
	d.running.Go(func() {
		s := d.newStep(d.stop, msg)
		s.tier = t
		s.permit[classOf(t)] = 1
		d.run(s, msg)
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
	for c := range s.permit {
		d.permits.Return(Class(c), s.takeHeld(Class(c)))
	}
	d.settle(d.steps, s, msg, err)
}

// pause turns an error of a loop's turn into a log line and a pause. A closed
// upstream pauses until it opens; being stopped is no error.
func (d *dispatcher) pause(ctx context.Context, what string, err error) {
	var closed *ClosedError
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.As(err, &closed):
		_ = wait(ctx, closed.Until.Sub(d.clock.Now())+jitter(reopenPause, d.cfg.ID, 0))
	default:
		d.logger.Warn(what, zap.Error(err))
		_ = wait(ctx, jitter(troublePause, d.cfg.ID, time.Now().Nanosecond()))
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
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
