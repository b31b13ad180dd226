package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrFull: the stream takes no more jobs for now. Wait for the workers and
// publish again what was not acknowledged.
var ErrFull = errors.New("job stream is full")

const (
	// publishWindow is how many publishes wait for their acknowledgement at a
	// time: enough to hide a round trip of some milliseconds, few enough to
	// repeat after an error.
	publishWindow = 256
	// publishTimeout is when an acknowledgement counts as lost. An election of
	// a stream's leader takes about 5 s.
	publishTimeout = 10 * time.Second
	// msgIDHeader names a publish, so that a repetition stores nothing.
	msgIDHeader       = jetstream.MsgIDHeader
	traceparentHeader = "traceparent"
)

// Error codes of a stream that has no room: a limit of the stream or of its
// store, and limits of the account or the server.
const (
	codeStoreFailed     jetstream.ErrorCode = 10077
	codeInsufficient    jetstream.ErrorCode = 10023
	codeStorageExceeded jetstream.ErrorCode = 10047
	codeMemoryExceeded  jetstream.ErrorCode = 10028
)

// Receipt says what became of one job that was published.
type Receipt int

// The receipts.
const (
	// Unacknowledged: the job may or may not be stored; publish it again.
	Unacknowledged Receipt = iota
	// Stored: the stream has it.
	Stored
	// Repeated: the stream had it already, from less than PublishWindow ago.
	Repeated
)

// PublishOption changes how jobs are published.
type PublishOption func(Job, nats.Header)

// WithTraceparent sends along the W3C trace context that each job is part of. One
// that is empty or malformed is left out.
func WithTraceparent(of func(JobID) string) PublishOption {
	return func(j Job, h nats.Header) {
		if s := of(j.ID); ValidTraceparent(s) {
			h.Set(traceparentHeader, s)
		}
	}
}

// pipelined returns a JetStream context for publishing without waiting, whose
// lost acknowledgements do not add up until it stalls.
func pipelined(js jetstream.JetStream) (jetstream.JetStream, error) {
	opts := []jetstream.JetStreamOpt{
		jetstream.WithPublishAsyncTimeout(publishTimeout),
		jetstream.WithPublishAsyncMaxPending(16 * publishWindow),
	}
	switch o := js.Options(); {
	case o.Domain != "":
		return jetstream.NewWithDomain(js.Conn(), o.Domain, opts...)
	case o.APIPrefix != "":
		return jetstream.NewWithAPIPrefix(js.Conn(), o.APIPrefix, opts...)
	default:
		return jetstream.New(js.Conn(), opts...)
	}
}

// Publish publishes jobs to a batch, pipelined, and waits for the
// acknowledgement of each. The receipts are in the order of the jobs. With an
// error, publish again the jobs that are Unacknowledged, after a pause: each
// is named by batch, id and attempt, so that none is stored twice within
// PublishWindow.
//
// Errors: ErrFull, a *JobError (nothing is published then), ctx's, or those of
// JetStream and the connection.
func (q *Jobs) Publish(ctx context.Context, batch BatchID, jobs []Job, opts ...PublishOption) ([]Receipt, error) {
	if err := batch.Validate(); err != nil {
		return make([]Receipt, len(jobs)), err
	}
	msgs := make([]*nats.Msg, 0, len(jobs))
	for _, j := range jobs {
		m, err := jobMessage(batch, j, opts)
		if err != nil {
			return make([]Receipt, len(jobs)), err
		}
		msgs = append(msgs, m)
	}
	receipts := make([]Receipt, 0, len(jobs))
	for start := 0; start < len(msgs); start += publishWindow {
		got, err := q.publishAll(ctx, msgs[start:min(start+publishWindow, len(msgs))])
		receipts = append(receipts, got...)
		if err != nil {
			return append(receipts, make([]Receipt, len(jobs)-len(receipts))...), publishError(err)
		}
	}
	return receipts, nil
}

func jobMessage(batch BatchID, j Job, opts []PublishOption) (*nats.Msg, error) {
	data, err := j.Encode()
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(JobSubject(batch))
	m.Data = data
	m.Header.Set(msgIDHeader, EventID(batch, j.ID, j.WithDefaults().Attempt))
	for _, o := range opts {
		o(j, m.Header)
	}
	return m, nil
}

// publishAll sends messages and waits for all their acknowledgements. The
// error is the first one.
func (q *Jobs) publishAll(ctx context.Context, msgs []*nats.Msg) ([]Receipt, error) {
	receipts := make([]Receipt, len(msgs))
	futures := make([]jetstream.PubAckFuture, 0, len(msgs))
	var first error
	for _, m := range msgs {
		future, err := q.publisher.PublishMsgAsync(m)
		if err != nil {
			first = err
			break
		}
		futures = append(futures, future)
	}
	for i, future := range futures {
		receipt, err := acknowledged(ctx, future)
		receipts[i] = receipt
		if first == nil {
			first = err
		}
	}
	return receipts, first
}

// acknowledged waits for the answer to one publish, which comes at the latest
// by its own timeout or with the end of the connection's patience.
func acknowledged(ctx context.Context, future jetstream.PubAckFuture) (Receipt, error) {
	select {
	case ack := <-future.Ok():
		if ack.Duplicate {
			return Repeated, nil
		}
		return Stored, nil
	case err := <-future.Err():
		return Unacknowledged, err
	case <-ctx.Done():
		return Unacknowledged, ctx.Err()
	}
}

// publishError names the error of a publish.
func publishError(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeStoreFailed, codeInsufficient, codeStorageExceeded, codeMemoryExceeded:
			return fmt.Errorf("publish jobs: %w: %w", ErrFull, err)
		}
	}
	return fmt.Errorf("publish jobs: %w", err)
}
