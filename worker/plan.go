package worker

import (
	"hash/fnv"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Plan says when a session is polled again. The zero value is not valid; see
// Config for the defaults.
//
// The n-th delay is First × Factor^n, at most Max, spread by ±20 % with a
// figure made from the job's key and n. So the plan needs no memory: whoever
// takes the step computes the same time, and sessions created together drift
// apart. An answer's Retry-After takes precedence over the plan.
type Plan struct {
	First  time.Duration // before the first poll
	Max    time.Duration // longest delay between two polls
	Factor float64       // growth per poll, at least 1
}

// spread is the share by which a delay may be shorter or longer.
const spread = 0.2

// Delay returns how long to wait before poll number n (0 is the first) of the
// job with this key.
func (p Plan) Delay(key string, n int) time.Duration {
	return jitter(p.interval(n), key, n)
}

// interval is the delay without jitter. backoff's generator is asked n times
// from its start because it keeps its place in memory, and a plan has none;
// it stops early once the longest delay is reached.
func (p Plan) interval(n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.First),
		backoff.WithMaxInterval(p.Max),
		backoff.WithMultiplier(p.Factor),
		backoff.WithRandomizationFactor(0),
		backoff.WithMaxElapsedTime(0),
	)
	d := b.NextBackOff()
	for i := 0; i < n && d < p.Max && p.Factor > 1; i++ {
		d = b.NextBackOff()
	}
	return min(d, p.Max)
}

// jitter spreads d by ±20 %, the same for the same key and n.
func jitter(d time.Duration, key string, n int) time.Duration {
	return time.Duration(float64(d) * (1 - spread + 2*spread*unit(key, n)))
}

// partOf is between nothing and d, the same for the same key and n. With who
// waits and since when it parts those who wait for the same, and yet a
// simulation that is repeated goes the same way.
func partOf(d time.Duration, key string, n int) time.Duration {
	return time.Duration(float64(d) * unit(key, n))
}

// unit draws from [0,1) by key and n.
func unit(key string, n int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	_, _ = h.Write([]byte(strconv.Itoa(n)))
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix is the finaliser of SplitMix64: keys that differ in one character get
// unrelated figures.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
