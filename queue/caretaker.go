package queue

import (
	"context"
	"errors"
	"slices"
	"time"
)

// strayIdle is how long a batch that nobody registered must have been quiet
// before its consumer goes: nobody has said that no more will come, and jobs
// that come without a consumer wait for the caretaker's next round.
const strayIdle = time.Hour

// Caretaker keeps consumers and batches in step. It is the one part of the
// worker's side that makes or removes consumers.
type Caretaker struct {
	jobs    *Jobs
	batches *Batches
}

// NewCaretaker returns the caretaker of a stream and its register.
func NewCaretaker(jobs *Jobs, batches *Batches) *Caretaker {
	return &Caretaker{jobs: jobs, batches: batches}
}

// Adopt gives a consumer to every batch that has jobs and none, and registers
// those among them that nobody has registered; it returns these, sorted.
//
// A batch that cannot be adopted does not keep others waiting: those adopted
// are returned with the error.
func (c *Caretaker) Adopt(ctx context.Context) ([]BatchID, error) {
	stored, err := c.jobs.Stored(ctx)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	served, err := c.jobs.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range served {
		delete(stored, b.Batch)
	}
	var adopted []BatchID
	var errs []error
	for batch := range stored {
		stray, err := c.adopt(ctx, batch)
		if stray {
			adopted = append(adopted, batch)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	slices.Sort(adopted)
	return adopted, errors.Join(errs...)
}

// adopt sees to a batch with jobs and no consumer, and reports whether nobody
// had registered it. It registers first: once there is a consumer, no later
// round would look at the batch again.
func (c *Caretaker) adopt(ctx context.Context, name BatchID) (stray bool, err error) {
	_, err = c.batches.Register(ctx, Batch{Name: name, State: Submitted, Unregistered: true, StartedAt: time.Now().UTC()})
	stray = err == nil
	if err != nil && !errors.Is(err, ErrBatchExists) { // a submission that lost its consumer is no stray
		return false, err
	}
	return stray, c.jobs.EnsureConsumer(ctx, name)
}

// Retire removes the consumers of batches that are submitted and drained, and
// returns the batches. A consumer removed too early, because a submission is
// being repeated, costs a round of the caretaker and nothing else.
//
// A batch that cannot be retired does not keep the consumers of others: those
// retired are returned with the error.
func (c *Caretaker) Retire(ctx context.Context) ([]BatchID, error) {
	served, err := c.jobs.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	// The stream knows a job that was just published before its consumer does,
	// and keeps those in somebody's hands.
	stored, err := c.jobs.Stored(ctx)
	if err != nil {
		return nil, err
	}
	var retired []BatchID
	var errs []error
	for _, b := range served {
		if b.Batch == DefaultBatch || stored[b.Batch] > 0 {
			continue
		}
		over, err := c.over(ctx, b.Batch)
		if over {
			err = c.jobs.RemoveConsumer(ctx, b.Batch)
		}
		if over && err == nil {
			retired = append(retired, b.Batch)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return retired, errors.Join(errs...)
}

// over reports whether nothing more is to be expected of a drained batch.
func (c *Caretaker) over(ctx context.Context, name BatchID) (bool, error) {
	batch, _, err := c.batches.Load(ctx, name)
	if errors.Is(err, ErrNoBatch) {
		return false, nil // made by somebody who registers it next
	}
	if err != nil || batch.State == Submitting {
		return false, err
	}
	if !batch.Unregistered {
		return true, nil
	}
	consumer, err := c.jobs.stream.Consumer(ctx, JobsConsumer(name).Durable)
	if err != nil {
		return false, err
	}
	busy := batch.StartedAt
	// The server forgets with a restart when it last delivered.
	if last := consumer.CachedInfo().Delivered.Last; last != nil && last.After(busy) {
		busy = *last
	}
	return time.Since(busy) > strayIdle, nil
}
