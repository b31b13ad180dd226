package worker

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"rescreen/queue"
)

func said(pending map[string]int) []queue.BatchBacklog {
	var all []queue.BatchBacklog
	for name, n := range pending {
		all = append(all, queue.BatchBacklog{Batch: queue.BatchID(name), Pending: uint64(n)})
	}
	return all
}

func TestSmallBatchIsNotBehindALargeOne(t *testing.T) {
	b := newBacklog()
	b.learn(said(map[string]int{"million": 1_000_000, "small": 30, "tiny": 2}))
	got := map[queue.BatchID]int{}
	for range 10 {
		for _, s := range b.allot(6) {
			got[s.batch] += s.n
			b.took(s, deliveriesWithPendingAfter(b, s))
		}
	}
	if got["tiny"] != 2 || got["small"] != 29 || got["million"] != 29 {
		t.Errorf("after 60 turns: %v", got)
	}
}

// deliveriesWithPendingAfter is what a pull of the whole share would bring.
func deliveriesWithPendingAfter(b *backlog, s batchShare) []*queue.Delivery {
	for _, known := range b.batches {
		if known.batch == s.batch {
			return []*queue.Delivery{{Pending: uint64(known.n - s.n)}}
		}
	}
	return nil
}

func TestBatchAloneGetsEverything(t *testing.T) {
	b := newBacklog()
	b.learn(said(map[string]int{"only": 500}))
	if got := b.allot(64); len(got) != 1 || got[0].n != 64 {
		t.Errorf("allotted %v", got)
	}
}

func TestTurnGoesOnWhereItEnded(t *testing.T) {
	pending := map[string]int{"a": 100, "b": 100, "c": 100}
	b := newBacklog()
	got := map[queue.BatchID]int{}
	for range 99 {
		b.learn(said(pending)) // asked anew before every single turn
		for _, s := range b.allot(1) {
			got[s.batch] += s.n
		}
	}
	if got["a"] != 33 || got["b"] != 33 || got["c"] != 33 {
		t.Errorf("after 99 single turns: %v", got)
	}
}

func TestEmptyPullCorrectsTheBelief(t *testing.T) {
	b := newBacklog()
	b.learn(said(map[string]int{"a": 10}))
	b.took(batchShare{"a", 4}, nil)
	if b.pending() != 0 {
		t.Errorf("still believes in %d jobs", b.pending())
	}
}

func TestAllotIsFairAndNeverTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pending := map[string]int{}
		for i := range rapid.IntRange(0, 8).Draw(t, "batches") {
			pending[fmt.Sprintf("b%d", i)] = rapid.IntRange(0, 20).Draw(t, "pending")
		}
		b := newBacklog()
		b.learn(said(pending))
		n := rapid.IntRange(0, 100).Draw(t, "n")
		whole, sum := b.pending(), 0
		shares := map[string]int{}
		for _, s := range b.allot(n) {
			sum += s.n
			shares[string(s.batch)] = s.n
			if s.n > pending[string(s.batch)] {
				t.Fatalf("%d of batch %s, which has %d", s.n, s.batch, pending[string(s.batch)])
			}
		}
		if sum != min(n, whole) {
			t.Fatalf("allotted %d of %d turns with %d waiting", sum, n, whole)
		}
		for x, nx := range pending {
			for y := range pending {
				if shares[y] > shares[x]+1 && shares[x] < nx {
					t.Fatalf("%s got %d while %s got %d and had %d", y, shares[y], x, shares[x], nx)
				}
			}
		}
	})
}
