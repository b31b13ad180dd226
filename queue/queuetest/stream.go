// Package queuetest is the job stream in memory, for tests under simulated
// time (testing/synctest), and the contract that it and JetStream both keep.
package queuetest

import (
	"container/heap"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
)

// Stream is a work queue in memory: what is delivered and not settled within
// the ack wait is delivered again, and a late ack from whoever held a message
// before counts, as it does at the server.
type Stream struct {
	name          string
	ackWait       time.Duration
	onePerSubject bool
	fault         Fault

	mu       sync.Mutex
	sequence uint64
	messages map[uint64]*message
	latest   map[string]uint64 // by subject
	perSubj  map[string]int
	lines    map[string]*line // by filter
	changed  chan struct{}    // closed when something may have become due
}

// Fault decides over the fate of an operation (pull, ack, nak, term or
// progress; the subject is empty for pull). An error is returned to the caller
// and nothing happens; with ErrLost nothing happens and the caller is told
// that all is well, with ErrAnswerLost a pull takes messages that nobody gets. It is called without locks held.
type Fault func(op, subject string) error

// ErrLost: the operation got lost on its way, unnoticed.
var ErrLost = errors.New("lost on the way")

// ErrAnswerLost: messages are pulled, and lost on their way to who asked.
var ErrAnswerLost = errors.New("answer lost on the way")

// Option changes a stream.
type Option func(*Stream)

// AckWait sets the ack wait; the default is that of the real consumers.
func AckWait(d time.Duration) Option { return func(s *Stream) { s.ackWait = d } }

// OnePerSubject keeps the latest message of each subject, as the stream of
// wake-ups does. One that is replaced is gone, also when somebody holds it.
func OnePerSubject() Option { return func(s *Stream) { s.onePerSubject = true } }

// WithFault injects faults.
func WithFault(f Fault) Option { return func(s *Stream) { s.fault = f } }

// message is what the stream holds.
type message struct {
	sequence  uint64
	subject   string
	data      []byte
	header    nats.Header
	stored    time.Time
	delivered uint64
	due       time.Time // when it may be delivered (again)
	version   uint64    // grows with due, so that old places in a line are known
	line      *line     // that takes it, nil if none does
}

// NewStream returns an empty stream.
func NewStream(name string, opts ...Option) *Stream {
	s := &Stream{
		name: name, ackWait: queue.AckWait,
		messages: make(map[uint64]*message), latest: make(map[string]uint64), perSubj: make(map[string]int),
		lines: make(map[string]*line), changed: make(chan struct{}),
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Publish adds a message and returns its sequence.
func (s *Stream) Publish(subject string, data []byte, header nats.Header) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.messages[s.latest[subject]]; ok && s.onePerSubject {
		s.remove(old)
	}
	s.sequence++
	now := time.Now()
	m := &message{sequence: s.sequence, subject: subject, data: data, header: header, stored: now, due: now}
	s.messages[m.sequence] = m
	s.latest[subject] = m.sequence
	s.perSubj[subject]++
	for _, l := range s.lines {
		if l.takes(subject) {
			s.join(l, m)
			break
		}
	}
	s.wake()
	return m.sequence
}

// Has reports whether the stream holds a message on the subject, in
// somebody's hands or not.
func (s *Stream) Has(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perSubj[subject] > 0
}

// Len returns how many messages the stream holds.
func (s *Stream) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages)
}

// Subjects returns how many messages the stream holds of each subject.
func (s *Stream) Subjects() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.perSubj)
}

// Remove takes all messages of a subject away, as a purge would.
func (s *Stream) Remove(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if m.subject == subject {
			s.remove(m)
		}
	}
}

// line is what a consumer has to deliver: the messages of a filter, by the
// time they are due and then by sequence.
type line struct {
	filter  string
	places  places
	pending uint64 // never delivered
	held    uint64 // delivered and not settled
}

func (l *line) takes(subject string) bool {
	if prefix, ok := strings.CutSuffix(l.filter, ">"); ok {
		return strings.HasPrefix(subject, prefix)
	}
	return l.filter == subject
}

// line returns the line of a filter, with what is in the stream already;
// s.mu is held.
func (s *Stream) line(filter string) *line {
	l, ok := s.lines[filter]
	if ok {
		return l
	}
	l = &line{filter: filter}
	s.lines[filter] = l
	for _, m := range s.messages {
		if m.line == nil && l.takes(m.subject) {
			s.join(l, m)
		}
	}
	return l
}

// drop forgets a line; its messages wait for the next one with the filter.
func (s *Stream) drop(filter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if m.line != nil && m.line.filter == filter {
			m.line, m.delivered, m.due = nil, 0, time.Now()
		}
	}
	delete(s.lines, filter)
	s.wake()
}

func (s *Stream) join(l *line, m *message) {
	m.line = l
	l.pending++
	s.schedule(m, m.due)
}

// schedule makes a message due at a time; s.mu is held.
func (s *Stream) schedule(m *message, due time.Time) {
	m.due = due
	m.version++
	if m.line != nil {
		heap.Push(&m.line.places, place{m.due, m.sequence, m.version})
	}
}

func (s *Stream) remove(m *message) {
	delete(s.messages, m.sequence)
	if s.perSubj[m.subject]--; s.perSubj[m.subject] == 0 {
		delete(s.perSubj, m.subject)
	}
	switch {
	case m.line == nil:
	case m.delivered == 0:
		m.line.pending--
	default:
		m.line.held--
	}
}

func (s *Stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// next takes up to limit messages that are due, or says when to look again
// (zero: when something changes).
func (s *Stream) next(l *line, limit int) (taken []message, again time.Time, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(l.places) > 0 && len(taken) < limit {
		first := l.places[0]
		m, ok := s.messages[first.sequence]
		if !ok || m.version != first.version || m.line != l {
			heap.Pop(&l.places)
			continue
		}
		if m.due.After(now) {
			again = m.due
			break
		}
		heap.Pop(&l.places)
		if m.delivered == 0 {
			l.pending--
			l.held++
		}
		m.delivered++
		s.schedule(m, now.Add(s.ackWait))
		taken = append(taken, *m)
	}
	return taken, again, s.changed
}

// place is a message's place in a line.
type place struct {
	due      time.Time
	sequence uint64
	version  uint64
}

type places []place

func (p places) Len() int      { return len(p) }
func (p places) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p places) Less(i, j int) bool {
	if p[i].due.Equal(p[j].due) {
		return p[i].sequence < p[j].sequence
	}
	return p[i].due.Before(p[j].due)
}
func (p *places) Push(x any) { *p = append(*p, x.(place)) }
func (p *places) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}
