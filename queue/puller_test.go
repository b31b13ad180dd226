package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
)

func publish(t testing.TB, js jetstream.JetStream, batch queue.BatchID, n int) {
	t.Helper()
	for i := range n {
		if _, err := js.Publish(t.Context(), queue.JobSubject(batch), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissingConsumerIsToldFromAnEmptyOne(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	if got, err := jobs.Pull(t.Context(), "b", 1); err != nil || len(got) != 0 {
		t.Errorf("empty: %v, %v", got, err)
	}
	if _, err := jobs.Pull(t.Context(), "never", 1); !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("missing: %v", err)
	}
}

func TestPullingWorksUnderAnAPIPrefix(t *testing.T) {
	js := broker(t)
	openJobs(t, js, "b")
	for _, prefix := range []string{"$JS.API", "$JS.API."} {
		prefixed, err := jetstream.NewWithAPIPrefix(js.Conn(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		jobs, err := queue.OpenJobs(t.Context(), prefixed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Publish(t.Context(), "b", []queue.Job{{
			ID: "j" + queue.JobID(fmt.Sprint(len(prefix))), CustomerRef: "C", FirstName: "Mia", LastName: "Holm", SSN: "01010751469",
		}}); err != nil {
			t.Fatal(err)
		}
		pullAll(t, jobs, "b", 1)
	}
}

func TestConsumerDeletedUnderAPullIsReported(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	p := openPuller(t, js, "b")
	got := make(chan error, 1)
	go func() {
		_, err := p.Pull(t.Context(), 1, time.Minute)
		got <- err
	}()
	waitForRequest(t, js, "b")
	if err := jobs.RemoveConsumer(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("during the wait: %v", err)
	}
	if _, err := p.Pull(t.Context(), 1, 0); !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("afterwards: %v", err)
	}
	if err := jobs.EnsureConsumer(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Pull(t.Context(), 1, 0); err != nil {
		t.Errorf("made anew: %v", err)
	}
}

// waitForRequest returns when the server holds a pull request.
func waitForRequest(t *testing.T, js jetstream.JetStream, batch queue.BatchID) {
	t.Helper()
	for t.Context().Err() == nil {
		c, err := js.Consumer(t.Context(), queue.JobsStream, "jobs-"+string(batch))
		if err != nil {
			t.Fatal(err)
		}
		if c.CachedInfo().NumWaiting > 0 {
			return
		}
	}
}

func TestConnectionClosedUnderAPullIsReported(t *testing.T) {
	s := server(t)
	js := client(t, s)
	if _, err := js.CreateStream(t.Context(), queue.Streams(queue.Options{})[0]); err != nil {
		t.Fatal(err)
	}
	openJobs(t, js, "b")
	p := openPuller(t, js, "b")
	got := make(chan error, 1)
	go func() {
		_, err := p.Pull(t.Context(), 1, time.Minute)
		got <- err
	}()
	waitForRequest(t, client(t, s), "b")
	js.Conn().Close()
	if err := <-got; !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("during the wait: %v", err)
	}
	if _, err := p.Pull(t.Context(), 1, 0); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestServerGoneUnderAPullIsReported(t *testing.T) {
	s := server(t)
	js := client(t, s)
	if _, err := js.CreateStream(t.Context(), queue.Streams(queue.Options{})[0]); err != nil {
		t.Fatal(err)
	}
	openJobs(t, js, "b")
	p := openPuller(t, js, "b")
	got := make(chan error, 1)
	go func() {
		_, err := p.Pull(t.Context(), 1, time.Second)
		got <- err
	}()
	waitForRequest(t, js, "b")
	s.Shutdown()
	if err := <-got; err == nil {
		t.Error("a wait that the server did not live through ended well")
	}
}

func TestClosedPullerEndsItsPulls(t *testing.T) {
	js := broker(t)
	openJobs(t, js, "b")
	p := openPuller(t, js, "b")
	got := make(chan error, 1)
	go func() {
		_, err := p.Pull(t.Context(), 1, time.Minute)
		got <- err
	}()
	waitForRequest(t, js, "b")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-got; !errors.Is(err, queue.ErrPullerClosed) {
		t.Errorf("during the wait: %v", err)
	}
	if _, err := p.Pull(t.Context(), 1, 0); !errors.Is(err, queue.ErrPullerClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNothingIsStrandedByPullsGivenUp gives pulls up at every moment while
// messages keep coming. Whatever the server sent to one of them has to be seen
// by somebody long before the ack wait of 20 s.
func TestNothingIsStrandedByPullsGivenUp(t *testing.T) {
	t.Parallel()
	const messages = 200
	js := broker(t)
	openJobs(t, js, "b")
	impatient, patient := openPuller(t, js, "b"), openPuller(t, js, "b")

	stop, stopped := context.WithCancel(t.Context())
	var quitters sync.WaitGroup
	seen := make(chan string, 10*messages)
	for i := range 4 {
		quitters.Go(func() {
			for stop.Err() == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+70*i)*time.Microsecond)
				deliveries, err := impatient.Pull(ctx, 8, time.Minute)
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				for _, d := range deliveries {
					if err := d.Ack(); err != nil {
						t.Error(err)
					}
					seen <- string(d.Data)
				}
			}
		})
	}
	publish(t, js, "b", messages)
	stopped()
	quitters.Wait()

	found := make(map[string]bool)
	for len(seen) > 0 {
		found[<-seen] = true
	}
	for begin := time.Now(); len(found) < messages; {
		if time.Since(begin) > queue.AckWait/2 {
			t.Fatalf("%d of %d messages are with nobody", messages-len(found), messages)
		}
		deliveries, err := patient.Pull(t.Context(), 64, time.Second)
		if err != nil && !errors.Is(err, queue.ErrNoAnswer) {
			t.Fatal(err)
		}
		for _, d := range deliveries {
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
			found[string(d.Data)] = true
		}
	}
}

// TestFullConsumerIsReportedAndLetsPullsWait: with MaxAckPending reached the
// server turns some requests away at once, which must not become a busy loop,
// and leaves others without an answer.
func TestFullConsumerIsReportedAndLetsPullsWait(t *testing.T) {
	t.Parallel()
	js := broker(t)
	jobs := openJobs(t, js, "b", queue.WithMaxAckPending(1))
	publish(t, js, "b", 5)
	held := pullAll(t, jobs, "b", 1)
	want := []queue.BatchBacklog{{Batch: "b", Pending: 4, AckPending: 1}}
	for ctx := patiently(t); ; { // a consumer learns of a message some moments later
		got, err := jobs.Backlog(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(got, want) {
			break
		}
	}
	if got, err := jobs.Pull(t.Context(), "b", 5); !errors.Is(err, queue.ErrConsumerFull) {
		t.Fatalf("while full: %d messages, %v", len(got), err)
	}
	a, b := openPuller(t, js, "b"), openPuller(t, js, "b")
	var waiting sync.WaitGroup
	begin := time.Now()
	for _, p := range []*queue.Puller{a, b, a, b} {
		waiting.Go(func() {
			if got, err := p.Pull(t.Context(), 5, 300*time.Millisecond); err != nil || len(got) != 0 {
				t.Errorf("while full, with a wait: %d messages, %v", len(got), err)
			}
		})
	}
	waiting.Wait()
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("a wait of 300 ms ended after %v", took)
	}
	if err := held[0].Ack(); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Pull(t.Context(), 1, 10*time.Second); err != nil || len(got) != 1 {
		t.Errorf("with room again: %d messages, %v", len(got), err)
	}
}
