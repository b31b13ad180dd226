package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const subject = "screening.record.b.j"

// script answers with its fates one after the other, then with fine.
func script(fates ...fate) func() fate {
	return func() fate {
		if len(fates) == 0 {
			return fine
		}
		next := fates[0]
		fates = fates[1:]
		return next
	}
}

func TestCommitUnclearWrites(t *testing.T) {
	for _, test := range []struct {
		name    string
		exists  bool // there is a record, its second version, and the commit is based on it
		publish []fate
		read    []fate
		between func(f *fakeBroker) // runs before the first read
		wantErr error
		tries   int // publishes
	}{
		{name: "acknowledged", tries: 1},
		{name: "acknowledged, on a record", exists: true, tries: 1},
		{name: "stored, acknowledgement lost", publish: []fate{unheard}, tries: 1},
		{name: "never arrived", publish: []fate{lost}, tries: 2},
		{name: "arrived late, after the second try", publish: []fate{late}, tries: 2},
		{name: "stored late, third try meets it", publish: []fate{late, lost}, tries: 2},
		{name: "another write in flight that came to nothing", exists: true, publish: []fate{inFlight, inFlight}, tries: 3},
		{name: "new leader not ready, then none, then cut off", publish: []fate{notReady, noResponders, disconnected}, tries: 4},
		{
			name: "stored, and the read back fails: the repetition conflicts with ourselves", exists: true,
			publish: []fate{unheard}, read: []fate{lost}, tries: 2,
		},
		{
			name: "stored, and the read back is old: the repetition conflicts with ourselves", exists: true,
			publish: []fate{unheard}, read: []fate{stale, stale, staleAll}, tries: 4,
		},
		{
			name: "conflict, and the read back is old", exists: true, publish: []fate{inFlight}, read: []fate{staleAll},
			between: func(f *fakeBroker) { f.foreign("screening.record.b.other") }, tries: 2,
		},
		{
			name: "never arrived, and the read back is older than what the commit is based on", exists: true,
			publish: []fate{lost}, read: []fate{stale}, tries: 2,
		},
		{
			name: "another write in flight, and the read back is older still", exists: true,
			publish: []fate{inFlight, inFlight}, read: []fate{stale, staleAll}, tries: 3,
		},
		{
			name: "somebody else was first", exists: true, publish: []fate{lost},
			between: func(f *fakeBroker) { f.foreign(subject) }, wantErr: ErrConflict, tries: 1,
		},
		{
			name: "somebody else was first, on an empty subject", publish: []fate{inFlight},
			between: func(f *fakeBroker) { f.foreign(subject) }, wantErr: ErrConflict, tries: 1,
		},
		{
			name: "stored, and replaced before the read back", exists: true, publish: []fate{unheard},
			between: func(f *fakeBroker) { f.foreign(subject) }, wantErr: ErrConflict, tries: 1,
		},
		{
			name: "the record expired", exists: true, publish: []fate{lost},
			between: func(f *fakeBroker) { f.remove(subject) }, wantErr: ErrConflict, tries: 2,
		},
		{name: "refused", publish: []fate{refusedFate}, wantErr: ErrRefused, tries: 1},
		{name: "stored, then refused", publish: []fate{unheard, refusedFate}, read: []fate{lost}, tries: 2},
		{name: "lost, then refused", publish: []fate{lost, refusedFate}, wantErr: ErrRefused, tries: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeBroker()
				var after uint64
				if test.exists {
					f.foreign(subject)
					after = f.foreign(subject)
				}
				f.onPublish = script(test.publish...)
				reads := script(test.read...)
				var once sync.Once
				f.onRead = func() fate {
					if test.between != nil {
						once.Do(func() { test.between(f) })
					}
					return reads()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				seq, err := newLine(f).commit(ctx, change{subject: subject, value: []byte("mine"), after: after})
				f.timers.Wait()
				if !errors.Is(err, test.wantErr) || f.tries != test.tries {
					t.Fatalf("got error %v after %d tries, want %v after %d", err, f.tries, test.wantErr, test.tries)
				}
				if times := count(f, "mine"); err == nil && (times != 1 || f.now[subject].Sequence != seq) {
					t.Fatalf("stored %d times, record at %d, told %d", times, f.now[subject].Sequence, seq)
				}
			})
		})
	}
}

func count(f *fakeBroker, value string) (times int) {
	for _, m := range f.log {
		if string(m.Data) == value {
			times++
		}
	}
	return times
}

func TestCommitEndsWithItsContext(t *testing.T) {
	for _, end := range []fate{lost, inFlight, noResponders, disconnected, notReady} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeBroker()
			f.onPublish = func() fate { return end }
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			start := time.Now()
			_, err := newLine(f).commit(ctx, change{subject: subject})
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrConflict) {
				t.Errorf("fate %d: got %v", end, err)
			}
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("fate %d: ended after %v", end, took)
			}
			if f.tries < 9 || f.tries > 130 { // every 3 s, or every half second after the first few
				t.Errorf("fate %d: %d tries in 30 s", end, f.tries)
			}
		})
	}
}

func TestCommitOnClosedConnection(t *testing.T) {
	f := newFakeBroker()
	f.onPublish = script(closedFate)
	_, err := newLine(f).commit(t.Context(), change{subject: subject})
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrRefused) || f.tries != 1 {
		t.Fatalf("got %v after %d tries", err, f.tries)
	}
}

// TestCommitUnderFaults: several writers on one subject, with every fault drawn at
// random. What a writer was told must be true, and once faults end so must the commits.
func TestCommitUnderFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		rate := rapid.Float64Range(0, 0.9).Draw(rt, "rate")
		writers := rapid.IntRange(1, 5).Draw(rt, "writers")
		var failure error
		synctest.Test(t, func(t *testing.T) { failure = commitUnderFaults(t, seed, rate, writers) })
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

func commitUnderFaults(t *testing.T, seed uint64, rate float64, writers int) error {
	f := newFakeBroker()
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	start := time.Now()
	draw := func(fates ...fate) func() fate {
		return func() fate {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(start) > 5*time.Minute || random.Float64() >= rate {
				return fine
			}
			return fates[random.IntN(len(fates))]
		}
	}
	f.onPublish = draw(unheard, lost, late, inFlight, notReady, noResponders, disconnected)
	f.onRead = draw(lost, noResponders, stale, staleAll)
	f.delay = func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(10 * time.Second)))
	}
	w := &witness{broker: f}
	var group sync.WaitGroup
	for writer := range writers {
		client := &fakeBroker{fakeStream: f.fakeStream}
		group.Go(func() { w.write(t.Context(), client, writer) })
	}
	group.Wait()
	f.timers.Wait()
	return w.check()
}

// witness notes what the writers were told.
type witness struct {
	broker *fakeBroker

	mu      sync.Mutex
	won     map[string]uint64 // by value: the sequence told
	refuted []error
}

func (w *witness) write(ctx context.Context, client *fakeBroker, writer int) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	l := newLine(client)
	for n := range 5 {
		var after uint64
		for {
			m, err := l.last(ctx, subject)
			if err == nil {
				after = m.Sequence
			}
			if err == nil || errors.Is(err, ErrNotFound) {
				break
			}
		}
		value := fmt.Sprintf("%d/%d", writer, n)
		seq, err := l.commit(ctx, change{subject: subject, value: []byte(value), after: after})
		w.mu.Lock()
		switch {
		case err == nil:
			if w.won == nil {
				w.won = make(map[string]uint64)
			}
			w.won[value] = seq
		case !errors.Is(err, ErrConflict):
			w.refuted = append(w.refuted, fmt.Errorf("commit %s does not end: %w", value, err))
		}
		w.mu.Unlock()
	}
}

func (w *witness) check() error {
	at := make(map[string]uint64)
	for _, m := range w.broker.log {
		if at[string(m.Data)] != 0 {
			w.refuted = append(w.refuted, fmt.Errorf("%s was stored twice", m.Data))
		}
		at[string(m.Data)] = m.Sequence
	}
	for value, seq := range w.won {
		if at[value] != seq {
			w.refuted = append(w.refuted, fmt.Errorf("%s was told to be at %d, is at %d", value, seq, at[value]))
		}
	}
	last := w.broker.log[len(w.broker.log)-1]
	if w.won[string(last.Data)] != last.Sequence {
		w.refuted = append(w.refuted, fmt.Errorf("%s is the record, and its writer was told otherwise", last.Data))
	}
	return errors.Join(w.refuted...)
}
