package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// remoteClock is a server whose clock is ahead by skew, and that answers after
// half of a round trip each way.
type remoteClock struct {
	skew, there, back time.Duration
	broken            atomic.Bool
	asked             atomic.Int64
}

func (r *remoteClock) time(ctx context.Context) (time.Time, error) {
	r.asked.Add(1)
	time.Sleep(r.there)
	if r.broken.Load() {
		<-ctx.Done()
		return time.Time{}, ctx.Err()
	}
	now := time.Now().Add(r.skew)
	time.Sleep(r.back)
	return now, nil
}

func TestClockMeasures(t *testing.T) {
	for _, remote := range []*remoteClock{
		{},
		{skew: time.Hour, there: 10 * time.Millisecond, back: 10 * time.Millisecond},
		{skew: -time.Hour, there: 0, back: 40 * time.Millisecond},
		{skew: 123 * time.Nanosecond, there: 40 * time.Millisecond, back: 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &Clock{local: time.Now, serverTime: remote.time, timeout: tryTimeout}
			if err := c.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			wrong := c.Now().Sub(time.Now().Add(remote.skew))
			if bound := c.Measured().RoundTrip / 2; wrong.Abs() > bound || bound != (remote.there+remote.back)/2 {
				t.Errorf("skew %v: %v wrong, bound %v", remote.skew, wrong, bound)
			}
			if remote.there == remote.back && c.Measured().Offset() != remote.skew {
				t.Errorf("offset %v, want %v", c.Measured().Offset(), remote.skew)
			}
			before := c.Now()
			time.Sleep(time.Minute)
			if d := c.Now().Sub(before); d != time.Minute {
				t.Errorf("a minute took %v", d)
			}
		})
	}
}

func TestClockOutlivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &remoteClock{skew: time.Hour}
		c := &Clock{local: time.Now, serverTime: remote.time, timeout: tryTimeout}
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { defer close(stopped); c.Run(ctx) }()

		remote.broken.Store(true)
		asked := remote.asked.Load()
		time.Sleep(5 * time.Minute)
		if tries := remote.asked.Load() - asked; tries < 15 {
			t.Errorf("asked %d times in five minutes", tries)
		}
		if wrong := c.Now().Sub(time.Now().Add(time.Hour)); wrong != 0 {
			t.Errorf("%v wrong after an outage", wrong)
		}
		if age := time.Since(c.Measured().Local); age < 5*time.Minute {
			t.Errorf("measured %v ago, in an outage of five minutes", age)
		}
		remote.broken.Store(false)
		time.Sleep(20 * time.Second)
		if age := time.Since(c.Measured().Local); age > 12*time.Second {
			t.Errorf("measured %v ago, after the outage", age)
		}
		cancel()
		<-stopped
	})
}

func TestClockNeedsItsFirstMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &remoteClock{}
		remote.broken.Store(true)
		c := &Clock{local: time.Now, serverTime: remote.time, timeout: tryTimeout}
		if err := c.Refresh(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	})
}
