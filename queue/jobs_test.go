package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient/personal"
	"rescreen/queue"
)

// people returns n jobs.
func people(n int) []queue.Job {
	jobs := make([]queue.Job, n)
	for i := range jobs {
		jobs[i] = queue.Job{
			ID: queue.JobID(fmt.Sprintf("j-%d", i)), CustomerRef: fmt.Sprintf("C-%d", i),
			FirstName: "Kari", LastName: personal.Text(fmt.Sprintf("Klaven %d", i)), SSN: "01010750241", Report: i%2 == 0,
		}
	}
	return jobs
}

func count(receipts []queue.Receipt, want queue.Receipt) (n int) {
	for _, r := range receipts {
		if r == want {
			n++
		}
	}
	return n
}

func TestPublishedJobsArriveAsTheyWere(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	js := broker(t)
	jobs := openJobs(t, js, "b")
	sent := people(3)
	receipts, err := jobs.Publish(t.Context(), "b", sent, queue.WithTraceparent(func(queue.JobID) string { return traceparent }))
	if err != nil || count(receipts, queue.Stored) != 3 {
		t.Fatalf("receipts %v, %v", receipts, err)
	}
	for i, d := range pullAll(t, jobs, "b", 3) {
		job, err := queue.DecodeJob(d.Data)
		if err != nil {
			t.Fatal(err)
		}
		if want := sent[i].WithDefaults(); job.ID != want.ID || job.LastName != want.LastName || job.Report != want.Report {
			t.Errorf("job %d is %+v", i, job)
		}
		if id := d.Header.Get("Nats-Msg-Id"); id != fmt.Sprintf("b.j-%d.1", i) {
			t.Errorf("message id %s", id)
		}
		if d.Header.Get("traceparent") != traceparent {
			t.Errorf("traceparent %q", d.Header.Get("traceparent"))
		}
	}
}

func TestRepeatedPublishStoresNothing(t *testing.T) {
	t.Parallel()
	js := broker(t)
	jobs := openJobs(t, js, "b")
	sent := people(600)
	if _, err := jobs.Publish(t.Context(), "b", sent[:300]); err != nil {
		t.Fatal(err)
	}
	receipts, err := jobs.Publish(t.Context(), "b", sent)
	if err != nil || count(receipts, queue.Repeated) != 300 || count(receipts, queue.Stored) != 300 {
		t.Errorf("%d repeated, %d stored, %v", count(receipts, queue.Repeated), count(receipts, queue.Stored), err)
	}
	if stored, err := jobs.Stored(t.Context()); err != nil || stored["b"] != 600 {
		t.Errorf("stored %v, %v", stored, err)
	}
}

func TestAnotherAttemptIsAnotherMessage(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	job := people(1)
	for attempt := range 3 {
		job[0].Attempt = attempt + 1
		if receipts, err := jobs.Publish(t.Context(), "b", job); err != nil || receipts[0] != queue.Stored {
			t.Errorf("attempt %d: %v, %v", attempt+1, receipts, err)
		}
	}
}

func TestFullStreamIsReportedAndTakesTheRestLater(t *testing.T) {
	t.Parallel()
	js := client(t, server(t))
	cfg := queue.Streams(queue.Options{JobsMaxBytes: 32 << 10})[0]
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	jobs := openJobs(t, js, "b")
	sent := people(300)
	receipts, err := jobs.Publish(t.Context(), "b", sent)
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("error %v", err)
	}
	stored := count(receipts, queue.Stored)
	if stored == 0 || len(receipts) != len(sent) {
		t.Fatalf("%d of %d stored", stored, len(receipts))
	}
	for deadline := time.Now().Add(time.Minute); len(sent) > 0 && time.Now().Before(deadline); {
		var rest []queue.Job
		for i, r := range receipts {
			if r == queue.Unacknowledged {
				rest = append(rest, sent[i])
			}
		}
		sent = rest
		more, err := jobs.Pull(t.Context(), "b", 64)
		if err != nil && !errors.Is(err, queue.ErrNoAnswer) {
			t.Fatal(err)
		}
		for _, d := range more {
			if err := d.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if receipts, err = jobs.Publish(t.Context(), "b", sent); err != nil && !errors.Is(err, queue.ErrFull) {
			t.Fatal(err)
		}
	}
	if len(sent) > 0 {
		t.Errorf("%d jobs never got in", len(sent))
	}
}

func TestInvalidJobStopsThePublishBeforeItBegins(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	sent := people(3)
	sent[2].SSN = "1"
	var jobErr *queue.JobError
	if receipts, err := jobs.Publish(t.Context(), "b", sent); !errors.As(err, &jobErr) || count(receipts, queue.Unacknowledged) != 3 {
		t.Errorf("receipts %v, %v", receipts, err)
	}
	if _, err := jobs.Publish(t.Context(), "No Batch", people(1)); err == nil {
		t.Error("published to an invalid name")
	}
	if stored, err := jobs.Stored(t.Context()); err != nil || len(stored) != 0 {
		t.Errorf("stored %v, %v", stored, err)
	}
}

func TestPublishEndsWithItsContextAndWithTheConnection(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if receipts, err := jobs.Publish(ctx, "b", people(2)); !errors.Is(err, context.Canceled) || len(receipts) != 2 {
		t.Errorf("cancelled: %v, %v", receipts, err)
	}
	js.Conn().Close()
	if receipts, err := jobs.Publish(t.Context(), "b", people(2)); err == nil || count(receipts, queue.Unacknowledged) != 2 {
		t.Errorf("closed: %v, %v", receipts, err)
	}
}

func TestBacklogListsEveryBatch(t *testing.T) {
	t.Parallel()
	js := broker(t)
	jobs, err := queue.OpenJobs(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	const batches = 260 // more than a page of the list
	var want []queue.BatchBacklog
	for i := range batches {
		n := max(0, i-batches+5) // the last four have jobs
		b := queue.BatchBacklog{Batch: queue.BatchID(fmt.Sprintf("b%03d", i)), Pending: uint64(n)}
		if err := jobs.EnsureConsumer(t.Context(), b.Batch); err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Publish(t.Context(), b.Batch, people(n)); err != nil {
			t.Fatal(err)
		}
		want = append(want, b)
	}
	for patience := patiently(t); ; { // a consumer learns of a message some moments later
		got, err := jobs.Backlog(patience)
		if err != nil {
			t.Fatalf("backlog %v, %v; want %v", got, err, want)
		}
		if slices.Equal(got, want) {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := jobs.Backlog(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("under an ended context: %v", err)
	}
}

func TestJobsWithoutConsumerAreSeen(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	publish(t, js, "b", 2)
	publish(t, js, "unregistered", 3)
	if _, err := js.Publish(t.Context(), "screening.jobs.Not-A-Batch", nil); err != nil {
		t.Fatal(err)
	}
	stored, err := jobs.Stored(t.Context())
	if err != nil || len(stored) != 2 || stored["b"] != 2 || stored["unregistered"] != 3 {
		t.Errorf("stored %v, %v", stored, err)
	}
	if err := jobs.EnsureConsumer(t.Context(), "unregistered"); err != nil {
		t.Fatal(err)
	}
	pullAll(t, jobs, "unregistered", 3)
}

func TestEnsuredConsumerKeepsItsStateAndItsTuning(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	publish(t, js, "b", 5)
	pullAll(t, jobs, "b", 2)
	tuned := queue.JobsConsumer("b", queue.WithMaxAckPending(77))
	if _, err := js.UpdateConsumer(t.Context(), queue.JobsStream, tuned); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := jobs.EnsureConsumer(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	// A consumer learns of a job some moments after its publish was acknowledged.
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c, err := js.Consumer(t.Context(), queue.JobsStream, "jobs-b")
		if err != nil {
			t.Fatal(err)
		}
		info := c.CachedInfo()
		if info.NumPending == 3 && info.NumAckPending == 2 && info.Config.MaxAckPending == 77 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("pending %d, held %d, limit %d", info.NumPending, info.NumAckPending, info.Config.MaxAckPending)
		}
	}
}

func TestForeignConsumerOfTheNameIsReported(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "a")
	foreign := queue.JobsConsumer("b")
	foreign.MaxDeliver = 5
	if _, err := js.CreateConsumer(t.Context(), queue.JobsStream, foreign); err != nil {
		t.Fatal(err)
	}
	if err := jobs.EnsureConsumer(t.Context(), "b"); !errors.Is(err, queue.ErrConsumerDiffers) {
		t.Errorf("error %v", err)
	}
	if err := jobs.EnsureConsumer(t.Context(), "a.b"); err == nil {
		t.Error("made a consumer of an invalid name")
	}
}

func TestConsumersEnsuredAtTheSameTimeAgree(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() { errs <- jobs.EnsureConsumer(t.Context(), "new") }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestRemovingAConsumerTwiceIsFine(t *testing.T) {
	js := broker(t)
	jobs := openJobs(t, js, "b")
	for range 2 {
		if err := jobs.RemoveConsumer(t.Context(), "b"); err != nil {
			t.Error(err)
		}
	}
}

// TestStreamsAreWhatTheServerMakesOfThem: what is configured is what the
// server has, so that setup finds nothing to change the second time.
func TestStreamsAreWhatTheServerMakesOfThem(t *testing.T) {
	js := broker(t)
	for _, want := range queue.Streams(queue.Options{}) {
		s, err := js.Stream(t.Context(), want.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := s.CachedInfo().Config
		if got.Retention != jetstream.WorkQueuePolicy || got.Discard != jetstream.DiscardNew || got.MaxBytes != 2<<30 ||
			got.Duplicates != 10*time.Minute || !got.DenyDelete || got.DenyPurge || got.AllowDirect || got.Replicas != 1 ||
			got.Storage != jetstream.FileStorage || got.MaxMsgSize != want.MaxMsgSize || !slices.Equal(got.Subjects, []string{"screening.jobs.*"}) {
			t.Errorf("the server has %+v", got)
		}
	}
	openJobs(t, js, "b")
	c, err := js.Consumer(t.Context(), queue.JobsStream, "jobs-b")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config; got.AckPolicy != jetstream.AckExplicitPolicy || got.MaxDeliver != -1 || got.AckWait != 20*time.Second ||
		got.MaxAckPending != 10_000 || len(got.BackOff) != 0 || got.FilterSubject != "screening.jobs.b" || got.InactiveThreshold != 0 {
		t.Errorf("the server has %+v", got)
	}
}

func TestOptionsThatNoServerAccepts(t *testing.T) {
	for _, c := range []struct {
		options queue.Options
		ok      bool
	}{{queue.Options{}, true}, {queue.Options{Replicas: 3, JobsMaxBytes: 1 << 20}, true}, {queue.Options{Replicas: 2}, false}, {queue.Options{Replicas: -1}, false}, {queue.Options{JobsMaxBytes: -1}, false}} {
		if err := c.options.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.options, err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	js := broker(b)
	jobs := openJobs(b, js, "b")
	sent := people(10_000)
	published := 0
	for b.Loop() {
		for i := range sent {
			sent[i].ID = queue.JobID(fmt.Sprintf("j-%d", published+i))
		}
		if _, err := jobs.Publish(b.Context(), "b", sent); err != nil {
			b.Fatal(err)
		}
		published += len(sent)
	}
	b.ReportMetric(float64(published)/b.Elapsed().Seconds(), "jobs/s")
}

// BenchmarkPullAndAck: one at a time costs 0.06 to 1 ms at nats-server 2.15.2.
// When a message is delivered just before the one ahead of it is acknowledged,
// the file store takes that for a scan backwards that has reached its end,
// drops the block and reads its 8 MB again. More at a time do not meet this.
func BenchmarkPullAndAck(b *testing.B) {
	for _, limit := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			js := broker(b)
			jobs := openJobs(b, js, "b")
			if _, err := jobs.Publish(b.Context(), "b", people(b.N)); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for pulled := 0; pulled < b.N; {
				deliveries, err := jobs.Pull(b.Context(), "b", limit)
				if err != nil {
					b.Fatal(err)
				}
				for _, d := range deliveries {
					if err := d.Ack(); err != nil {
						b.Fatal(err)
					}
				}
				pulled += len(deliveries)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}
