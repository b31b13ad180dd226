package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestCampaignCluster kills the servers of a cluster of three under load: one
// after another, each started again at once, and in a full campaign all three
// together in the end. Nothing is lost and no result is there twice.
func TestCampaignCluster(t *testing.T) {
	t.Parallel()
	kills, rate, patience := 1, 20, 2*time.Minute
	const pause = 6 * time.Second
	if fullCampaign() {
		kills, rate, patience = 30, 40, 5*time.Minute // 30 × 6 s
	}
	s := newCrashSite(t, 3, rate, quick())
	for range 3 {
		s.worker()
	}
	s.feed()
	s.awaitSessions(rate)
	for range kills {
		n := s.servers[rand.IntN(len(s.servers))]
		n.kill()
		n.start()
		s.feedFor(pause)
		n.up()
	}
	if fullCampaign() {
		for _, n := range s.servers {
			n.kill()
		}
		for _, n := range s.servers {
			n.start()
		}
		s.feedFor(2 * pause)
	}
	began := time.Now()
	s.judge(patience, byAnything)
	t.Logf("%d servers killed; %.1f s later all of %d jobs were done", kills, time.Since(began).Seconds(), s.submitted)
}

// feedFor keeps jobs coming for a time.
func (s *crashSite) feedFor(d time.Duration) {
	s.Helper()
	over := time.After(d)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		s.feed()
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}
