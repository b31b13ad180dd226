package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"rescreen/store/storetest"
)

// limiters is a fleet's worth of limiters over one store, without workers.
type limiters struct {
	*testing.T
	store            *storetest.Memory
	create, requests Budget
	open             atomic.Int64
	all              sync.WaitGroup
}

func newLimiters(t *testing.T, create, requests Budget) *limiters {
	l := &limiters{T: t, store: storetest.NewMemory(storetest.Config{}), create: create, requests: requests}
	t.Cleanup(l.store.Close)
	return l
}

// offClock is a clock that is wrong.
type offClock struct {
	Clock
	off time.Duration
}

func (c offClock) Now() time.Time { return c.Clock.Now().Add(c.off) }

// run runs a limiter whose clock is off; stop ends it as a crash would.
func (l *limiters) run(id string, off time.Duration) (*limiter, func()) {
	lim := newLimiter(limiterConfig{
		register: LimitsRegister("local"), by: id, first: NewLimits(l.create, l.requests, 1_000_000, "test", time.Time{}),
		lifetime: 2 * time.Hour, creating: func() int { return 0 },
		open:      func(context.Context) (int, error) { return int(l.open.Load()), nil },
		registers: l.store.Registers, signals: l.store.Signals, clock: offClock{l.store.Clock, off},
		health: NewHealth(zap.NewNop(), func(error) Diagnosis { return Diagnosis{} }), log: zap.NewNop(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	l.all.Go(func() { lim.run(ctx) })
	return lim, cancel
}

// read returns the record and its sequence.
func (l *limiters) read() (Limits, uint64) {
	l.Helper()
	value, seq, err := l.store.Registers.Load(context.Background(), LimitsRegister("local"))
	if err != nil {
		l.Fatal(err)
	}
	limits, err := DecodeLimits(value)
	if err != nil {
		l.Fatal(err)
	}
	return limits, seq
}

// set changes the record as a person does.
func (l *limiters) set(c Change, announced bool) {
	l.Helper()
	limits, seq := l.read()
	value, err := limits.Set(l.store.Clock.Now(), c, "kari").Encode()
	if err != nil {
		l.Fatal(err)
	}
	if _, err := l.store.Registers.Commit(context.Background(), LimitsRegister("local"), value, seq); err != nil {
		l.Fatal(err)
	}
	if announced {
		if err := l.store.Signals.Announce(LimitsRegister("local"), c.Announcement()); err != nil {
			l.Fatal(err)
		}
	}
}

// slowly makes every call of the store take its time.
func slowly(seed uint64) func(op, key string) storetest.Fault {
	lots := newLots(seed)
	return func(op, key string) storetest.Fault {
		return storetest.Fault{Kind: storetest.Slow, Delay: time.Duration(lots.draw(op, key).ExpFloat64() * float64(2*time.Millisecond))}
	}
}

// arrivals is what comes in at the API.
type arrivals struct {
	mu           sync.Mutex
	creates, all []time.Time
}

func (a *arrivals) add(c Class) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, time.Now())
	if c == Create {
		a.creates = append(a.creates, time.Now())
	}
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}

// work does what a worker does: it creates as fast as it may, and polls and
// fetches what it has created, until ctx ends.
func (l *limiters) work(ctx context.Context, lim *limiter, api *arrivals, rng *rand.Rand) {
	var steps sync.WaitGroup
	defer steps.Wait()
	for ctx.Err() == nil {
		permits, err := lim.reserve(ctx, fresh, 8)
		if err != nil {
			return
		}
		for _, p := range permits {
			prepare, network := time.Duration(rng.Int64N(int64(20*time.Millisecond))), time.Duration(rng.Int64N(int64(10*time.Millisecond)))
			steps.Go(func() {
				for _, c := range []call{{class: Create, permit: &p}, {class: Poll}, {class: Fetch}} {
					if wait(ctx, prepare) != nil || lim.admit(ctx, c) != nil {
						return
					}
					time.Sleep(network)
					api.add(c.class)
					prepare = time.Second
				}
			})
		}
	}
}

// Sixteen workers with clocks that disagree, over a store that takes its time,
// some of which are killed and replaced: the budget is used to the full and
// never exceeded, in any window.
func TestFleetUsesItsBudgetAndNeverMore(t *testing.T) {
	for _, c := range []struct {
		name             string
		create, requests Budget
		workers          int
		length           time.Duration
		churn            bool
		least            float64 // of the create limit
	}{
		{"one worker", Budget{50, 10}, Budget{200, 20}, 1, 40 * time.Second, false, 0.97},
		{"four workers", Budget{50, 10}, Budget{200, 20}, 4, 40 * time.Second, false, 0.97},
		{"sixteen workers", Budget{50, 10}, Budget{200, 20}, 16, 40 * time.Second / raceFactor, false, 0.97},
		{"sixteen that come and go", Budget{50, 10}, Budget{200, 20}, 16, 60 * time.Second / raceFactor, true, 0.97},
		{"slow", Budget{0.2, 2}, Budget{1, 2}, 8, 30 * time.Minute, false, 0.97},
		// A poll that departs now and then in a creation's place costs five seconds.
		{"slow, no burst", Budget{0.2, 1}, Budget{1, 1}, 2, time.Hour, false, 0.95},
		{"fast", Budget{1000, 100}, Budget{5000, 200}, 4, 8 * time.Second, false, 0.97},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiters(t, c.create, c.requests)
				l.store.SetFault(slowly(1))
				api := &arrivals{}
				rng := rand.New(rand.NewPCG(1, 2))
				names := 0
				start := func() func() {
					names++
					off := time.Duration(rng.Int64N(int64(10*time.Millisecond))) - 5*time.Millisecond
					lim, crash := l.run(fmt.Sprint("w", names), off)
					ctx, cancel := context.WithCancel(context.Background())
					seed := rng.Uint64()
					l.all.Go(func() { l.work(ctx, lim, api, rand.New(rand.NewPCG(seed, 0))) })
					return func() { cancel(); crash() }
				}
				var stops []func()
				for range c.workers {
					stops = append(stops, start())
				}
				settled := min(5*time.Second, c.length/4)
				if c.requests.Rate == 1 {
					settled = 10 * time.Second
				}
				time.Sleep(settled)
				from := time.Now()
				for time.Since(from) < c.length {
					time.Sleep(min(5*time.Second, c.length))
					if c.churn {
						i := rng.IntN(len(stops))
						stops[i]()
						stops[i] = start()
					}
				}
				until := time.Now()
				for _, stop := range stops {
					stop()
				}
				l.all.Wait()
				created := 0
				for _, at := range api.creates {
					if at.After(from) && !at.After(until) {
						created++
					}
				}
				if used := float64(created) / (c.create.Rate * until.Sub(from).Seconds()); used < c.least {
					t.Errorf("%.1f %% of the create limit used, at least %.0f %% wanted", 100*used, 100*c.least)
				}
				checkWindows(t, "create", api.creates, c.create)
				checkWindows(t, "requests", api.all, c.requests)
			})
		})
	}
}

// A 429 that one worker gets keeps the calls of all back, at once.
func TestOneWorkersClosingClosesForAll(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("announcement lost %v", lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiters(t, Budget{50, 10}, Budget{200, 20})
				if lost {
					l.store.SetFault(func(op, _ string) storetest.Fault {
						if op == storetest.OpSignalsAnnounce {
							return storetest.Fault{Kind: storetest.Lost}
						}
						return storetest.Fault{}
					})
				}
				api := &arrivals{}
				ctx, cancel := context.WithCancel(context.Background())
				var first *limiter
				for i := range 8 {
					lim, stop := l.run(fmt.Sprint("w", i), 0)
					defer stop()
					if first == nil {
						first = lim
					}
					l.all.Go(func() {
						for ctx.Err() == nil {
							if lim.admit(ctx, call{class: Poll}) == nil {
								api.add(Poll)
							} else {
								_ = wait(ctx, 50*time.Millisecond)
							}
						}
					})
				}
				time.Sleep(2 * time.Second)
				first.hear(Answer{Class: Poll, Verdict: Throttled, Sent: l.store.Clock.Now(), RetryAfter: 10 * time.Second})
				closed := time.Now()
				time.Sleep(12 * time.Second)
				cancel()
				late, reopened := 0, 0
				api.mu.Lock()
				defer api.mu.Unlock()
				for _, at := range api.all {
					since := at.Sub(closed)
					if since > 0 && since < 10*time.Second {
						late++
					}
					if since >= 10*time.Second && since < 11*time.Second {
						reopened++
					}
				}
				// What was leased before dies within a tenth of a second.
				if bound := map[bool]int{false: 0, true: 25}[lost]; late > bound {
					t.Errorf("%d calls while closed", late)
				}
				if reopened < 100 || reopened > 220 {
					t.Errorf("%d calls in the first second after it opened", reopened)
				}
			})
		})
	}
}

func TestThoseWhoWaitLongForTheGateAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{50, 10}, Budget{200, 20})
		lim, stop := l.run("w", 0)
		defer stop()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil {
			t.Fatal(err)
		}
		lim.hear(Answer{Class: Poll, Verdict: Throttled, RetryAfter: time.Second})
		began := time.Now()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil || time.Since(began) < time.Second {
			t.Errorf("short closing: %v after %v", err, time.Since(began))
		}
		lim.hear(Answer{Class: Poll, Verdict: Overloaded, RetryAfter: time.Minute})
		until := time.Now().Add(time.Minute)
		var closed *ClosedError
		for _, c := range []call{{class: Poll}, {class: Fetch}, {class: Create}} {
			if err := lim.admit(t.Context(), c); !errors.As(err, &closed) || !closed.Until.Equal(until) || closed.Why != Overloaded {
				t.Errorf("%s: %v", c.class, err)
			}
		}
		if _, err := lim.reserve(t.Context(), fresh, 1); !errors.As(err, &closed) {
			t.Errorf("reserve: %v", err)
		}
		if time.Since(began) > 2*time.Second {
			t.Errorf("turned away after %v", time.Since(began))
		}
	})
}

func TestFetchesPassPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{100, 10}, Budget{1, 2})
		lim, stop := l.run("w", 0)
		defer stop()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil { // takes the first departure
			t.Fatal(err)
		}
		var order []Class
		var mu sync.Mutex
		var callers sync.WaitGroup
		for _, c := range []Class{Poll, Poll, Fetch, Fetch} {
			callers.Go(func() {
				if err := lim.admit(t.Context(), call{class: c}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, c)
			})
			synctest.Wait()
		}
		callers.Wait()
		if !slices.Equal(order, []Class{Fetch, Fetch, Poll, Poll}) {
			t.Errorf("served %v", order)
		}
	})
}

func TestCallerWhoGivesUpGetsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{0.01, 1}, Budget{0.01, 1})
		lim, stop := l.run("w", 0)
		defer stop()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errNoPermit)
		defer cancel()
		if err := lim.admit(ctx, call{class: Poll}); !errors.Is(err, errNoPermit) {
			t.Errorf("got %v", err)
		}
	})
}

// What a person sets reaches everybody within two seconds, announced or not.
func TestChangedLimitsReachEveryWorker(t *testing.T) {
	for _, announced := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiters(t, Budget{1, 2}, Budget{1, 2})
			ctx, cancel := context.WithCancel(context.Background())
			api := &arrivals{}
			for i := range 4 {
				lim, stop := l.run(fmt.Sprint("w", i), 0)
				defer stop()
				l.all.Go(func() {
					for lim.admit(ctx, call{class: Poll}) == nil {
						api.add(Poll)
					}
				})
			}
			time.Sleep(10 * time.Second)
			l.set(Change{Requests: &Budget{100, 10}}, announced)
			time.Sleep(2 * time.Second)
			before := api.count()
			time.Sleep(5 * time.Second)
			if got := api.count() - before; got < 480 || got > 510 {
				t.Errorf("announced %v: %d calls in 5 s after 2 s", announced, got)
			}
			cancel()
		})
	}
}

// The record tells what each worker does.
func TestRecordTellsWhoDoesWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{50, 10}, Budget{200, 20})
		lim, stop := l.run("w", 0)
		defer stop()
		for range 300 {
			if err := lim.admit(t.Context(), call{class: Create}); err != nil {
				t.Fatal(err)
			}
		}
		limits, _ := l.read()
		got := limits.Workers["w"].LastMinute(l.store.Clock.Now())
		if got.UsedCreates < 290 || got.UsedCreates > 300 || got.UsedRequests != got.UsedCreates || got.LeasedCreates < got.UsedCreates || got.Tries == 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A person who opens the gate early opens it for a worker that only polls, too.
func TestReopenedGateIsNoticedWithoutAnybodyWaiting(t *testing.T) {
	for _, announced := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiters(t, Budget{50, 10}, Budget{200, 20})
			first, stop := l.run("first", 0)
			defer stop()
			lim, stop := l.run("second", 0)
			defer stop()
			for _, l := range []*limiter{first, lim} {
				if err := l.admit(t.Context(), call{class: Poll}); err != nil {
					t.Fatal(err)
				}
			}
			first.hear(Answer{Class: Poll, Verdict: Throttled, Sent: time.Now(), RetryAfter: 10 * time.Minute})
			time.Sleep(2 * time.Second)
			if lim.closed() == nil {
				t.Fatal("not closed")
			}
			l.set(Change{Reset: true}, announced)
			if !announced {
				lim.announced([]byte(`{"reopen":true}`)) // its own gate, which only an announcement opens
				lim.mu.Lock()
				lim.reload = false
				lim.mu.Unlock()
			}
			for range 4 { // what the loop of a worker that only polls does
				time.Sleep(500 * time.Millisecond)
				if lim.closed() == nil {
					return
				}
			}
			t.Errorf("announced %v: still closed after two seconds", announced)
		})
	}
}

// A closing counts from when it was heard, not from when it could be written.
func TestClosingCountsFromWhenItWasHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{50, 10}, Budget{200, 20})
		lim, stop := l.run("w", 0)
		defer stop()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil {
			t.Fatal(err)
		}
		l.store.SetFault(func(string, string) storetest.Fault { return storetest.Fault{Kind: storetest.Lost} })
		lim.hear(Answer{Class: Poll, Verdict: Throttled, Sent: time.Now(), RetryAfter: time.Minute})
		time.Sleep(5 * time.Minute)
		l.store.SetFault(nil)
		began := time.Now()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Several calls that meet the same trouble at login are one trouble.
func TestOneTroubleAtLoginIsOnePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{50, 10}, Budget{200, 20})
		lim, stop := l.run("w", 0)
		defer stop()
		for range 6 {
			lim.hear(Answer{Class: Poll, Verdict: NoLogin, Sent: time.Now()})
		}
		if d := time.Until(lim.shut.Until); d > 2*time.Second {
			t.Errorf("closed for %v", d)
		}
	})
}
