package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/queue"
	"rescreen/store"
)

// TestChaos lets workers, store, queue and API misbehave at random for a while,
// then lets everything recover, and holds what came of it against the laws. A
// failing seed is in the name of its subtest:
//
//	RESCREEN_CHAOS_SEED=42 go test ./worker -run Chaos        that seed
//	RESCREEN_CHAOS_SEEDS=5000 go test ./worker -run Chaos     more of them
//
// With both, so many from that one on.
func TestChaos(t *testing.T) {
	first, seeds := uint64(1), uint64(90/raceFactor)
	if one, err := strconv.ParseUint(os.Getenv("RESCREEN_CHAOS_SEED"), 10, 64); err == nil {
		first, seeds = one, 1
	}
	if more, err := strconv.ParseUint(os.Getenv("RESCREEN_CHAOS_SEEDS"), 10, 64); err == nil {
		seeds = more
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { chaos(t, seed) })
	}
}

// chaosRun is one seed's.
type chaosRun struct {
	*world
	seed  uint64
	rng   *rand.Rand
	trial trial
	jobs  []queue.Job // of attempt 1
	meter meter
	again map[queue.JobID]bool
	names int // workers so far
}

func chaos(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	trial := drawTrial(rng)
	inWorld(t, trial.sim, func(w *world) {
		c := &chaosRun{world: w, seed: seed, rng: rng, trial: trial, again: make(map[queue.JobID]bool)}
		w.watch = newWatch()
		c.meter.next, w.api.Transport = w.api.Transport, &c.meter
		w.launched = func(l *launched) { c.meter.add(l.worker.limiter) }
		w.cfg = trial.config(w.cfg)
		w.create, w.requests = trial.create, trial.requests
		w.store.SetFault(trial.storeFault(seed))
		w.queueFault.Store(trial.queueFault(seed))
		c.misbehave()
		w.store.SetFault(nil)
		w.queueFault.Store(nil)
		c.recover()
		c.check()
		if t.Failed() {
			t.Logf("%+v\n%s", trial, w.log.tail(6000))
		}
	})
}

// misbehave runs jobs and workers while everything goes wrong. Each of the
// worker's places has one worker at a time, of which some are stopped, some paused and
// some killed.
func (c *chaosRun) misbehave() {
	var busy sync.WaitGroup
	end := time.Now().Add(c.trial.length)
	for range c.trial.workers {
		lives := c.drawLives()
		busy.Go(func() { c.place(end, lives) })
	}
	for i := range c.trial.jobs {
		job := person(i, c.rng.IntN(3) == 0)
		c.jobs = append(c.jobs, job)
		c.submitAfter(job)
		if c.rng.IntN(6) == 0 { // queued twice, which the dedupe window does not always see
			c.submitAfter(job)
		}
		if c.rng.IntN(6) == 0 {
			c.again[job.ID] = true
			job.Attempt = 2
			c.submitAfter(job)
		}
	}
	busy.Wait()
	time.Sleep(time.Until(end))
}

// submitAfter queues the job at a random time of the first half.
func (c *chaosRun) submitAfter(job queue.Job) {
	body, err := job.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	c.submit()
	time.AfterFunc(time.Duration(c.rng.Int64N(int64(c.trial.length)/2)), func() {
		c.world.jobs.Stream().Publish(queue.JobSubject("b"), body, nil)
	})
}

// A life is how long a worker works and how that ends.
type life struct {
	works, paused time.Duration
	end           string // stop, kill, pause
}

func (c *chaosRun) drawLives() []life {
	var lives []life
	violent := 0 // law 10 ends a job whose step died six times
	for range 40 {
		l := life{works: time.Duration(1+c.rng.IntN(90)) * time.Second, end: "stop"}
		if violent < 4/c.trial.workers && c.rng.IntN(2) == 0 {
			violent++
			l.end = "kill"
			if c.rng.IntN(2) == 0 {
				l.end, l.paused = "pause", time.Duration(1+c.rng.IntN(60))*time.Second
			}
		}
		lives = append(lives, l)
	}
	return lives
}

// place runs one worker after the other until the end.
func (c *chaosRun) place(end time.Time, lives []life) {
	for i := 0; time.Now().Before(end); i++ {
		l := lives[i%len(lives)]
		if i >= len(lives) {
			l.end = "stop"
		}
		w := c.launchNext()
		time.Sleep(min(l.works, time.Until(end)))
		switch l.end {
		case "kill":
			w.kill()
		case "pause":
			w.gate.shut()
			time.Sleep(l.paused)
			w.gate.open()
			time.Sleep(time.Second)
			w.stop()
		default:
			w.stop()
		}
	}
}

func (c *chaosRun) launchNext() *launched {
	c.watch.mu.Lock()
	c.names++
	id := fmt.Sprintf("w%d", c.names)
	c.watch.mu.Unlock()
	return c.launch(id)
}

// recovery bounds how long everything may take to end once nothing goes wrong
// any more: three sessions that run into their deadline, and polls on the way.
const recovery = 4 * time.Hour

// recover lets workers finish what is there.
func (c *chaosRun) recover() {
	for range c.trial.workers {
		defer c.launchNext().stop()
	}
	for deadline := time.Now().Add(recovery); ; time.Sleep(2 * time.Second) {
		left := c.unfinished()
		if left == "" {
			break
		}
		if time.Now().After(deadline) {
			c.t.Errorf("not finished: %s", left)
			break
		}
	}
	synctest.Wait()
}

// unfinished says what is left to do, "" when nothing is.
func (c *chaosRun) unfinished() string {
	if n := c.world.jobs.Stream().Len(); n > 0 {
		return fmt.Sprintf("%d job messages", n)
	}
	if n, _ := c.store.Wakes.Open(context.Background()); n > 0 {
		return fmt.Sprintf("%d wake-ups", n)
	}
	out := c.published()
	for _, j := range c.jobs {
		if len(out[j.ID]) == 0 {
			return fmt.Sprintf("no outcome of %s", j.ID)
		}
	}
	return ""
}

// published returns all events by job and attempt.
func (c *chaosRun) published() map[queue.JobID]map[int]queue.Event {
	out := make(map[queue.JobID]map[int]queue.Event)
	for _, o := range c.store.Outcomes.Published() {
		e, err := queue.DecodeEvent(o.Value)
		if err != nil {
			c.t.Fatal(err)
		}
		if out[e.JobID] == nil {
			out[e.JobID] = make(map[int]queue.Event)
		}
		if _, twice := out[e.JobID][o.Attempt]; twice {
			c.t.Fatalf("%s has two outcomes", e.ID)
		}
		out[e.JobID][o.Attempt] = e
	}
	return out
}

func (c *chaosRun) record(j queue.Job) (Record, error) {
	stored, err := c.store.Ledger.Load(context.Background(), store.Key{Batch: "b", Job: string(j.ID)})
	if err != nil {
		return Record{}, err
	}
	return decodeRecord(stored.Value)
}
