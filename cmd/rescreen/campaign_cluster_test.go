package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestCampaignCluster kills the servers of a cluster of three under load: every
// six seconds one of them, started again at once, and all three in the end.
// Nothing is lost and no result is there twice. What was in a server's hands
// comes again after 20 s, so that there is no short form.
func TestCampaignCluster(t *testing.T) {
	if !fullCampaign() {
		t.Skip("takes four minutes: part of RESCREEN_CAMPAIGN=full")
	}
	const kills, pause, rate = 30, 6 * time.Second, 40
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
	for _, n := range s.servers {
		n.kill()
	}
	for _, n := range s.servers {
		n.start()
	}
	s.feedFor(2 * pause)
	began := time.Now()
	s.judge(5*time.Minute, byAnything)
	t.Logf("%d times a server was killed, and once all three; %.1f s after the last job was submitted all of %d were done", kills, time.Since(began).Seconds(), s.submitted)
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
