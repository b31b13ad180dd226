package store

import (
	"context"
	"errors"
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
	return &jetstream.RawStreamMsg{Subject: subject, Sequence: seq, Header: h[seq-1], Time: time.Unix(int64(seq), 0)}, nil
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

// What the consumer of due messages has settled is not among those that are due, also
// where the stream still has it; and a message that went between the two questions
// is none.
func TestDueMessagesAreThoseNotSettled(t *testing.T) {
	for name, c := range map[string]struct {
		there            heap
		floor, pending   uint64
		inHand           int
		count            int
		oldest           int64 // Unix time, which in a heap is the sequence; 0: none
		consumer, failed error
	}{
		"nothing":                {nil, 0, 0, 0, 0, 0, nil, nil},
		"one waits":              {heap{nil}, 0, 1, 0, 1, 1, nil, nil},
		"one in somebody's hand": {heap{nil}, 0, 0, 1, 1, 1, nil, nil},
		"dead ones before it":    {heap{nil, nil, nil}, 2, 1, 0, 1, 3, nil, nil},
		"dead ones alone":        {heap{nil, nil}, 2, 0, 0, 0, 0, nil, nil},
		"settled meanwhile":      {nil, 0, 1, 0, 1, 0, nil, nil},
		"no consumer":            {heap{nil}, 0, 0, 0, 0, 0, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerNotFound},
	} {
		w := &Wakes{line: newLine(c.there), consumer: func(context.Context) (*jetstream.ConsumerInfo, error) {
			return &jetstream.ConsumerInfo{NumPending: c.pending, NumAckPending: c.inHand, AckFloor: jetstream.SequenceInfo{Stream: c.floor}}, c.consumer
		}}
		got, err := w.Due(t.Context())
		if !errors.Is(err, c.failed) {
			t.Errorf("%s: %v", name, err)
		}
		want := time.Time{}
		if c.oldest > 0 {
			want = time.Unix(c.oldest, 0)
		}
		if got.Count != c.count || !got.Oldest.Equal(want) {
			t.Errorf("%s: %+v, want %d, the oldest at %v", name, got, c.count, want)
		}
	}
}
