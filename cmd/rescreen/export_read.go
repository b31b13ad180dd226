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
	// fetchMost is how many outcomes are asked for, and held in memory, at a
	// time. One takes up to 1 MiB, usually some KiB.
	fetchMost = 64
	// fetchWait is how long they may take to come.
	fetchWait = 10 * time.Second
	// readerLife is when the server removes a reader that its command left
	// behind; between two fetches the evidence is written.
	readerLife = 5 * time.Minute
)

// Reasons to make a new consumer, from which nothing is missing.
var (
	errGap    = errors.New("an outcome was lost on its way")
	errSilent = errors.New("no outcome came") // perhaps they have gone, by age
)

// outcomeReader reads the outcomes of a batch in the order in which they were
// published, those there are when it begins. It uses a consumer without
// acknowledgements, as the client's ordered consumer does, but ends when there
// are no more and whenever its context does, also while NATS is away.
type outcomeReader struct {
	js    jetstream.JetStream
	batch queue.BatchID

	consumer  jetstream.Consumer
	delivered uint64 // by this consumer
	last      uint64 // sequence in the stream
	left      uint64
}

// next returns some outcomes; none means that there are no more. After an
// error it can be called again and goes on behind the last one returned.
func (r *outcomeReader) next(ctx context.Context) ([]jetstream.Msg, error) {
	if r.consumer == nil {
		if err := r.open(ctx); err != nil {
			return nil, fmt.Errorf("read outcomes: %w", err)
		}
	}
	if r.left == 0 {
		return nil, nil
	}
	msgs, err := r.fetch(ctx)
	if err == nil && len(msgs) == 0 {
		err = errSilent
	}
	if err != nil { // the next one counts anew
		r.close(ctx)
	}
	if len(msgs) > 0 {
		return msgs, nil
	}
	if err != nil {
		err = fmt.Errorf("read outcomes: %w", err)
	}
	return nil, err
}

// open makes the consumer, behind what was read.
func (r *outcomeReader) open(ctx context.Context) error {
	c := jetstream.ConsumerConfig{
		Name:        "export-" + nuid.Next(),
		Description: "rescreen: exports a batch",
		FilterSubjects: []string{
			"screening.result." + string(r.batch) + ".>",
			"screening.failure." + string(r.batch) + ".>",
		},
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: readerLife,
	}
	if r.last > 0 {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.last+1
	}
	consumer, err := r.js.CreateConsumer(ctx, store.ResultsStream, c)
	if err != nil {
		return err
	}
	r.consumer, r.delivered, r.left = consumer, 0, consumer.CachedInfo().NumPending
	return nil
}

// fetch asks for outcomes and returns those that came without a gap.
func (r *outcomeReader) fetch(ctx context.Context) (msgs []jetstream.Msg, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	batch, err := r.consumer.Fetch(int(min(r.left, fetchMost)), jetstream.FetchContext(ctx))
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		if err != nil {
			continue // to the end, so that nobody waits for us to read
		}
		var meta *jetstream.MsgMetadata
		if meta, err = m.Metadata(); err != nil {
			continue
		}
		if meta.Sequence.Consumer != r.delivered+1 {
			err = errGap
			continue
		}
		r.delivered, r.last, r.left = r.delivered+1, meta.Sequence.Stream, r.left-1
		msgs = append(msgs, m)
	}
	if err == nil {
		err = batch.Error()
	}
	return msgs, err
}

// close removes the consumer. If that fails the server does it later.
func (r *outcomeReader) close(ctx context.Context) {
	if r.consumer == nil {
		return
	}
	name := r.consumer.CachedInfo().Name
	r.consumer = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.js.DeleteConsumer(ctx, store.ResultsStream, name)
}
