package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Record is the state of a job as it was last committed.
type Record struct {
	Key   Key
	Value []byte
	Seq   uint64    // what the next Commit is based on
	Time  time.Time // when the server stored it
}

// Ledger holds one record per job. Its methods may be called concurrently.
type Ledger struct {
	line line
	ttl  time.Duration // of final records; TerminalAge
}

// Load returns the record of k, or [ErrNotFound]. It tries for 10 s if the
// server cannot be asked, as long as an election may take. The record may be older than
// the last one committed, if the answering server is a deposed leader that does
// not know it yet; a Commit based on it will then fail.
func (l *Ledger) Load(ctx context.Context, k Key) (Record, error) {
	subject, err := RecordSubject(k)
	if err != nil {
		return Record{}, err
	}
	m, err := l.line.last(ctx, subject)
	if err != nil {
		return Record{}, fmt.Errorf("load record %s: %w", k, err)
	}
	return newRecord(k, m), nil
}

// Commit replaces the record of k, provided that its sequence still is after;
// 0 means that there must be no record. It returns the sequence of the new
// record. A final record is kept for [TerminalAge], another for ever.
//
// Commit repeats the write until the outcome is known, and returns
//
//   - no error: the record was stored, by this call and no other. It may have been
//     replaced since.
//   - [ErrConflict]: the record moved on under another write. Somebody else won, or this
//     write was stored, its acknowledgement lost, and the record
//     replaced by the next writer before it could be read back. The caller
//     cannot and need not tell: it starts the step again from the record as it is now.
//   - [ErrKey], [ErrRefused]: nothing was stored.
//   - any other error: unknown. It wraps the error of ctx if that ended the tries. The
//     write may even be stored later; start again from the record.
//
// A final record that expires, and a record that an operator purged, leave nothing behind:
// after is then 0 again.
func (l *Ledger) Commit(ctx context.Context, k Key, value []byte, after uint64, final bool) (uint64, error) {
	subject, err := RecordSubject(k)
	if err != nil {
		return 0, err
	}
	c := change{subject: subject, value: value, after: after}
	if final {
		c.header = nats.Header{jetstream.MsgTTLHeader: {l.ttl.String()}}
	}
	seq, err := l.line.commit(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("commit record %s: %w", k, err)
	}
	return seq, nil
}

// Next returns the oldest record with a sequence beyond after: a scan of all
// records in the order they were last written, and [ErrNotFound] at its end. A
// record that is written during the scan moves to the end of it.
func (l *Ledger) Next(ctx context.Context, after uint64) (Record, error) {
	for {
		m, err := l.line.next(ctx, recordPrefix+">", after+1)
		if errors.Is(err, ErrNotFound) {
			return Record{}, ErrNotFound
		}
		if err != nil {
			return Record{}, fmt.Errorf("scan records after %d: %w", after, err)
		}
		k, err := recordKey(m.Subject)
		if err != nil { // not written by this package: it must not end the scan
			after = m.Sequence
			continue
		}
		return newRecord(k, m), nil
	}
}

func newRecord(k Key, m *jetstream.RawStreamMsg) Record {
	return Record{Key: k, Value: m.Data, Seq: m.Sequence, Time: m.Time}
}
