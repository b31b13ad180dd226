package worker

import (
	"context"
	"sync"
	"time"

	"rescreen/queue"
)

// slots bounds how many steps run at a time, and how many of them may be
// creates: a quarter always stays for what is already paid for.
type slots struct {
	all, creates chan struct{}
}

func newSlots(n int) slots {
	return slots{all: make(chan struct{}, n), creates: make(chan struct{}, max(1, n-max(1, n/4)))}
}

// take waits for one slot and takes up to limit of them. For creates it takes
// as many create places too.
func (s slots) take(ctx context.Context, create bool, limit int) (int, error) {
	if create {
		if err := acquire(ctx, s.creates); err != nil {
			return 0, err
		}
	}
	if err := acquire(ctx, s.all); err != nil {
		if create {
			<-s.creates
		}
		return 0, err
	}
	n := 1
	for ; n < limit; n++ {
		if create && !tryAcquire(s.creates) {
			break
		}
		if !tryAcquire(s.all) {
			if create {
				<-s.creates
			}
			break
		}
	}
	return n, nil
}

// release gives n slots back.
func (s slots) release(create bool, n int) {
	for range n {
		<-s.all
		if create {
			<-s.creates
		}
	}
}

func acquire(ctx context.Context, c chan struct{}) error {
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

// older returns the messages held for at least d.
func (f flight) older(d time.Duration) []*queue.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	var held []*queue.Delivery
	for delivery, since := range f.m {
		if time.Since(since) >= d {
			held = append(held, delivery)
		}
	}
	return held
}

// keepAlive tells the server, until ctx ends, that long steps are still at
// work. Most steps end within milliseconds and cost nothing here.
func (w *Worker) keepAlive(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
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
