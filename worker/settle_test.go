package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		outcome string
	}{
		{"the step is done", nil, true, 0, true, "done"},
		{"the worker stops", fmt.Errorf("poll: %w", errStopping), false, 0, true, "stopped"},
		{"a stale read", errStale, false, staleDelay, true, "stale"},
		{"an earlier attempt that is still open", errEarlier, false, earlierDelay, true, "earlier"},
		{"a suspect beside another", errSuspect, false, staleDelay, true, "suspect"},
		{"a record contended too often", fmt.Errorf("commit: %w", errMoved), false, staleDelay, true, "conflict"},
		{"a register contended", fmt.Errorf("commit: %w", store.ErrConflict), false, staleDelay, true, "conflict"},
		{"a newer worker's record", errUnknownState, false, puzzleDelay, true, "newer_state"},
		{"a transition nobody planned", fmt.Errorf("done to queued: %w", errIllegal), false, puzzleDelay, false, "rejected"},
		{"a key that is no subject", fmt.Errorf("load: %w", store.ErrKey), false, puzzleDelay, false, "rejected"},
		{"a message the server never takes", fmt.Errorf("publish: %w", store.ErrRefused), false, puzzleDelay, false, "rejected"},
		{"evidence that has changed", fmt.Errorf("read: %w", store.ErrCorrupt), false, puzzleDelay, false, "rejected"},
		{"an event beyond every limit", fmt.Errorf("encode: %w", queue.ErrTooLarge), false, puzzleDelay, false, "rejected"},
		{"the store out of reach", errors.New("no responders"), false, troubleDelay, true, "trouble"},
		{"a write of unknown outcome", fmt.Errorf("commit: %w", context.DeadlineExceeded), false, troubleDelay, true, "trouble"},
		{"a cancelled call", context.Canceled, false, troubleDelay, true, "trouble"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := endingOf(c.err)
			if e.ack != c.ack || e.delay != c.delay || e.orderly != c.orderly {
				t.Errorf("ends with ack %v, delay %v, orderly %v", e.ack, e.delay, e.orderly)
			}
			if e.outcome != c.outcome || !slices.Contains(stepOutcomes, e.outcome) {
				t.Errorf("ends as %s", e.outcome)
			}
		})
	}
}
