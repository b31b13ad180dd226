package queue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/queue/natsembed"
)

// One record that cannot be read must not keep the consumers of all batches
// behind it.
func TestUnreadableBatchKeepsItsConsumerOnly(t *testing.T) {
	js, jobs, batches, care := caretaker(t)
	kv, err := js.KeyValue(t.Context(), queue.BatchesBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "a", []byte(`{"name":"a","state":"of a newer program"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := batches.Register(t.Context(), queue.Batch{Name: "b", State: queue.Submitted}); err != nil {
		t.Fatal(err)
	}
	for _, b := range []queue.BatchID{"a", "b"} {
		if err := jobs.EnsureConsumer(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	got, err := care.Retire(t.Context())
	if err == nil || !slices.Equal(got, []queue.BatchID{"b"}) {
		t.Errorf("retired %v, %v", got, err)
	}
}

// A stray whose registration failed is registered in the next round.
func TestStrayIsRegisteredWhenTheRegisterIsBack(t *testing.T) {
	js, jobs, _, care := caretaker(t)
	if _, err := js.Publish(t.Context(), "screening.jobs.stray", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), queue.BatchesBucket); err != nil {
		t.Fatal(err)
	}
	if got, err := care.Adopt(t.Context()); err == nil || len(got) != 0 {
		t.Fatalf("adopts %v, %v without a register", got, err)
	}
	if _, err := js.CreateKeyValue(t.Context(), queue.BatchesBucketConfig(queue.Options{})); err != nil {
		t.Fatal(err)
	}
	if got, err := care.Adopt(t.Context()); err != nil || !slices.Equal(got, []queue.BatchID{"stray"}) {
		t.Errorf("adopts %v, %v", got, err)
	}
	if got, err := jobs.Pull(t.Context(), "stray", 1); err != nil || len(got) != 1 {
		t.Errorf("%d jobs, %v", len(got), err)
	}
}

// The server forgets with a restart when a consumer last delivered.
func TestStrayBatchRetiresAfterARestart(t *testing.T) {
	dir := t.TempDir()
	start := func() (*nats.Conn, jetstream.JetStream, *natsembed.Server) {
		s, err := natsembed.Start(natsembed.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect("", s.InProcess())
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return nc, js, s
	}
	nc, js, s := start()
	for _, c := range queue.Streams(queue.Options{JobsMaxBytes: 1 << 20}) {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateKeyValue(t.Context(), queue.BatchesBucketConfig(queue.Options{})); err != nil {
		t.Fatal(err)
	}
	jobs, _ := queue.OpenJobs(t.Context(), js)
	batches, _ := queue.OpenBatches(t.Context(), js)
	if _, err := batches.Register(t.Context(), queue.Batch{Name: "b", State: queue.Submitted, Unregistered: true, StartedAt: time.Now().Add(-2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := jobs.EnsureConsumer(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.Shutdown()
	nc, js, s = start()
	defer s.Shutdown()
	defer nc.Close()
	jobs, _ = queue.OpenJobs(t.Context(), js)
	batches, _ = queue.OpenBatches(t.Context(), js)
	got, err := queue.NewCaretaker(jobs, batches).Retire(t.Context())
	if err != nil || !slices.Equal(got, []queue.BatchID{"b"}) {
		t.Errorf("retired %v, %v", got, err)
	}
}
