package amlsim

import (
	"strings"
	"time"
)

// faultState is how far a fault of the script has come.
type faultState struct {
	seen  int // calls that its selectors let through
	acted int
}

// pickFault returns the first fault that befalls the call, or nil.
func (s *Simulator) pickFault(ex *exchange, at time.Duration) *Fault {
	for i := range s.cfg.Faults {
		f, state := &s.cfg.Faults[i], &s.faults[i]
		if !f.selects(ex, at, s.cfg.Seed) || (f.When.Times > 0 && state.acted >= f.When.Times) {
			continue
		}
		state.seen++
		if !f.When.takes(state.seen, bits(s.cfg.Seed, drawFault, uint64(i), uint64(state.seen))) {
			continue
		}
		state.acted++
		return f
	}
	return nil
}

// selects tells whether call, time and person are those of the fault.
func (f *Fault) selects(ex *exchange, at time.Duration, seed uint64) bool {
	w := &f.When
	switch {
	case f.Call != "" && f.Call != CallAny && f.Call != ex.call:
		return false
	case at < w.From || (w.Until > 0 && at >= w.Until):
		return false
	case w.SessionCall > 0 && ex.nth != uint32(w.SessionCall):
		return false
	case w.Marker != "" && !(ex.hasPerson && strings.Contains(ex.lastName, w.Marker)):
		return false
	case w.Of > 0 && !(ex.hasPerson && bits(seed, drawBucket, uint64(ex.person))%uint64(w.Of) == uint64(w.Bucket)):
		return false
	}
	return true
}

// takes decides about the seen-th call that the selectors let through.
func (w *When) takes(seen int, draw uint64) bool {
	switch {
	case w.Nth > 0:
		return seen == w.Nth
	case w.Every > 0:
		return seen%w.Every == 0
	case w.Probability > 0:
		return share(draw) < w.Probability
	}
	return true
}

// faultCounts tells how often each fault acted.
func (s *Simulator) faultCounts() map[string]int {
	counts := map[string]int{}
	for i, f := range s.cfg.Faults {
		counts[f.label(i)] += s.faults[i].acted
	}
	return counts
}
