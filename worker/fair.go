package worker

import (
	"slices"
	"strings"

	"rescreen/queue"
)

// backlog is what the worker believes to lie in each batch, and whose turn it
// is. Beliefs are corrected by every pull and, when all are used up, by asking.
type backlog struct {
	batches []batchShare // in turn order; n is what is believed to wait
	next    int          // whose turn it is
	// unsettled are the batches in which nothing waits but something was
	// delivered and not acknowledged: it comes again if its worker has died.
	unsettled []queue.BatchID
}

// A batchShare is a number of jobs of one batch.
type batchShare struct {
	batch queue.BatchID
	n     int
}

func newBacklog() *backlog { return &backlog{} }

// pending is how many jobs are believed to wait in all.
func (b *backlog) pending() int {
	sum := 0
	for _, s := range b.batches {
		sum += s.n
	}
	return sum
}

// learn replaces the beliefs by what the server says, keeping the turn with
// the batch whose turn it was.
func (b *backlog) learn(said []queue.BatchBacklog) {
	var turn queue.BatchID
	if len(b.batches) > 0 {
		turn = b.batches[b.next%len(b.batches)].batch
	}
	b.batches, b.unsettled = b.batches[:0], b.unsettled[:0]
	for _, s := range said {
		switch {
		case s.Pending > 0:
			b.batches = append(b.batches, batchShare{s.Batch, int(s.Pending)})
		case s.AckPending > 0:
			b.unsettled = append(b.unsettled, s.Batch)
		}
	}
	slices.SortFunc(b.batches, func(x, y batchShare) int { return strings.Compare(string(x.batch), string(y.batch)) })
	b.next = 0
	for i, s := range b.batches {
		if s.batch >= turn {
			b.next = i
			break
		}
	}
}

// allot deals n turns to the batches with work, one each in turn, starting
// where the last deal ended. So every batch advances at the same pace however
// large it is, and a batch alone gets everything.
func (b *backlog) allot(n int) []batchShare {
	left := make([]int, len(b.batches))
	for i, s := range b.batches {
		left[i] = s.n
	}
	given := make([]int, len(b.batches))
	for idle := 0; n > 0 && idle < len(b.batches); b.next = (b.next + 1) % len(b.batches) {
		i := b.next
		if left[i] == 0 {
			idle++
			continue
		}
		idle = 0
		left[i]--
		given[i]++
		n--
	}
	var shares []batchShare
	for i, g := range given {
		if g > 0 {
			shares = append(shares, batchShare{b.batches[i].batch, g})
		}
	}
	return shares
}

// took corrects the belief about a batch after a pull: its last message says
// what waits behind it, and none at all says nothing does.
func (b *backlog) took(share batchShare, got []*queue.Delivery) {
	for i := range b.batches {
		if b.batches[i].batch != share.batch {
			continue
		}
		b.batches[i].n = 0
		if len(got) > 0 {
			b.batches[i].n = int(got[len(got)-1].Pending)
		}
	}
}
