package storetest

import (
	"slices"
	"sync"

	"rescreen/store"
)

// Signals is store.Signals in memory: announcements arrive in order, on a
// goroutine of each listener.
type Signals struct {
	world *world
	mu    sync.Mutex
	to    map[string][]*listener
}

type listener struct {
	values chan []byte
	ended  chan struct{}
}

// listenerBuffer is how many announcements may wait; more are lost.
const listenerBuffer = 64

// Announce is store.Signals.Announce.
func (s *Signals) Announce(name string, value []byte) error {
	if _, err := store.SignalSubject(name); err != nil {
		return err
	}
	if f := s.world.ask(OpSignalsAnnounce, name); f.Kind != OK {
		return nil // nobody is told that nobody was told
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.to[name] {
		select {
		case l.values <- slices.Clone(value):
		default:
		}
	}
	return nil
}

// Listen is store.Signals.Listen.
func (s *Signals) Listen(name string, heard func(value []byte)) (stop func(), err error) {
	if _, err := store.SignalSubject(name); err != nil {
		return nil, err
	}
	l := &listener{values: make(chan []byte, listenerBuffer), ended: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to[name] = append(s.to[name], l)
	go func() {
		defer close(l.ended)
		for value := range l.values {
			heard(value)
		}
	}()
	return func() {
		s.mu.Lock()
		s.to[name] = slices.DeleteFunc(s.to[name], func(other *listener) bool { return other == l })
		close(l.values)
		s.mu.Unlock()
		<-l.ended
	}, nil
}
