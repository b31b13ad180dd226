package worker

import (
	"fmt"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// Whenever a worker is stopped, it returns soon, loses nothing and pays for
// nothing twice; its messages go to the next worker at once.
func TestStopAtAnyMoment(t *testing.T) {
	for at := 10 * time.Millisecond; at < 12*time.Second; at = at*13/10 + 7*time.Millisecond {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			sim := amlsim.Config{ReadyAfter: amlsim.Fixed(2 * time.Second), ReportAfter: amlsim.Fixed(time.Second), Latency: amlsim.LogNormal(300*time.Millisecond, 1, 0, 4*time.Second)}
			inWorld(t, sim, func(w *world) {
				jobs := people(30)
				w.submit(jobs...)
				worker, stop := w.start("first")
				time.Sleep(at)
				began := time.Now()
				stop()
				if took := time.Since(began); took > w.cfg.StopGrace+time.Second {
					t.Errorf("stopped after %v", took)
				}
				if s := worker.Stats(); s.Unknowns != 0 {
					t.Errorf("%d POSTs were cut off", s.Unknowns)
				}
				_, stop = w.start("second")
				defer stop()
				for id, e := range w.outcomes(queue.AckWait, jobs...) {
					if r, err := e.Result(); err != nil || r.SessionsCreated != 1 || r.PossibleDuplicate {
						t.Errorf("%s: %s", id, e.Type)
					}
				}
				if n := w.sim.Stats().Sessions; n != len(jobs) {
					t.Errorf("%d sessions for %d jobs", n, len(jobs))
				}
			})
		})
	}
}

// A POST in flight ends and is committed, however long it takes.
func TestStopWaitsForThePost(t *testing.T) {
	slow := amlsim.Fault{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: 14 * time.Second}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Hour), Faults: []amlsim.Fault{slow}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took < 12*time.Second || took > w.cfg.PostTimeout+time.Second {
			t.Errorf("stopped after %v", took)
		}
		if rec := w.record(job); rec.State != Waiting || rec.SessionsCreated != 1 {
			t.Errorf("record is %s with %d sessions", rec.State, rec.SessionsCreated)
		}
	})
}

// Polls in flight get a moment, then they are handed back, at once.
func TestStopHandsPollsBack(t *testing.T) {
	hang := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Times: 10}, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: time.Hour}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{hang}}, func(w *world) {
		jobs := people(10)
		w.submit(jobs...)
		_, stop := w.start("first")
		time.Sleep(6 * time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > w.cfg.StopGrace+100*time.Millisecond {
			t.Errorf("stopped after %v", took)
		}
		_, stop = w.start("second")
		defer stop()
		w.outcomes(3*time.Second, jobs...)
	})
}

// A worker that waits for something that is long in coming stops at once.
func TestStopWhileWaiting(t *testing.T) {
	closed := amlsim.Fault{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: 10 * time.Minute}}
	for name, set := range map[string]func(w *world){
		"idle":                  func(*world) {},
		"for create permits":    func(w *world) { w.create = Budget{0.001, 1}; w.submit(people(20)...) },
		"for poll permits":      func(w *world) { w.requests = Budget{0.5, 1}; w.submit(people(20)...) },
		"for room":              func(w *world) { w.cfg.MaxOpen = 1; w.submit(people(20)...) },
		"for upstream to open":  func(w *world) { w.submit(people(20)...) },
		"for the store to come": func(w *world) { w.submit(people(20)...); w.store.SetFault(outage) },
	} {
		t.Run(name, func(t *testing.T) {
			sim := amlsim.Config{ReadyAfter: amlsim.Fixed(time.Hour)}
			if name == "for upstream to open" {
				sim.Faults = []amlsim.Fault{closed}
			}
			inWorld(t, sim, func(w *world) {
				set(w)
				_, stop := w.start("w")
				time.Sleep(31 * time.Second)
				began := time.Now()
				stop()
				if took := time.Since(began); took > 50*time.Millisecond {
					t.Errorf("stopped after %v", took)
				}
			})
		})
	}
}
