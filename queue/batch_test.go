package queue_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
)

func openBatches(t *testing.T) *queue.Batches {
	t.Helper()
	batches, err := queue.OpenBatches(t.Context(), broker(t))
	if err != nil {
		t.Fatal(err)
	}
	return batches
}

func TestBatchIsReadAsItWasRegistered(t *testing.T) {
	batches := openBatches(t)
	want := queue.Batch{
		Name: "b1", InputSHA256: "ab12", Rows: 5, Accepted: 3, Rejected: 1, Duplicates: 1, State: queue.Submitting,
		SubmittedBy: "night-run@host", StartedAt: time.Date(2026, 11, 22, 1, 2, 3, 456, time.UTC),
	}
	revision, err := batches.Register(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	got, at, err := batches.Load(t.Context(), "b1")
	if err != nil || at != revision || !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v at %d, %v; want %+v at %d", got, at, err, want, revision)
	}
}

func TestBatchIsRegisteredOnce(t *testing.T) {
	batches := openBatches(t)
	b := queue.Batch{Name: "b1", State: queue.Submitting}
	if _, err := batches.Register(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := batches.Register(t.Context(), b); !errors.Is(err, queue.ErrBatchExists) {
		t.Errorf("second time: %v", err)
	}
}

func TestUpdateNeedsTheLatestRevision(t *testing.T) {
	batches := openBatches(t)
	b := queue.Batch{Name: "b1", State: queue.Submitting}
	first, err := batches.Register(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	b.State = queue.Submitted
	second, err := batches.Update(t.Context(), b, first)
	if err != nil || second <= first {
		t.Fatalf("update: revision %d after %d, %v", second, first, err)
	}
	if _, err := batches.Update(t.Context(), b, first); !errors.Is(err, queue.ErrBatchChanged) {
		t.Errorf("update from the old revision: %v", err)
	}
}

func TestUnknownAndInvalidBatches(t *testing.T) {
	batches := openBatches(t)
	if _, _, err := batches.Load(t.Context(), "nobody"); !errors.Is(err, queue.ErrNoBatch) {
		t.Errorf("load: %v", err)
	}
	if _, err := batches.Change(t.Context(), "nobody", func(*queue.Batch) error { return nil }); !errors.Is(err, queue.ErrNoBatch) {
		t.Errorf("change: %v", err)
	}
	for _, b := range []queue.Batch{{State: queue.Ended}, {Name: "A", State: queue.Ended}, {Name: "a.b", State: queue.Ended}, {Name: "a"}, {Name: "a", State: "paused"}, {Name: "a", State: queue.Ended, Rows: -1}} {
		if _, err := batches.Register(t.Context(), b); err == nil {
			t.Errorf("registered %+v", b)
		}
	}
}

func TestConcurrentChangesAllCount(t *testing.T) {
	batches := openBatches(t)
	if _, err := batches.Register(t.Context(), queue.Batch{Name: "b1", State: queue.Submitting}); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 10 {
				if _, err := batches.Change(t.Context(), "b1", func(b *queue.Batch) error { b.Accepted++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if b, _, err := batches.Load(t.Context(), "b1"); err != nil || b.Accepted != 80 {
		t.Errorf("%d accepted, %v; want 80", b.Accepted, err)
	}
}

func TestRefusedChangeWritesNothing(t *testing.T) {
	batches := openBatches(t)
	before, err := batches.Register(t.Context(), queue.Batch{Name: "b1", State: queue.Submitting})
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("not now")
	if _, err := batches.Change(t.Context(), "b1", func(b *queue.Batch) error { b.Rows = 7; return refused }); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	if b, after, err := batches.Load(t.Context(), "b1"); err != nil || after != before || b.Rows != 0 {
		t.Errorf("now %+v at %d, %v", b, after, err)
	}
}

func TestListNamesAllBatchesInOrder(t *testing.T) {
	batches := openBatches(t)
	if got, err := batches.List(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("empty list: %v, %v", got, err)
	}
	for i := range 300 {
		name := queue.BatchID(fmt.Sprintf("b%03d", 299-i))
		if _, err := batches.Register(t.Context(), queue.Batch{Name: name, Rows: i, State: queue.Ended}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := batches.List(t.Context())
	if err != nil || len(got) != 300 {
		t.Fatalf("%d batches, %v", len(got), err)
	}
	for i, b := range got {
		if b.Name != queue.BatchID(fmt.Sprintf("b%03d", i)) || b.Rows != 299-i {
			t.Errorf("at %d: %+v", i, b)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := batches.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("under an ended context: %v", err)
	}
}

func TestMissingStreamsAreNamed(t *testing.T) {
	js := client(t, server(t))
	if _, err := queue.OpenJobs(t.Context(), js); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("jobs: %v", err)
	}
	if _, err := queue.OpenBatches(t.Context(), js); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("batches: %v", err)
	}
	if _, err := queue.OpenPuller(t.Context(), js, queue.JobsStream, "jobs-default"); !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("puller: %v", err)
	}
}
