package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"rescreen/queue"
)

// A tier is what a slot may be used for. Each has all that the next one has, and
// a quarter of all slots more.
type tier int

const (
	// collecting is for polls and fetches: what is paid for comes first.
	collecting tier = iota
	// creating is for jobs that have waited for their create call before.
	creating
	// starting is for new jobs.
	starting
	tiers = int(starting) + 1
)

// slots bounds how many steps run at a time, and how many of them at most are
// of a tier. A slot of a tier takes a place in its own ring and in those of the
// tiers before.
type slots struct {
	rings [tiers]chan struct{}
}

func newSlots(n int) slots {
	var s slots
	for t := range s.rings {
		s.rings[t] = make(chan struct{}, ringSize(n, tier(t)))
	}
	return s
}

// ringSize is how many of n slots may be of the tier.
func ringSize(n int, t tier) int { return max(1, n-int(t)*max(1, n/4)) }

// take waits for one slot. It waits for the places of its own tier first, so
// that nobody who waits takes anything from the tiers before.
func (s slots) take(ctx context.Context, t tier) error {
	for r := t; r >= collecting; r-- {
		if err := acquire(ctx, s.rings[r]); err != nil {
			s.leave(t, r+1)
			return err
		}
	}
	return nil
}

// more takes up to n slots that are free now and returns how many.
func (s slots) more(t tier, n int) int {
	for i := range n {
		for r := t; r >= collecting; r-- {
			if !tryAcquire(s.rings[r]) {
				s.leave(t, r+1)
				return i
			}
		}
	}
	return max(n, 0)
}

// raise makes a slot for collecting one for creating, if one of those is free.
func (s slots) raise() bool { return tryAcquire(s.rings[creating]) }

// free is how many slots of the tier more would bring.
func (s slots) free(t tier) int {
	n := cap(s.rings[collecting])
	for _, ring := range s.rings[:t+1] {
		n = min(n, cap(ring)-len(ring))
	}
	return n
}

// release gives n slots back.
func (s slots) release(t tier, n int) {
	for range n {
		s.leave(t, collecting)
	}
}

// leave gives up one place in each ring from one tier down to another.
func (s slots) leave(from, to tier) {
	for r := from; r >= to; r-- {
		<-s.rings[r]
	}
}

func acquire(ctx context.Context, c chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func tryAcquire(c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	default:
		return false
	}
}

// keepEvery is how often the messages of steps in flight are kept from being
// delivered again; a third of the consumers' 20 s.
const keepEvery = 6 * time.Second

// flight is the set of messages whose steps are running.
type flight struct {
	mu *sync.Mutex
	m  map[*queue.Delivery]time.Time
}

func newFlight() flight {
	return flight{mu: new(sync.Mutex), m: make(map[*queue.Delivery]time.Time)}
}

func (f flight) add(d *queue.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.m[d] = time.Now()
}

func (f flight) remove(d *queue.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, d)
}

// older returns the messages held for at least d, oldest first.
func (f flight) older(d time.Duration) []*queue.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	var held []*queue.Delivery
	for delivery, since := range f.m {
		if time.Since(since) >= d {
			held = append(held, delivery)
		}
	}
	slices.SortFunc(held, func(a, b *queue.Delivery) int {
		return cmp.Or(a.Stored.Compare(b.Stored), cmp.Compare(a.Sequence, b.Sequence))
	})
	return held
}

// keepAlive tells the server, until ctx ends, that long steps are still at
// work. Most steps end within milliseconds and cost nothing here.
func (w *Worker) keepAlive(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		w.health.turned("keep alive")
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, d := range w.flight.older(keepEvery / 2) {
				_ = d.InProgress() // lost: the message comes again, the record decides
			}
		}
	}
}
