package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestCampaignBacklog: what a worker holds does not depend on how much waits for
// it. A million jobs are queued in a full campaign; the worker takes them as fast as
// it can, for two minutes.
func TestCampaignBacklog(t *testing.T) {
	besideOthers(t)
	jobs, rate, length := 10_000, 1000, 4*time.Second
	if fullCampaign() {
		jobs, rate, length = 1_000_000, 5000, 2*time.Minute
	}
	s := newCrashSite(t, 1, rate, quick())
	began := time.Now()
	for left := jobs; left > 0; left -= 10_000 {
		s.submit(min(left, 10_000))
	}
	t.Logf("%d jobs submitted in %.0f s", jobs, time.Since(began).Seconds())
	w := s.worker("--slots", "128", "--max-open", "1000000", "--log-level", "info")
	s.awaitSessions(100)
	var held []int
	for began = time.Now(); time.Since(began) < length; time.Sleep(length / 100) {
		held = append(held, residentMemory(t, w.cmd.Process.Pid))
	}
	waiting := s.submitted - s.sim.Stats().Sessions
	w.stop()
	early, late := median(held[len(held)/4:len(held)/2]), median(held[len(held)*3/4:])
	t.Logf("%d of %d jobs still waited; resident: %d MiB in the second quarter, %d in the last, at most %d",
		waiting, jobs, early>>20, late>>20, slices.Max(held)>>20)
	if waiting <= 0 {
		t.Error("the backlog was worked off before the end: nothing is shown")
	}
	const most, slack = 256 << 20, 16 << 20
	if !underRace && (slices.Max(held) > most || late > early+slack) {
		t.Errorf("resident memory: %d MiB in the second quarter, %d in the last, at most %d", early>>20, late>>20, slices.Max(held)>>20)
	}
}

func median(of []int) int {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

var (
	highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	resident  = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
)

// peakMemory is the most memory that a process has held, in bytes; 0 where the
// system does not say.
func peakMemory(t *testing.T, pid int) int { return memory(t, pid, highWater) }

// residentMemory is what it holds now.
func residentMemory(t *testing.T, pid int) int { return memory(t, pid, resident) }

func memory(t *testing.T, pid int, which *regexp.Regexp) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Logf("memory is not measured: %v", err)
		return 0
	}
	m := which.FindSubmatch(status)
	if m == nil {
		t.Fatalf("nothing of the kind in %s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	must(t, err)
	return kib << 10
}
