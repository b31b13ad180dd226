package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Wake is the next poll of a waiting session, to be delivered at a time.
type Wake struct {
	Key     Key
	Attempt int
	At      time.Time // on the server's clock; a time that has passed fires at once
	Value   []byte    // what the poll needs; the due message carries it
	// Traceparent is the W3C trace context of who parks it, "" for none. The due
	// message has it as a header: the server keeps those of others when it fires.
	Traceparent string
}

// Wakes parks wake-ups with the server, which delivers them when they are due.
//
// How the server does it (measured on nats-server 2.15.2; see also its
// server/scheduler.go): a wake-up is a message on its [WakeSubject]. When its
// time has come the server moves it to the [DueSubject], never early. Its timer
// runs four times a second at most, so a wake-up is 0.13 s late in the
// middle, 0.25 s at most, half a second when 5,000 become due in each second; and one
// whose time has passed takes a quarter of a second.
//
// Both subjects hold one message. So a wake-up parked twice fires once, as
// parked last; and if a wake-up becomes due while an earlier due message of
// the attempt is unacknowledged, the new one takes its place: it is delivered
// as a message of its own, the old one is no longer delivered nor counted as
// pending, and a late ack of it does nothing.
//
// Firing purges the wake subject, whatever is on it by then. A wake-up parked in
// the very moment in which its predecessor fires can therefore be lost (seen in 2 of 60
// trials made for it). The due message of the predecessor is there then: the
// attempt is never without one of the two, but a due message may be one older than
// what was parked last.
type Wakes struct {
	line     line
	now      func() time.Time // the server's clock
	settled  func(context.Context) (uint64, error)
	consumer func(context.Context) (*jetstream.ConsumerInfo, error) // of due messages
}

// Park schedules w, in place of an earlier wake-up of the attempt. It repeats
// the write until the server has stored it. Errors are [ErrKey] and [ErrRefused] (nothing
// was parked), else the outcome is unknown: call it again, or leave it to the
// redelivery of what made you call it.
//
// A try that was given up can be stored late, and then replaces a wake-up that
// was parked since, by one whose time has passed: one poll too many, none too few.
func (w *Wakes) Park(ctx context.Context, wake Wake) error {
	subject, err := WakeSubject(wake.Key, wake.Attempt)
	if err != nil {
		return err
	}
	target, err := DueSubject(wake.Key, wake.Attempt)
	if err != nil {
		return err
	}
	schedule, err := scheduleAt(wake.At)
	if err != nil {
		return fmt.Errorf("park %s.%d: %w", wake.Key, wake.Attempt, err)
	}
	header := nats.Header{
		jetstream.ScheduleHeader:       {schedule},
		jetstream.ScheduleTargetHeader: {target},
	}
	if wake.Traceparent != "" {
		header[traceparentHeader] = []string{wake.Traceparent}
	}
	if err := w.line.put(ctx, subject, wake.Value, header); err != nil {
		return fmt.Errorf("park %s.%d: %w", wake.Key, wake.Attempt, err)
	}
	return nil
}

// scheduleAt writes the schedule by hand, to the nanosecond: the client's
// WithScheduleAt cuts to whole seconds and so fires up to a second early. The
// server counts nanoseconds in an int64 and would misread other centuries.
func scheduleAt(t time.Time) (string, error) {
	if year := t.UTC().Year(); year < 1970 || year > 2261 {
		return "", fmt.Errorf("%w: time outside of 1970 to 2261", ErrRefused)
	}
	return "@at " + t.UTC().Format(time.RFC3339Nano), nil
}

// overdueAfter is when a wake-up that is still there will never fire. The latest
// seen was half a second late; when a server comes back it works off 5,000 per second.
const overdueAfter = 30 * time.Second

// Parked reports whether a wake-up of the attempt waits, or a due message of it
// is not yet acknowledged. It asks for both in one request, so that one turning
// into the other is not missed. False may be out of date, see the package comment: parking
// one more is harmless.
//
// What is dead does not count, see [ParkedWake].
func (w *Wakes) Parked(ctx context.Context, k Key, attempt int) (bool, error) {
	if _, err := WakeSubject(k, attempt); err != nil {
		return false, err
	}
	either := "screening.*." + k.String() + "." + strconv.Itoa(attempt)
	for seq := uint64(1); ; {
		m, err := w.line.next(ctx, either, seq)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		var dead bool
		if err == nil {
			dead, err = w.dead(ctx, m)
		}
		if err != nil {
			return false, fmt.Errorf("look for wake-up %s.%d: %w", k, attempt, err)
		}
		if !dead {
			return true, nil
		}
		seq = m.Sequence + 1
	}
}

// ParkedWake is a wake-up, or the due message it has become, as it lies in the stream.
type ParkedWake struct {
	Wake
	Seq uint64
	// Dead: the server will never deliver it. Parked again it does.
	//
	// A wake-up is dead when it is long overdue, or says no time: a server that could
	// not store the due message, because the account had reached its limit, keeps the
	// wake-up and does not try again before it is restarted (nats-server 2.15.2). A due
	// message is dead when its consumer has settled everything up to it: of three
	// servers that are killed in turn, some messages stay behind that were
	// acknowledged (3 to 12 after 30 kills).
	Dead bool
}

// Next returns the oldest that was parked after the given sequence; [ErrNotFound]
// at the end.
func (w *Wakes) Next(ctx context.Context, after uint64) (ParkedWake, error) {
	for {
		m, err := w.line.next(ctx, "screening.>", after+1)
		if err != nil {
			return ParkedWake{}, fmt.Errorf("next wake-up: %w", err)
		}
		if wake, ok := wakeOf(m); ok {
			dead, err := w.dead(ctx, m)
			return ParkedWake{Wake: wake, Seq: m.Sequence, Dead: dead}, err
		}
		after = m.Sequence // nobody's of ours
	}
}

// dead says so of a wake-up or due message.
func (w *Wakes) dead(ctx context.Context, m *jetstream.RawStreamMsg) (bool, error) {
	if !strings.HasPrefix(m.Subject, duePrefix) {
		at, err := scheduledAt(m.Header.Get(jetstream.ScheduleHeader))
		return err != nil || w.now().Sub(at) > overdueAfter, nil
	}
	settled, err := w.settled(ctx)
	return m.Sequence <= settled, err
}

func scheduledAt(schedule string) (time.Time, error) {
	return time.Parse("@at "+time.RFC3339Nano, schedule)
}

// wakeOf reads a wake-up or due message back; ok is false for any other message.
func wakeOf(m *jetstream.RawStreamMsg) (w Wake, ok bool) {
	w = Wake{At: m.Time, Value: m.Data, Traceparent: m.Header.Get(traceparentHeader)}
	due := m.Subject
	var err error
	if !strings.HasPrefix(m.Subject, duePrefix) {
		due = m.Header.Get(jetstream.ScheduleTargetHeader)
		if w.At, err = scheduledAt(m.Header.Get(jetstream.ScheduleHeader)); err != nil {
			return Wake{}, false
		}
	}
	w.Key, w.Attempt, err = DueKey(due)
	return w, err == nil
}

// settledEvery is how old the answer of settledFloor may be. It grows, so that an
// old one takes less for dead; after its consumer was made anew it takes more, and
// what lives is parked once more than needed.
const settledEvery = 10 * time.Second

// settledFloor is the sequence up to which the consumer of due messages has
// settled everything.
type settledFloor struct {
	read func(ctx context.Context) (uint64, error)

	mu  sync.Mutex
	seq uint64
	at  time.Time
}

func (f *settledFloor) get(ctx context.Context) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.at.IsZero() && time.Since(f.at) < settledEvery {
		return f.seq, nil
	}
	seq, err := f.read(ctx)
	if err != nil {
		return 0, err
	}
	f.seq, f.at = seq, time.Now()
	return seq, nil
}

// readConsumer asks the server about the consumer of due messages.
func readConsumer(stream jetstream.Stream) func(context.Context) (*jetstream.ConsumerInfo, error) {
	return func(ctx context.Context) (*jetstream.ConsumerInfo, error) {
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		consumer, err := stream.Consumer(ctx, DueConsumerName)
		if err != nil {
			return nil, fmt.Errorf("consumer %s: %w", DueConsumerName, err)
		}
		return consumer.CachedInfo(), nil
	}
}

// readSettled is what a settledFloor reads.
func readSettled(consumer func(context.Context) (*jetstream.ConsumerInfo, error)) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (uint64, error) {
		info, err := consumer(ctx)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return 0, nil // what it had settled nobody knows
		}
		if err != nil {
			return 0, err
		}
		return info.AckFloor.Stream, nil
	}
}

// DueWakes is the due messages that are not settled yet: those that wait for a
// worker and those in the hands of one.
type DueWakes struct {
	Count int
	// Oldest is when the oldest of them became due, by the server's clock; zero if
	// there is none.
	Oldest time.Time
}

// Due counts the due messages, by what their consumer says, and looks for the
// oldest. It asks twice: of messages that are settled in between the one that
// is oldest then is told, or none.
func (w *Wakes) Due(ctx context.Context) (DueWakes, error) {
	info, err := w.consumer(ctx)
	if err != nil {
		return DueWakes{}, fmt.Errorf("count due messages: %w", err)
	}
	due := DueWakes{Count: int(info.NumPending) + info.NumAckPending}
	if due.Count == 0 {
		return due, nil
	}
	// What is settled is gone, but for dead messages, which end with the floor.
	m, err := w.line.next(ctx, duePrefix+">", info.AckFloor.Stream+1)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return DueWakes{}, fmt.Errorf("oldest due message: %w", err)
	}
	if err == nil {
		due.Oldest = m.Time
	}
	return due, nil
}

// Open counts the sessions that wait for a poll or are being polled: the
// subjects of the stream, a number the server keeps ready. A step that has
// parked the next wake-up and not yet acknowledged the last is counted twice, so
// the number is never too low by more than the steps that are between the two.
func (w *Wakes) Open(ctx context.Context) (int, error) {
	var n int
	err := w.line.read(ctx, func(ctx context.Context) error {
		state, err := w.line.broker.state(ctx)
		n = state.subjects
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count wake-ups: %w", err)
	}
	return n, nil
}
