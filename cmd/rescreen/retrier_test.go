package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
)

func TestPassing(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nats.ErrTimeout, true},
		{nats.ErrNoResponders, true},
		{nats.ErrReconnectBufExceeded, true},
		{fmt.Errorf("publish: %w", queue.ErrFull), true},
		{&jetstream.APIError{Code: 503}, true},
		{store503(), true},
		{nats.ErrConnectionClosed, false},
		{nats.ErrMaxPayload, false},
		{jetstream.ErrStreamNotFound, false},
		{fmt.Errorf("batch: %w", queue.ErrNoBatch), false},
		{queue.ErrBatchExists, false},
		{queue.ErrConsumerDiffers, false},
		{&queue.JobError{Member: "ssn", Problem: "is impossible"}, false},
		{unknownBatch("march"), false},
	} {
		if got := passing(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

func store503() error { return fmt.Errorf("get evidence: %w", context.DeadlineExceeded) }

func TestRetrierTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		r := retrier{limit: time.Minute, tell: func(s string) { told = append(told, s) }}
		calls := 0
		begun := time.Now()
		err := r.try(t.Context(), func(context.Context) error {
			if calls++; calls < 6 {
				return nats.ErrTimeout
			}
			return nil
		})
		if err != nil || calls != 6 || time.Since(begun) != 3100*time.Millisecond {
			t.Errorf("%v after %d calls and %v", err, calls, time.Since(begun))
		}
		if len(told) != 2 || !strings.Contains(told[0], "timeout") || told[1] != "going on" {
			t.Errorf("%q", told)
		}
	})
}

func TestRetrierGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		err := retrier{limit: time.Minute}.try(t.Context(), func(context.Context) error { return nats.ErrTimeout })
		if !errors.Is(err, nats.ErrTimeout) || time.Since(begun) < time.Minute || time.Since(begun) > 2*time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		begun = time.Now()
		err = retrier{}.try(ctx, func(context.Context) error { return nats.ErrTimeout })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 24*time.Hour {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// A full stream is waited for, however long; trouble before and after it is
// told too.
func TestRetrierWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		r := retrier{limit: time.Minute, tell: func(s string) { told = append(told, s[:8]) }}
		calls := 0
		err := r.try(t.Context(), func(context.Context) error {
			switch calls++; {
			case calls < 3:
				return nats.ErrTimeout
			case calls < 1000:
				return queue.ErrFull
			}
			return nil
		})
		if err != nil || !slices.Equal(told, []string{"NATS doe", "the job ", "going on"}) {
			t.Errorf("%v, %q", err, told)
		}
	})
}
