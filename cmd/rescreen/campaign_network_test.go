package main

import (
	"strings"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// networkFault is what happens to the network of a worker, and for how long.
type networkFault struct {
	name      string
	nats, api proxyMode
	lasts     time.Duration
	second    bool // another worker has no trouble
	long      bool // in the full form only
}

func networkFaults() []networkFault {
	return []networkFault{
		{name: "no NATS for 8 s", nats: refusing, lasts: 8 * time.Second},
		{name: "no NATS for 8 s, beside a healthy worker", nats: refusing, lasts: 8 * time.Second, second: true},
		{name: "NATS half-open", nats: silent, lasts: 22 * time.Second, long: true},
		{name: "NATS does not answer", nats: unanswered, lasts: 8 * time.Second, second: true},
		{name: "no API for 5 s", api: refusing, lasts: 5 * time.Second, long: true},
		{name: "API half-open for 2 s", api: silent, lasts: 2 * time.Second, long: true},
		{name: "API does not answer for 2 s", api: unanswered, lasts: 2 * time.Second},
		{name: "neither for 6 s, beside a healthy worker", nats: refusing, api: refusing, lasts: 6 * time.Second, second: true},

		{name: "no NATS for 30 s", nats: refusing, lasts: 30 * time.Second, long: true},
		{name: "no NATS for 40 s, beside a healthy worker", nats: refusing, lasts: 40 * time.Second, second: true, long: true},
		{name: "NATS half-open for 40 s, beside a healthy worker", nats: silent, lasts: 40 * time.Second, second: true, long: true},
		{name: "NATS does not answer for 40 s", nats: unanswered, lasts: 40 * time.Second, long: true},
		{name: "NATS at ten bytes a second", nats: dripping, lasts: 30 * time.Second, second: true, long: true},
		{name: "no API for 40 s", api: refusing, lasts: 40 * time.Second, long: true},
		{name: "API half-open for 30 s", api: silent, lasts: 30 * time.Second, long: true},
		{name: "API does not answer for 30 s, beside a healthy worker", api: unanswered, lasts: 30 * time.Second, second: true, long: true},
		{name: "API at ten bytes a second", api: dripping, lasts: 20 * time.Second, long: true},
		{name: "neither for 30 s", nats: refusing, api: refusing, lasts: 30 * time.Second, long: true},
		{name: "both half-open for 30 s, beside a healthy worker", nats: silent, api: silent, lasts: 30 * time.Second, second: true, long: true},
	}
}

// A worker that is cut off from NATS, from the API or from both, for less and
// for more than the 20 s after which messages come again: each job gets one
// result, none fails, and a second session is owned up to.
//
//	RESCREEN_CAMPAIGN=full go test ./cmd/rescreen -run CampaignPartitions -v
func TestCampaignPartitions(t *testing.T) {
	besideOthers(t)
	for _, fault := range networkFaults() {
		if fault.long && !fullCampaign() {
			continue
		}
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			s := newFaultSite(t, amlsim.Config{
				ReadyAfter: amlsim.LogNormal(1500*time.Millisecond, 0.5, 200*time.Millisecond, 5*time.Second),
				Latency:    amlsim.LogNormal(30*time.Millisecond, 0.5, 5*time.Millisecond, 300*time.Millisecond),
			})
			nats := newProxy(t, strings.TrimPrefix(s.server.Access().URL, "nats://"))
			api := newProxy(t, s.api.Listener.Addr().String())
			flags := []string{"--post-timeout", "1500ms", "--get-timeout", "1500ms", "--create-rate", "20/s"}
			w := s.worker("rescreen", "nats://"+nats.address(), "http://"+api.address(), flags...)
			if fault.second {
				s.worker("rescreen", s.server.Access().URL, s.api.URL, flags...)
			}
			jobs := make([]queue.Job, 60)
			for i := range jobs {
				jobs[i] = customer("Net", i, i%5 == 0)
			}
			s.submit(jobs...)
			awaitThat(t, "the first sessions", func() bool { return s.sim.Stats().Sessions > 10 })
			began := time.Now()
			apiHealed := make(chan struct{})
			go func() {
				defer close(apiHealed)
				if fault.api != flowing {
					api.during(fault.lasts, fault.api)
				}
			}()
			if fault.nats != flowing {
				nats.during(fault.lasts, fault.nats)
			}
			<-apiHealed
			healed := time.Now()
			// Two intervals of pings, and what a busy machine takes.
			if fault.nats == silent && !strings.Contains(w.log.String(), "connection to NATS lost") {
				t.Errorf("%v without a byte from NATS and the worker has not noticed", time.Since(began))
			}
			events := s.outcomes(150*time.Second, jobs...)
			t.Logf("the last outcome came %.1f s after the network was whole", time.Since(healed).Seconds())
			flagged := s.unharmed(events, jobs...)
			sessions := 0
			for _, j := range jobs {
				sessions += s.sessionsOf(j)
			}
			if total := s.sim.Stats().Sessions; total != sessions {
				t.Errorf("%d sessions at the API, %d accounted for", total, sessions)
			}
			t.Logf("%d sessions for %d jobs, %d flagged as possible duplicates", sessions, len(jobs), flagged)
			w.stop()
		})
	}
}

// A worker whose wall clock is set an hour forth and back while it runs does
// not notice: what it measures runs on the monotonic clock, and the time is the
// server's.
func TestCampaignClockJumps(t *testing.T) {
	besideOthers(t)
	if a, b := time.Now(), wallClockSet(time.Now(), time.Hour); b.Sub(a) > time.Minute || b.Unix()-a.Unix() < 3600 {
		t.Fatalf("%v is not %v with its wall clock set an hour ahead", b, a)
	}
	s := newFaultSite(t, amlsim.Config{
		ReadyAfter: amlsim.LogNormal(time.Second, 0.5, 200*time.Millisecond, 5*time.Second),
		TokenLife:  2 * time.Second,
	})
	jobs := make([]queue.Job, 60)
	for i := range jobs {
		jobs[i] = customer("Clock", i, i%5 == 0)
	}
	s.submit(jobs...)
	w := s.worker("rescreen-clock-jumps", s.server.Access().URL, s.api.URL, "--create-rate", "10/s", "--create-burst", "5")
	began := time.Now()
	events := s.outcomes(60*time.Second, jobs...)
	if took := time.Since(began); took < 2*jumpEvery {
		t.Errorf("all done after %v: too little for the clock to jump", took)
	}
	if flagged := s.unharmed(events, jobs...); flagged > 0 {
		t.Errorf("%d jobs are flagged", flagged)
	}
	w.stop()
}

// awaitThat waits until something holds.
func awaitThat(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", longEnough, what)
		}
	}
}
