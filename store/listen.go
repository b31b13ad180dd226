package store

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// A Listener is told the end of every request to a stream, each try by itself:
// nil if the server has done what it was asked or has refused it for good
// reason, as with a conflict; else what went wrong. Reads and writes are told
// apart because a full stream takes no writes and answers every read. It must
// return at once.
type Listener func(stream string, write bool, err error)

// Option changes how a store is opened.
type Option func(*options)

type options struct{ listener Listener }

// Listen has a listener told of all requests.
func Listen(l Listener) Option {
	return func(o *options) { o.listener = l }
}

// hears returns what the line of a stream calls at the end of a request.
func (o options) hears(stream string) func(ctx context.Context, write bool, err error) {
	return func(ctx context.Context, write bool, err error) {
		if o.listener == nil || err != nil && ctx.Err() != nil {
			return // a caller that stopped waiting says nothing about the server
		}
		o.listener(stream, write, trouble(err))
	}
}

// trouble is err if it speaks of the server or the stream, nil if it speaks
// of the one request.
func trouble(err error) error {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case isMissing(err):
		return err
	}
	switch judge(err) {
	case closed, unclear:
		return err
	}
	return nil
}

// isMissing reports whether the stream was not there.
func isMissing(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamNotFound
}
