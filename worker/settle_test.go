package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"rescreen/queue"
	"rescreen/store"
)

// Every error a step can end with has a row here. What is not named ends as
// trouble that passes.
func TestEndingOfEveryError(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		ack     bool
		delay   time.Duration
		orderly bool
	}{
		{"the step is done", nil, true, 0, true},
		{"the worker stops", fmt.Errorf("poll: %w", errStopping), false, 0, true},
		{"a stale read", errStale, false, staleDelay, true},
		{"an earlier attempt that is still open", errEarlier, false, earlierDelay, true},
		{"a suspect beside another", errSuspect, false, staleDelay, true},
		{"a record contended too often", fmt.Errorf("commit: %w", errMoved), false, staleDelay, true},
		{"a register contended", fmt.Errorf("commit: %w", store.ErrConflict), false, staleDelay, true},
		{"a newer worker's record", errUnknownState, false, puzzleDelay, true},
		{"a transition nobody planned", fmt.Errorf("done to queued: %w", errIllegal), false, puzzleDelay, false},
		{"a key that is no subject", fmt.Errorf("load: %w", store.ErrKey), false, puzzleDelay, false},
		{"a message the server never takes", fmt.Errorf("publish: %w", store.ErrRefused), false, puzzleDelay, false},
		{"evidence that has changed", fmt.Errorf("read: %w", store.ErrCorrupt), false, puzzleDelay, false},
		{"an event beyond every limit", fmt.Errorf("encode: %w", queue.ErrTooLarge), false, puzzleDelay, false},
		{"the store out of reach", errors.New("no responders"), false, troubleDelay, true},
		{"a write of unknown outcome", fmt.Errorf("commit: %w", context.DeadlineExceeded), false, troubleDelay, true},
		{"a cancelled call", context.Canceled, false, troubleDelay, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := endingOf(c.err)
			if e.ack != c.ack || e.delay != c.delay || e.orderly != c.orderly {
				t.Errorf("ends with ack %v, delay %v, orderly %v", e.ack, e.delay, e.orderly)
			}
		})
	}
}
