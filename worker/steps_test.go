package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
)

// The table of the design, cell by cell: which record meets which message, and
// what the step then does. Each cell calls the step itself, without a loop
// around it.
func TestEachCellOfTheTable(t *testing.T) {
	const session = apiclient.SessionID("5f1c9f0e-6a55-4f0e-9c0a-0c8a2c7a5b11")
	now := func() time.Time { return time.Now().UTC() }
	queued := func(at time.Duration) Record { return Record{State: Queued, NotBefore: now().Add(at)} }
	creating := func(age time.Duration, count int) Record {
		return Record{State: Creating, Since: now().Add(-age), Counters: Counters{Recreations: count}}
	}
	waiting := func() Record {
		return Record{State: Waiting, Session: session, Country: "no", CreatedAt: now(), Counters: Counters{SessionsCreated: 1}}
	}
	failed := func() Record {
		return Record{State: Failed, Since: now(), Failure: &Failure{Reason: queue.SessionFailed, In: Waiting}}
	}
	for _, c := range []struct {
		name    string
		record  func() Record // nil: none
		attempt int           // of the record; the message's is 2
		due     bool          // a due message, else a job message

		err      error // what the step ends with
		state    State // of the record afterwards
		sessions int   // created at the API
		parked   bool  // a wake-up of attempt 2
		outcomes int
	}{
		{name: "none, job", state: Waiting, sessions: 1, parked: true},
		{name: "none, due", due: true, err: errStale},
		{name: "later attempt, job", record: waiting, attempt: 3, state: Waiting},
		{name: "later attempt, due", record: waiting, attempt: 3, due: true, state: Waiting},
		{name: "earlier attempt failed, job", record: failed, attempt: 1, state: Waiting, sessions: 1, parked: true, outcomes: 1},
		{name: "earlier attempt open, job", record: waiting, attempt: 1, err: errEarlier, state: Waiting},
		{name: "earlier attempt, due", record: failed, attempt: 1, due: true, err: errStale, state: Failed},
		{name: "queued, job", record: func() Record { return queued(time.Minute) }, state: Queued, parked: true},
		{name: "queued, due", record: func() Record { return queued(0) }, due: true, state: Waiting, sessions: 1, parked: true},
		{name: "creating and young, job", record: func() Record { return creating(19*time.Second, 0) }, state: Creating, parked: true},
		{name: "creating and young, due", record: func() Record { return creating(19*time.Second, 0) }, due: true, state: Creating, parked: true},
		{name: "creating past its deadline, job", record: func() Record { return creating(21*time.Second, 0) }, state: Waiting, sessions: 1, parked: true},
		{name: "creating past its deadline, due", record: func() Record { return creating(16*time.Minute, 2) }, due: true, state: Waiting, sessions: 1, parked: true},
		{name: "creating past its deadline, but doubtful before, due", record: func() Record { return creating(21*time.Second, 2) }, due: true, state: Creating, parked: true},
		{name: "creating for the last time, due", record: func() Record { return creating(21*time.Second, 3) }, due: true, state: Failed, outcomes: 1},
		{name: "waiting, job", record: waiting, state: Waiting, parked: true},
		{name: "failed, job", record: failed, state: Failed, outcomes: 1},
		{name: "failed, due", record: failed, due: true, state: Failed, outcomes: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Hour)}, func(w *world) {
				job := person(1, false)
				job.Attempt = 2
				key := store.Key{Batch: "b", Job: string(job.ID)}
				if c.record != nil {
					rec := c.record()
					rec.Attempt, rec.Query, rec.CustomerRef = max(c.attempt, 2), &job, job.CustomerRef
					if c.attempt > 0 {
						rec.Attempt = c.attempt
					}
					w.put(job, rec)
				}
				if err := w.step(job, c.due); !errors.Is(err, c.err) {
					t.Fatalf("the step ends with %v, want %v", err, c.err)
				}
				if c.state == none {
					if _, err := w.store.Ledger.Load(t.Context(), key); err == nil {
						t.Error("there is a record now")
					}
				} else if got := w.record(job).State; got != c.state {
					t.Errorf("the record is %s, want %s", got, c.state)
				}
				if got := w.sim.Stats().Sessions; got != c.sessions {
					t.Errorf("%d sessions, want %d", got, c.sessions)
				}
				if got, _ := w.store.Wakes.Parked(t.Context(), key, 2); got != c.parked {
					t.Errorf("parked is %v, want %v", got, c.parked)
				}
				if got := len(w.store.Outcomes.Published()); got != c.outcomes {
					t.Errorf("%d outcomes, want %d", got, c.outcomes)
				}
			})
		})
	}
}

// step calls the step of a job message, or of a due message without a session,
// and nothing else of a worker.
func (w *world) step(job queue.Job, due bool) error {
	w.t.Helper()
	cfg := w.config("step")
	client, err := apiclient.New(w.api)
	if err != nil {
		w.t.Fatal(err)
	}
	deps := w.deps("w")
	deps.Sessions, deps.Entities = client, client
	worker, err := New(cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := job.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	d := queue.NewDelivery(queue.JobSubject("b"), body, nil, nil)
	if due {
		subject, err := store.DueSubject(store.Key{Batch: "b", Job: string(job.ID)}, job.Attempt)
		if err != nil {
			w.t.Fatal(err)
		}
		d = queue.NewDelivery(subject, []byte(`{}`), nil, nil)
	}
	ctx, stop := context.WithCancel(context.Background())
	var limiting sync.WaitGroup
	limiting.Go(func() { worker.limiter.run(ctx) })
	defer limiting.Wait()
	defer stop()
	s := worker.newStep(context.Background(), d)
	s.tier = starting
	if due {
		s.tier = collecting
		return s.wakeup(context.Background(), d)
	}
	return s.intake(context.Background(), d)
}
