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
	// backlogEvery is how often an idle worker asks for new jobs, and openEvery
	// how often one at its open-session limit asks whether it still is.
	backlogEvery = 500 * time.Millisecond
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
		n, err := d.slots.take(ctx, false, pending)
		if err != nil {
			break
		}
		var started int
		if pending > 0 {
			started, pending, err = d.dueRush(ctx, n)
		} else {
			started, pending, err = d.dueWatch(ctx)
		}
		d.slots.release(false, n-started)
		d.pause(ctx, "pull wake-ups", err)
	}
}

// dueRush takes permits and as many wake-ups: there is work, permits are scarce.
func (d *dispatcher) dueRush(ctx context.Context, limit int) (started, pending int, err error) {
	n, err := d.permits.Take(ctx, Poll, limit)
	if err != nil {
		return 0, limit, err
	}
	got, err := d.due.Pull(ctx, n, 0)
	d.permits.Return(Poll, n-len(got))
	for _, msg := range got {
		d.start(msg, Poll)
	}
	if len(got) == 0 {
		return 0, 0, err
	}
	return len(got), int(got[len(got)-1].Pending), err
}

// dueWatch waits for one wake-up: there is none, and a permit taken now would
// be dead by the time one comes.
func (d *dispatcher) dueWatch(ctx context.Context) (started, pending int, err error) {
	got, err := d.due.Pull(ctx, 1, idleWait)
	if err != nil || len(got) == 0 {
		return 0, 0, err
	}
	if err := d.startHeld(ctx, got[0], Poll); err != nil {
		return 0, 0, err
	}
	return 1, int(got[0].Pending), nil
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
	for ctx.Err() == nil {
		if backlog.pending() == 0 {
			batches, err := d.jobs.Backlog(ctx)
			backlog.learn(batches)
			d.pause(ctx, "look for jobs", err)
			if backlog.pending() == 0 {
				d.pause(ctx, "pull jobs again", d.jobsWatch(ctx, backlog.unsettled))
				_ = wait(ctx, jitter(backlogEvery, d.cfg.ID, time.Now().Nanosecond()))
				continue
			}
		}
		d.pause(ctx, "pull jobs", d.jobsRush(ctx, backlog))
	}
}

// jobsRush takes slots, permits and as many jobs, once.
func (d *dispatcher) jobsRush(ctx context.Context, backlog *backlog) error {
	room, err := d.room(ctx)
	if err != nil || room == 0 {
		return err
	}
	n, err := d.slots.take(ctx, true, min(room, backlog.pending()))
	if err != nil {
		return err
	}
	started := 0
	defer func() { d.slots.release(true, n-started) }()
	permits, err := d.permits.Take(ctx, Create, n)
	if err != nil {
		return err
	}
	defer func() { d.permits.Return(Create, permits-started) }()
	for _, share := range backlog.allot(permits) {
		got, err := d.jobs.Pull(ctx, share.batch, share.n)
		for _, msg := range got {
			d.start(msg, Create)
		}
		started += len(got)
		d.roomLeft -= len(got)
		backlog.took(share, got)
		if err != nil {
			return fmt.Errorf("batch %s: %w", share.batch, err)
		}
	}
	return nil
}

// jobsWatch takes what a dead worker has left: messages that count as delivered
// until somebody asks for them again. A permit is only taken when there is one.
func (d *dispatcher) jobsWatch(ctx context.Context, batches []queue.BatchID) error {
	for _, batch := range batches {
		if _, err := d.slots.take(ctx, true, 1); err != nil {
			return err
		}
		got, err := d.jobs.Pull(ctx, batch, 1)
		if err != nil || len(got) == 0 {
			d.slots.release(true, 1)
			if err != nil {
				return fmt.Errorf("batch %s: %w", batch, err)
			}
			continue
		}
		if err := d.startHeld(ctx, got[0], Create); err != nil {
			d.slots.release(true, 1)
			return err
		}
	}
	return nil
}

// startHeld takes the permit of a message that is held already, waiting also
// while the upstream is closed. A worker that stops meanwhile gives the message
// back, to be taken by another at once.
func (d *dispatcher) startHeld(ctx context.Context, msg *queue.Delivery, c Class) error {
	d.flight.add(msg) // kept alive while it waits
	if err := d.takeOpen(ctx, c); err != nil {
		d.flight.remove(msg)
		_ = msg.Nak(0)
		return err
	}
	d.start(msg, c)
	return nil
}

// room is how many sessions may still be opened; it asks at most once per
// openEvery and subtracts what this worker has started since. At the limit it
// waits a little and says 0.
func (d *dispatcher) room(ctx context.Context) (int, error) {
	if time.Since(d.roomAsked) >= openEvery {
		open, err := d.wakes.Open(ctx)
		if err != nil {
			return 0, err
		}
		d.roomLeft, d.roomAsked = d.cfg.MaxOpen-open, time.Now()
	}
	if d.roomLeft > 0 {
		return d.roomLeft, nil
	}
	_ = wait(ctx, openEvery-time.Since(d.roomAsked))
	return 0, nil
}

// start runs the step of one message in a goroutine that Run waits for.
func (d *dispatcher) start(msg *queue.Delivery, c Class) {
	d.flight.add(msg)
	d.running.Add(1)
	go func() {
		defer d.running.Done()
		defer d.slots.release(c == Create, 1)
		defer d.flight.remove(msg)
		d.run(msg, c)
	}()
}

// run takes one step and settles its message.
func (d *dispatcher) run(msg *queue.Delivery, c Class) {
	s := d.newStep(msg)
	s.stop = d.stop
	s.permit[c] = 1
	var err error
	if c == Create {
		err = s.intake(d.steps, msg)
	} else {
		err = s.wakeup(d.steps, msg)
	}
	for class := range s.permit {
		d.permits.Return(class, s.takeHeld(class))
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
