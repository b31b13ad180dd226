package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/store/storetest"
)

// While the record is away nothing goes out but fetches of what is about to
// perish, at half of a worker's share.
func TestOnlyWhatIsAboutToPerishIsFetchedWhileTheRecordIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{5, 5}, Budget{20, 10})
		api := &arrivals{}
		ctx, cancel := context.WithCancel(context.Background())
		var fetched, others atomic.Int64
		var both []*limiter
		for i := range 2 {
			lim, stop := l.run(fmt.Sprint("w", i), 0)
			defer stop()
			if err := lim.admit(ctx, call{class: Poll}); err != nil {
				t.Fatal(err)
			}
			both = append(both, lim)
		}
		for _, lim := range both {
			soon := func() time.Time { return l.store.Clock.Now().Add(20 * time.Minute) }
			for range 10 {
				l.all.Go(func() {
					for lim.admit(ctx, call{class: Fetch, until: soon()}) == nil {
						fetched.Add(1)
						api.add(Fetch)
					}
				})
			}
			l.all.Go(func() {
				for lim.admit(ctx, call{class: Poll, until: soon()}) == nil {
					others.Add(1)
				}
			})
			l.all.Go(func() {
				for lim.admit(ctx, call{class: Fetch, until: soon().Add(time.Hour)}) == nil {
					others.Add(1)
				}
			})
			l.all.Go(func() {
				for lim.admit(ctx, call{class: Create}) == nil {
					others.Add(1)
				}
			})
		}
		time.Sleep(5 * time.Second)
		l.store.SetFault(func(string, string) storetest.Fault { return storetest.Fault{Kind: storetest.Lost} })
		time.Sleep(5 * time.Second)
		fetched.Store(0)
		others.Store(0)
		time.Sleep(2 * time.Minute)
		if n := others.Load(); n != 0 {
			t.Errorf("%d calls that can wait", n)
		}
		if n := fetched.Load(); n < 120 || n > 1200 { // half of 20/s is 10/s together
			t.Errorf("%d fetches in two minutes", n)
		}
		l.store.SetFault(nil)
		time.Sleep(5 * time.Second)
		if others.Load() == 0 {
			t.Error("nothing else goes out after the record is back")
		}
		cancel()
	})
}

// A server whose clock was set back does not stop the fleet for as long.
func TestFleetOutlivesAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(t, Budget{5, 5}, Budget{20, 10})
		ahead, stop := l.run("before", time.Hour) // by the clock as it was
		if err := ahead.admit(t.Context(), call{class: Poll}); err != nil {
			t.Fatal(err)
		}
		stop()
		lim, stop := l.run("after", 0)
		defer stop()
		began := time.Now()
		if err := lim.admit(t.Context(), call{class: Poll}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < healPause || took > healPause+2*time.Second {
			t.Errorf("the next call went out after %v", took)
		}
	})
}
