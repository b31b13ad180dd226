package store

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// heap is a stream that holds wake-ups with the headers given, and due messages for nil,
// from sequence 1 on.
type heap []nats.Header

func (heap) publish(context.Context, *nats.Msg) (uint64, error) { return 0, nats.ErrTimeout }
func (heap) state(context.Context) (streamState, error)         { return streamState{}, nats.ErrTimeout }

func (h heap) next(_ context.Context, _ string, seq uint64) (*jetstream.RawStreamMsg, error) {
	if seq > uint64(len(h)) {
		return nil, jetstream.ErrMsgNotFound
	}
	subject := "screening.due.b.j.1"
	if h[seq-1] != nil {
		subject = "screening.wake.b.j.1"
	}
	return &jetstream.RawStreamMsg{Subject: subject, Sequence: seq, Header: h[seq-1]}, nil
}

// A server that could not fire a wake-up in its time never does, but keeps it; and
// what its consumer has settled is never delivered.
func TestDeadWakeUpsAreNotParked(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	wake := func(ago time.Duration) nats.Header {
		at, err := scheduleAt(now.Add(-ago))
		if err != nil {
			t.Fatal(err)
		}
		return nats.Header{jetstream.ScheduleHeader: {at}, jetstream.ScheduleTargetHeader: {"screening.due.b.j.1"}}
	}
	var due nats.Header
	for name, c := range map[string]struct {
		there   heap
		want    bool
		settled uint64
	}{
		"nothing":                  {nil, false, 0},
		"in time":                  {heap{wake(-time.Hour)}, true, 0},
		"firing":                   {heap{wake(time.Second)}, true, 0},
		"overdue":                  {heap{wake(time.Minute)}, false, 0},
		"due":                      {heap{due}, true, 0},
		"overdue behind a due":     {heap{wake(time.Minute), due}, true, 0},
		"due before an overdue":    {heap{due, wake(time.Minute)}, true, 0},
		"a schedule not of ours":   {heap{{jetstream.ScheduleHeader: {"@every 1h"}}}, false, 0},
		"due and settled":          {heap{due}, false, 1},
		"due after a settled one":  {heap{due, due}, true, 1},
		"all of it dead":           {heap{wake(time.Minute), due}, false, 2},
		"settled, and in time":     {heap{wake(-time.Hour)}, true, 1},
		"overdue by half a second": {heap{wake(500 * time.Millisecond)}, true, 0},
	} {
		w := &Wakes{line: newLine(c.there), now: func() time.Time { return now }, settled: func(context.Context) (uint64, error) { return c.settled, nil }}
		got, err := w.Parked(t.Context(), Key{Batch: "b", Job: "j"}, 1)
		if err != nil || got != c.want {
			t.Errorf("%s: parked %v, %v; want %v", name, got, err, c.want)
		}
	}
}
