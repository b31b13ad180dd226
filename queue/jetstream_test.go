package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/queue/natsembed"
	"rescreen/queue/queuetest"
)

// patiently bounds what has to succeed; the client's own five seconds are not
// enough on a machine that is busy with something else.
func patiently(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// broker starts an embedded server with the streams of the package and
// returns a connection to it.
func broker(t testing.TB) jetstream.JetStream {
	t.Helper()
	s := server(t)
	js := client(t, s)
	for _, cfg := range queue.Streams(queue.Options{}) {
		if _, err := js.CreateStream(patiently(t), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateKeyValue(patiently(t), queue.BatchesBucketConfig(queue.Options{})); err != nil {
		t.Fatal(err)
	}
	return js
}

func server(t testing.TB) *natsembed.Server {
	t.Helper()
	s, err := natsembed.Start(natsembed.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func client(t testing.TB, s *natsembed.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", s.InProcess(), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// openJobs returns the job stream with the consumer of a batch.
func openJobs(t testing.TB, js jetstream.JetStream, batch queue.BatchID, opts ...queue.ConsumerOption) *queue.Jobs {
	t.Helper()
	jobs, err := queue.OpenJobs(patiently(t), js, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := jobs.EnsureConsumer(patiently(t), batch); err != nil {
		t.Fatal(err)
	}
	return jobs
}

func openPuller(t testing.TB, js jetstream.JetStream, batch queue.BatchID) *queue.Puller {
	t.Helper()
	p, err := queue.OpenPuller(patiently(t), js, queue.JobsStream, "jobs-"+string(batch))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pullAll takes n jobs of a batch, which have to come. A consumer learns of a
// message some moments after the stream has taken it.
func pullAll(t testing.TB, jobs *queue.Jobs, batch queue.BatchID, n int) []*queue.Delivery {
	t.Helper()
	var got []*queue.Delivery
	for ctx := patiently(t); len(got) < n; {
		deliveries, err := jobs.Pull(ctx, batch, n-len(got))
		if err != nil && !errors.Is(err, queue.ErrNoAnswer) {
			t.Fatalf("%d of %d jobs, %v", len(got), n, err)
		}
		got = append(got, deliveries...)
	}
	return got
}

func TestJetStreamKeepsTheContract(t *testing.T) {
	const ackWait = time.Second
	queuetest.Contract(t, func(t *testing.T, body func(*testing.T, queuetest.World)) {
		t.Parallel()
		js := broker(t)
		jobs := openJobs(t, js, "b", queue.WithAckWait(ackWait))
		body(t, queuetest.World{
			Batch: "b", AckWait: ackWait,
			Publish: func(ctx context.Context, data string, header nats.Header) error {
				_, err := js.PublishMsg(ctx, &nats.Msg{Subject: queue.JobSubject("b"), Data: []byte(data), Header: header})
				return err
			},
			Puller: func(t *testing.T) queuetest.Pulls { return openPuller(t, js, "b") },
			Backlog: func(ctx context.Context) (queue.BatchBacklog, error) {
				backlog, err := jobs.Backlog(ctx)
				if err != nil || len(backlog) != 1 {
					return queue.BatchBacklog{}, err
				}
				return backlog[0], nil
			},
		})
	})
}
