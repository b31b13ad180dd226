package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rescreen/store"
)

// Ledger is store.Ledger in memory.
type Ledger struct {
	world  *world
	stream *stream
}

// Load is store.Ledger.Load.
func (l *Ledger) Load(ctx context.Context, k store.Key) (store.Record, error) {
	subject, err := store.RecordSubject(k)
	if err != nil {
		return store.Record{}, err
	}
	var m message
	err = l.world.read(ctx, OpLedgerLoad, k.String(), func(stale bool) (err error) {
		m, err = l.stream.last(subject, stale, l.world.now())
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return store.Record{Key: k, Value: m.value, Seq: m.seq, Time: m.time}, nil
}

// Commit is store.Ledger.Commit.
func (l *Ledger) Commit(ctx context.Context, k store.Key, value []byte, after uint64, final bool) (seq uint64, err error) {
	subject, err := store.RecordSubject(k)
	if err != nil {
		return 0, err
	}
	var ttl time.Duration
	if final {
		ttl = store.TerminalAge
	}
	return commit(ctx, l.world, l.stream, OpLedgerCommit, k.String(), subject, value, after, ttl)
}

// Next is store.Ledger.Next.
func (l *Ledger) Next(ctx context.Context, after uint64) (store.Record, error) {
	var m message
	var subject string
	err := l.world.read(ctx, OpLedgerNext, strconv.FormatUint(after, 10), func(bool) (err error) {
		subject, m, err = l.stream.next(after, l.world.now())
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	batch, job, _ := strings.Cut(strings.TrimPrefix(subject, recordPrefix), ".")
	return store.Record{Key: store.Key{Batch: batch, Job: job}, Value: m.value, Seq: m.seq, Time: m.time}, nil
}

const recordPrefix = "screening.record."

// Registers is store.Registers in memory.
type Registers struct {
	world  *world
	stream *stream
}

// Load is store.Registers.Load.
func (r *Registers) Load(ctx context.Context, name string) (value []byte, seq uint64, err error) {
	subject, err := store.RegisterSubject(name)
	if err != nil {
		return nil, 0, err
	}
	var m message
	err = r.world.read(ctx, OpRegistersLoad, name, func(stale bool) (err error) {
		m, err = r.stream.last(subject, stale, r.world.now())
		return err
	})
	return m.value, m.seq, err
}

// Commit is store.Registers.Commit.
func (r *Registers) Commit(ctx context.Context, name string, value []byte, after uint64) (uint64, error) {
	subject, err := store.RegisterSubject(name)
	if err != nil {
		return 0, err
	}
	return commit(ctx, r.world, r.stream, OpRegistersCommit, name, subject, value, after, 0)
}

func commit(ctx context.Context, w *world, s *stream, op, key, subject string, value []byte, after uint64, ttl time.Duration) (uint64, error) {
	var seq uint64
	value = slices.Clone(value) // a late write is applied when the caller has gone on
	err := w.write(ctx, op, key, func(kind Kind) error {
		n, err := s.compareAndSet(subject, value, after, ttl, w.now())
		if kind != repeated { // nobody waits for that
			seq = n
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// Outcomes is store.Outcomes in memory.
type Outcomes struct {
	world     *world
	stream    *stream
	published []store.Outcome
}

// Publish is store.Outcomes.Publish.
func (o *Outcomes) Publish(ctx context.Context, out store.Outcome) (first bool, err error) {
	subject, err := store.OutcomeSubject(out.Key, out.Attempt, out.Failed)
	if err != nil {
		return false, err
	}
	out.Value = slices.Clone(out.Value)
	err = o.world.write(ctx, OpOutcomesPublish, attemptKey(out.Key, out.Attempt), func(Kind) error {
		_, err := o.stream.compareAndSet(subject, out.Value, 0, 0, o.world.now())
		if err == nil {
			o.published, first = append(o.published, out), true
		}
		if errors.Is(err, store.ErrConflict) { // one is there
			return nil
		}
		return err
	})
	return first && err == nil, err
}

// Exists is store.Outcomes.Exists.
func (o *Outcomes) Exists(ctx context.Context, k store.Key, attempt int, failed bool) (bool, error) {
	subject, err := store.OutcomeSubject(k, attempt, failed)
	if err != nil {
		return false, err
	}
	var found bool
	err = o.world.read(ctx, OpOutcomesExists, attemptKey(k, attempt), func(stale bool) error {
		_, err := o.stream.last(subject, stale, o.world.now())
		found = err == nil
		return nil
	})
	return found, err
}

// Published returns every outcome that was ever stored, in order; one that
// was published again after it had expired is there twice.
func (o *Outcomes) Published() []store.Outcome {
	o.world.mu.Lock()
	defer o.world.mu.Unlock()
	return slices.Clone(o.published)
}

// Evidence is store.Evidence in memory.
type Evidence struct {
	world  *world
	stream *stream
}

// Put is store.Evidence.Put.
func (e *Evidence) Put(ctx context.Context, data []byte) (sha256hex string, err error) {
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	data = slices.Clone(data)
	err = e.world.write(ctx, OpEvidencePut, name, func(Kind) error {
		e.stream.set(name, data, 0, e.world.now())
		return nil
	})
	if err != nil {
		return "", err
	}
	return name, nil
}

// Get is store.Evidence.Get.
func (e *Evidence) Get(ctx context.Context, sha256hex string) ([]byte, error) {
	if _, err := store.EvidenceSubject(sha256hex); err != nil {
		return nil, err
	}
	var m message
	err := e.world.read(ctx, OpEvidenceGet, sha256hex, func(stale bool) (err error) {
		m, err = e.stream.last(sha256hex, stale, e.world.now())
		return err
	})
	return m.value, err
}

// Clock is store.Clock in memory: time.Now and the configured skew.
type Clock struct {
	world *world
}

// Now is store.Clock.Now.
func (c *Clock) Now() time.Time { return c.world.now() }

// Refresh is store.Clock.Refresh: there is nothing to be measured.
func (c *Clock) Refresh(ctx context.Context) error { return ctx.Err() }

// Run is store.Clock.Run: it waits for the end of ctx.
func (c *Clock) Run(ctx context.Context) { <-ctx.Done() }

func attemptKey(k store.Key, attempt int) string { return fmt.Sprintf("%s.%d", k, attempt) }
