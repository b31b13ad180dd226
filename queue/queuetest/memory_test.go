package queuetest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
	"rescreen/queue/queuetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	queuetest.Contract(t, func(t *testing.T, body func(*testing.T, queuetest.World)) {
		synctest.Test(t, func(t *testing.T) {
			jobs := queuetest.NewJobs()
			subject := queue.JobSubject(queue.DefaultBatch)
			body(t, queuetest.World{
				Batch: queue.DefaultBatch, AckWait: queue.AckWait,
				Publish: func(_ context.Context, data string, header nats.Header) error {
					jobs.Stream().Publish(subject, []byte(data), header)
					return nil
				},
				Puller: func(*testing.T) queuetest.Pulls { return jobs.Stream().Puller(subject) },
				Backlog: func(ctx context.Context) (queue.BatchBacklog, error) {
					backlog, err := jobs.Backlog(ctx)
					if err != nil || len(backlog) != 1 {
						return queue.BatchBacklog{}, err
					}
					return backlog[0], nil
				},
			})
		})
	})
}
