package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
)

// Jobs is the job stream in memory, with the methods of queue.Jobs.
type Jobs struct {
	stream *Stream

	mu      sync.Mutex
	pullers map[queue.BatchID]*Puller
	known   map[string]time.Time // message ids of the last ten minutes, as far as they were asked for
	full    bool
}

// NewJobs returns an empty job stream with a consumer for queue.DefaultBatch.
func NewJobs(opts ...Option) *Jobs {
	j := &Jobs{
		stream:  NewStream(queue.JobsStream, opts...),
		pullers: make(map[queue.BatchID]*Puller), known: make(map[string]time.Time),
	}
	j.pullers[queue.DefaultBatch] = j.stream.Puller(queue.JobSubject(queue.DefaultBatch))
	return j
}

// Stream returns the stream below, to look into and to publish anything.
func (j *Jobs) Stream() *Stream { return j.stream }

// SetFull makes Publish fail with queue.ErrFull, or not any more.
func (j *Jobs) SetFull(full bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.full = full
}

// EnsureConsumer makes the consumer of a batch if there is none.
func (j *Jobs) EnsureConsumer(_ context.Context, batch queue.BatchID) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pullers[batch] == nil {
		j.pullers[batch] = j.stream.Puller(queue.JobSubject(batch))
	}
	return nil
}

// RemoveConsumer removes the consumer of a batch.
func (j *Jobs) RemoveConsumer(_ context.Context, batch queue.BatchID) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pullers[batch] != nil {
		j.stream.drop(queue.JobSubject(batch))
		delete(j.pullers, batch)
	}
	return nil
}

// Pull takes up to limit jobs of a batch that are there now.
func (j *Jobs) Pull(ctx context.Context, batch queue.BatchID, limit int) ([]*queue.Delivery, error) {
	j.mu.Lock()
	p := j.pullers[batch]
	j.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("pull from jobs-%s: %w", batch, queue.ErrNoConsumer)
	}
	return p.Pull(ctx, limit, 0)
}

// Backlog returns what each batch with a consumer has waiting, in the order
// of names.
func (j *Jobs) Backlog(ctx context.Context) ([]queue.BatchBacklog, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stream.mu.Lock()
	defer j.stream.mu.Unlock()
	var backlog []queue.BatchBacklog
	for batch, p := range j.pullers {
		backlog = append(backlog, queue.BatchBacklog{Batch: batch, Pending: p.line.pending, AckPending: p.line.held})
	}
	slices.SortFunc(backlog, func(a, b queue.BatchBacklog) int { return strings.Compare(string(a.Batch), string(b.Batch)) })
	return backlog, nil
}

// Stored returns how many jobs of each batch the stream holds.
func (j *Jobs) Stored(ctx context.Context) (map[queue.BatchID]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stored := make(map[queue.BatchID]uint64)
	for subject, n := range j.stream.Subjects() {
		batch := queue.BatchID(strings.TrimPrefix(subject, queue.JobSubject("")))
		if batch.Validate() == nil {
			stored[batch] = uint64(n)
		}
	}
	return stored, nil
}

// Publish publishes jobs to a batch.
func (j *Jobs) Publish(ctx context.Context, batch queue.BatchID, jobs []queue.Job, opts ...queue.PublishOption) ([]queue.Receipt, error) {
	receipts := make([]queue.Receipt, len(jobs))
	if err := batch.Validate(); err != nil {
		return receipts, err
	}
	if err := ctx.Err(); err != nil {
		return receipts, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.full {
		return receipts, fmt.Errorf("publish jobs: %w", queue.ErrFull)
	}
	bodies := make([][]byte, len(jobs))
	for i, job := range jobs {
		var err error
		if bodies[i], err = job.Encode(); err != nil {
			return receipts, err
		}
	}
	for i, job := range jobs {
		id := queue.EventID(batch, job.ID, job.WithDefaults().Attempt)
		if at, ok := j.known[id]; ok && time.Since(at) < queue.PublishWindow {
			receipts[i] = queue.Repeated
			continue
		}
		header := nats.Header{nats.MsgIdHdr: []string{id}}
		for _, o := range opts {
			o(job, header)
		}
		j.stream.Publish(queue.JobSubject(batch), bodies[i], header)
		j.known[id] = time.Now()
		receipts[i] = queue.Stored
	}
	return receipts, nil
}
