package worker

import (
	"fmt"
	"os"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// Ten minutes of trouble fail no job, and from two minutes after their end on
// at least nine tenths of the limit are used. What a worker makes of them costs
// nothing but simulated time, two seconds of it real.
//
//	RESCREEN_CAMPAIGN=full go test ./worker -run TenMinutes -v
func TestTenMinutesOfStormFailNoJob(t *testing.T) {
	const from, until = 10 * time.Second, 10*time.Minute + 10*time.Second
	status := func(code int) amlsim.Action { return amlsim.Action{Kind: amlsim.ActStatus, Status: code} }
	later := func(a amlsim.Action) amlsim.Action {
		a.RetryAfter = 2 * time.Second
		return a
	}
	on := func(call amlsim.Call, do amlsim.Action) []amlsim.Fault {
		return []amlsim.Fault{{Call: call, When: amlsim.When{From: from, Until: until}, Do: do}}
	}
	revoked := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{From: from, Until: until, Times: 1}, Do: amlsim.Action{Kind: amlsim.ActRevoke}}
	for _, storm := range []struct {
		name   string
		faults []amlsim.Fault
	}{
		{"429", on(amlsim.CallAny, status(429))},
		{"429 with a time", on(amlsim.CallAny, later(status(429)))},
		{"503", on(amlsim.CallAny, status(503))},
		{"503 with a time", on(amlsim.CallAny, later(status(503)))},
		{"500", on(amlsim.CallAny, status(500))},
		{"502 of creations", on(amlsim.CallCreate, status(502))},
		{"401", on(amlsim.CallAny, status(401))},
		{"403", on(amlsim.CallAny, status(403))},
		{"no tokens", append(on(amlsim.CallToken, status(503)), revoked)},
		{"tokens that are HTML", append(on(amlsim.CallToken, amlsim.Action{Kind: amlsim.ActHTML}), revoked)},
		{"tokens that hang", append(on(amlsim.CallToken, amlsim.Action{Kind: amlsim.ActHang, Wait: time.Minute}), revoked)},
		{"hanging", on(amlsim.CallAny, amlsim.Action{Kind: amlsim.ActHang, Wait: 40 * time.Second})},
		{"resets", on(amlsim.CallAny, amlsim.Action{Kind: amlsim.ActReset})},
		{"refusals", on(amlsim.CallAny, amlsim.Action{Kind: amlsim.ActRefuse})},
		{"answers lost", on(amlsim.CallCreate, amlsim.Action{Kind: amlsim.ActLoseAnswer})},
		{"HTML", on(amlsim.CallAny, amlsim.Action{Kind: amlsim.ActHTML})},
	} {
		if (storm.name != "503" || raceFactor > 1) && !fullCampaign() {
			continue
		}
		t.Run(storm.name, func(t *testing.T) {
			create, requests := Budget{Rate: 10, Burst: 5}, Budget{Rate: 40, Burst: 10}
			sim := fleetAPI(create, requests)
			sim.Faults = storm.faults
			inWorld(t, sim, func(w *world) {
				w.create, w.requests = create, requests
				jobs := make([]queue.Job, 2200)
				for i := range jobs {
					jobs[i] = person(i, false)
				}
				w.submit(jobs...)
				began := time.Now()
				for i := range 3 {
					defer w.launch(fmt.Sprint("w", i)).stop()
				}
				used := func(from, until time.Duration) float64 {
					time.Sleep(time.Until(began.Add(from)))
					before := w.sim.Stats().Sessions
					time.Sleep(until - from)
					return float64(w.sim.Stats().Sessions-before) / (create.Rate * (until - from).Seconds())
				}
				first := used(until, until+2*time.Minute)
				share := used(until+2*time.Minute, until+2*time.Minute+30*time.Second)
				t.Logf("%s: %.1f %% of the limit in the two minutes after the storm, %.1f %% from then on", storm.name, 100*first, 100*share)
				if share < 0.9 {
					t.Errorf("%.1f %% of the create limit used from two minutes after the storm on", 100*share)
				}
				out := w.outcomes(4*time.Hour, jobs...)
				for _, j := range jobs {
					r, err := out[j.ID].Result()
					if err != nil {
						f, _ := out[j.ID].Failure()
						t.Errorf("%s failed: %s", j.ID, f.Reason)
					} else if n := w.sessionsOf(j); r.SessionsCreated != 1 || n > 1 && !r.PossibleDuplicate {
						t.Errorf("%s: %d sessions known, %d at the API, flagged %v", j.ID, r.SessionsCreated, n, r.PossibleDuplicate)
					}
				}
				if s := w.sim.Stats(); s.NeededCreateBurst > float64(create.Burst) || s.NeededRequestBurst > float64(requests.Burst) {
					t.Errorf("bursts of %.1f and %.1f were needed", s.NeededCreateBurst, s.NeededRequestBurst)
				}
			})
		})
	}
}

// fullCampaign asks for the long form of the campaign tests.
func fullCampaign() bool { return os.Getenv("RESCREEN_CAMPAIGN") == "full" }
