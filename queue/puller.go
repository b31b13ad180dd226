package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of pulling. Besides them there are those of the connection
// (nats.ErrConnectionClosed, nats.ErrReconnectBufExceeded, …).
var (
	// ErrNoConsumer: the stream or its consumer does not exist (any more).
	// Nothing comes until somebody creates it: setup, or a submission.
	ErrNoConsumer = errors.New("no such consumer")
	// ErrNoAnswer: the server did not answer in time. It may be busy, or in the
	// middle of an election; try again after a pause.
	ErrNoAnswer = errors.New("no answer from JetStream")
	// ErrInterrupted: the server ended the request, because it stops or
	// another one took over the consumer. Try again.
	ErrInterrupted = errors.New("pull request ended by the server")
	// ErrConsumerFull: as many deliveries are unsettled as the consumer allows,
	// and the server answers no request. MaxAckPending has to exceed the number
	// of workers times their slots.
	ErrConsumerFull = errors.New("consumer has reached its MaxAckPending")
	// ErrPullerClosed: Close was called.
	ErrPullerClosed = errors.New("puller is closed")
)

// answerGrace is how long an answer may take beyond the wait asked for. On
// three replicas with a server just killed the longest gap was 7.4 s; whoever
// pulls tries again anyway, so that there is no need to sit it out.
const answerGrace = 2 * time.Second

// Puller takes messages from a durable pull consumer. It looks the consumer
// up and never creates one. Its methods may be called at the same time.
//
// It speaks the pull protocol itself, as the fetch calls of the client library
// cannot wait for the first message without waiting for the last, and drop
// what arrives after they gave up: such messages would be seen again only
// after their ack wait. Here they are handed back at once.
type Puller struct {
	js               jetstream.JetStream
	lanes            *lanes
	stream, consumer string
}

// OpenPuller looks the consumer up. The error is ErrNoConsumer or one of the
// connection.
func OpenPuller(ctx context.Context, js jetstream.JetStream, stream, consumer string) (*Puller, error) {
	p := &Puller{js: js, lanes: newLanes(js.Conn()), stream: stream, consumer: consumer}
	if _, err := p.lookUp(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// apiPrefix returns the subject that the client's requests start with.
func apiPrefix(js jetstream.JetStream) string {
	switch o := js.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	default:
		return jetstream.DefaultAPIPrefix
	}
}

func (p *Puller) lookUp(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	c, err := p.js.Consumer(ctx, p.stream, p.consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("consumer %s of stream %s: %w", p.consumer, p.stream, ErrNoConsumer)
	case err != nil:
		return nil, fmt.Errorf("consumer %s of stream %s: %w", p.consumer, p.stream, err)
	}
	return c.CachedInfo(), nil
}

// Pull returns up to limit messages: those that are there, or else the first
// that come within the wait. With a wait of 0 it returns what is there now. It
// returns nothing and no error when there is nothing.
//
// When ctx ends, whatever arrives for this call is handed back at once, so
// that another worker gets it. The server learns of it only by that: let ctx
// end for stopping, and the wait for everything else.
//
// Errors: ctx's, ErrNoConsumer, ErrNoAnswer, ErrInterrupted, ErrConsumerFull,
// ErrPullerClosed, nats.ErrNoResponders, or the connection's. Messages come without an error.
func (p *Puller) Pull(ctx context.Context, limit int, wait time.Duration) ([]*Delivery, error) {
	if limit < 1 {
		return nil, nil
	}
	for end := time.Now().Add(wait); ; {
		deliveries, err := p.ask(ctx, limit, max(wait, 0))
		if err != nil {
			return nil, fmt.Errorf("pull from %s: %w", p.consumer, err)
		}
		// A request is turned away at once while others wait for more than
		// there is to deliver.
		wait = time.Until(end)
		if len(deliveries) > 0 || wait < turnedAwayPause {
			return deliveries, nil
		}
		pause := time.NewTimer(turnedAwayPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// turnedAwayPause is between two tries of one wait.
const turnedAwayPause = 50 * time.Millisecond

// ask sends one pull request and collects the answer.
func (p *Puller) ask(ctx context.Context, limit int, wait time.Duration) ([]*Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, err := p.lanes.take()
	if err != nil {
		return nil, err
	}
	events, err := l.request(apiPrefix(p.js)+"CONSUMER.MSG.NEXT."+p.stream+"."+p.consumer, limit, wait)
	if err != nil {
		p.lanes.put(l)
		return nil, err
	}
	msgs, end := l.collect(ctx, events, limit, wait+answerGrace)
	if errors.Is(end, errAbandoned) {
		msgs = append(msgs, l.abandon(wait+answerGrace+AckWait)...)
	} else {
		p.lanes.put(l)
	}
	deliveries := p.deliveries(l.nc, msgs)
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, handBack(deliveries))
	}
	if end == nil || len(deliveries) > 0 {
		return deliveries, nil
	}
	return nil, p.explain(ctx, end)
}

// errAbandoned: the caller stopped waiting before the server was through.
var errAbandoned = errors.New("request given up")

// collect waits for messages until the server is through with the request
// (nil), says otherwise, or time or ctx run out (errAbandoned).
func (l *lane) collect(ctx context.Context, events <-chan *nats.Msg, limit int, patience time.Duration) ([]*nats.Msg, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var msgs []*nats.Msg
	for len(msgs) < limit {
		select {
		case m := <-events:
			if !isMessage(m) {
				return msgs, statusError(m)
			}
			msgs = append(msgs, m)
		case <-ctx.Done():
			return msgs, errAbandoned
		case <-timeout.C:
			return msgs, errAbandoned
		case <-l.gone:
			return msgs, l.lanes.ended()
		}
	}
	return msgs, nil
}

// explain turns the end of a request into the error for the caller.
func (p *Puller) explain(ctx context.Context, end error) error {
	if errors.Is(end, errAbandoned) {
		end = ErrNoAnswer
	} else if !errors.Is(end, nats.ErrNoResponders) {
		return end
	}
	// Nobody listens for requests of a consumer that does not exist, but
	// neither does anybody during an election. The stream's leader knows.
	info, err := p.lookUp(ctx)
	switch {
	case errors.Is(err, ErrNoConsumer):
		return ErrNoConsumer
	case err == nil && info.Config.MaxAckPending > 0 && info.NumAckPending >= info.Config.MaxAckPending:
		return ErrConsumerFull
	}
	return end
}

// deliveries makes deliveries of messages.
func (p *Puller) deliveries(nc *nats.Conn, msgs []*nats.Msg) []*Delivery {
	var deliveries []*Delivery
	for _, m := range msgs {
		d := NewDelivery(m.Subject, m.Data, m.Header, jetstreamAcker{nc, m.Reply})
		d.Stream = p.stream
		if meta, err := m.Metadata(); err == nil {
			d.Sequence, d.Stored = meta.Sequence.Stream, meta.Timestamp
			d.Delivered, d.Pending = meta.NumDelivered, meta.NumPending
		}
		deliveries = append(deliveries, d)
	}
	return deliveries
}

// handBack returns messages to the stream, for another worker to take.
func handBack(deliveries []*Delivery) error {
	var errs []error
	for _, d := range deliveries {
		errs = append(errs, d.Nak(0))
	}
	return errors.Join(errs...)
}

// Close ends the puller's subscriptions. Messages on their way come again
// after their ack wait. It need not be called when the connection is closed.
func (p *Puller) Close() error { return p.lanes.close() }

// pullRequest is the body of a pull request. NoWait together with Expires
// means: answer as soon as there is anything, with what is there.
type pullRequest struct {
	Batch   int           `json:"batch"`
	NoWait  bool          `json:"no_wait"`
	Expires time.Duration `json:"expires,omitempty"` // nanoseconds
}

func (r pullRequest) encode() []byte {
	b, _ := json.Marshal(r) // numbers and a bool always encode
	return b
}

// statusError reads how a pull request ended; nil is the usual end.
func statusError(m *nats.Msg) error {
	// The protocol tells the kinds of 409 by their description alone.
	switch status, description := m.Header.Get("Status"), m.Header.Get("Description"); {
	case status == "404", status == "408":
		return nil
	case status == "503":
		return nats.ErrNoResponders
	case status == "409" && description == "Consumer Deleted":
		return ErrNoConsumer
	case status == "409" && (description == "Leadership Change" || description == "Server Shutdown"):
		return fmt.Errorf("%w: %s", ErrInterrupted, description)
	default:
		return fmt.Errorf("status %s: %s", status, description)
	}
}
