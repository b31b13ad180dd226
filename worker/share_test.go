package worker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// submitTo queues n jobs in a batch and returns them. Their names begin with
// the batch's, and so do their ids.
func (w *world) submitTo(batch queue.BatchID, n int) []queue.Job {
	w.t.Helper()
	jobs := make([]queue.Job, n)
	for i := range jobs {
		jobs[i] = person(i, false)
		jobs[i].ID = queue.JobID(fmt.Sprintf("%s-%d", batch, i))
		jobs[i].FirstName = "Batch" + jobs[i].FirstName
	}
	if err := w.jobs.EnsureConsumer(context.Background(), batch); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.jobs.Publish(context.Background(), batch, jobs); err != nil {
		w.t.Fatal(err)
	}
	return jobs
}

// gauge counts create calls under way.
type gauge struct {
	Sessions
	mu        sync.Mutex
	now, most int
}

func (g *gauge) CreateSession(ctx context.Context, admit apiclient.Admit, q apiclient.Query) (apiclient.SessionID, error) {
	g.add(1)
	defer g.add(-1)
	return g.Sessions.CreateSession(ctx, admit, q)
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// Creates that hang, of new jobs and of such as have waited before, leave a
// quarter of the slots to what is paid for.
func TestHangingCreatesDoNotStopFetches(t *testing.T) {
	outage := []amlsim.Fault{
		{Call: amlsim.CallCreate, When: amlsim.When{From: time.Minute, Until: 70 * time.Second}, Do: amlsim.Action{Kind: amlsim.ActRefuse}},
		{Call: amlsim.CallCreate, When: amlsim.When{From: 70 * time.Second}, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: time.Hour}},
	}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(2 * time.Minute), Faults: outage}, func(w *world) {
		w.cfg.Slots = 8
		paid := people(40)
		w.submit(paid...)
		creates := &gauge{}
		w.wrap = func(d Deps) Deps {
			creates.Sessions = d.Sessions
			d.Sessions = creates
			return d
		}
		_, stop := w.start("w")
		defer stop()
		time.Sleep(time.Minute)
		w.submitTo("more", 500)
		w.outcomes(3*time.Minute, paid...)
		if creates.most != 6 {
			t.Errorf("%d creates at a time in 8 slots", creates.most)
		}
	})
}

func TestSlotsOfATier(t *testing.T) {
	for _, n := range []int{3, 4, 5, 8, 64} {
		s := newSlots(n)
		ctx := t.Context()
		if err := s.take(ctx, starting); err != nil {
			t.Fatal(err)
		}
		started := 1 + s.more(starting, n)
		created := s.more(creating, n)
		collected := s.more(collecting, n)
		if started+created+collected != n || min(created, collected) < max(1, n/4) || s.free(collecting) != 0 || s.raise() {
			t.Errorf("%d slots: %d for new jobs, %d for creates, %d for the rest", n, started, created, collected)
		}
		s.release(creating, created)
		s.release(collecting, collected)
		s.release(starting, started)
		for _, ring := range s.rings {
			if len(ring) != 0 {
				t.Errorf("%d slots: a place is lost", n)
			}
		}
	}
}

// Who stops waiting for a slot has taken none.
func TestSlotThatIsNotWaitedForIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(4)
		s.more(collecting, 4)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.take(ctx, starting); err == nil {
			t.Fatal("a fifth of four slots")
		}
		s.release(collecting, 4)
		if s.free(starting) != 2 || s.free(creating) != 3 || s.free(collecting) != 4 {
			t.Errorf("free: %d, %d, %d", s.free(starting), s.free(creating), s.free(collecting))
		}
	})
}

// A batch that is submitted while a large one runs gets its share at once.
func TestBatchesAdvanceTogether(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second)}, func(w *world) {
		w.create = Budget{Rate: 10, Burst: 5}
		w.submitTo("large", 3000)
		_, stop := w.start("w")
		defer stop()
		time.Sleep(time.Minute)
		began := time.Now()
		small := w.submitTo("small", 100)
		w.outcomes(time.Minute, small...)
		if took := time.Since(began); took > 35*time.Second { // half of 10/s for 100 jobs takes 20 s
			t.Errorf("the small batch took %v", took)
		}
		done := 0
		for id := range w.published() {
			if strings.HasPrefix(string(id), "large") {
				done++
			}
		}
		if done < 600 {
			t.Errorf("the large batch has %d results", done)
		}
	})
}

// What a dead worker held of one batch comes back while another batch runs.
func TestMessagesOfADeadWorkerAreNotForgottenWhileAnotherBatchRuns(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second)}, func(w *world) {
		small := w.submitTo("small", 3)
		for range 3 { // delivered to somebody who never says anything again
			if got, err := w.jobs.Pull(t.Context(), "small", 1); err != nil || len(got) != 1 {
				t.Fatal(got, err)
			}
		}
		w.create = Budget{Rate: 5, Burst: 5}
		w.submitTo("large", 3000)
		_, stop := w.start("w")
		defer stop()
		w.outcomes(queue.AckWait+15*time.Second, small...)
	})
}

func TestOpenSessionsStayBelowTheirLimit(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(20 * time.Second), Latency: amlsim.Fixed(300 * time.Millisecond)}, func(w *world) {
				w.cfg.MaxOpen = 40
				w.create = Budget{Rate: 20, Burst: 5}
				jobs := people(200)
				w.submit(jobs...)
				for i := range workers {
					_, stop := w.start(fmt.Sprint("w", i))
					defer stop()
				}
				most := 0
				for len(w.published()) < len(jobs) {
					most = max(most, w.sim.Stats().Open)
					time.Sleep(500 * time.Millisecond)
				}
				if most > w.cfg.MaxOpen || most < 30 {
					t.Errorf("%d sessions open at a time, the limit is %d", most, w.cfg.MaxOpen)
				}
			})
		})
	}
}

// New jobs that wait for their permits keep no slot from polls.
func TestScarceCreatesKeepNoSlotFromPolls(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(30 * time.Second), Latency: amlsim.Fixed(time.Second)}, func(w *world) {
		w.cfg.Slots = 8
		w.create, w.requests = Budget{Rate: 0.5, Burst: 1}, Budget{Rate: 1000, Burst: 100}
		jobs := people(10)
		w.submit(jobs...)
		w.submitTo("many", 1000)
		worker, stop := w.start("w")
		defer stop()
		time.Sleep(20 * time.Second)
		if free := worker.slots.free(collecting); free < 4 {
			t.Errorf("%d of 8 slots are free while one create goes out every two seconds", free)
		}
	})
}
