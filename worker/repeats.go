package worker

import (
	"sync"
	"time"
)

// repeats keeps calls that repeat one without an answer to a tenth of the
// others, over two minutes. When an API is in trouble every open session has
// such a call to make, and together they would keep it there. A repetition
// that is answered costs nothing, so that they all come back with the API.
type repeats struct {
	began   time.Time
	mu      sync.Mutex
	slots   [repeatSlots]repeatSlot
	current int64 // number of the slot that is being filled
}

type repeatSlot struct{ first, repeated int }

const (
	repeatWindow = 2 * time.Minute
	repeatSlots  = 12
	repeatShare  = 0.1
	// repeatLeast is what may be repeated in the window where there are no
	// other calls: one in ten seconds, to notice when the trouble is over.
	repeatLeast = 12
)

func newRepeats() *repeats { return &repeats{began: time.Now()} }

// first counts a call that repeats none.
func (r *repeats) first() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slot().first++
}

// take counts a repetition, if one more may be made now.
func (r *repeats) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.slot()
	sum := repeatSlot{}
	for _, s := range r.slots {
		sum.first += s.first
		sum.repeated += s.repeated
	}
	if sum.repeated >= max(repeatLeast, int(repeatShare*float64(sum.first))) {
		return false
	}
	now.repeated++
	return true
}

// forgive gives back a repetition that was answered, or not made.
func (r *repeats) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.slots { // whichever: they sum to the same
		if s := &r.slots[(int(r.current)+repeatSlots-i)%repeatSlots]; s.repeated > 0 {
			s.repeated--
			return
		}
	}
}

// slot empties the slots whose time is over and returns the present one.
func (r *repeats) slot() *repeatSlot {
	number := int64(time.Since(r.began) / (repeatWindow / repeatSlots))
	if number-r.current >= repeatSlots {
		r.slots, r.current = [repeatSlots]repeatSlot{}, number
	}
	for r.current < number {
		r.current++
		r.slots[r.current%repeatSlots] = repeatSlot{}
	}
	return &r.slots[r.current%repeatSlots]
}
