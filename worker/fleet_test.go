package worker

import (
	"fmt"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store/storetest"
)

// fleetAPI allows exactly what the world's workers are told: the simulator is
// as strict as rate × w + burst in every window.
func fleetAPI(create, requests Budget) amlsim.Config {
	return amlsim.Config{
		ReadyAfter: amlsim.Fixed(time.Second), Latency: amlsim.LogNormal(20*time.Millisecond, 0.5, time.Millisecond, 200*time.Millisecond),
		CreateRate: create.Rate, CreateBurst: create.Burst, RequestRate: requests.Rate, RequestBurst: requests.Burst,
	}
}

// Whole workers, some of them killed, over a store that takes its time: the API
// never has to say 429, and is asked as often as it allows.
func TestFleetOfWorkersKeepsTheLimit(t *testing.T) {
	create, requests := Budget{Rate: 50, Burst: 10}, Budget{Rate: 200, Burst: 20}
	inWorld(t, fleetAPI(create, requests), func(w *world) {
		w.create, w.requests = create, requests
		w.store.SetFault(slowly(7))
		length := 40 * time.Second / raceFactor
		jobs := make([]queue.Job, int(create.Rate*(length.Seconds()+15)))
		for i := range jobs {
			jobs[i] = person(i, false)
		}
		w.submit(jobs...)
		var running []*launched
		for i := range 16 / raceFactor {
			running = append(running, w.launch(fmt.Sprint("w", i)))
		}
		time.Sleep(5 * time.Second)
		before := w.sim.Stats()
		for i := 0; time.Since(before.Now) < length; i++ {
			time.Sleep(5 * time.Second)
			running[0].kill()
			running = append(running[1:], w.launch(fmt.Sprint("next", i)))
		}
		after := w.sim.Stats()
		for _, l := range running {
			l.stop()
		}
		seconds := after.Now.Sub(before.Now).Seconds()
		if used := float64(after.Sessions-before.Sessions) / (create.Rate * seconds); used < 0.97 {
			t.Errorf("%.1f %% of the create limit used", 100*used)
		}
		if after.Throttled > 0 {
			t.Errorf("the API said 429 %d times; it would have taken bursts of %.1f creations and %.1f calls", after.Throttled, after.NeededCreateBurst, after.NeededRequestBurst)
		}
	})
}

// A minute of trouble fails no job, and is over half a minute after its end.
func TestStormsFailNoJob(t *testing.T) {
	for _, storm := range []struct {
		name string
		call amlsim.Call
		do   amlsim.Action
	}{
		{"429", amlsim.CallAny, amlsim.Action{Kind: amlsim.ActStatus, Status: 429}},
		{"429 with a time", amlsim.CallAny, amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: 2 * time.Second}},
		{"503", amlsim.CallAny, amlsim.Action{Kind: amlsim.ActStatus, Status: 503}},
		{"503 with a time", amlsim.CallAny, amlsim.Action{Kind: amlsim.ActStatus, Status: 503, RetryAfter: 2 * time.Second}},
		{"401", amlsim.CallAny, amlsim.Action{Kind: amlsim.ActStatus, Status: 401}},
		{"hanging creations", amlsim.CallCreate, amlsim.Action{Kind: amlsim.ActHang, Wait: 20 * time.Second}},
		{"resets", amlsim.CallAny, amlsim.Action{Kind: amlsim.ActReset}},
	} {
		t.Run(storm.name, func(t *testing.T) {
			create, requests := Budget{Rate: 10, Burst: 5}, Budget{Rate: 40, Burst: 10}
			sim := fleetAPI(create, requests)
			sim.Faults = []amlsim.Fault{{Call: storm.call, When: amlsim.When{From: 10 * time.Second, Until: 70 * time.Second}, Do: storm.do}}
			inWorld(t, sim, func(w *world) {
				w.create, w.requests = create, requests
				jobs := make([]queue.Job, 900)
				for i := range jobs {
					jobs[i] = person(i, false)
				}
				w.submit(jobs...)
				for i := range 3 {
					defer w.launch(fmt.Sprint("w", i)).stop()
				}
				time.Sleep(100 * time.Second)
				before := w.sim.Stats()
				time.Sleep(20 * time.Second)
				after := w.sim.Stats()
				if used := float64(after.Sessions-before.Sessions) / (create.Rate * 20); used < 0.97 {
					t.Errorf("%.1f %% of the create limit used from half a minute after the storm on", 100*used)
				}
				if after.PeakCreate.Second > 15 || after.PeakRequests.Second > 50 {
					t.Errorf("at most %d creations and %d calls in a second", after.PeakCreate.Second, after.PeakRequests.Second)
				}
				for id, e := range w.outcomes(2*time.Hour, jobs...) {
					if r, err := e.Result(); err != nil {
						f, _ := e.Failure()
						t.Fatalf("%s failed: %s", id, f.Reason)
					} else if r.SessionsCreated != 1 {
						t.Errorf("%s: %d sessions", id, r.SessionsCreated)
					}
				}
			})
		})
	}
}

// Polls that find no answer are repeated a tenth as often as there are others.
func TestUnansweredPollsMakeNoStorm(t *testing.T) {
	silence := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{From: time.Minute, Until: 11 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 500}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(90 * time.Second), Faults: []amlsim.Fault{silence}}, func(w *world) {
		w.cfg.Plan = Plan{First: 30 * time.Second, Max: 60 * time.Second, Factor: 1.5}
		jobs := people(500)
		w.submit(jobs...)
		defer w.launch("w").stop()
		time.Sleep(3 * time.Minute)
		before := w.sim.Stats().Calls[amlsim.CallSession].Total
		time.Sleep(8 * time.Minute)
		during := w.sim.Stats().Calls[amlsim.CallSession].Total - before
		// Without a bound 500 sessions would be polled once a minute.
		if most := 5 * repeatLeast; during > most {
			t.Errorf("%d polls in eight minutes of silence, want at most %d", during, most)
		}
		w.outcomes(10*time.Minute, jobs...)
	})
}

// Results that were fetched while the store was away are not lost when they
// could not be fetched again.
func TestResultThatPerishesIsHeldUntilTheStoreIsBack(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Lifetime: 10 * time.Minute, Latency: amlsim.Fixed(2 * time.Second)}, func(w *world) {
		w.cfg.ResultLifetime, w.cfg.Plan.Max = 10*time.Minute, time.Minute // always about to perish
		job := person(1, false)
		w.submit(job)
		defer w.launch("w").stop()
		for w.sim.Stats().Calls[amlsim.CallDocument].Total == 0 {
			time.Sleep(50 * time.Millisecond)
		}
		w.store.SetFault(func(op, _ string) storetest.Fault {
			if op == storetest.OpEvidencePut {
				return storetest.Fault{Kind: storetest.Lost}
			}
			return storetest.Fault{}
		})
		time.Sleep(5 * time.Minute)
		w.store.SetFault(nil)
		w.result(time.Minute, job)
		if n := w.sim.Stats().Calls[amlsim.CallDocument].Total; n != 1 {
			t.Errorf("the document was fetched %d times", n)
		}
	})
}

// A job that ends on calls without an answer leaves the fleet able to create.
func TestSilenceOfTheLastCallStopsNobody(t *testing.T) {
	cut := amlsim.Fault{Call: amlsim.CallReport, When: amlsim.When{Until: 30 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActTruncate, Bytes: 200}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Faults: []amlsim.Fault{cut}}, func(w *world) {
		first, second := person(1, true), person(2, false)
		w.submit(first)
		defer w.launch("w").stop()
		w.result(30*time.Minute, first)
		time.Sleep(10 * time.Minute)
		w.submit(second)
		w.result(5*time.Minute, second)
	})
}

// A session whose deadline passes while no call may go out is asked once more.
func TestClosedGateFailsNoSession(t *testing.T) {
	throttle := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Until: 5 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: time.Minute}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Minute), Faults: []amlsim.Fault{throttle}}, func(w *world) {
		w.cfg.SessionDeadline = 3 * time.Minute
		jobs := people(10)
		w.submit(jobs...)
		defer w.launch("w").stop()
		for id, e := range w.outcomes(20*time.Minute, jobs...) {
			if _, err := e.Result(); err != nil {
				t.Errorf("%s failed", id)
			}
		}
	})
}

// Sessions past their deadline whose polls are kept back make no storm of their own.
func TestPollsKeptBackDoNotSpin(t *testing.T) {
	silence := amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 500}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{silence}}, func(w *world) {
		w.cfg.SessionDeadline = 2 * time.Minute
		w.submit(people(100)...)
		l := w.launch("w")
		defer l.stop()
		time.Sleep(5 * time.Minute)
		before := l.worker.Stats().Acked
		time.Sleep(time.Minute)
		if steps := l.worker.Stats().Acked - before; steps > 100*4 {
			t.Errorf("%d steps in a minute for 100 sessions", steps)
		}
	})
}

// Limits that are set too high settle just below what the API allows, without
// being told.
func TestFleetSettlesBelowTheTrueLimit(t *testing.T) {
	for _, c := range []struct {
		name             string
		create, requests Budget // of the API
	}{
		{"of creations", Budget{Rate: 25, Burst: 5}, Budget{Rate: 200, Burst: 20}},
		{"of all calls", Budget{Rate: 50, Burst: 10}, Budget{Rate: 90, Burst: 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, fleetAPI(c.create, c.requests), func(w *world) {
				w.create, w.requests = Budget{Rate: 50, Burst: 10}, Budget{Rate: 200, Burst: 20}
				w.store.SetFault(slowly(3))
				jobs := make([]queue.Job, 6000)
				for i := range jobs {
					jobs[i] = person(i, false)
				}
				w.submit(jobs...)
				for i := range 4 {
					defer w.launch(fmt.Sprint("w", i)).stop()
				}
				time.Sleep(time.Minute)
				before := w.sim.Stats()
				time.Sleep(2 * time.Minute) // long enough for probes that fail to weigh little
				after := w.sim.Stats()
				calls := func(s amlsim.Stats) (n int) {
					for _, call := range []amlsim.Call{amlsim.CallCreate, amlsim.CallSession, amlsim.CallDocument} {
						n += s.Calls[call].Total - s.Calls[call].Status[429]
					}
					return n
				}
				seconds := after.Now.Sub(before.Now).Seconds()
				creates := float64(after.Sessions-before.Sessions) / (c.create.Rate * seconds)
				all := float64(calls(after)-calls(before)) / (c.requests.Rate * seconds)
				if max(creates, all) < 0.9 {
					t.Errorf("%.1f %% of the creations and %.1f %% of the calls used that the API allows", 100*creates, 100*all)
				}
			})
		})
	}
}
