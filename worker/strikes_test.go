package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/store/storetest"
)

// Law 10. A step that never ends is given up, wherever it fails.
func TestStepThatIsAlwaysRefusedEndsTheJob(t *testing.T) {
	for op, want := range map[string]queue.Stage{
		storetest.OpEvidencePut: queue.Waiting,
		storetest.OpWakesPark:   queue.Waiting,
	} {
		t.Run(op, func(t *testing.T) {
			inWorld(t, amlsim.Config{}, func(w *world) {
				job, other := person(1, false), person(2, false)
				deps := refusing{op, "b.job-1"}
				w.wrap = deps.wrap
				w.submit(job, other)
				worker, stop := w.start("w")
				defer stop()
				f := w.failure(10*time.Minute, job)
				if f.Reason != queue.InternalError || f.FailedIn != want || !f.Retryable || f.SessionsCreated != 1 {
					t.Errorf("%s in %s, %d sessions", f.Reason, f.FailedIn, f.SessionsCreated)
				}
				w.result(time.Minute, other)
				if n := worker.Stats().Returned; n < maxStrikes || n > maxStrikes+1 {
					t.Errorf("given up after %d deliveries that came to nothing", n)
				}
				if w.sessionsOf(job) != 1 {
					t.Errorf("%d sessions", w.sessionsOf(job))
				}
			})
		})
	}
}

// A result that the stream of outcomes finds too large is published without
// its document.
func TestOutcomeThatIsTooLargeForItsStreamGoesWithoutItsDocument(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		w.wrap = func(d Deps) Deps {
			d.Outcomes = smallOutcomes{d.Outcomes}
			return d
		}
		job := person(1, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(time.Minute, job); len(r.Document) != 0 || len(r.Evidence) != 2 {
			t.Errorf("document of %d bytes, %d pieces of evidence", len(r.Document), len(r.Evidence))
		}
	})
}

// Trouble that passes does not count, however long it lasts and wherever it is.
// (Commits that are stored and not answered for minutes are another matter: each
// is a create call nobody knows the outcome of.)
func TestTroubleThatPassesIsNoStrike(t *testing.T) {
	for _, op := range []string{
		storetest.OpLedgerLoad, storetest.OpLedgerCommit, storetest.OpWakesPark,
		storetest.OpOutcomesPublish, storetest.OpEvidencePut,
	} {
		for _, kind := range []storetest.Kind{storetest.Lost, storetest.Unsure} {
			if op == storetest.OpLedgerCommit && kind == storetest.Unsure {
				continue
			}
			t.Run(fmt.Sprint(op, kind), func(t *testing.T) {
				inWorld(t, amlsim.Config{}, func(w *world) {
					over := time.Now().Add(5 * time.Minute)
					w.store.SetFault(func(o, key string) storetest.Fault {
						if o == op && strings.HasPrefix(key, "b.job") || o == op && op == storetest.OpEvidencePut {
							if time.Now().Before(over) {
								return storetest.Fault{Kind: kind}
							}
						}
						return storetest.Fault{}
					})
					job := person(1, false)
					w.submit(job)
					_, stop := w.start("w")
					defer stop()
					w.result(20*time.Minute, job)
					if rec := w.record(job); rec.Strikes != nil {
						t.Errorf("strikes are left: %+v", rec.Strikes)
					}
				})
			})
		}
	}
}

// Being stopped does not count: twenty workers, each stopped in mid-poll.
func TestBeingStoppedIsNoStrike(t *testing.T) {
	hang := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Times: 20}, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: time.Hour}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{hang}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		for i := range 20 {
			_, stop := w.start(fmt.Sprint("w", i))
			time.Sleep(5 * time.Second)
			stop()
		}
		_, stop := w.start("last")
		defer stop()
		w.result(time.Minute, job)
	})
}

// A worker that dies in a step leaves its message to the next one, after the
// ack wait; a step that kills every worker is given up.
func TestStepThatKillsItsWorker(t *testing.T) {
	for _, deaths := range []int{1, maxStrikes, maxStrikes + 1} {
		t.Run(fmt.Sprint(deaths), func(t *testing.T) {
			hang := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Times: deaths}, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: time.Hour}}
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Faults: []amlsim.Fault{hang}}, func(w *world) {
				job := person(1, false)
				w.submit(job)
				began := time.Now()
				for i := range deaths {
					dead := w.launch(fmt.Sprint("w", i))
					for w.sim.Stats().Faults["#1"] == i {
						time.Sleep(100 * time.Millisecond)
					}
					dead.kill()
				}
				_, stop := w.start("survivor")
				defer stop()
				if deaths > maxStrikes {
					if f := w.failure(5*time.Minute, job); f.Reason != queue.InternalError {
						t.Errorf("%s", f.Reason)
					}
					return
				}
				w.result(5*time.Minute, job)
				if took, most := time.Since(began), time.Duration(deaths)*(queue.AckWait+keepEvery)+10*time.Second; took > most {
					t.Errorf("took %v, more than %v", took, most)
				}
				if w.sessionsOf(job) != 1 {
					t.Errorf("%d sessions", w.sessionsOf(job))
				}
			})
		})
	}
}

// A worker that dies in its POST leaves a creation nobody knows the outcome of.
func TestPostThatKillsItsWorkerIsBoundedByItsRecreations(t *testing.T) {
	hang := amlsim.Fault{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: time.Hour, Applied: true}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{hang}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		for i := range 1 + maxRecreations {
			dead := w.launch(fmt.Sprint("w", i))
			for w.sim.Stats().Sessions == i {
				time.Sleep(100 * time.Millisecond)
			}
			dead.kill()
		}
		_, stop := w.start("survivor")
		defer stop()
		f := w.failure(5*time.Minute, job)
		if f.Reason != queue.CreateUnknown || !f.PossibleDuplicate || f.Recreations != maxRecreations || w.sessionsOf(job) != 1+maxRecreations {
			t.Errorf("%s, flagged %v, %d recreations, %d sessions", f.Reason, f.PossibleDuplicate, f.Recreations, w.sessionsOf(job))
		}
	})
}

// A wake-up whose record is lost must not come back for ever.
func TestWakeUpWithoutARecordEndsTheJob(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		park := store.Wake{Key: store.Key{Batch: "b", Job: "job-1"}, Attempt: 1, At: time.Now(), Value: []byte(`{}`)}
		if err := w.store.Wakes.Park(t.Context(), park); err != nil {
			t.Fatal(err)
		}
		_, stop := w.start("w")
		defer stop()
		if f := w.failure(5*time.Minute, person(1, false)); f.Reason != queue.InternalError {
			t.Errorf("%s", f.Reason)
		}
	})
}
