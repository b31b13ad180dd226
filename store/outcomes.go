package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// OutcomeContentType is the content type of every outcome: one event, structured.
const OutcomeContentType = "application/cloudevents+json"

// traceparentHeader carries the W3C trace context of who wrote a message.
const traceparentHeader = "traceparent"

// Outcome is the end of an attempt as it is published: an encoded event.
type Outcome struct {
	Key         Key
	Attempt     int
	Failed      bool // a failure, else a result
	Value       []byte
	Traceparent string // W3C trace context, "" for none
}

// Outcomes is where results and failures are published.
type Outcomes struct {
	line line
}

// Publish publishes an outcome, once: if there already is one of the same
// attempt and kind, that one stays, first is false and there is no error. Any number
// of repetitions, by any number of workers, leaves one message, and one of them
// is the first.
//
// It is the stream that remembers what was published, for [ResultsAge]. There is
// no Nats-Msg-Id: its window ends after minutes, outlives a purge, and would
// swallow a failure that bears the id of a result.
//
// Errors are [ErrKey] and [ErrRefused] (nothing was published), else the outcome of the call
// is unknown and it should be made again.
func (o *Outcomes) Publish(ctx context.Context, out Outcome) (first bool, err error) {
	subject, err := OutcomeSubject(out.Key, out.Attempt, out.Failed)
	if err != nil {
		return false, err
	}
	header := nats.Header{"content-type": {OutcomeContentType}}
	if out.Traceparent != "" {
		header[traceparentHeader] = []string{out.Traceparent}
	}
	_, err = o.line.commit(ctx, change{subject: subject, value: out.Value, header: header})
	if err != nil && !errors.Is(err, ErrConflict) { // a conflict: one is there
		return false, fmt.Errorf("publish outcome %s.%d: %w", out.Key, out.Attempt, err)
	}
	return err == nil, nil
}

// Exists reports whether the outcome was published. False is a hint: publish
// and see, it does no harm.
func (o *Outcomes) Exists(ctx context.Context, k Key, attempt int, failed bool) (bool, error) {
	subject, err := OutcomeSubject(k, attempt, failed)
	if err != nil {
		return false, err
	}
	_, err = o.line.last(ctx, subject)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrNotFound):
		return false, nil
	default:
		return false, fmt.Errorf("look for outcome %s.%d: %w", k, attempt, err)
	}
}
