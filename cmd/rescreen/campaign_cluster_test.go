package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestCampaignServers kills NATS servers under load, one alone and those of a
// cluster of three: every six seconds one of them, started again at once, now and then
// a worker with it, and all of them in the end. Nothing is lost and no result is
// there twice. What was in a server's hands comes again after 20 s, so that there is no
// short form.
func TestCampaignServers(t *testing.T) {
	onlyInFull(t, "takes six minutes")
	for _, c := range []struct{ servers, kills int }{{1, 10}, {3, 30}} {
		t.Run(fmt.Sprintf("of %d", c.servers), func(t *testing.T) { killServers(t, c.servers, c.kills) })
	}
}

func killServers(t *testing.T, servers, kills int) {
	const pause, rate, workerEvery = 6 * time.Second, 40, 5
	s := newCrashSite(t, servers, rate, quick())
	var fleet []*process
	for range 3 {
		fleet = append(fleet, s.worker())
	}
	s.feed()
	s.awaitSessions(rate)
	for i := range kills {
		n := s.servers[rand.IntN(len(s.servers))]
		n.kill()
		if i%workerEvery == workerEvery-1 {
			fleet[0].kill()
			fleet = append(fleet[1:], s.worker())
		}
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
	t.Logf("%d times one of %d servers was killed, %d times a worker, once all servers; %.1f s after the last job was submitted all of %d were done",
		kills, servers, kills/workerEvery, time.Since(began).Seconds(), s.submitted)
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
