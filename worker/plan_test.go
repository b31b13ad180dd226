package worker

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPlanGrowsToItsLongestDelay(t *testing.T) {
	p := Plan{First: 2 * time.Second, Max: 60 * time.Second, Factor: 1.6}
	for n, want := range []time.Duration{
		2 * time.Second, 3200 * time.Millisecond, 5120 * time.Millisecond, 8192 * time.Millisecond,
		13107200 * time.Microsecond, 20971520 * time.Microsecond, 33554432 * time.Microsecond, 53687091200, 60 * time.Second, 60 * time.Second,
	} {
		if got := p.interval(n); got != want {
			t.Errorf("delay before poll %d is %v, want %v", n, got, want)
		}
	}
	if got := p.interval(1_000_000); got != p.Max {
		t.Errorf("delay before a very late poll is %v", got)
	}
}

func TestPlanIsTheSameForEverybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Plan{
			First:  time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "first")),
			Factor: rapid.Float64Range(1, 4).Draw(t, "factor"),
		}
		p.Max = p.First * time.Duration(rapid.IntRange(1, 100).Draw(t, "max"))
		key := rapid.StringMatching(`[a-z0-9]{1,8}\.[a-zA-Z0-9_-]{1,16}`).Draw(t, "key")
		n := rapid.IntRange(0, 500).Draw(t, "n")
		d := p.Delay(key, n)
		if d != p.Delay(key, n) {
			t.Fatal("two workers compute different delays")
		}
		if base := p.interval(n); d < base*8/10-1 || d > base*12/10+1 {
			t.Fatalf("delay %v is more than 20 %% off %v", d, base)
		}
		if p.interval(n+1) < p.interval(n) {
			t.Fatalf("delay shrinks after poll %d", n)
		}
	})
}

// Sessions created in the same second must not be polled in the same second
// for ever.
func TestPlanSpreadsSessionsCreatedTogether(t *testing.T) {
	p := Plan{First: 10 * time.Second, Max: 10 * time.Second, Factor: 1}
	buckets := make([]int, 10)
	const jobs = 10_000
	for i := range jobs {
		d := p.Delay(fmt.Sprintf("batch.job-%d", i), 3)
		buckets[int(float64(d-8*time.Second)/float64(4*time.Second)*10)]++
	}
	for i, n := range buckets {
		if n < jobs/10*8/10 || n > jobs/10*12/10 {
			t.Errorf("tenth %d of the spread holds %d of %d jobs", i, n, jobs)
		}
	}
}
