package store

import (
	"context"
	"fmt"
)

// Registers are small named records of the whole fleet, such as its budgets,
// kept in the bucket [LimitsBucket]. Its methods may be called concurrently.
type Registers struct {
	line line
}

// Load returns the value and sequence of a register, or [ErrNotFound]. As with
// [Ledger.Load], the answer may be old.
func (r *Registers) Load(ctx context.Context, name string) (value []byte, seq uint64, err error) {
	subject, err := RegisterSubject(name)
	if err != nil {
		return nil, 0, err
	}
	m, err := r.line.last(ctx, subject)
	if err != nil {
		return nil, 0, fmt.Errorf("load register %s: %w", name, err)
	}
	return m.Data, m.Sequence, nil
}

// Commit replaces a register, provided that its sequence still is after; 0
// means that there must be none. Its errors are those of [Ledger.Commit].
func (r *Registers) Commit(ctx context.Context, name string, value []byte, after uint64) (uint64, error) {
	subject, err := RegisterSubject(name)
	if err != nil {
		return 0, err
	}
	seq, err := r.line.commit(ctx, change{subject: subject, value: value, after: after})
	if err != nil {
		return 0, fmt.Errorf("commit register %s: %w", name, err)
	}
	return seq, nil
}
