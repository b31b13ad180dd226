package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rescreen/store"
)

var job = store.Key{Batch: "b-1", Job: "J_1"}

func recordOnce(t *testing.T, b Backend) {
	ctx := deadline(t)
	_, err := b.Ledger.Load(ctx, job)
	mustBe(t, err, store.ErrNotFound)
	first, err := b.Ledger.Commit(ctx, job, []byte("one"), 0, false)
	mustNot(t, err)
	_, err = b.Ledger.Commit(ctx, job, []byte("two"), 0, false)
	mustBe(t, err, store.ErrConflict)
	second, err := b.Ledger.Commit(ctx, job, []byte("two"), first, true)
	mustNot(t, err)
	if second <= first {
		t.Fatalf("sequence %d follows %d", second, first)
	}
	got, err := b.Ledger.Load(ctx, job)
	mustNot(t, err)
	if string(got.Value) != "two" || got.Seq != second || got.Key != job {
		t.Fatalf("got %+v, want two at %d", got, second)
	}
}

func recordConflicts(t *testing.T, b Backend) {
	ctx := deadline(t)
	first, err := b.Ledger.Commit(ctx, job, []byte("one"), 0, false)
	mustNot(t, err)
	second, err := b.Ledger.Commit(ctx, job, []byte("two"), first, false)
	mustNot(t, err)
	// Writes to other records move the stream on, not this record.
	_, err = b.Ledger.Commit(ctx, store.Key{Batch: "b-1", Job: "J_2"}, []byte("x"), 0, false)
	mustNot(t, err)
	for _, after := range []uint64{0, first} {
		_, err = b.Ledger.Commit(ctx, job, []byte("three"), after, false)
		mustBe(t, err, store.ErrConflict)
	}
	_, err = b.Ledger.Commit(ctx, job, []byte("three"), second, false)
	mustNot(t, err)
}

// A sequence that was given away to something else, and never to this record.
func recordMissing(t *testing.T, b Backend) {
	ctx := deadline(t)
	seq, err := b.Ledger.Commit(ctx, job, []byte("one"), 0, false)
	mustNot(t, err)
	other := store.Key{Batch: "b-1", Job: "J_2"}
	_, err = b.Ledger.Commit(ctx, other, []byte("x"), seq, false)
	mustBe(t, err, store.ErrConflict)
	_, err = b.Ledger.Load(ctx, other)
	mustBe(t, err, store.ErrNotFound)
}

func recordRoundTrip(t *testing.T, b Backend) {
	ctx := deadline(t)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	var after uint64
	for _, value := range [][]byte{{}, []byte("{}\r\n\r\n"), binary, bytes.Repeat([]byte("x"), 900<<10)} {
		before := b.Clock.Now()
		seq, err := b.Ledger.Commit(ctx, job, value, after, false)
		mustNot(t, err)
		got, err := b.Ledger.Load(ctx, job)
		mustNot(t, err)
		if !bytes.Equal(got.Value, value) || got.Seq != seq {
			t.Fatalf("got %d bytes at %d, want %d at %d", len(got.Value), got.Seq, len(value), seq)
		}
		if d := got.Time.Sub(before); d < -time.Second || d > soon {
			t.Fatalf("record is %v younger than its writing", d)
		}
		after = seq
	}
}

func recordScan(t *testing.T, b Backend) {
	ctx := deadline(t)
	_, err := b.Ledger.Next(ctx, 0)
	mustBe(t, err, store.ErrNotFound)
	want := make(map[store.Key]uint64)
	for i := range 50 {
		k := store.Key{Batch: fmt.Sprintf("b-%d", i%3), Job: strconv.Itoa(i % 20)}
		seq, err := b.Ledger.Commit(ctx, k, []byte(strconv.Itoa(i)), want[k], false)
		mustNot(t, err)
		want[k] = seq
	}
	checkScan(ctx, t, b.Ledger, want)
}

// checkScan fails unless a scan meets exactly the records of want, in order.
func checkScan(ctx context.Context, t rapid.TB, l ledger, want map[store.Key]uint64) {
	t.Helper()
	seen := make(map[store.Key]uint64)
	var after uint64
	for {
		r, err := l.Next(ctx, after)
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		if r.Seq <= after || want[r.Key] != r.Seq {
			t.Fatalf("scan met %s at %d after %d, want it at %d", r.Key, r.Seq, after, want[r.Key])
		}
		seen[r.Key] = r.Seq
		after = r.Seq
	}
	if len(seen) != len(want) {
		t.Fatalf("scan met %d records, want %d", len(seen), len(want))
	}
}

// recordModel: whatever a few forgetful writers do one after the other, a commit
// succeeds if and only if it is based on the record as it is.
func recordModel(t *testing.T, b Backend) {
	ctx := t.Context()
	round := 0
	rapid.Check(noDeadline{t}, func(rt *rapid.T) {
		round++
		type state struct {
			seq   uint64
			value string
		}
		model := make(map[store.Key]state)
		known := make(map[int]uint64) // what a writer believes, per writer and key
		var highest uint64
		for step := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			writer := rapid.IntRange(0, 2).Draw(rt, "writer")
			n := rapid.IntRange(0, 1).Draw(rt, "key")
			k := store.Key{Batch: "round-" + strconv.Itoa(round), Job: strconv.Itoa(n)}
			memory := writer*2 + n
			switch rapid.SampledFrom([]string{"load", "commit", "guess"}).Draw(rt, "do") {
			case "load":
				r, err := b.Ledger.Load(ctx, k)
				if want, ok := model[k]; ok != (err == nil) || ok && (r.Seq != want.seq || string(r.Value) != want.value) {
					rt.Fatalf("load: got %q at %d (%v), want %q at %d", r.Value, r.Seq, err, want.value, want.seq)
				}
				known[memory] = r.Seq
				continue
			case "guess":
				known[memory] = rapid.Uint64Range(0, highest).Draw(rt, "after")
			}
			value := strconv.Itoa(step)
			final := rapid.Bool().Draw(rt, "final")
			seq, err := b.Ledger.Commit(ctx, k, []byte(value), known[memory], final)
			if known[memory] != model[k].seq {
				if !errors.Is(err, store.ErrConflict) {
					rt.Fatalf("commit after %d: got %v, want a conflict, record is at %d", known[memory], err, model[k].seq)
				}
				continue
			}
			if err != nil || seq <= highest {
				rt.Fatalf("commit: sequence %d, error %v, highest was %d", seq, err, highest)
			}
			model[k], known[memory], highest = state{seq, value}, seq, seq
		}
	})
}

// noDeadline hides Deadline from rapid: it must not be called in a bubble.
type noDeadline struct{ rapid.TB }

// recordRaces: eight writers count one record up. A value that two of them won,
// or a count that differs from their wins, is a lost update.
func recordRaces(t *testing.T, b Backend) {
	if unheard := CountUp(deadline(t), t, b.Ledger, job, 8, 25); unheard != 0 {
		t.Errorf("%d writes were stored and not told", unheard)
	}
}

// CountUp lets writers count a record up from nothing at the same time, each until it has won
// wins times. It fails if a value was won twice or a win was lost. It returns how
// many values nobody was told to have won: their writes were stored, the
// acknowledgement was lost, and the next writer replaced them before they could be read
// back. Without faults there are none.
func CountUp(ctx context.Context, t testing.TB, l ledger, k store.Key, writers, wins int) (unheard int) {
	t.Helper()
	c := counter{ledger: l, key: k, won: make(map[int]int)}
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range wins {
				if err := c.win(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	r, err := l.Load(ctx, k)
	mustNot(t, err)
	total, err := strconv.Atoi(string(r.Value))
	mustNot(t, err)
	for value, times := range c.won {
		if times != 1 || value > total {
			t.Errorf("value %d of %d was won %d times", value, total, times)
		}
	}
	return total - len(c.won)
}

type counter struct {
	ledger ledger
	key    store.Key

	mu  sync.Mutex
	won map[int]int // by value: how often
}

// win counts one up, after as many conflicts as it takes.
func (c *counter) win(ctx context.Context) error {
	for {
		value := 1
		r, err := c.ledger.Load(ctx, c.key)
		switch {
		case err == nil:
			last, err := strconv.Atoi(string(r.Value))
			if err != nil {
				return err
			}
			value = last + 1
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		_, err = c.ledger.Commit(ctx, c.key, []byte(strconv.Itoa(value)), r.Seq, false)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.won[value]++
		return nil
	}
}

func registerOnce(t *testing.T, b Backend) {
	ctx := deadline(t)
	_, _, err := b.Registers.Load(ctx, "local")
	mustBe(t, err, store.ErrNotFound)
	first, err := b.Registers.Commit(ctx, "local", []byte("one"), 0)
	mustNot(t, err)
	_, err = b.Registers.Commit(ctx, "local", []byte("two"), 0)
	mustBe(t, err, store.ErrConflict)
	second, err := b.Registers.Commit(ctx, "local", []byte("two"), first)
	mustNot(t, err)
	_, err = b.Registers.Commit(ctx, "local", []byte("three"), first)
	mustBe(t, err, store.ErrConflict)
	value, seq, err := b.Registers.Load(ctx, "local")
	mustNot(t, err)
	if string(value) != "two" || seq != second {
		t.Fatalf("got %q at %d, want two at %d", value, seq, second)
	}
	_, _, err = b.Registers.Load(ctx, "prod")
	mustBe(t, err, store.ErrNotFound)
}
