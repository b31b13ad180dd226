package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// tryTimeout is how long one request may take before it counts as unclear.
	// A healthy server answers within milliseconds; 3 s spans the pause of a slow disk,
	// not that of a leader election (up to 7.4 s seen), which takes another try.
	tryTimeout = 3 * time.Second

	// readPatience bounds the tries of a read. Unlike a write it may be given up:
	// its caller has lost nothing. It spans the election of a leader.
	readPatience = 10 * time.Second

	firstPause = 5 * time.Millisecond
	// maxPause keeps the steps of a worker, all of which may wait for the same
	// stream, below 50 requests per second. A pause is no longer than the trouble
	// has lasted by then.
	maxPause = 4 * time.Second
)

// broker is one stream as this package uses it. Errors are those of nats.go;
// a read that finds nothing returns jetstream.ErrMsgNotFound. All three
// are answered by the stream's leader, or by a server that still thinks it is.
type broker interface {
	// publish stores m, or says why not. Without an error m is stored.
	publish(ctx context.Context, m *nats.Msg) (seq uint64, err error)
	// next returns the first message at or after seq on a subject that may
	// hold wildcards; with seq 0 the last one on a subject without.
	next(ctx context.Context, subject string, seq uint64) (*jetstream.RawStreamMsg, error)
	// state returns the stream's own counters.
	state(ctx context.Context) (streamState, error)
}

// streamState is what a stream says about itself.
type streamState struct {
	lastSeq  uint64 // given away last
	subjects int
	anew     bool // deleted and made again since the store was opened
}

// natsBroker is the broker that JetStream is.
type natsBroker struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	created time.Time // when the stream was that the store was opened with
}

func (b natsBroker) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	// One layer repeats, and it is ours: it reads back in between.
	ack, err := b.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (b natsBroker) next(ctx context.Context, subject string, seq uint64) (*jetstream.RawStreamMsg, error) {
	if seq == 0 {
		return b.stream.GetLastMsgForSubject(ctx, subject)
	}
	return b.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
}

func (b natsBroker) state(ctx context.Context) (streamState, error) {
	info, err := b.stream.Info(ctx)
	if err != nil {
		return streamState{}, err
	}
	return streamState{
		lastSeq: info.State.LastSeq, subjects: int(info.State.NumSubjects),
		anew: !info.Created.Equal(b.created),
	}, nil
}

// line is a stream as the parts of the store use it: requests with a timeout
// of their own, repeated with pauses.
type line struct {
	broker  broker
	timeout time.Duration // of one try
	// heard is called at the end of each try, with the context of all tries.
	heard func(ctx context.Context, write bool, err error)
}

func newLine(b broker) line {
	return line{broker: b, timeout: tryTimeout, heard: options{}.hears("")}
}

// put repeats a write that replaces itself until the server has stored it.
// The message is built anew for each try, for the client writes into its headers.
func (l line) put(ctx context.Context, subject string, data []byte, header nats.Header) error {
	for try := 0; ; try++ {
		_, err := l.publish(ctx, subject, data, header)
		switch judge(err) {
		case stored:
			return nil
		case refused:
			return fmt.Errorf("%w: %w", ErrRefused, err)
		case closed:
			return err
		case conflict, unclear: // the former cannot be: no comparison was asked for
		}
		if pause(ctx, try) != nil {
			return fmt.Errorf("outcome unknown: %w: %w", ctx.Err(), err)
		}
	}
}

// publish is one try.
func (l line) publish(ctx context.Context, subject string, data []byte, header nats.Header) (uint64, error) {
	m := nats.NewMsg(subject)
	m.Data = data
	for name, values := range header {
		m.Header[name] = values
	}
	try, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	seq, err := l.broker.publish(try, m)
	l.heard(ctx, true, err)
	return seq, err
}

// last reads the message on a subject.
func (l line) last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return l.next(ctx, subject, 0)
}

// next reads the first message at or after seq, see broker; nothing there is ErrNotFound.
func (l line) next(ctx context.Context, subject string, seq uint64) (m *jetstream.RawStreamMsg, err error) {
	err = l.read(ctx, func(ctx context.Context) (err error) {
		m, err = l.broker.next(ctx, subject, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return ErrNotFound
		}
		return err
	})
	return m, err
}

// read tries until there is an answer, for [readPatience] at most. That nothing is
// there is an answer.
func (l line) read(ctx context.Context, request func(context.Context) error) error {
	start := time.Now()
	for try := 0; ; try++ {
		err := l.once(ctx, request)
		if errors.Is(err, ErrNotFound) {
			return err
		}
		switch judge(err) {
		case stored, refused, closed:
			return err
		}
		if time.Since(start) > readPatience {
			return err
		}
		if pause(ctx, try) != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func (l line) once(ctx context.Context, request func(context.Context) error) error {
	try, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	err := request(try)
	l.heard(ctx, false, err)
	return err
}

// pause waits before the try after the given one, counted from 0: 5 ms doubled each
// time up to four seconds, of which a random half, so that writers who met once do
// not meet again. It returns the error of ctx if that ended first.
func pause(ctx context.Context, try int) error {
	d := maxPause
	if try < 10 {
		d = min(maxPause, firstPause<<try)
	}
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
