package store

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fate is what becomes of one request to a fakeBroker.
type fate int

const (
	fine         fate = iota
	unheard           // done, but the answer is lost
	lost              // never arrives
	late              // unheard, and done only after a while
	inFlight          // 10164: some other write to the subject is in flight
	notReady          // 10163: the new leader cannot compare yet
	noResponders      // there is no leader
	disconnected      // nothing is sent
	refusedFate       // a 400 that is no conflict
	closedFate        // the connection was closed for good
	stale             // a read: the state before the last write to the subject
	staleAll          // a read: the state before the first write to anything
)

// fakeBroker is one stream with one message per subject, on a server that does
// to each request what the test has it do. It is one client's view of it: one
// that met a deposed leader in a read meets it in the question after that as well.
type fakeBroker struct {
	*fakeStream
	behind bool
}

type fakeStream struct {
	onPublish func() fate
	onRead    func() fate
	delay     func() time.Duration // of late writes; nil: 5 s

	mu    sync.Mutex
	seq   uint64
	now   map[string]jetstream.RawStreamMsg
	prev  map[string]jetstream.RawStreamMsg
	log   []jetstream.RawStreamMsg // all that was ever stored
	tries int                      // publishes that were sent

	timers sync.WaitGroup
}

func newFakeBroker() *fakeBroker {
	always := func() fate { return fine }
	return &fakeBroker{fakeStream: &fakeStream{
		onPublish: always, onRead: always,
		now: make(map[string]jetstream.RawStreamMsg), prev: make(map[string]jetstream.RawStreamMsg),
	}}
}

func (f *fakeStream) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	f.mu.Lock()
	f.tries++
	f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	switch f.onPublish() {
	case fine:
		return f.apply(m)
	case unheard:
		_, _ = f.apply(m)
	case late:
		wait := 5 * time.Second
		if f.delay != nil {
			wait = f.delay()
		}
		f.timers.Add(1)
		time.AfterFunc(wait, func() {
			defer f.timers.Done()
			_, _ = f.apply(m)
		})
	case inFlight:
		return 0, apiError(400, 10164)
	case notReady:
		return 0, apiError(503, 10163)
	case noResponders:
		return 0, jetstream.ErrNoStreamResponse
	case disconnected:
		return 0, nats.ErrReconnectBufExceeded
	case refusedFate:
		return 0, apiError(400, 10054)
	case closedFate:
		return 0, nats.ErrConnectionClosed
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

func (f *fakeStream) apply(m *nats.Msg) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := m.Header.Get(jetstream.ExpectedLastSubjSeqHeader); want != "" {
		if after, err := strconv.ParseUint(want, 10, 64); err != nil || f.now[m.Subject].Sequence != after {
			return 0, apiError(400, 10071)
		}
	}
	return f.store(m.Subject, m.Data, m.Header), nil
}

func (f *fakeStream) store(subject string, data []byte, header nats.Header) uint64 {
	f.seq++
	m := jetstream.RawStreamMsg{Subject: subject, Sequence: f.seq, Header: header, Data: slices.Clone(data), Time: time.Now()}
	f.prev[subject] = f.now[subject]
	f.now[subject] = m
	f.log = append(f.log, m)
	return f.seq
}

// foreign is a write by somebody else.
func (f *fakeStream) foreign(subject string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store(subject, []byte("foreign"), nats.Header{opIDHeader: {"foreign"}})
}

// remove is a TTL that ended, or a purge.
func (f *fakeStream) remove(subject string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.now, subject)
	delete(f.prev, subject)
}

func (f *fakeBroker) next(ctx context.Context, subject string, _ uint64) (*jetstream.RawStreamMsg, error) {
	from := f.now
	how := f.onRead()
	f.behind = how == stale || how == staleAll
	switch how {
	case lost:
		<-ctx.Done()
		return nil, ctx.Err()
	case noResponders:
		return nil, nats.ErrNoResponders
	case stale:
		from = f.prev
	case staleAll:
		return nil, jetstream.ErrMsgNotFound
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := from[subject]
	if m.Sequence == 0 {
		return nil, jetstream.ErrMsgNotFound
	}
	return &m, nil
}

func (f *fakeBroker) state(context.Context) (streamState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.behind {
		return streamState{}, nil
	}
	return streamState{lastSeq: f.seq}, nil
}

func apiError(code int, errCode jetstream.ErrorCode) error {
	return &jetstream.APIError{Code: code, ErrorCode: errCode, Description: "scripted"}
}
