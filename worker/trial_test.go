package worker

import (
	"errors"
	"math/rand/v2"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue/queuetest"
	"rescreen/store/storetest"
)

// trial is what a seed chooses.
type trial struct {
	workers, jobs    int
	length           time.Duration // for how long things go wrong
	create, requests Budget
	slots, maxOpen   int
	onUnknown        OnUnknown
	storeTrouble     float64 // share of the calls of the store that go wrong
	queueTrouble     float64
	peaceful         bool    // nothing that could leave the outcome of a creation unknown
	violence         float64 // share of the calls at which a worker is killed or paused
	sim              amlsim.Config
}

func drawTrial(rng *rand.Rand) trial {
	t := trial{
		workers: 1 + rng.IntN(3), jobs: 1 + rng.IntN(10), length: time.Duration(1+rng.IntN(6)) * time.Minute,
		create: Budget{0.2 + 20*rng.Float64(), 1 + rng.IntN(5)}, requests: Budget{2 + 40*rng.Float64(), 1 + rng.IntN(10)},
		slots: 3 + rng.IntN(10), maxOpen: 1 + rng.IntN(20), onUnknown: Recreate,
		storeTrouble: pick(rng, 0, 0.02, 0.1, 0.3), queueTrouble: pick(rng, 0, 0.05, 0.3),
		violence: pick(rng, 0, 0.001, 0.01, 0.1),
	}
	if rng.IntN(4) == 0 {
		t.onUnknown = FailUnknown
	}
	t.sim = amlsim.Config{
		Seed:        rng.Uint64(),
		ReadyAfter:  amlsim.LogNormal(time.Duration(1+rng.IntN(60))*time.Second, 1, 0, 10*time.Minute),
		ReportAfter: amlsim.LogNormal(time.Duration(1+rng.IntN(60))*time.Second, 1, 0, 10*time.Minute),
		Latency:     amlsim.LogNormal(pick(rng, time.Millisecond, 200*time.Millisecond, 3*time.Second), 1, 0, 40*time.Second),
		Lifetime:    trialLifetime, Shape: amlsim.ShapeMixed,
	}
	if rng.IntN(3) == 0 {
		t.sim.Fates = amlsim.Fates{Fail: 0.1, Expire: 0.1, Vanish: 0.1, Never: 0.05, ReportNever: 0.1, ReportFail: 0.1}
	}
	for range rng.IntN(8) {
		t.sim.Faults = append(t.sim.Faults, drawAPIFault(rng, t.length))
	}
	if t.peaceful = rng.IntN(8) == 0; t.peaceful {
		t.storeTrouble, t.violence, t.sim.Faults = 0, 0, nil
		t.sim.Latency = amlsim.LogNormal(200*time.Millisecond, 1, 0, 5*time.Second)
	}
	return t
}

// Lifetimes far shorter than the true ones keep a trial short. They are longer
// than what goes wrong, and the pauses after it.
const (
	trialLifetime = 15 * time.Minute
	trialDeadline = 30 * time.Minute
)

func (t trial) config(c Config) Config {
	c.Slots, c.MaxOpen, c.OnUnknown = t.slots, t.maxOpen, t.onUnknown
	c.ResultLifetime, c.SessionDeadline = trialLifetime, trialDeadline
	c.IdleWait, c.LookEvery = 10*time.Second, 5*time.Second // idle workers talk less, more seeds
	c.Plan = Plan{First: 2 * time.Second, Max: 30 * time.Second, Factor: 1.6}
	return c
}

// drawAPIFault chooses what a share of the calls of one kind meets.
func drawAPIFault(rng *rand.Rand, until time.Duration) amlsim.Fault {
	wait := time.Duration(1+rng.IntN(40)) * time.Second
	applied := rng.IntN(2) == 0
	kinds := []amlsim.Action{
		{Kind: amlsim.ActStatus, Status: 500, Applied: applied},
		{Kind: amlsim.ActStatus, Status: 502},
		{Kind: amlsim.ActStatus, Status: 429, RetryAfter: wait},
		{Kind: amlsim.ActStatus, Status: 429},
		{Kind: amlsim.ActStatus, Status: 503, RetryAfter: wait},
		{Kind: amlsim.ActStatus, Status: 403},
		{Kind: amlsim.ActStatus, Status: 404},
		{Kind: amlsim.ActRefuse},
		{Kind: amlsim.ActReset, Applied: applied},
		{Kind: amlsim.ActLoseAnswer, Wait: wait / 2},
		{Kind: amlsim.ActHang, Wait: wait, Applied: applied},
		{Kind: amlsim.ActTruncate, Bytes: 20},
		{Kind: amlsim.ActGarbage},
		{Kind: amlsim.ActHTML},
		{Kind: amlsim.ActRevoke},
	}
	call := pick(rng, amlsim.CallCreate, amlsim.CallCreate, amlsim.CallSession, amlsim.CallDocument, amlsim.CallReport, amlsim.CallToken, amlsim.CallAny)
	return amlsim.Fault{Call: call, When: amlsim.When{Probability: pick(rng, 0.05, 0.3, 1), Until: until}, Do: pick(rng, kinds...)}
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// storeFault is the store's fault hook.
func (t trial) storeFault(seed uint64) func(op, key string) storetest.Fault {
	lots := newLots(seed)
	return func(op, key string) storetest.Fault {
		if op == storetest.OpEvidencePut || op == storetest.OpEvidenceGet {
			key = "" // a hash; of a report it depends on the randomness of its signature
		}
		rng := lots.draw(op, key)
		if rng.Float64() >= t.storeTrouble {
			return storetest.Fault{}
		}
		kind := pick(rng, storetest.Lost, storetest.Unsure, storetest.Late, storetest.Slow, storetest.Conflict, storetest.Stale, storetest.Overtaken, storetest.Twice, storetest.Stuck)
		return storetest.Fault{Kind: kind, Delay: time.Duration(1 + rng.Int64N(int64(30*time.Second)))}
	}
}

var errQueue = errors.New("queue out of reach")

// queueFault is the fault hook of jobs and due messages.
func (t trial) queueFault(seed uint64) *queuetest.Fault {
	lots := newLots(seed + 1)
	var fault queuetest.Fault = func(op, subject string) error {
		rng := lots.draw(op, subject)
		switch {
		case rng.Float64() >= t.queueTrouble:
			return nil
		case op == "pull" && rng.IntN(2) == 0:
			return queuetest.ErrAnswerLost
		case rng.IntN(2) == 0:
			return queuetest.ErrLost
		}
		return errQueue
	}
	return &fault
}
