package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestCampaignKills kills workers with SIGKILL at every boundary between two
// steps, next to others that live: whatever one dies of, nothing is lost, what
// may have been paid twice is flagged, and the others finish what it held.
func TestCampaignKills(t *testing.T) {
	t.Parallel()
	kills, lanes, patience := 1, 4, 2*time.Minute
	if fullCampaign() {
		kills, patience = 50, 5*time.Minute
	}
	s := newCrashSite(t, 1, 40, quick())
	s.worker()
	s.worker()
	var plan []victim
	for i := range kills {
		for _, p := range points {
			hit := 1 + i%3
			if p == tokenRequested {
				hit = 1 // a token lasts longer than the test
			}
			plan = append(plan, victim{p, hit})
		}
	}
	s.fell(plan, lanes)
	found := s.judge(patience, byFalls)
	s.report(found)
}

// victim is a worker that is to die.
type victim struct {
	point
	hit int // so many times it passes the point
}

// fell runs workers to their deaths, so many at a time, and keeps jobs coming.
func (s *crashSite) fell(plan []victim, lanes int) {
	s.Helper()
	type end struct {
		victim
		fall
		ok  bool
		log string
	}
	ended := make(chan end, lanes)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for running := 0; len(plan) > 0 || running > 0; {
		s.feed()
		for running < lanes && len(plan) > 0 {
			v, p := plan[0], s.failing(plan[0].point, "kill", plan[0].hit)
			plan, running = plan[1:], running+1
			go func() {
				f, ok := p.fell(time.Minute)
				p.kill() // which it has done itself
				ended <- end{v, fall{f, time.Now()}, ok, p.log.String()}
			}()
		}
		select {
		case <-tick.C:
		case e := <-ended:
			running--
			if !e.ok || e.Point != e.point {
				s.Fatalf("a worker did not come to %s in a minute\n%s", e.victim.point, e.log)
			}
			s.falls = append(s.falls, e.fall)
		}
	}
}

// slack is for what a killed worker has still handed to its connection.
const slack = 100 * time.Millisecond

// report prints what became of each point, and checks that extra sessions are
// where they may be and, in a full campaign, how soon others had finished what
// the dead held.
func (s *crashSite) report(found findings) {
	s.Helper()
	falls := map[string]int{}
	for _, f := range s.falls {
		for key := range f.Held {
			falls[key]++
		}
	}
	var next, end, again []time.Duration
	table := &strings.Builder{}
	_, _ = fmt.Fprintf(table, "%-18s %6s %6s %6s %8s %10s %10s\n", "point", "kills", "held", "extra", "flagged", "next, max", "end, max")
	for _, p := range points {
		kills, held, extra, flagged := 0, 0, 0, 0
		var worstNext, worstEnd time.Duration
		for _, f := range s.falls {
			if f.Point != p {
				continue
			}
			kills++
			if n := found.extra[f.Fired]; n > 0 && falls[f.Fired] == 1 && !p.in(postSent, beforeIDStored) {
				s.Errorf("killed at %s: job %s has %d extra sessions", p, f.Fired, n)
			}
			for key := range f.Held {
				held++
				extra += found.extra[key]
				if found.flagged[key] {
					flagged++
				}
				took := found.ended[key].Sub(f.at)
				switch {
				case took <= 0: // had ended
				case falls[key] > 1:
					again = append(again, took)
				default:
					if took > 30*time.Second {
						s.Logf("%s, held at %s by one killed at %s at %v: ended %.1f s later", key, f.Held[key], p, f.at.Format(time.TimeOnly), took.Seconds())
					}
					worstEnd = max(worstEnd, took)
					end = append(end, took)
					if sign, ok := s.witness.signAfter(key, f.at.Add(slack)); ok {
						worstNext = max(worstNext, sign.Sub(f.at))
						next = append(next, sign.Sub(f.at))
					}
				}
			}
		}
		_, _ = fmt.Fprintf(table, "%-18s %6d %6d %6d %8d %8.1f s %8.1f s\n", p, kills, held, extra, flagged, worstNext.Seconds(), worstEnd.Seconds())
	}
	s.Logf("\n%s", table)
	s.Logf("next step by another worker: %s", spread(next))
	s.Logf("end of what was held, from the kill: %s (%d jobs)", spread(end), len(end))
	s.Logf("end of what was held by two that were killed, from each kill: %s (%d)", spread(again), len(again))
	if n := len(end); fullCampaign() && n > 0 && end[n-1] > 30*time.Second {
		s.Errorf("what a dead worker held was finished %v after the kill, want at most 30 s", end[n-1])
	}
}
