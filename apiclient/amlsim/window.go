package amlsim

import "time"

// peaks finds the highest number of events in any window of 1 s, 10 s and 60 s,
// exactly: it remembers the times of all events of the last minute. A window is
// half open, so of events exactly one second apart each second holds one.
type peaks struct {
	ring  []time.Duration // a power of two long
	count uint64          // events ever; the last is ring[(count-1)%len]
	tail  [windows]uint64 // the oldest event still inside each window
	high  [windows]uint64
}

const windows = 3

func windowLengths() [windows]time.Duration {
	return [windows]time.Duration{time.Second, 10 * time.Second, time.Minute}
}

// add notes an event. Times must not fall; one that does counts as the last.
func (p *peaks) add(at time.Duration) {
	if p.count > 0 {
		at = max(at, p.at(p.count-1))
	}
	for i, length := range windowLengths() {
		for p.tail[i] < p.count && p.at(p.tail[i]) <= at-length {
			p.tail[i]++
		}
	}
	if longest := p.count - p.tail[windows-1]; longest == uint64(len(p.ring)) {
		p.grow()
	}
	p.ring[p.count%uint64(len(p.ring))] = at
	p.count++
	for i := range p.high {
		p.high[i] = max(p.high[i], p.count-p.tail[i])
	}
}

func (p *peaks) at(event uint64) time.Duration { return p.ring[event%uint64(len(p.ring))] }

// grow doubles the ring and puts the events it holds where they now belong.
func (p *peaks) grow() {
	larger := make([]time.Duration, max(64, 2*len(p.ring)))
	for event := p.tail[windows-1]; event < p.count; event++ {
		larger[event%uint64(len(larger))] = p.at(event)
	}
	p.ring = larger
}
