package store

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// signalPrefix is where announcements go. No stream keeps them.
const signalPrefix = "screening.limits."

// SignalSubject is where changes of a register are announced.
func SignalSubject(name string) (string, error) {
	if !validToken(name) {
		return "", fmt.Errorf("%w: register", ErrKey)
	}
	return signalPrefix + name, nil
}

// Signals are announcements that a register has changed or is about to: plain
// messages that nobody keeps, so they can be lost, and prove nothing.
type Signals struct {
	conn *nats.Conn
}

// Announce tells all who listen, without waiting for anything. Its errors are
// [ErrKey] or the connection's.
func (s *Signals) Announce(name string, value []byte) error {
	subject, err := SignalSubject(name)
	if err != nil {
		return err
	}
	if err := s.conn.Publish(subject, value); err != nil {
		return fmt.Errorf("announce %s: %w", name, err)
	}
	return nil
}

// Listen calls heard with each announcement, one after the other, until stop is
// called. Its errors are [ErrKey] or the connection's; that the server forbids
// it is told to the connection's error handler only.
func (s *Signals) Listen(name string, heard func(value []byte)) (stop func(), err error) {
	subject, err := SignalSubject(name)
	if err != nil {
		return nil, err
	}
	sub, err := s.conn.Subscribe(subject, func(m *nats.Msg) { heard(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // the connection may be closed already
}
