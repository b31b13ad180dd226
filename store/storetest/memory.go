package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rescreen/store"
)

// MaxValueBytes is the largest value a Memory accepts, as a server with default
// settings would: its limit for a message less what the headers take.
const MaxValueBytes = 1<<20 - 4<<10

// ErrFault is wrapped by every error that was ordered by a fault hook, and
// stands for "unclear or out of reach".
var ErrFault = errors.New("injected fault")

// Config of a Memory. The zero value works.
type Config struct {
	// OnDue is called, on the goroutine of a timer, for each wake-up whose time has
	// come. It may call the store. Nil: the wake-up is only counted as due.
	OnDue func(subject string, wake store.Wake)

	// Due reports whether a due message of the subject is still unacknowledged.
	// It must not call the store. Nil: it is, from the wake-up's firing until SettleDue.
	Due func(subject string) bool

	// Fault is asked before each call, see SetFault.
	Fault func(op, key string) Fault

	// Skew is by how much the server's clock is ahead of time.Now.
	Skew time.Duration
}

// Memory is a store in memory.
type Memory struct {
	Ledger    *Ledger
	Wakes     *Wakes
	Outcomes  *Outcomes
	Evidence  *Evidence
	Registers *Registers
	Signals   *Signals
	Clock     *Clock

	world *world
}

// world is what the parts share: one lock, so that every call is one step.
type world struct {
	mu     sync.Mutex
	fault  func(op, key string) Fault
	skew   time.Duration
	timers map[*time.Timer]struct{}
	made   int // timers so far
	closed bool
}

// NewMemory returns an empty store.
func NewMemory(c Config) *Memory {
	w := &world{fault: c.Fault, skew: c.Skew, timers: make(map[*time.Timer]struct{})}
	return &Memory{
		Ledger:    &Ledger{world: w, stream: newStream(0)},
		Wakes:     &Wakes{world: w, onDue: c.OnDue, isDue: c.Due, wakes: make(map[string]*wake), due: make(map[string]time.Time)},
		Outcomes:  &Outcomes{world: w, stream: newStream(store.ResultsAge)},
		Evidence:  &Evidence{world: w, stream: newStream(store.EvidenceAge)},
		Registers: &Registers{world: w, stream: newStream(0)},
		Signals:   &Signals{world: w, to: make(map[string][]*listener)},
		Clock:     &Clock{world: w},
		world:     w,
	}
}

// SetFault replaces the fault hook; nil for none. The hook is asked once for each call that
// passes the checks of its arguments, with one of the Op constants and with what
// the call is about: "batch.job", "batch.job.attempt", a register's name, or a hash. It
// may be called concurrently, and must not call the store.
func (m *Memory) SetFault(hook func(op, key string) Fault) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.world.fault = hook
}

// Close stops all timers: no wake-up fires any more, no late write lands.
func (m *Memory) Close() {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.world.closed = true
	for t := range m.world.timers {
		t.Stop()
	}
}

// now is the server's time. The lock is held or not needed: skew never changes.
func (w *world) now() time.Time { return time.Now().Add(w.skew).UTC() }

// after runs f, without the lock, when d has passed. Timers for the same moment
// run one after the other, as at the server. The lock is held.
func (w *world) after(d time.Duration, f func()) *time.Timer {
	w.made++
	d += time.Duration(w.made % 100_000) // nanoseconds
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		w.mu.Lock()
		delete(w.timers, t)
		closed := w.closed
		w.mu.Unlock()
		if !closed {
			f()
		}
	})
	w.timers[t] = struct{}{}
	return t
}

func (w *world) stop(t *time.Timer) {
	t.Stop()
	delete(w.timers, t)
}

// write makes one write as the fault hook has it. apply is called with the lock
// held, at most once unless the fault is Twice, with the fault's kind, and says what the server would have answered.
func (w *world) write(ctx context.Context, op, key string, apply func(Kind) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: outcome unknown: %w", op, key, err)
	}
	f := w.ask(op, key)
	if f.Kind == Slow && !sleep(ctx, f.Delay) {
		w.mu.Lock()
		defer w.mu.Unlock()
		_ = apply(f.Kind) // it was under way already; nobody hears the answer
		return fmt.Errorf("%s %s: outcome unknown: %w", op, key, ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f.Kind {
	case Lost:
		return fmt.Errorf("%s %s: lost: %w", op, key, ErrFault)
	case Unsure:
		_ = apply(f.Kind)
		return fmt.Errorf("%s %s: outcome unknown: %w", op, key, ErrFault)
	case Late:
		w.after(f.Delay, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			_ = apply(f.Kind)
		})
		return fmt.Errorf("%s %s: outcome unknown: %w", op, key, ErrFault)
	case Conflict:
		if op == OpLedgerCommit || op == OpRegistersCommit {
			return fmt.Errorf("%s %s: %w", op, key, store.ErrConflict)
		}
		return fmt.Errorf("%s %s: lost: %w", op, key, ErrFault)
	}
	if f.Kind == Twice {
		w.after(f.Delay, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			_ = apply(repeated)
		})
	}
	if err := apply(f.Kind); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

// read makes one read as the fault hook has it. look is called with the lock held.
func (w *world) read(ctx context.Context, op, key string, look func(stale bool) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	f := w.ask(op, key)
	if f.Kind == Slow && !sleep(ctx, f.Delay) {
		return fmt.Errorf("%s %s: %w", op, key, ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f.Kind {
	case Lost, Unsure, Late, Conflict:
		return fmt.Errorf("%s %s: %w", op, key, ErrFault)
	}
	if err := look(f.Kind == Stale); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

func (w *world) ask(op, key string) Fault {
	w.mu.Lock()
	hook := w.fault
	w.mu.Unlock()
	if hook == nil {
		return Fault{}
	}
	return hook(op, key)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
