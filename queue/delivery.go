package queue

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrSettled: the delivery has been acknowledged, handed back or terminated
// before.
var ErrSettled = errors.New("delivery is settled already")

// Answer is what a delivery can be answered with.
type Answer int

// The answers. All but Working settle the delivery.
const (
	Acked      Answer = iota + 1 // done: the message is removed from a work queue
	HandedBack                   // deliver it again, after a delay
	Terminated                   // never deliver it again
	Working                      // still at it: the ack wait starts anew
)

// Settlement is an answer with what goes with it.
type Settlement struct {
	Answer Answer
	Delay  time.Duration // of HandedBack; 0 is at once
	Reason string        // of Terminated; shown in the server's advisory, so no personal data
}

// Acker carries answers to whoever delivered the message. An error means that
// the answer may not have arrived; the message then comes again after its ack
// wait.
type Acker interface {
	Settle(Settlement) error
}

// Delivery is one message handed to a worker, to be settled within the ack
// wait of its consumer (20 s) or kept alive with InProgress.
//
// An acknowledgement is hygiene and not a fence: the server takes it from
// whoever held the message at any time, also long after it was handed to
// somebody else. What must happen once is decided by the record.
type Delivery struct {
	Subject   string
	Data      []byte
	Header    nats.Header
	Stream    string
	Sequence  uint64    // in the stream
	Delivered uint64    // 1 the first time; raised by delayed hand-backs too, so no count of failures
	Pending   uint64    // messages of the consumer not delivered yet when this one was
	Stored    time.Time // when the stream took the message, on the server's clock

	mu      sync.Mutex
	settled bool
	acker   Acker
}

// NewDelivery returns the delivery of what d describes, settled through acker.
func NewDelivery(subject string, data []byte, header nats.Header, acker Acker) *Delivery {
	return &Delivery{Subject: subject, Data: data, Header: header, Delivered: 1, acker: acker}
}

// Ack says that the message is dealt with. It does not wait for the server: a
// lost ack leads to a redelivery, which the record sorts out.
//
// Errors of Ack, Nak and Term: ErrSettled, or the connection's.
func (d *Delivery) Ack() error { return d.settle(Settlement{Answer: Acked}) }

// Nak hands the message back, to be delivered again after the delay.
func (d *Delivery) Nak(delay time.Duration) error {
	return d.settle(Settlement{Answer: HandedBack, Delay: max(delay, 0)})
}

// Term says that the message can never be dealt with. The reason goes into
// the server's advisory.
func (d *Delivery) Term(reason string) error {
	return d.settle(Settlement{Answer: Terminated, Reason: reason})
}

// InProgress starts the ack wait anew. On a settled delivery it does nothing,
// so that a heartbeat may overlap with the end of its step.
func (d *Delivery) InProgress() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return nil
	}
	return d.acker.Settle(Settlement{Answer: Working})
}

func (d *Delivery) settle(s Settlement) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return ErrSettled
	}
	if err := d.acker.Settle(s); err != nil {
		return err
	}
	d.settled = true
	return nil
}

// Batch returns the batch of a job message. The error means that the message
// is on another subject.
func (d *Delivery) Batch() (BatchID, error) { return batchOf(d.Subject) }

// JobSubject is the subject of the jobs of a batch.
func JobSubject(batch BatchID) string { return jobsPrefix + string(batch) }

func batchOf(subject string) (BatchID, error) {
	name, ok := strings.CutPrefix(subject, jobsPrefix)
	if !ok {
		return "", errors.New("subject: not of a job")
	}
	batch := BatchID(name)
	if err := batch.Validate(); err != nil {
		return "", fmt.Errorf("subject: %w", err)
	}
	return batch, nil
}

// jetstreamAcker answers to the server: on the reply subject of the message.
type jetstreamAcker struct {
	nc    *nats.Conn
	reply string
}

// Settle implements Acker.
func (a jetstreamAcker) Settle(s Settlement) error {
	if err := a.nc.Publish(a.reply, wireAnswer(s)); err != nil {
		return fmt.Errorf("settle delivery: %w", err)
	}
	return nil
}

// wireAnswer is JetStream's acknowledgement protocol.
func wireAnswer(s Settlement) []byte {
	switch s.Answer {
	case HandedBack:
		if s.Delay > 0 {
			return fmt.Appendf(nil, `-NAK {"delay":%d}`, s.Delay.Nanoseconds())
		}
		return []byte("-NAK")
	case Terminated:
		if s.Reason != "" {
			return append([]byte("+TERM "), s.Reason...)
		}
		return []byte("+TERM")
	case Working:
		return []byte("+WPI")
	default:
		return []byte("+ACK")
	}
}
