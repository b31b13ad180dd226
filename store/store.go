package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Store is all that is remembered. Its parts share a connection and nothing else.
type Store struct {
	Ledger    *Ledger
	Wakes     *Wakes
	Outcomes  *Outcomes
	Evidence  *Evidence
	Registers *Registers
	Signals   *Signals
	Clock     *Clock
}

// Open looks up the streams and measures the server's clock. It creates and
// updates nothing; a stream that is missing or unfit is an error that
// wraps [ErrNotSetUp]. Whoever opens a store also runs its Clock. now is the
// local clock, time.Now; it may be wrong, and is only used to measure with.
//
// The connection must have no reconnect buffer, see the package comment.
func Open(ctx context.Context, js jetstream.JetStream, now func() time.Time, with ...Option) (*Store, error) {
	var o options
	for _, option := range with {
		option(&o)
	}
	lines := make(map[string]line)
	streams := make(map[string]jetstream.Stream)
	for _, want := range Streams(Options{}) {
		stream, err := lookUp(ctx, js, want)
		if err != nil {
			return nil, err
		}
		streams[want.Name] = stream
		l := newLine(natsBroker{js: js, stream: stream, created: stream.CachedInfo().Created})
		l.heard = o.hears(want.Name)
		lines[want.Name] = l
	}
	clock := &Clock{local: now, timeout: tryTimeout, serverTime: func(ctx context.Context) (serverTime time.Time, err error) {
		err = lines[RecordsStream].once(ctx, func(ctx context.Context) error {
			info, err := streams[RecordsStream].Info(ctx)
			if err == nil {
				serverTime = info.TimeStamp
			}
			return err
		})
		return serverTime, err
	}}
	if err := clock.Refresh(ctx); err != nil {
		return nil, err
	}
	dueConsumer := readConsumer(streams[WakesStream])
	settled := &settledFloor{read: readSettled(dueConsumer)}
	room := int(js.Conn().MaxPayload()) - headroom
	return &Store{
		Ledger:   &Ledger{line: lines[RecordsStream], ttl: TerminalAge},
		Wakes:    &Wakes{line: lines[WakesStream], now: clock.Now, settled: settled.get, consumer: dueConsumer},
		Outcomes: &Outcomes{line: lines[ResultsStream]},
		Evidence: &Evidence{
			line:    lines[EvidenceStream],
			objects: objects{line: lines[EvidenceBucketStream], now: clock.Now, chunk: min(defaultChunkBytes, room)},
			limit:   min(MaxMessageBytes, room),
		},
		Registers: &Registers{line: lines[LimitsStream]},
		Signals:   &Signals{conn: js.Conn()},
		Clock:     clock,
	}, nil
}

// lookUp finds a stream and checks the settings without which this package's
// promises are void.
func lookUp(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s does not exist: %w", want.Name, ErrNotSetUp)
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", want.Name, err)
	}
	got := stream.CachedInfo().Config
	for _, setting := range []struct {
		name string
		ok   bool
	}{
		{"allow_direct is on", got.AllowDirect == want.AllowDirect},
		{"max_msgs_per_subject differs", want.MaxMsgsPerSubject == 0 || got.MaxMsgsPerSubject == want.MaxMsgsPerSubject},
		{"allow_msg_ttl is off", got.AllowMsgTTL || !want.AllowMsgTTL},
		{"allow_msg_schedules is off", got.AllowMsgSchedules || !want.AllowMsgSchedules},
		{"retention differs", got.Retention == want.Retention},
	} {
		if !setting.ok {
			return nil, fmt.Errorf("stream %s: %s: %w", want.Name, setting.name, ErrNotSetUp)
		}
	}
	return stream, nil
}
