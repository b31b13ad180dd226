package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// clockInterval is the pause between two measurements. A quartz that is off by
	// 100 ppm drifts 1 ms in it.
	clockInterval = 10 * time.Second

	// clockSamples are taken per measurement; the one with the shortest round
	// trip counts, since half of the round trip is the bound of its error.
	clockSamples = 3
)

// Clock tells the server's time, by which wake-ups fire and budgets are spent.
// Its methods may be called concurrently.
//
// It measures the offset now and then and counts the time since then on the
// monotonic clock, so that a step of the local wall clock does not move it. (While a
// virtual machine is suspended that clock stands still; the next measurement corrects it.)
type Clock struct {
	local      func() time.Time // the local clock, right or wrong; only differences of its readings count
	serverTime func(context.Context) (time.Time, error)
	timeout    time.Duration

	mu   sync.RWMutex
	last Measurement
}

// Measurement is a comparison of the two clocks.
type Measurement struct {
	Local     time.Time     // when, on the local clock; the middle of the round trip
	Server    time.Time     // the server's clock at that moment
	RoundTrip time.Duration // half of it is the bound of the error
}

// Offset is by how much the server's clock is ahead of the local one.
func (m Measurement) Offset() time.Duration { return m.Server.Sub(m.Local) }

// Now returns the server's time, in UTC. It may step back, by the error of two
// measurements, or by the difference of two servers' clocks when their leader changes.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.last.Server.Add(c.local().Sub(c.last.Local))
}

// Measured returns the measurement that counts at present.
func (c *Clock) Measured() Measurement {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.last
}

// Run measures every 10 s, give or take a tenth, until ctx ends. If the server
// cannot be asked the old measurement stays.
func (c *Clock) Run(ctx context.Context) {
	for {
		timer := time.NewTimer(clockInterval*9/10 + rand.N(clockInterval/5))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		// What is lost by a failure is accuracy, of which Measured tells.
		_ = c.Refresh(ctx)
	}
}

// Refresh measures now. After an error the old measurement stays.
func (c *Clock) Refresh(ctx context.Context) error {
	var best Measurement
	for i := range clockSamples {
		m, err := c.measure(ctx)
		if err != nil {
			return fmt.Errorf("measure server time: %w", err)
		}
		if i == 0 || m.RoundTrip < best.RoundTrip {
			best = m
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = best
	return nil
}

func (c *Clock) measure(ctx context.Context) (Measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	before := c.local()
	server, err := c.serverTime(ctx)
	if err != nil {
		return Measurement{}, err
	}
	trip := c.local().Sub(before)
	return Measurement{Local: before.Add(trip / 2), Server: server.UTC(), RoundTrip: trip}, nil
}
