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
	besideOthers(t)
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
				at := time.Now()
				p.kill() // which it has done itself
				ended <- end{v, fall{f, at}, ok, p.log.String()}
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

// report prints what became of what the dead held, and checks, in a full
// campaign, how soon others had finished it.
func (s *crashSite) report(found findings) {
	s.Helper()
	falls := map[string]int{}
	for _, f := range s.falls {
		for key := range f.Held {
			falls[key]++
		}
	}
	rows := map[point]*reportRow{}
	for _, p := range points {
		rows[p] = &reportRow{}
	}
	var next, end, again []time.Duration
	for _, f := range s.falls {
		at := rows[f.Point]
		at.kills++
		for key, stage := range f.Held {
			took := found.ended[key].Sub(f.at)
			if falls[key] > 1 {
				again = append(again, took)
				continue
			}
			rows[stage].saw(found, key)
			if took <= 0 { // had ended
				continue
			}
			end = append(end, took)
			at.end = max(at.end, took)
			if sign, ok := s.witness.signAfter(key, f.at.Add(slack)); ok {
				next = append(next, sign.Sub(f.at))
				at.next = max(at.next, sign.Sub(f.at))
			}
		}
	}
	table := &strings.Builder{}
	_, _ = fmt.Fprintf(table, "%-18s %6s %12s %12s | %10s %6s %8s\n", "point", "kills", "next step ≤", "finished ≤", "jobs there", "extra", "flagged")
	for _, p := range points {
		r := rows[p]
		_, _ = fmt.Fprintf(table, "%-18s %6d %10.1f s %10.1f s | %10d %6d %8d\n", p, r.kills, r.next.Seconds(), r.end.Seconds(), r.jobs, r.extra, r.flagged)
		if r.extra > 0 && !p.in(beforePost, beforeIDStored) {
			s.Errorf("at %s: %d extra sessions", p, r.extra)
		}
	}
	s.Logf("left: what workers died of, and how soon others took over and had finished all that they held\nright: where the jobs stood that they held, and sessions beyond one for each\n%s", table)
	s.Logf("next step by another worker: %s", spread(next))
	s.Logf("end of what was held, from the kill: %s (%d jobs)", spread(end), len(end))
	s.Logf("end of what was held by two that were killed, from each kill: %s (%d)", spread(again), len(again))
	if n := len(end); fullCampaign() && n > 0 && end[n-1] > 30*time.Second {
		s.Errorf("what a dead worker held was finished %v after the kill, want at most 30 s", end[n-1])
	}
}

// reportRow is a line of the report.
type reportRow struct {
	kills                int
	next, end            time.Duration // the longest
	jobs, extra, flagged int           // of those that one kill hit
}

func (r *reportRow) saw(found findings, key string) {
	r.jobs++
	r.extra += found.extra[key]
	if found.flagged[key] {
		r.flagged++
	}
}
