package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Jobs is the job stream with its consumers, one per batch. Its methods may
// be called at the same time.
type Jobs struct {
	js        jetstream.JetStream
	publisher jetstream.JetStream // the same, with bounds of its own for pipelined publishing
	stream    jetstream.Stream
	lanes     *lanes
	options   []ConsumerOption
}

// BatchBacklog is what a batch has waiting. There may be something to pull
// when either count is above zero.
type BatchBacklog struct {
	Batch   BatchID
	Pending uint64 // never delivered
	// AckPending is delivered and not settled: in the hands of a worker, handed
	// back with a delay, or to be delivered again because its ack wait is over.
	AckPending uint64
}

// ErrConsumerDiffers: a consumer of that name exists and takes other messages
// or takes them otherwise, so that jobs could be lost with it.
var ErrConsumerDiffers = errors.New("consumer exists with another configuration")

// OpenJobs looks the stream up; setup creates it. The options apply to
// consumers made by EnsureConsumer.
//
// Errors: jetstream.ErrStreamNotFound, or the connection's.
func OpenJobs(ctx context.Context, js jetstream.JetStream, options ...ConsumerOption) (*Jobs, error) {
	stream, err := js.Stream(ctx, JobsStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", JobsStream, err)
	}
	publisher, err := pipelined(js)
	if err != nil {
		return nil, fmt.Errorf("publisher of %s: %w", JobsStream, err)
	}
	return &Jobs{js: js, publisher: publisher, stream: stream, lanes: newLanes(js.Conn()), options: options}, nil
}

// Close ends the subscriptions of Pull and Publish. It need not be called when
// the connection is closed.
func (q *Jobs) Close() error {
	q.publisher.CleanupPublisher()
	return q.lanes.close()
}

// Pull takes up to limit jobs of a batch that are there now; see Puller.Pull.
// A consumer learns of a job some moments after its publish was acknowledged;
// only Stored counts it from then on.
func (q *Jobs) Pull(ctx context.Context, batch BatchID, limit int) ([]*Delivery, error) {
	p := Puller{js: q.js, lanes: q.lanes, stream: JobsStream, consumer: consumerPrefix + string(batch)}
	return p.Pull(ctx, limit, 0)
}

// Backlog returns what each batch with a consumer has waiting, in the order of
// names. It asks for the list of consumers, 256 at a time; each is answered
// for by its leader. On a cluster a consumer whose leader does not answer is
// left out, this time.
func (q *Jobs) Backlog(ctx context.Context) ([]BatchBacklog, error) {
	var backlog []BatchBacklog
	list := q.stream.ListConsumers(ctx)
	for info := range list.Info() {
		name, ok := strings.CutPrefix(info.Name, consumerPrefix)
		if !ok {
			continue
		}
		backlog = append(backlog, BatchBacklog{
			Batch: BatchID(name), Pending: info.NumPending, AckPending: uint64(max(info.NumAckPending, 0)),
		})
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", JobsStream, err)
	}
	slices.SortFunc(backlog, func(a, b BatchBacklog) int { return cmp.Compare(a.Batch, b.Batch) })
	return backlog, nil
}

// Stored returns how many jobs of each batch the stream holds, those in the
// hands of workers included. A batch that has jobs and no consumer was
// published to without having been submitted.
func (q *Jobs) Stored(ctx context.Context) (map[BatchID]uint64, error) {
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(jobsPrefix+">"))
	if err != nil {
		return nil, fmt.Errorf("subjects of %s: %w", JobsStream, err)
	}
	stored := make(map[BatchID]uint64, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		// A subject that is no batch's cannot be pulled from by anybody.
		if batch, err := batchOf(subject); err == nil {
			stored[batch] = n
		}
	}
	return stored, nil
}

// EnsureConsumer sees to it that the batch has its consumer. One that exists
// is left as it is, also when its limits have been tuned.
//
// It looks first and never updates: servers up to 2.15 that refuse to create
// a consumer may drop the state of the one that exists (nats-server #8491).
//
// Errors: ErrConsumerDiffers, an invalid name, or the connection's.
func (q *Jobs) EnsureConsumer(ctx context.Context, batch BatchID) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	want := JobsConsumer(batch, q.options...)
	have, err := q.stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		have, err = q.stream.CreateConsumer(ctx, want)
		if errors.Is(err, jetstream.ErrConsumerExists) { // somebody was faster, with other limits
			have, err = q.stream.Consumer(ctx, want.Durable)
		}
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	if !takesTheSame(have.CachedInfo().Config, want) {
		return fmt.Errorf("consumer %s: %w", want.Durable, ErrConsumerDiffers)
	}
	return nil
}

// takesTheSame compares what decides over which messages a consumer delivers
// and when they are gone; limits may differ.
func takesTheSame(have, want jetstream.ConsumerConfig) bool {
	return have.FilterSubject == want.FilterSubject && len(have.FilterSubjects) == 0 &&
		have.AckPolicy == want.AckPolicy && have.MaxDeliver == want.MaxDeliver && len(have.BackOff) == 0 &&
		have.DeliverPolicy == want.DeliverPolicy && have.DeliverSubject == "" && have.InactiveThreshold == 0
}

// RemoveConsumer removes the consumer of a batch that has ended. It is no
// error if there is none. Jobs published to the batch later wait in the stream
// until somebody ensures the consumer again.
func (q *Jobs) RemoveConsumer(ctx context.Context, batch BatchID) error {
	name := consumerPrefix + string(batch)
	err := q.stream.DeleteConsumer(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("consumer %s: %w", name, err)
	}
	return nil
}
