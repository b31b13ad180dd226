package worker

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRepetitionsAreATenthOfTheOtherCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeats()
		repeated := 0
		for range 6000 { // ten minutes of ten first calls and as many that want to repeat, a second
			r.first()
			if r.take() {
				repeated++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if repeated < 500 || repeated > 600+repeatLeast {
			t.Errorf("%d of 6000", repeated)
		}
	})
}

func TestRepetitionsGoOnWhereThereAreNoOtherCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeats()
		repeated := 0
		for range 6000 {
			if r.take() {
				repeated++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if repeated < 5*repeatLeast || repeated > 6*repeatLeast {
			t.Errorf("%d in ten minutes", repeated)
		}
	})
}

func TestRepetitionThatIsAnsweredCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeats()
		for range repeatLeast {
			r.take()
		}
		if r.take() {
			t.Fatal("one more than there are")
		}
		time.Sleep(30 * time.Second)
		for range 1000 {
			r.forgive()
			if !r.take() {
				t.Fatal("an answered repetition was counted")
			}
		}
		time.Sleep(time.Hour)
		if !r.take() {
			t.Error("not forgotten after an hour")
		}
	})
}
