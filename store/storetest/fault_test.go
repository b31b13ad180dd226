package storetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/store"
	"rescreen/store/storetest"
)

var key = store.Key{Batch: "b", Job: "j"}

// ordered answers the first call of an operation with a fault.
func ordered(op string, f storetest.Fault) func(op, key string) storetest.Fault {
	return func(called, _ string) storetest.Fault {
		if called != op || f.Kind == storetest.OK {
			return storetest.Fault{}
		}
		once := f
		f = storetest.Fault{}
		return once
	}
}

func TestFaultsOfCommit(t *testing.T) {
	for _, test := range []struct {
		fault   storetest.Fault
		err     error  // of the commit
		at      uint64 // sequence of the record right after it
		later   uint64 // and a minute after
		waiting time.Duration
	}{
		{storetest.Fault{}, nil, 1, 1, 0},
		{storetest.Fault{Kind: storetest.Lost}, storetest.ErrFault, 0, 0, 0},
		{storetest.Fault{Kind: storetest.Unsure}, storetest.ErrFault, 1, 1, 0},
		{storetest.Fault{Kind: storetest.Late, Delay: time.Second}, storetest.ErrFault, 0, 1, 0},
		{storetest.Fault{Kind: storetest.Slow, Delay: time.Second}, nil, 1, 1, time.Second},
		{storetest.Fault{Kind: storetest.Slow, Delay: time.Hour}, context.DeadlineExceeded, 1, 1, 10 * time.Second},
		{storetest.Fault{Kind: storetest.Conflict}, store.ErrConflict, 0, 0, 0},
		{storetest.Fault{Kind: storetest.Stale}, nil, 1, 1, 0},
		{storetest.Fault{Kind: storetest.Twice, Delay: time.Second}, nil, 1, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := storetest.NewMemory(storetest.Config{Fault: ordered(storetest.OpLedgerCommit, test.fault)})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			_, err := m.Ledger.Commit(ctx, key, []byte("x"), 0, false)
			if !errors.Is(err, test.err) || time.Since(start) != test.waiting {
				t.Errorf("%+v: error %v after %v", test.fault, err, time.Since(start))
			}
			r, _ := m.Ledger.Load(t.Context(), key)
			time.Sleep(time.Minute)
			later, _ := m.Ledger.Load(t.Context(), key)
			if r.Seq != test.at || later.Seq != test.later {
				t.Errorf("%+v: record at %d, then %d; want %d, then %d", test.fault, r.Seq, later.Seq, test.at, test.later)
			}
		})
	}
}

func TestLateCommitIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := storetest.Fault{Kind: storetest.Late, Delay: time.Second}
		m := storetest.NewMemory(storetest.Config{Fault: ordered(storetest.OpLedgerCommit, late)})
		_, err := m.Ledger.Commit(t.Context(), key, []byte("zombie"), 0, false)
		if !errors.Is(err, storetest.ErrFault) {
			t.Fatal(err)
		}
		if _, err := m.Ledger.Commit(t.Context(), key, []byte("other"), 0, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if r, err := m.Ledger.Load(t.Context(), key); err != nil || string(r.Value) != "other" {
			t.Fatalf("got %q, %v", r.Value, err)
		}
	})
}

func TestStaleLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory(storetest.Config{})
		stale := func(op, _ string) storetest.Fault {
			if op == storetest.OpLedgerLoad {
				return storetest.Fault{Kind: storetest.Stale}
			}
			return storetest.Fault{}
		}
		first, err := m.Ledger.Commit(t.Context(), key, []byte("one"), 0, false)
		if err != nil {
			t.Fatal(err)
		}
		m.SetFault(stale)
		if _, err := m.Ledger.Load(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before the first: %v", err)
		}
		second, err := m.Ledger.Commit(t.Context(), key, []byte("two"), first, false)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := m.Ledger.Load(t.Context(), key); err != nil || r.Seq != first || string(r.Value) != "one" {
			t.Errorf("before the second: %q at %d, %v", r.Value, r.Seq, err)
		}
		m.SetFault(nil)
		if r, err := m.Ledger.Load(t.Context(), key); err != nil || r.Seq != second || string(r.Value) != "two" {
			t.Errorf("as it is: %q at %d, %v", r.Value, r.Seq, err)
		}
	})
}

func TestMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory(storetest.Config{Skew: time.Hour})
		ctx := t.Context()
		if _, err := m.Ledger.Commit(ctx, key, []byte("final"), 0, true); err != nil {
			t.Fatal(err)
		}
		open := store.Key{Batch: "b", Job: "open"}
		if _, err := m.Ledger.Commit(ctx, open, []byte("open"), 0, false); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Outcomes.Publish(ctx, store.Outcome{Key: key, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(store.TerminalAge)
		if _, err := m.Ledger.Load(ctx, key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("final record: %v", err)
		}
		if r, err := m.Ledger.Next(ctx, 0); err != nil || r.Key != open {
			t.Errorf("scan: %v, %v", r.Key, err)
		}
		if exists, err := m.Outcomes.Exists(ctx, key, 1, false); err != nil || !exists {
			t.Errorf("an outcome goes before its record: %v, %v", exists, err)
		}
		time.Sleep(store.ResultsAge)
		if exists, err := m.Outcomes.Exists(ctx, key, 1, false); err != nil || exists {
			t.Errorf("outcome stays: %v, %v", exists, err)
		}
		if d := time.Until(m.Clock.Now()); d != time.Hour {
			t.Errorf("skew %v", d)
		}
	})
}

// TestDueHook: with a queue that knows what is acknowledged, the store asks it.
func TestDueHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := make(map[string]bool)
		var m *storetest.Memory
		m = storetest.NewMemory(storetest.Config{
			OnDue: func(subject string, _ store.Wake) {
				// The store may be called from here; the wake-up still counts.
				if parked, err := m.Wakes.Parked(t.Context(), key, 1); err != nil || !parked {
					t.Errorf("between wake-up and due: %v, %v", parked, err)
				}
				queue[subject] = true
			},
			Due: func(subject string) bool { return queue[subject] },
		})
		if err := m.Wakes.Park(t.Context(), store.Wake{Key: key, Attempt: 1, At: time.Now().Add(time.Second)}); err != nil {
			t.Fatal(err)
		}
		if at := m.Wakes.Waiting(); len(at) != 1 {
			t.Fatalf("waiting: %v", at)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for _, want := range []int{1, 0} {
			parked, err := m.Wakes.Parked(t.Context(), key, 1)
			open, _ := m.Wakes.Open(t.Context())
			if err != nil || parked != (want == 1) || open != want {
				t.Errorf("parked %v, open %d, error %v; want %d", parked, open, err, want)
			}
			clear(queue)
		}
	})
}

// TestOvertakenPark: the attempt keeps one of the two, the older.
func TestOvertakenPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var due []string
		m := storetest.NewMemory(storetest.Config{OnDue: func(_ string, wake store.Wake) { due = append(due, string(wake.Value)) }})
		park := func(value string) {
			t.Helper()
			err := m.Wakes.Park(t.Context(), store.Wake{Key: key, Attempt: 1, At: time.Now().Add(time.Hour), Value: []byte(value)})
			if err != nil {
				t.Fatal(err)
			}
		}
		park("old")
		m.SetFault(ordered(storetest.OpWakesPark, storetest.Fault{Kind: storetest.Overtaken}))
		park("new")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(due) != 1 || due[0] != "old" {
			t.Fatalf("due: %q, want the old one alone", due)
		}
	})
}

// A park that arrives twice takes the place of what was parked in between.
func TestParkTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var due []string
		m := storetest.NewMemory(storetest.Config{
			OnDue: func(_ string, wake store.Wake) { due = append(due, string(wake.Value)) },
			Fault: ordered(storetest.OpWakesPark, storetest.Fault{Kind: storetest.Twice, Delay: time.Second}),
		})
		for _, value := range []string{"first", "second"} {
			if err := m.Wakes.Park(t.Context(), store.Wake{Key: key, Attempt: 1, At: time.Now().Add(time.Hour), Value: []byte(value)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(due) != 1 || due[0] != "first" {
			t.Fatalf("due: %q, want the first alone", due)
		}
	})
}

func TestCloseStopsTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory(storetest.Config{OnDue: func(string, store.Wake) { t.Error("fired") }})
		if err := m.Wakes.Park(t.Context(), store.Wake{Key: key, Attempt: 1, At: time.Now().Add(time.Second)}); err != nil {
			t.Fatal(err)
		}
		m.Close()
		time.Sleep(time.Minute)
	})
}
