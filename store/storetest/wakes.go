package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rescreen/store"
)

// schedulerQuarter: the server's timer does not run more often.
const schedulerQuarter = 250 * time.Millisecond

// Wakes is store.Wakes in memory. A wake-up fires when the server would fire
// it at the latest: a quarter of a second after it was parked, or at its time.
type Wakes struct {
	world *world
	onDue func(subject string, wake store.Wake)
	isDue func(subject string) bool
	wakes map[string]*wake     // by due subject
	seq   uint64               // of the last park
	due   map[string]time.Time // when they became due, by due subject; if isDue is set, with some that are settled
}

type wake struct {
	store.Wake
	seq   uint64
	timer *time.Timer // nil: never fires
}

// Park is store.Wakes.Park.
func (w *Wakes) Park(ctx context.Context, park store.Wake) error {
	subject, err := store.DueSubject(park.Key, park.Attempt)
	if err != nil {
		return err
	}
	if year := park.At.UTC().Year(); year < 1970 || year > 2261 {
		return fmt.Errorf("%w: time outside of 1970 to 2261", store.ErrRefused)
	}
	park.Value = slices.Clone(park.Value)
	return w.world.write(ctx, OpWakesPark, attemptKey(park.Key, park.Attempt), func(kind Kind) error {
		if err := fits(park.Value); err != nil {
			return err
		}
		w.seq++
		next := &wake{Wake: park, seq: w.seq}
		wait := max(park.At.Sub(w.world.now()), schedulerQuarter)
		if old := w.wakes[subject]; old != nil {
			if old.timer != nil {
				w.world.stop(old.timer)
			}
			if kind == Overtaken {
				next, wait = old, 0
			}
		}
		if kind != Stuck {
			next.timer = w.world.after(wait, func() { w.fire(subject, next) })
		}
		w.wakes[subject] = next
		return nil
	})
}

// fire hands the due message over before it forgets the wake-up, so that there is
// always one of the two. The callback runs without the lock: it may call the store.
func (w *Wakes) fire(subject string, fired *wake) {
	w.world.mu.Lock()
	current := w.wakes[subject] == fired // else replaced while the timer's goroutine started
	if current {
		w.due[subject] = w.world.now()
	}
	w.world.mu.Unlock()
	if !current {
		return
	}
	if w.onDue != nil {
		w.onDue(subject, fired.Wake)
	}
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	if w.wakes[subject] == fired {
		delete(w.wakes, subject)
	}
}

// SettleDue says that the due message of a subject was acknowledged.
func (w *Wakes) SettleDue(subject string) {
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	delete(w.due, subject)
}

// Parked is store.Wakes.Parked. There are no stale answers: a wrong one
// parks one wake-up more, which replaces itself.
func (w *Wakes) Parked(ctx context.Context, k store.Key, attempt int) (bool, error) {
	subject, err := store.DueSubject(k, attempt)
	if err != nil {
		return false, err
	}
	var parked bool
	err = w.world.read(ctx, OpWakesParked, attemptKey(k, attempt), func(bool) error {
		wake := w.wakes[subject]
		parked = wake != nil && !w.dead(wake) || w.isDueNow(subject)
		return nil
	})
	return parked, err
}

// stuckAfter is for how long a wake-up that never fires counts as parked.
const stuckAfter = 30 * time.Second

// dead is true of what is stuck. The lock is held.
func (w *Wakes) dead(wake *wake) bool {
	return wake.timer == nil && w.world.now().Sub(wake.At) > stuckAfter
}

// Next is store.Wakes.Next; due messages are not among what it returns.
func (w *Wakes) Next(ctx context.Context, after uint64) (store.ParkedWake, error) {
	var next *wake
	var dead bool
	err := w.world.read(ctx, OpWakesNext, "", func(bool) error {
		for _, wake := range w.wakes {
			if wake.seq > after && (next == nil || wake.seq < next.seq) {
				next = wake
			}
		}
		if next == nil {
			return store.ErrNotFound
		}
		dead = w.dead(next)
		return nil
	})
	if err != nil {
		return store.ParkedWake{}, err
	}
	return store.ParkedWake{Wake: next.Wake, Seq: next.seq, Dead: dead}, nil
}

// Open is store.Wakes.Open.
func (w *Wakes) Open(ctx context.Context) (int, error) {
	var n int
	err := w.world.read(ctx, OpWakesOpen, "", func(bool) error {
		n = len(w.wakes) + len(w.unsettled())
		return nil
	})
	return n, err
}

// Waiting returns the times of the parked wake-ups, earliest first.
func (w *Wakes) Waiting() []time.Time {
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	var at []time.Time
	for _, wake := range w.wakes {
		at = append(at, wake.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

func (w *Wakes) isDueNow(subject string) bool {
	if w.isDue != nil {
		return w.isDue(subject)
	}
	return !w.due[subject].IsZero()
}

// unsettled is w.due without those that are settled. The lock is held.
func (w *Wakes) unsettled() map[string]time.Time {
	for subject := range w.due {
		if !w.isDueNow(subject) {
			delete(w.due, subject)
		}
	}
	return w.due
}

// Due is store.Wakes.Due.
func (w *Wakes) Due(ctx context.Context) (store.DueWakes, error) {
	var due store.DueWakes
	err := w.world.read(ctx, OpWakesDue, "", func(bool) error {
		for _, at := range w.unsettled() {
			if due.Count++; due.Oldest.IsZero() || at.Before(due.Oldest) {
				due.Oldest = at
			}
		}
		return nil
	})
	return due, err
}
