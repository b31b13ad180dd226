package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rescreen/queue"
	"rescreen/store"
)

// TestSimulation lets workers, store, queue and API misbehave at random for a
// while, holds the laws at every write, then lets everything recover and holds what
// came of it against the laws (laws_test.go). A failing seed is in the name of its
// subtest and goes the same way again:
//
//	RESCREEN_SEED=42 go test ./worker -run 'Simulation$' -v    that seed
//	RESCREEN_SEEDS=100000 go test ./worker -run 'Simulation$' -timeout 9h    so many, from 1 on
//
// With both, so many from that one on.
func TestSimulation(t *testing.T) {
	n := uint64(2000 / raceFactor / raceFactor)
	if fullCampaign() {
		n = 30_000
	}
	first, seeds := seedsOf(n)
	defer inOneOrder()()
	began := time.Now()
	defer func() { t.Logf("%.1f seeds per second", float64(seeds)/time.Since(began).Seconds()) }()
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { simulate(t, seed) })
	}
}

// TestSimulationReplays: a seed goes the same way again, call by call. A machine
// that takes the processor away for ten milliseconds makes the scheduler change an
// order now and then; of three runs two are the same then.
func TestSimulationReplays(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("the race detector has goroutines run in an order of its own")
	}
	defer inOneOrder()()
	first, seeds := seedsOf(40)
	seeds = min(seeds, 1000) // twice
	interrupted := 0
	for seed := first; seed < first+seeds; seed++ {
		one, other := simulate(t, seed), simulate(t, seed)
		if slices.Equal(one, other) {
			continue
		}
		interrupted++
		if third := simulate(t, seed); !slices.Equal(one, third) && !slices.Equal(other, third) {
			t.Errorf("seed %d goes another way each time: %s", seed, parting(one, other))
		}
	}
	if t.Logf("%d seeds, %d of them run a third time", seeds, interrupted); interrupted > 1+int(seeds/4) {
		t.Error("so many cannot have been interrupted")
	}
}

// seedsOf says which seeds to run: those the environment asks for, or n from 1 on.
func seedsOf(n uint64) (first, seeds uint64) {
	first = 1
	number := func(name string) (uint64, bool) {
		text, set := os.LookupEnv(name)
		if !set {
			return 0, false
		}
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
		return v, true
	}
	if one, ok := number("RESCREEN_SEED"); ok {
		first, n = one, 1
	}
	if more, ok := number("RESCREEN_SEEDS"); ok {
		n = more
	}
	return first, n
}

// parting shows where two traces part.
func parting(one, other []traced) string {
	i := 0
	for i < min(len(one), len(other)) && one[i] == other[i] {
		i++
	}
	var b strings.Builder
	for _, trace := range [][]traced{one, other} {
		fmt.Fprintf(&b, "\n")
		for _, c := range trace[max(0, i-3):min(len(trace), i+3)] {
			fmt.Fprintf(&b, "\n\t%+v", c)
		}
	}
	return b.String()
}

// inOneOrder keeps to one goroutine at a time, so that what is woken in one
// moment runs in one order. The garbage collector, which would stop goroutines
// anywhere, runs between seeds.
func inOneOrder() (undo func()) {
	processors, percent, limit := runtime.GOMAXPROCS(1), debug.SetGCPercent(-1), debug.SetMemoryLimit(2<<30)
	return func() {
		runtime.GOMAXPROCS(processors)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// simulation is one seed's.
type simulation struct {
	*world
	seed  uint64
	rng   *rand.Rand
	trial trial
	jobs  []queue.Job // of attempt 1
	meter meter
	again map[queue.JobID]bool
	names int // workers so far
}

func simulate(t *testing.T, seed uint64) []traced {
	rng := rand.New(rand.NewPCG(seed, 0))
	trial := drawTrial(rng)
	var trace []traced
	inWorld(t, trial.sim, func(w *world) {
		c := &simulation{world: w, seed: seed, rng: rng, trial: trial, again: make(map[queue.JobID]bool)}
		w.watch = newWatch()
		w.script = newScript(seed, trial.violence, mostViolence)
		c.meter.next, w.api.Transport = w.api.Transport, &c.meter
		w.launched = func(l *launched) { c.meter.add(l.worker.limiter) }
		w.cfg = trial.config(w.cfg)
		w.create, w.requests = trial.create, trial.requests
		w.store.SetFault(trial.storeFault(seed))
		w.queueFault.Store(trial.queueFault(seed))
		c.misbehave()
		w.script.calm()
		w.store.SetFault(nil)
		w.queueFault.Store(nil)
		c.recover()
		time.Sleep(longestPause) // workers that were paused still have something to say
		c.check()
		if w.t.Failed() {
			w.t.Logf("%+v\n%s", trial, w.log.tail(6000))
		}
		trace = w.script.trace
	})
	runtime.GC()
	return trace
}

// mostViolence is how many workers a seed may kill or pause: law 10 ends a job
// whose step has died six times.
const mostViolence = 4

// misbehave runs jobs and workers while everything goes wrong. Each of the
// worker's places has one worker at a time, of which some are stopped, some paused and
// some killed.
func (c *simulation) misbehave() {
	var busy sync.WaitGroup
	end := time.Now().Add(c.trial.length)
	for i := range c.trial.workers {
		lives := c.drawLives()
		busy.Go(func() { c.place(end.Add(time.Duration(i)*time.Millisecond), lives) })
	}
	for i := range c.trial.jobs {
		job := person(i, c.rng.IntN(3) == 0)
		c.jobs = append(c.jobs, job)
		c.submitAfter(job)
		if c.rng.IntN(6) == 0 { // queued twice, which the dedupe window does not always see
			c.submitAfter(job)
		}
		if c.rng.IntN(3) == 0 {
			c.again[job.ID] = true
			job.Attempt = 2
			c.submitAfter(job)
		}
	}
	busy.Wait()
	time.Sleep(time.Until(end))
}

// submitAfter queues the job at a random time of the first half.
func (c *simulation) submitAfter(job queue.Job) {
	body, err := job.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	c.submit()
	time.AfterFunc(time.Duration(c.rng.Int64N(int64(c.trial.length)/2)), func() {
		c.world.jobs.Stream().Publish(queue.JobSubject("b"), body, nil)
	})
}

// A life is how long a worker works and how that ends, if nothing befalls it.
type life struct {
	works, paused time.Duration
	end           string // stop, kill, pause
}

func (c *simulation) drawLives() []life {
	var lives []life
	violent := 0
	for range 40 {
		l := life{works: time.Second + time.Duration(c.rng.Int64N(int64(90*time.Second))), end: "stop"}
		if c.trial.violence == 0 && !c.trial.peaceful && violent < mostViolence/c.trial.workers && c.rng.IntN(2) == 0 {
			violent++
			l.end = "kill"
			if c.rng.IntN(2) == 0 {
				l.end, l.paused = "pause", drawPause(c.rng)
			}
		}
		lives = append(lives, l)
	}
	return lives
}

// place runs one worker after the other until the end.
func (c *simulation) place(end time.Time, lives []life) {
	for i := 0; time.Now().Before(end); i++ {
		l := lives[i%len(lives)]
		if i >= len(lives) {
			l.end = "stop"
		}
		w := c.launchNext()
		select {
		case <-time.After(min(l.works, time.Until(end))):
		case <-w.gate.dead:
		}
		switch l.end {
		case "kill":
			w.kill()
		case "pause":
			w.gate.shut()
			time.Sleep(l.paused)
			w.gate.open()
			time.Sleep(time.Second + c.script.pause(w.gate.name))
			w.stop()
		default:
			w.stop()
		}
	}
}

func (c *simulation) launchNext() *launched {
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
func (c *simulation) recover() {
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
}

// unfinished says what is left to do, "" when nothing is.
func (c *simulation) unfinished() string {
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
func (c *simulation) published() map[queue.JobID]map[int]queue.Event {
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

func (c *simulation) record(j queue.Job) (Record, error) {
	stored, err := c.store.Ledger.Load(context.Background(), store.Key{Batch: "b", Job: string(j.ID)})
	if err != nil {
		return Record{}, err
	}
	return decodeRecord(stored.Value)
}
