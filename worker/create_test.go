package worker

import (
	"net/http"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store/storetest"
)

func TestAnswerLostAfterThePostIsCreatedAgainAndFlagged(t *testing.T) {
	lose := amlsim.Fault{Call: amlsim.CallCreate, When: amlsim.When{Times: 1}, Do: amlsim.Action{Kind: amlsim.ActLoseAnswer}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{lose}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		r := w.result(time.Minute, job)
		if !r.PossibleDuplicate || r.Recreations != 1 || r.SessionsCreated != 1 || w.sessionsOf(job) != 2 {
			t.Errorf("flagged %v, recreations %d, sessions %d known and %d at the API", r.PossibleDuplicate, r.Recreations, r.SessionsCreated, w.sessionsOf(job))
		}
	})
}

func TestUnknownOutcomeFailsWhenSoSet(t *testing.T) {
	for name, do := range map[string]amlsim.Action{
		"answer lost": {Kind: amlsim.ActLoseAnswer},
		"500":         {Kind: amlsim.ActStatus, Status: http.StatusInternalServerError},
		"html":        {Kind: amlsim.ActHTML},
		"hangs":       {Kind: amlsim.ActHang, Wait: time.Hour, Applied: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallCreate, Do: do}}}, func(w *world) {
				w.cfg.OnUnknown = FailUnknown
				job := person(1, false)
				w.submit(job)
				_, stop := w.start("w")
				defer stop()
				f := w.failure(time.Minute, job)
				if f.Reason != queue.CreateUnknown || !f.PossibleDuplicate || f.FailedIn != queue.Creating || w.sessionsOf(job) > 1 {
					t.Errorf("%s in %s, flagged %v, %d sessions", f.Reason, f.FailedIn, f.PossibleDuplicate, w.sessionsOf(job))
				}
			})
		})
	}
}

func TestUnknownOutcomesEndAfterThreeRecreations(t *testing.T) {
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActLoseAnswer}}}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		f := w.failure(30*time.Minute, job)
		if f.Reason != queue.CreateUnknown || f.Recreations != 3 || w.sessionsOf(job) != 4 {
			t.Errorf("%s after %d recreations, %d sessions at the API", f.Reason, f.Recreations, w.sessionsOf(job))
		}
	})
}

// What provably created nothing is tried again, for as long as it takes, and
// is neither a failure nor a possible duplicate.
func TestCallThatCreatedNothingIsRepeatedWithoutAFlag(t *testing.T) {
	for name, do := range map[string]amlsim.Action{
		"connection never made": {Kind: amlsim.ActRefuse},
		"429 with Retry-After":  {Kind: amlsim.ActStatus, Status: 429, RetryAfter: 7 * time.Second},
		"429 with a date":       {Kind: amlsim.ActStatus, Status: 429, RetryAfter: 7 * time.Second, RetryAfterDate: true},
		"429 alone":             {Kind: amlsim.ActStatus, Status: 429},
		"503 with Retry-After":  {Kind: amlsim.ActStatus, Status: 503, RetryAfter: 7 * time.Second},
		"403":                   {Kind: amlsim.ActStatus, Status: 403},
		"404":                   {Kind: amlsim.ActStatus, Status: 404},
	} {
		t.Run(name, func(t *testing.T) {
			fault := amlsim.Fault{Call: amlsim.CallCreate, When: amlsim.When{Until: 3 * time.Minute}, Do: do}
			inWorld(t, amlsim.Config{Faults: []amlsim.Fault{fault}}, func(w *world) {
				jobs := people(20)
				w.submit(jobs...)
				worker, stop := w.start("w")
				defer stop()
				for id, e := range w.outcomes(15*time.Minute, jobs...) {
					r, err := e.Result()
					if err != nil || r.PossibleDuplicate || r.SessionsCreated != 1 || r.Recreations != 0 {
						t.Errorf("%s: %s, %+v", id, e.Type, r)
					}
				}
				if n := w.sim.Stats().Sessions; n != len(jobs) {
					t.Errorf("%d sessions for %d jobs", n, len(jobs))
				}
				if s := worker.Stats(); s.NotCreated < 5 {
					t.Errorf("only %d calls met the fault", s.NotCreated)
				}
			})
		})
	}
}

func TestTokenEndpointDownCreatesNothingAndFailsNothing(t *testing.T) {
	down := amlsim.Fault{Call: amlsim.CallToken, When: amlsim.When{Until: 10 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 503}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{down}}, func(w *world) {
		jobs := people(20)
		w.submit(jobs...)
		worker, stop := w.start("w")
		defer stop()
		for id, e := range w.outcomes(30*time.Minute, jobs...) {
			if r, err := e.Result(); err != nil || r.PossibleDuplicate {
				t.Errorf("%s: %s, %v", id, e.Type, err)
			}
		}
		if s := worker.Stats(); s.Unknowns != 0 {
			t.Errorf("%d unknown outcomes", s.Unknowns)
		}
		if calls := w.sim.Stats().Calls[amlsim.CallToken].Total; calls > 100 {
			t.Errorf("%d token requests in ten minutes", calls)
		}
	})
}

func TestClosedUpstreamIsLeftAlone(t *testing.T) {
	throttle := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Times: 1}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: 5 * time.Minute}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Faults: []amlsim.Fault{throttle}}, func(w *world) {
		first := person(1, false)
		w.submit(first)
		_, stop := w.start("w")
		defer stop()
		time.Sleep(4 * time.Second) // the first poll has met its 429
		w.submit(people(50)[2:]...)
		time.Sleep(4 * time.Minute)
		calls := w.sim.Stats().Calls
		if calls[amlsim.CallCreate].Total != 1 || calls[amlsim.CallSession].Total != 1 {
			t.Errorf("calls while the upstream is closed: %+v", calls)
		}
		w.outcomes(10*time.Minute, append(people(50)[2:], first)...)
	})
}

// A session that was paid for is not bought again because the store was away
// for a while: the worker keeps the id until it can be written down.
func TestSessionIDIsKeptWhileTheStoreIsAway(t *testing.T) {
	inWorld(t, amlsim.Config{Latency: amlsim.Fixed(2 * time.Second)}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		for w.sim.Stats().Calls[amlsim.CallCreate].Total == 0 { // the call is under way
			time.Sleep(100 * time.Millisecond)
		}
		w.store.SetFault(func(string, string) storetest.Fault { return storetest.Fault{Kind: storetest.Lost} })
		time.Sleep(90 * time.Second)
		w.store.SetFault(nil)
		r := w.result(5*time.Minute, job)
		if r.PossibleDuplicate || r.SessionsCreated != 1 || w.sessionsOf(job) != 1 {
			t.Errorf("flagged %v, %d sessions known and %d at the API", r.PossibleDuplicate, r.SessionsCreated, w.sessionsOf(job))
		}
	})
}
