package worker

import (
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
)

// queueAgain queues a later attempt of the job.
func (w *world) queueAgain(j queue.Job, attempt int) {
	w.t.Helper()
	j.Attempt = attempt
	w.submit(j)
}

// outcomesOf counts the job's outcomes by attempt.
func (w *world) outcomesOf(j queue.Job) map[int]int {
	n := make(map[int]int)
	for _, o := range w.store.Outcomes.Published() {
		if o.Key.Job == string(j.ID) {
			n[o.Attempt]++
		}
	}
	return n
}

func TestSecondAttemptAfterAFailure(t *testing.T) {
	fail := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Until: time.Minute}, Do: amlsim.Action{Kind: amlsim.ActFate, Fate: amlsim.FateFail}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{fail}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		w.failure(time.Minute, job)
		time.Sleep(time.Minute)
		w.queueAgain(job, 2)
		time.Sleep(time.Minute)
		if n := w.outcomesOf(job); n[1] != 1 || n[2] != 1 {
			t.Fatalf("outcomes by attempt: %v", n)
		}
		last := w.store.Outcomes.Published()[1]
		e, err := queue.DecodeEvent(last.Value)
		if err != nil || last.Failed {
			t.Fatalf("second attempt failed (%v)", err)
		}
		if r, err := e.Result(); err != nil || r.Attempt != 2 || r.SessionsCreated != 1 {
			t.Errorf("%v, %+v", err, r)
		}
		// A wake-up of the first attempt that turns up now does nothing.
		zombie := store.Wake{Key: last.Key, Attempt: 1, At: time.Now(), Value: []byte(`{}`)}
		if err := w.store.Wakes.Park(t.Context(), zombie); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.sessionsOf(job); n != 2 || len(w.outcomesOf(job)) != 2 || w.due.Len() != 0 {
			t.Errorf("%d sessions, outcomes %v, %d due messages", n, w.outcomesOf(job), w.due.Len())
		}
	})
}

// A first attempt whose failure was never published makes it known before it
// makes way.
func TestSecondAttemptPublishesTheFailureOfTheFirst(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		w.cfg.RepairEvery = time.Hour
		job := person(1, false)
		w.put(job, Record{Attempt: 1, Query: &job}.fail(time.Now(), queue.SessionFailed, 0, ""))
		w.queueAgain(job, 2)
		_, stop := w.start("w")
		defer stop()
		time.Sleep(time.Minute)
		if n := w.outcomesOf(job); n[1] != 1 || n[2] != 1 {
			t.Errorf("outcomes by attempt: %v", n)
		}
	})
}

func TestSecondAttemptAfterAResultIsDropped(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		w.result(time.Minute, job)
		w.queueAgain(job, 2)
		time.Sleep(time.Minute)
		if n := w.outcomesOf(job); len(n) != 1 || w.sessionsOf(job) != 1 || w.jobs.Stream().Len() != 0 {
			t.Errorf("outcomes %v, %d sessions, %d messages", n, w.sessionsOf(job), w.jobs.Stream().Len())
		}
	})
}

func TestSecondAttemptWaitsForTheFirst(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(5 * time.Minute), Fates: amlsim.Fates{Fail: 1}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		worker, stop := w.start("w")
		defer stop()
		time.Sleep(5 * time.Second)
		w.queueAgain(job, 2)
		time.Sleep(4 * time.Minute)
		if n := len(w.outcomesOf(job)); n != 0 || w.sessionsOf(job) != 1 {
			t.Errorf("%d outcomes and %d sessions while the first attempt is open", n, w.sessionsOf(job))
		}
		if n := worker.Stats().Returned; n > 20 {
			t.Errorf("the second attempt came back %d times in four minutes", n)
		}
		time.Sleep(10 * time.Minute)
		if n := w.outcomesOf(job); n[1] != 1 || n[2] != 1 || w.sessionsOf(job) != 2 {
			t.Errorf("outcomes %v, %d sessions", n, w.sessionsOf(job))
		}
	})
}

// A poll of the first attempt that was under way all the time ends when the
// second one has begun, and changes nothing.
func TestPollOfAnEarlierAttemptChangesNothing(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Minute)}, func(w *world) {
		w.watch = newWatch()
		job := person(1, false)
		w.submit(job)
		zombie := w.launch("zombie")
		time.Sleep(59 * time.Second)
		zombie.gate.shut() // with a poll on its way, or just before one
		w.put(job, w.record(job).fail(time.Now(), queue.SessionTimeout, 0, ""))
		w.queueAgain(job, 2)
		other := w.launch("other")
		defer other.stop()
		time.Sleep(30 * time.Second)
		zombie.gate.open()
		time.Sleep(10 * time.Minute)
		zombie.stop()
		if n := w.outcomesOf(job); n[1] != 1 || n[2] != 1 || w.sessionsOf(job) != 2 {
			t.Errorf("outcomes %v, %d sessions", n, w.sessionsOf(job))
		}
		for _, p := range w.watch.problems {
			t.Error(p)
		}
	})
}
