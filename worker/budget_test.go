package worker

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPaceOfABudget(t *testing.T) {
	for _, c := range []struct {
		Budget
		every, lives time.Duration
		usable       float64
	}{
		{Budget{50, 10}, 20 * time.Millisecond, 90 * time.Millisecond, 50},
		{Budget{200, 20}, 5 * time.Millisecond, 47500 * time.Microsecond, 200},
		{Budget{5, 5}, 200 * time.Millisecond, 400 * time.Millisecond, 5},
		{Budget{5000, 101}, 200 * time.Microsecond, 10 * time.Millisecond, 5000},
		{Budget{0.2, 10}, 5 * time.Second, 5 * time.Second, 0.2},
		// A burst that absorbs no two lives of 10 ms costs some of the rate.
		{Budget{0.2, 1}, 5020 * time.Millisecond, 10 * time.Millisecond, 0.1992},
		{Budget{50, 1}, 40 * time.Millisecond, 10 * time.Millisecond, 25},
		{Budget{5000, 10}, 2020 * time.Microsecond, 10 * time.Millisecond, 495},
	} {
		got := c.Budget
		if d := got.interval() - c.every; d < 0 || d > time.Microsecond {
			t.Errorf("%+v: interval %v, want %v", got, got.interval(), c.every)
		}
		if got.life() != c.lives {
			t.Errorf("%+v: life %v, want %v", got, got.life(), c.lives)
		}
		if math.Abs(got.Usable()-c.usable) > c.usable/1000 {
			t.Errorf("%+v: usable %v, want %v", got, got.Usable(), c.usable)
		}
	}
}

// Departures that are used anywhere in their lives, and calls that are on
// their way for as long again, never exceed the budget, whatever it is.
func TestBudgetHoldsWhateverHappensToItsPermits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBudget(t, "budget")
		var arrivals []time.Time
		at := time.Unix(1_700_000_000, 0)
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			late := time.Duration(rapid.Float64Range(0, 2).Draw(t, "late") * float64(b.life()))
			arrivals = append(arrivals, at.Add(late))
			at = at.Add(b.interval())
			if rapid.IntRange(0, 9).Draw(t, "idle") == 0 {
				at = at.Add(time.Duration(rapid.Int64Range(0, int64(3*b.interval())).Draw(t, "pause")))
			}
		}
		checkWindows(t, "calls", arrivals, b)
	})
}

func drawBudget(t *rapid.T, name string) Budget {
	return Budget{
		Rate:  math.Exp(rapid.Float64Range(math.Log(0.1), math.Log(5000)).Draw(t, name+" rate")),
		Burst: rapid.IntRange(1, 60).Draw(t, name+" burst"),
	}
}

// checkWindows looks at every window that begins and ends with a call: the
// number of calls in (i, j) less rate × its length may not exceed the burst.
// The worst window that ends at j begins where rate × t − number was highest.
func checkWindows(t rapid.TB, name string, at []time.Time, b Budget) {
	t.Helper()
	slices.SortFunc(at, time.Time.Compare)
	worst := math.Inf(-1)
	for j := range at {
		spent := b.Rate * at[j].Sub(at[0]).Seconds()
		worst = max(worst, spent-float64(j))
		if excess := float64(j) + 1 - spent + worst - float64(b.Burst); excess > 1e-3 {
			t.Fatalf("%s: %.3f calls too many in a window that ends after %v, budget %+v", name, excess, at[j].Sub(at[0]), b)
		}
	}
}

func TestBudgetsThatCannotBeSpentAreRefused(t *testing.T) {
	for _, b := range []Budget{{0, 1}, {-1, 1}, {math.NaN(), 1}, {math.Inf(1), 1}, {1e8, 1}, {1, 0}, {1, 2_000_000}} {
		if b.Validate() == nil {
			t.Errorf("%+v is accepted", b)
		}
	}
}
