package worker

import (
	"context"
	"runtime"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// Waiting costs nothing: thousands of open sessions hold no goroutine.
func TestOpenSessionsHoldNoGoroutine(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(8 * time.Minute)}, func(w *world) {
		w.cfg.MaxOpen, w.cfg.RepairEvery = 5000, time.Hour
		w.cfg.Plan = Plan{First: 10 * time.Minute, Max: 10 * time.Minute, Factor: 1}
		jobs := make([]queue.Job, 3000/raceFactor)
		for i := range jobs {
			jobs[i] = person(i, false)
		}
		w.submit(jobs...)
		before := runtime.NumGoroutine()
		_, stop := w.start("w")
		defer stop()
		for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Second) {
			if open, _ := w.store.Wakes.Open(context.Background()); open == len(jobs) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the sessions were not opened")
			}
		}
		if more := runtime.NumGoroutine() - before; more > 20 {
			t.Errorf("%d goroutines more with %d open sessions", more, len(jobs))
		}
		w.outcomes(3*time.Hour, jobs...)
	})
}

// A session may be told to have failed while its document is there.
func TestDocumentOfAFailedSessionIsCollected(t *testing.T) {
	fault := amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActLiteral, Entity: amlsim.EntitySession, Literal: "COMPLETED_WITH_ERRORS"}}
	sim := amlsim.Config{ReportAfter: amlsim.Fixed(time.Hour), Shape: amlsim.ShapeNested, Faults: []amlsim.Fault{fault}}
	inWorld(t, sim, func(w *world) {
		job := person(1, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(time.Minute, job); r.Report.State != queue.ReportFailed || len(r.Document) == 0 {
			t.Errorf("report %s, document of %d bytes", r.Report.State, len(r.Document))
		}
	})
}

// Whether somebody is on a list is read as the profile says.
func TestScreeningIsReadByTheProfile(t *testing.T) {
	inWorld(t, amlsim.Config{Mix: amlsim.Mix{Clear: 1}}, func(w *world) {
		profile, err := apiclient.ReadProfile(strings.NewReader("document: {aml: another}"))
		if err != nil {
			t.Fatal(err)
		}
		w.api.Profile = profile
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(time.Minute, job); r.Outcome != queue.Undetermined {
			t.Errorf("%s, although the profile looks for the hits elsewhere", r.Outcome)
		}
	})
}
