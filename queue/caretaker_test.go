package queue_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
)

func caretaker(t *testing.T) (jetstream.JetStream, *queue.Jobs, *queue.Batches, *queue.Caretaker) {
	t.Helper()
	js := broker(t)
	jobs := openJobs(t, js, queue.DefaultBatch)
	batches, err := queue.OpenBatches(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	return js, jobs, batches, queue.NewCaretaker(jobs, batches)
}

// gone waits until the stream is empty: nobody waits for an ack.
func gone(t *testing.T, jobs *queue.Jobs) {
	t.Helper()
	for ctx := patiently(t); ; {
		stored, err := jobs.Stored(ctx)
		if err != nil {
			t.Fatalf("the stream holds %v, %v", stored, err)
		}
		if len(stored) == 0 {
			return
		}
	}
}

func TestStrayBatchIsAdopted(t *testing.T) {
	js, jobs, batches, care := caretaker(t)
	for _, batch := range []string{"stray", "default", "Not-A-Batch"} {
		if _, err := js.Publish(t.Context(), "screening.jobs."+batch, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for round, want := range [][]queue.BatchID{{"stray"}, nil} {
		if got, err := care.Adopt(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Fatalf("round %d adopts %v, %v; want %v", round, got, err, want)
		}
	}
	if b, _, err := batches.Load(t.Context(), "stray"); err != nil || !b.Unregistered {
		t.Errorf("registered as %+v, %v", b, err)
	}
	if got, err := jobs.Pull(t.Context(), "stray", 1); err != nil || len(got) != 1 {
		t.Errorf("its consumer gives %d jobs, %v", len(got), err)
	}
}

// A submission whose consumer somebody removed is served again, and is no stray.
func TestSubmissionWithoutConsumerIsServedAgain(t *testing.T) {
	js, jobs, batches, care := caretaker(t)
	if _, err := batches.Register(t.Context(), queue.Batch{Name: "b", State: queue.Submitting}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "screening.jobs.b", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got, err := care.Adopt(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("adopts %v, %v", got, err)
	}
	if got, err := jobs.Pull(t.Context(), "b", 1); err != nil || len(got) != 1 {
		t.Errorf("%d jobs, %v", len(got), err)
	}
}

func TestConsumerGoesOnlyWhenItsBatchIsDrained(t *testing.T) {
	js, jobs, batches, care := caretaker(t)
	for i, state := range queue.BatchStates() {
		name := queue.BatchID(fmt.Sprintf("b%d", i))
		if _, err := batches.Register(t.Context(), queue.Batch{Name: name, State: state}); err != nil {
			t.Fatal(err)
		}
		if err := jobs.EnsureConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	submitted := queue.BatchID("b1")
	if _, err := js.Publish(t.Context(), "screening.jobs.b1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	retire := func(want ...queue.BatchID) {
		t.Helper()
		got, err := care.Retire(t.Context())
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Fatalf("retires %v, %v; want %v", got, err, want)
		}
	}
	retire("b2") // ended; b0 is still being submitted, b1 has a job
	held := pullAll(t, jobs, submitted, 1)
	retire() // its job is in somebody's hands
	if err := held[0].Ack(); err != nil {
		t.Fatal(err)
	}
	gone(t, jobs)
	retire(submitted)
}

func TestStrayBatchKeepsItsConsumerWhileItIsFresh(t *testing.T) {
	js, jobs, _, care := caretaker(t)
	if _, err := js.Publish(t.Context(), "screening.jobs.stray", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := care.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pullAll(t, jobs, "stray", 1)[0].Ack(); err != nil {
		t.Fatal(err)
	}
	gone(t, jobs)
	if got, err := care.Retire(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("retires %v, %v", got, err)
	}
}
