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
