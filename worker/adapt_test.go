package worker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// bucket is an API's own limit: what it answers to a call at a time.
type bucket struct {
	Budget
	next time.Time
}

func (b *bucket) throttles(now time.Time) bool {
	step := time.Duration(float64(time.Second) / b.Rate)
	due := later(b.next, now)
	if due.Sub(now) > time.Duration(b.Burst-1)*step {
		return true
	}
	b.next = due.Add(step)
	return false
}

// adaptRun is a line whose departures all go out, against an API.
type adaptRun struct {
	line       Line
	now, opens time.Time
	answered   int
	throttled  []time.Duration // since the start, of each 429
	start      time.Time
}

func newAdaptRun(b Budget) *adaptRun {
	start := time.Unix(1_700_000_000, 0)
	return &adaptRun{line: newLine(b), now: start, opens: start, start: start}
}

// run sends calls for d. throttles says what the API answers; a 429 closes the
// gate for a second, as the shortest Retry-After does.
func (r *adaptRun) run(d time.Duration, throttles func(time.Time) bool) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = later(r.now, r.opens)
		r.line.grow(r.now)
		at := r.line.book(r.now, 1, time.Hour, r.line.spacing(r.now))
		r.now = at[0]
		if throttles(r.now) {
			r.opens = r.now.Add(time.Second)
			r.line.throttled(r.now, r.now, r.opens)
			r.throttled = append(r.throttled, r.now.Sub(r.start))
			continue
		}
		r.line.OK = r.now
		r.answered++
	}
}

// A budget above what the API allows settles just below it, without being told.
func TestBudgetSettlesBelowTheTrueLimit(t *testing.T) {
	for _, share := range []float64{0.99, 0.9, 0.7, 0.5, 0.45, 0.3, 0.15} {
		for _, burst := range []int{1, 5, 20} {
			t.Run(fmt.Sprintf("%v burst %d", share, burst), func(t *testing.T) {
				r := newAdaptRun(Budget{50, 10})
				api := &bucket{Budget: Budget{50 * share, burst}}
				r.run(time.Minute, api.throttles)
				r.answered, r.throttled = 0, nil
				r.run(5*time.Minute, api.throttles)
				if used := float64(r.answered) / (api.Rate * 300); used < 0.9 {
					t.Errorf("%.1f %% of the true limit, share %.3f, 429 at %v", 100*used, r.line.Share, r.throttled)
				}
			})
		}
	}
}

// When the API's limit rises, the budget follows.
func TestBudgetFollowsARisingLimit(t *testing.T) {
	r := newAdaptRun(Budget{50, 10})
	api := &bucket{Budget: Budget{20, 5}}
	r.run(3*time.Minute, api.throttles)
	api.Rate = 60
	r.run(5*time.Minute, api.throttles)
	if r.line.Share < 1 {
		t.Errorf("share %.3f five minutes after the limit rose", r.line.Share)
	}
}

// Trouble that passes is forgotten within half a minute, whatever it looked like.
func TestBudgetIsWholeHalfAMinuteAfterAStorm(t *testing.T) {
	for _, part := range []float64{1, 0.9, 0.5, 0.1, 0.02} {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			for seed := range uint64(50) {
				rng := rand.New(rand.NewPCG(seed, 0))
				r := newAdaptRun(Budget{50, 10})
				never := func(time.Time) bool { return false }
				r.run(time.Minute, never)
				r.run(time.Minute, func(time.Time) bool { return rng.Float64() < part })
				least := r.line.Share
				r.run(30*time.Second, never)
				if r.line.Share < 1 {
					t.Fatalf("seed %d: share %.3f half a minute after the storm, %.3f at its end: %+v", seed, r.line.Share, least, r.line)
				}
			}
		})
	}
}

// Answers to calls that were on their way when the rate was cut cut it no further.
func TestOneEpisodeCutsOnce(t *testing.T) {
	r := newAdaptRun(Budget{50, 10})
	r.run(time.Minute, func(time.Time) bool { return false })
	sent := r.now
	r.now = r.now.Add(100 * time.Millisecond)
	for i := range 10 {
		if !r.line.throttled(r.now, sent.Add(time.Duration(i)*time.Millisecond), r.now) {
			t.Error("not about the rate")
		}
	}
	if r.line.Share != leastCut {
		t.Errorf("share %v", r.line.Share)
	}
	if r.line.throttled(r.now.Add(time.Second), r.now.Add(time.Second), r.now) {
		t.Error("a 429 of an API that has answered nothing since is taken to be about the rate")
	}
}

// Whatever is answered, the share stays within its bounds.
func TestShareStaysWithinBounds(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newAdaptRun(Budget{1 + 100*rng.Float64(), 1 + rng.IntN(20)})
		for range 20 {
			part := rng.Float64()
			r.run(time.Duration(rng.IntN(20))*time.Second, func(time.Time) bool { return rng.Float64() < part })
			if r.line.Share < leastShare || r.line.Share > 1 {
				t.Fatalf("seed %d: share %v", seed, r.line.Share)
			}
		}
	}
}
