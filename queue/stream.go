package queue

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names in JetStream.
const (
	// JobsStream holds the jobs nobody has dealt with yet.
	JobsStream = "SCREENING_JOBS"
	// BatchesBucket is the key-value bucket of the batches.
	BatchesBucket = "screening_batches"

	jobsPrefix     = "screening.jobs."
	consumerPrefix = "jobs-"

	batchesStream = "KV_" + BatchesBucket
	batchesPrefix = "$KV." + BatchesBucket + "."
)

// Settings of the stream and its consumers.
const (
	// DefaultJobsMaxBytes is room for 3.9 million jobs of 548 bytes, which is
	// what one takes with all members and headers.
	// The server sets it aside: more would not start on a small disk.
	DefaultJobsMaxBytes = 2 << 30
	// PublishWindow is how long the server knows a job that was published, so
	// that a publish repeated after a lost answer stores nothing. It is no more
	// than that: it ends with a restart, and a job queued twice is harmless.
	PublishWindow = 10 * time.Minute
	// AckWait is when a message comes again that its worker has not settled.
	AckWait = 20 * time.Second
	// DefaultMaxAckPending bounds the deliveries not settled, of all workers
	// together. It has to exceed workers × slots; 10,000 is 150 workers.
	DefaultMaxAckPending = 10_000

	// maxBatchBytes bounds the record of a batch.
	maxBatchBytes = 64 << 10
)

// Options are what an installation decides about the streams.
type Options struct {
	// Replicas of each stream; 0 means 1. A cluster has 3.
	Replicas int
	// JobsMaxBytes bounds SCREENING_JOBS; 0 means DefaultJobsMaxBytes.
	JobsMaxBytes int64
}

// Validate refuses what no server accepts.
func (o Options) Validate() error {
	switch o.Replicas {
	case 0, 1, 3, 5:
	default:
		return errors.New("replicas: not 1, 3 or 5")
	}
	if o.JobsMaxBytes < 0 {
		return errors.New("size of the job stream: below zero")
	}
	return nil
}

// Streams returns the configuration of the streams of this package.
func Streams(o Options) []jetstream.StreamConfig {
	maxBytes := o.JobsMaxBytes
	if maxBytes == 0 {
		maxBytes = DefaultJobsMaxBytes
	}
	return []jetstream.StreamConfig{{
		Name:        JobsStream,
		Description: "rescreen: jobs that wait for a worker",
		Subjects:    []string{jobsPrefix + "*"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    max(o.Replicas, 1),
		// A full stream refuses: producers are told, and nothing is dropped.
		Discard:    jetstream.DiscardNew,
		MaxBytes:   maxBytes,
		MaxMsgs:    -1,
		MaxMsgSize: MaxJobBytes + 4<<10, // headers count
		Duplicates: PublishWindow,
		// DenyPurge stays off: it can never be taken back, and a batch that is
		// cancelled will be purged by subject.
		DenyDelete: true,
	}}
}

// BatchesBucketConfig returns the configuration of the bucket of batches.
// What is read from it may be old; every change is compare-and-set.
func BatchesBucketConfig(o Options) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:       BatchesBucket,
		Description:  "rescreen: batches, their totals and who submitted them",
		MaxValueSize: maxBatchBytes,
		History:      1,
		Storage:      jetstream.FileStorage,
		Replicas:     max(o.Replicas, 1),
	}
}

// BatchSubject is where the register keeps a batch.
func BatchSubject(batch BatchID) string { return batchesPrefix + string(batch) }

// ConsumerOption changes the configuration of a job consumer.
type ConsumerOption func(*jetstream.ConsumerConfig)

// WithMaxAckPending bounds the deliveries not settled, of all workers
// together. It has to exceed workers × slots.
func WithMaxAckPending(n int) ConsumerOption {
	return func(c *jetstream.ConsumerConfig) { c.MaxAckPending = n }
}

// WithAckWait sets the ack wait; tests shorten it.
func WithAckWait(d time.Duration) ConsumerOption {
	return func(c *jetstream.ConsumerConfig) { c.AckWait = d }
}

// JobsConsumer returns the configuration of the consumer of a batch: one of
// its own per batch, so that workers can be fair between batches.
//
// It has no BackOff, which would override AckWait and distort delayed
// hand-backs, and no limit of deliveries: a message that reached one would
// stay in the stream unseen.
func JobsConsumer(batch BatchID, opts ...ConsumerOption) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Durable:       consumerPrefix + string(batch),
		Description:   "rescreen: jobs of one batch",
		FilterSubject: JobSubject(batch),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    -1,
		ReplayPolicy:  jetstream.ReplayInstantPolicy,
		MaxAckPending: DefaultMaxAckPending,
	}
	for _, o := range opts {
		o(&c)
	}
	c.Metadata = monitoring(c.MaxAckPending)
	return c
}

// waitingCritical is somewhat less than the pull requests that a consumer lets
// wait, 512 by default: beyond that it turns workers away.
const waitingCritical = 500

// monitoring is the metadata by which the nats tool and others know what to
// expect of a consumer: it delivers nothing once maxAckPending is reached. A
// backlog, however long, is no reason for an alarm.
func monitoring(maxAckPending int) map[string]string {
	return map[string]string{
		"io.nats.monitor.enabled":                  "true",
		"io.nats.monitor.outstanding-ack-critical": strconv.Itoa(maxAckPending * 9 / 10),
		"io.nats.monitor.waiting-critical":         strconv.Itoa(waitingCritical),
	}
}
