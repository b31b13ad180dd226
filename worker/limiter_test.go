package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// In every window w at most rate × w + burst permits are given, whoever asks,
// gives back or is cancelled.
func TestLimiterNeverExceedsItsBudget(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		create := Budget{Rate: rapid.Float64Range(0.2, 200).Draw(rt, "create rate"), Burst: rapid.IntRange(1, 20).Draw(rt, "create burst")}
		requests := Budget{Rate: rapid.Float64Range(0.2, 400).Draw(rt, "request rate"), Burst: rapid.IntRange(1, 20).Draw(rt, "request burst")}
		asks := rapid.SliceOfN(rapid.SampledFrom([]Class{Fetch, Poll, Create}), 1, 12).Draw(rt, "callers")
		synctest.Test(t, func(t *testing.T) {
			l := NewLimiter(wallClock{}, create, requests)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var mu sync.Mutex
			var all, creates []time.Time
			var callers sync.WaitGroup
			for i, c := range asks {
				callers.Go(func() {
					for {
						n, err := l.Take(ctx, c, 1+i%3)
						if err != nil {
							return
						}
						if i%4 == 3 { // one caller never uses what it gets
							l.Return(c, n)
							if wait(ctx, 10*time.Millisecond) != nil {
								return
							}
							continue
						}
						mu.Lock()
						for range n {
							all = append(all, time.Now())
							if c == Create {
								creates = append(creates, time.Now())
							}
						}
						mu.Unlock()
					}
				})
			}
			callers.Wait()
			checkWindows(rt, "requests", all, requests)
			checkWindows(rt, "create", creates, create)
		})
	})
}

// checkWindows looks at every window that begins and ends with a permit: the
// number of permits in (i, j) less rate × its length may not exceed the burst.
// The worst window that ends at j begins where rate × t − number was highest.
func checkWindows(t *rapid.T, name string, at []time.Time, b Budget) {
	worst := math.Inf(-1)
	for j := range at {
		spent := b.Rate * at[j].Sub(at[0]).Seconds()
		worst = max(worst, spent-float64(j))
		if excess := float64(j) + 1 - spent + worst - float64(b.Burst); excess > 1e-3 {
			t.Fatalf("%s: %.3f permits too many in a window that ends after %v, budget %+v", name, excess, at[j].Sub(at[0]), b)
		}
	}
}

func TestLimiterUsesItsBudgetToTheFull(t *testing.T) {
	for _, b := range []Budget{{0.2, 1}, {5, 5}, {50, 10}, {1000, 20}} {
		t.Run(fmt.Sprint(b.Rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewLimiter(wallClock{}, b, Budget{b.Rate * 4, 100})
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				total := 0
				for {
					n, err := l.Take(ctx, Create, 8)
					if err != nil {
						break
					}
					total += n
				}
				if want := b.Rate*100 + float64(b.Burst); math.Abs(float64(total)-want) > 2+want/1000 {
					t.Errorf("%d permits in 100 s, the budget allows %.0f", total, want)
				}
			})
		})
	}
}

func TestFetchesPassPollsAndPollsPassCreates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(wallClock{}, Budget{100, 1}, Budget{1, 1})
		if _, err := l.Take(t.Context(), Poll, 1); err != nil { // empties the bucket
			t.Fatal(err)
		}
		var order []Class
		var mu sync.Mutex
		var callers sync.WaitGroup
		for _, c := range []Class{Create, Poll, Fetch} { // the least first
			callers.Go(func() {
				if _, err := l.Take(t.Context(), c, 1); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, c)
			})
			synctest.Wait()
		}
		callers.Wait()
		if fmt.Sprint(order) != "[fetch poll create]" {
			t.Errorf("served %v", order)
		}
	})
}

func TestClosedUpstreamLetsNothingThroughUntilItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(wallClock{}, Budget{100, 10}, Budget{100, 10})
		until := time.Now().Add(time.Minute)
		l.Close(until)
		l.Close(until.Add(-30 * time.Second)) // an earlier end changes nothing
		var closed *ClosedError
		if _, err := l.Take(t.Context(), Fetch, 1); !errors.As(err, &closed) || !closed.Until.Equal(until) {
			t.Fatalf("while closed: %v", err)
		}
		time.Sleep(time.Minute)
		if n, err := l.Take(t.Context(), Fetch, 100); err != nil || n != 10 {
			t.Errorf("after it opened: %d, %v", n, err)
		}
	})
}

func TestClosingReachesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(wallClock{}, Budget{0.01, 1}, Budget{0.01, 1})
		if _, err := l.Take(t.Context(), Create, 1); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error)
		go func() {
			_, err := l.Take(t.Context(), Create, 1)
			answer <- err
		}()
		synctest.Wait()
		began := time.Now()
		l.Close(time.Now().Add(time.Hour))
		var closed *ClosedError
		if err := <-answer; !errors.As(err, &closed) || time.Since(began) > 0 {
			t.Errorf("a waiting caller got %v after %v", err, time.Since(began))
		}
	})
}

func TestCancelledCallerGetsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(wallClock{}, Budget{0.01, 1}, Budget{0.01, 1})
		_, _ = l.Take(t.Context(), Poll, 1)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errNoPermit)
		defer cancel()
		if _, err := l.Take(ctx, Poll, 1); !errors.Is(err, errNoPermit) {
			t.Errorf("got %v", err)
		}
	})
}

func BenchmarkLimiterTake(b *testing.B) {
	l := NewLimiter(wallClock{}, Budget{1e9, 1 << 20}, Budget{1e9, 1 << 20})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Take(context.Background(), Poll, 1); err != nil {
				b.Error(err)
			}
		}
	})
}
