package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"rescreen/queue"
	"rescreen/store"
)

const (
	// counterLife is when the server removes a counter that its command left
	// behind.
	counterLife = 2 * time.Minute
	// recountAfter is when a counter is made anew, which counts from the
	// beginning. It also keeps it younger than counterLife.
	recountAfter = time.Minute
)

// counter counts the messages of a stream under a subject with wildcards: a
// consumer that never takes one, whose pending messages are the count.
//
// Measured on one server: making it counts 90,000 messages of 100,000 subjects
// in 5 ms and 810,000 of a million in 35 ms; asking it again takes 0.2 ms
// whatever the number. A list of the subjects would be megabytes.
//
// Whoever may make consumers of a stream can read what is in it. A user who may
// not counts by [queue.Count], which takes the server longer.
type counter struct {
	js              jetstream.JetStream
	rights          rights
	stream, subject string

	consumer jetstream.Consumer
	made     time.Time
}

// count returns the number, and the server's time of it. It may be some
// milliseconds behind what has been acknowledged to a publisher.
func (c *counter) count(ctx context.Context) (n uint64, at time.Time, err error) {
	name := "count-" + nuid.Next()
	if !c.rights.publish(jetstream.DefaultAPIPrefix + "CONSUMER.CREATE." + c.stream + "." + name + "." + c.subject) {
		return queue.Count(ctx, c.js, c.stream, c.subject)
	}
	if c.consumer != nil && time.Since(c.made) < recountAfter {
		info, err := c.consumer.Info(ctx)
		if err == nil {
			return info.NumPending, info.TimeStamp, nil
		}
		if !errors.Is(err, jetstream.ErrConsumerNotFound) { // its server has restarted: it lived in memory
			return 0, time.Time{}, fmt.Errorf("count %s: %w", c.subject, err)
		}
	}
	c.close(ctx)
	consumer, err := c.js.CreateConsumer(ctx, c.stream, jetstream.ConsumerConfig{
		Name:              name,
		Description:       "rescreen: counts, takes nothing",
		FilterSubject:     c.subject,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: counterLife,
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count %s: %w", c.subject, err)
	}
	c.consumer, c.made = consumer, time.Now()
	info := consumer.CachedInfo()
	return info.NumPending, info.TimeStamp, nil
}

// close removes the consumer. If that fails the server does it later.
func (c *counter) close(ctx context.Context) {
	if c.consumer == nil {
		return
	}
	name := c.consumer.CachedInfo().Name
	c.consumer = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = c.js.DeleteConsumer(ctx, c.stream, name)
}

// tally is how many outcomes a batch has.
type tally struct {
	Results, Failures uint64
	At                time.Time // server's time
}

func (t tally) outcomes() uint64 { return t.Results + t.Failures }

// tallier counts the outcomes of a batch again and again. close it.
type tallier struct{ results, failures counter }

func newTallier(js jetstream.JetStream, batch queue.BatchID) *tallier {
	return &tallier{
		results:  counter{js: js, stream: store.ResultsStream, subject: "screening.result." + string(batch) + ".>"},
		failures: counter{js: js, stream: store.ResultsStream, subject: "screening.failure." + string(batch) + ".>"},
	}
}

func (t *tallier) tally(ctx context.Context) (tally, error) {
	results, _, err := t.results.count(ctx)
	if err != nil {
		return tally{}, err
	}
	failures, at, err := t.failures.count(ctx)
	return tally{Results: results, Failures: failures, At: at}, err
}

func (t *tallier) close(ctx context.Context) {
	t.results.close(ctx)
	t.failures.close(ctx)
}

// countRecords counts the jobs of a batch that a worker has begun, including
// those that have ended in the last 30 days.
func countRecords(ctx context.Context, js jetstream.JetStream, r rights, batch queue.BatchID) (uint64, error) {
	c := counter{js: js, rights: r, stream: store.RecordsStream, subject: "screening.record." + string(batch) + ".>"}
	defer c.close(ctx)
	n, _, err := c.count(ctx)
	return n, err
}
