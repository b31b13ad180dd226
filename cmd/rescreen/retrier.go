package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
)

// natsPatience is how long a command that has work to do waits for a NATS that
// does not answer. Elections take seconds, the restart of a cluster a minute or two.
const natsPatience = 3 * time.Minute

// Pauses between tries, doubled from the first to the longest.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 15 * time.Second
)

// retrier repeats requests to NATS that failed for a reason that may pass.
// The zero value waits until its context ends and says nothing.
type retrier struct {
	// limit is how long one request may go without success; 0 is for ever.
	limit time.Duration
	// tell says once that there is trouble, and once that it is over; may be
	// nil.
	tell func(string)
}

// try makes the request until it succeeds. It returns an error that will not
// pass, that of ctx, or the last one when its time has run out. A full job
// stream is waited for until ctx ends: the workers will make room.
func (r retrier) try(ctx context.Context, request func(context.Context) error) error {
	start, pause := time.Now(), firstRetry
	told := ""
	for {
		err := request(ctx)
		if err == nil && told != "" && r.tell != nil {
			r.tell("going on")
		}
		full := errors.Is(err, queue.ErrFull)
		switch {
		case err == nil, !passing(err):
			return err
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), err)
		case !full && r.limit > 0 && time.Since(start) > r.limit:
			return fmt.Errorf("no success in %s: %w", durationText(r.limit), err)
		}
		trouble := fmt.Sprintf("NATS does not do what is asked (%v), trying again", err)
		if full {
			start = time.Now()
			trouble = "the job stream is full, waiting for workers to take jobs from it"
		}
		if trouble != told && (told == "" || full) && r.tell != nil {
			r.tell(trouble)
			told = trouble
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, longestRetry)
	}
}

// passing reports whether an error of NATS may be over in a while.
func passing(err error) bool {
	var job *queue.JobError
	var exit *exitError
	switch {
	case errors.Is(err, nats.ErrConnectionClosed), // for good: we reconnect for ever
		errors.Is(err, queue.ErrNoBatch), errors.Is(err, queue.ErrBatchExists), errors.Is(err, queue.ErrConsumerDiffers),
		errors.Is(err, nats.ErrMaxPayload), errors.As(err, &job), errors.As(err, &exit), isNotFound(err):
		return false
	}
	return true
}

// sleep waits; the error is that of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
