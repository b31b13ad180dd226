package storetest

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"rescreen/store"
)

// message is what a stream holds on a subject.
type message struct {
	seq     uint64
	value   []byte
	time    time.Time
	expires time.Time // zero: never
}

// stream is a stream with one message per subject, which also remembers the
// message before that one, for stale reads.
type stream struct {
	age   time.Duration // of messages without an expiry of their own; 0: no end
	seq   uint64
	now   map[string]message
	prev  map[string]message
	order []entry // by seq; entries whose seq is not the subject's are dead
}

type entry struct {
	seq     uint64
	subject string
}

func newStream(age time.Duration) *stream {
	return &stream{age: age, now: make(map[string]message), prev: make(map[string]message)}
}

// last returns the message on a subject, or the one before if stale.
func (s *stream) last(subject string, stale bool, t time.Time) (message, error) {
	from := s.now
	if stale {
		from = s.prev
	}
	m, ok := from[subject]
	if !ok || !m.expires.IsZero() && !t.Before(m.expires) {
		return message{}, store.ErrNotFound
	}
	m.value = slices.Clone(m.value)
	return m, nil
}

// compareAndSet stores value if the message on subject has sequence after, 0 for none.
func (s *stream) compareAndSet(subject string, value []byte, after uint64, ttl time.Duration, t time.Time) (uint64, error) {
	if err := fits(value); err != nil {
		return 0, err
	}
	m, err := s.last(subject, false, t)
	if err == nil && m.seq != after || err != nil && after != 0 {
		return 0, store.ErrConflict
	}
	return s.set(subject, value, ttl, t), nil
}

// set stores value unasked.
func (s *stream) set(subject string, value []byte, ttl time.Duration, t time.Time) uint64 {
	if ttl == 0 {
		ttl = s.age
	}
	s.seq++
	m := message{seq: s.seq, value: slices.Clone(value), time: t}
	if ttl > 0 {
		m.expires = t.Add(ttl)
	}
	if old, ok := s.now[subject]; ok {
		s.prev[subject] = old
	}
	s.now[subject] = m
	s.order = append(s.order, entry{seq: s.seq, subject: subject})
	if len(s.order) > 2*len(s.now)+64 {
		s.order = slices.DeleteFunc(s.order, func(e entry) bool { return s.now[e.subject].seq != e.seq })
	}
	return s.seq
}

// next returns the oldest message beyond a sequence, and its subject.
func (s *stream) next(after uint64, t time.Time) (string, message, error) {
	from := sort.Search(len(s.order), func(i int) bool { return s.order[i].seq > after })
	for _, e := range s.order[from:] {
		m, err := s.last(e.subject, false, t)
		if err == nil && m.seq == e.seq {
			return e.subject, m, nil
		}
	}
	return "", message{}, store.ErrNotFound
}

func fits(value []byte) error {
	if len(value) > MaxValueBytes {
		return fmt.Errorf("%w: %d bytes", store.ErrRefused, len(value))
	}
	return nil
}
