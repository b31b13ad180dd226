package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
)

// TestCampaignStop asks a worker to stop while all its creations are under way:
// it ends them, so that no outcome is unknown, and ends well.
func TestCampaignStop(t *testing.T) {
	besideOthers(t)
	stops := 1
	if fullCampaign() {
		stops = 20
	}
	slow := quick()
	slow.Faults[0].Do.Wait = time.Second // of creations, after the session is made
	s := newCrashSite(t, 1, 400, slow)
	// Half of the 64 slots may be taken by new jobs.
	const busy = 32
	var took []time.Duration
	for range stops {
		s.submit(3 * busy)
		w := s.worker()
		s.await("creations in all slots", longEnough, func() bool { return s.creating() >= busy })
		took = append(took, w.stop())
	}
	s.worker()
	found := s.judge(time.Minute, byFalls) // and nobody fell
	if len(found.flagged) > 0 {
		t.Errorf("%d jobs are flagged", len(found.flagged))
	}
	t.Logf("from SIGTERM to exit 0 with %d creations under way, %d times: %s", busy, stops, spread(took))
	// The POST timeout and 15 s.
	if longest := took[len(took)-1]; longest > 30*time.Second {
		t.Errorf("a worker took %v to stop", longest)
	}
}

// creating is how many creations have arrived at the API and are not answered.
func (s *crashSite) creating() int {
	c := s.sim.Stats().Calls[amlsim.CallCreate]
	n := c.Total - c.Broken
	for _, answered := range c.Status {
		n -= answered
	}
	return n
}

// TestCampaignScale lets a fleet of one grow to ten workers and shrink to two,
// in a full campaign with some of them killed instead of stopped.
func TestCampaignScale(t *testing.T) {
	besideOthers(t)
	rounds := 1
	if fullCampaign() {
		rounds = 5
	}
	s := newCrashSite(t, 1, 60, quick())
	var fleet []*process
	for range rounds {
		for len(fleet) < 10 {
			fleet = append(fleet, s.worker("--slots", "16"))
			s.feedFor(250 * time.Millisecond)
		}
		s.feedFor(time.Second)
		for ; len(fleet) > 2; fleet = fleet[1:] {
			if fullCampaign() && len(fleet)%2 == 0 {
				fleet[0].kill()
			} else {
				fleet[0].stop()
			}
		}
	}
	found := s.judge(2*time.Minute, byAnything)
	if n := len(found.flagged); n > 0 && !fullCampaign() {
		t.Errorf("%d jobs are flagged, and nobody was killed", n)
	}
}

// TestCampaignRolling replaces the workers of an earlier version by those of
// this one, one by one and with sessions open, and takes the change back. The
// earlier version is commit RESCREEN_PREVIOUS, by default the last but one.
func TestCampaignRolling(t *testing.T) {
	onlyInFull(t, "builds another commit")
	previous := buildPrevious(t)
	this, err := os.Executable()
	must(t, err)
	slow := quick()
	slow.ReadyAfter = amlsim.LogNormal(5*time.Second, 0.5, time.Second, 20*time.Second)
	s := newCrashSite(t, 1, 40, slow)
	var fleet []*process
	for range 3 {
		fleet = append(fleet, s.workerOf(previous, "rescreen", nil))
	}
	s.feedFor(5 * time.Second)
	for _, path := range []string{this, previous, this} {
		for i, w := range fleet {
			fleet[i] = s.workerOf(path, "rescreen", nil)
			s.feedFor(2 * time.Second)
			w.stop()
			s.feedFor(2 * time.Second)
		}
	}
	if found := s.judge(2*time.Minute, byFalls); len(found.flagged) > 0 { // and nobody fell
		t.Errorf("%d jobs are flagged", len(found.flagged))
	}
}

// buildPrevious builds the program of the earlier version.
func buildPrevious(t *testing.T) string {
	t.Helper()
	commit := os.Getenv("RESCREEN_PREVIOUS")
	if commit == "" {
		commit = "HEAD~1"
	}
	dir := t.TempDir()
	archive := exec.Command("git", "archive", "--format=tar", commit)
	archive.Dir = "../.."
	source, err := archive.Output()
	if err != nil {
		t.Fatalf("the earlier version %s cannot be had from git (%v); name a commit with RESCREEN_PREVIOUS", commit, err)
	}
	tar := exec.Command("tar", "-x", "-C", dir)
	tar.Stdin = bytes.NewReader(source)
	program := filepath.Join(dir, "rescreen-previous")
	build := exec.Command("go", "build", "-o", program, "./cmd/rescreen")
	build.Dir = dir
	for _, c := range []*exec.Cmd{tar, build} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatal(fmt.Errorf("%v: %w\n%s", c.Args, err, out))
		}
	}
	return program
}
