package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"rescreen/queue"
)

// OnUnknown says what becomes of a create call whose outcome is unknown.
type OnUnknown string

const (
	// Recreate repeats the call, at most three times, and flags the job.
	Recreate OnUnknown = "recreate"
	// FailUnknown fails the job with create_unknown.
	FailUnknown OnUnknown = "fail"
)

// Config is how a worker behaves. Every field must be set; Validate says what
// is wrong in the names of the command's flags.
type Config struct {
	// APIEnv names the environment in the source of every event.
	APIEnv string
	// ID tells this worker from the others in logs and claims.
	ID string
	// Slots is how many steps run at a time, at least 3.
	Slots int
	// Create, Requests and MaxOpen are the first limits of a fleet that has none:
	// sessions created, all calls, and sessions open at a time.
	Create, Requests Budget
	MaxOpen          int
	// PostTimeout bounds a create call; it must end well inside the 20 s after
	// which its outcome counts as unknown.
	PostTimeout time.Duration
	Plan        Plan
	// SessionDeadline is how long a session may take before the job fails.
	SessionDeadline time.Duration
	// ResultLifetime is how long results can be fetched after they are ready.
	ResultLifetime time.Duration
	OnUnknown      OnUnknown
	// AllowTestNumbers accepts synthetic and aid numbers.
	AllowTestNumbers bool
	// MaxEventBytes bounds an outcome event; the document is left out of a
	// result that would be larger.
	MaxEventBytes int
	// StopGrace is how long polls and fetches in flight may go on after a
	// stop. A create call always ends.
	StopGrace time.Duration
	// IdleWait is how long one request for a due wake-up waits at the server, and
	// so how long an idle worker may take to stop. LookEvery is how often an idle
	// worker asks for new jobs.
	IdleWait, LookEvery time.Duration
	// RepairEvery is the pause between two passes of the repair, RepairRate
	// how many records it reads per second, RepairAge how old a record must be
	// to be looked at.
	RepairEvery time.Duration
	RepairRate  float64
	RepairAge   time.Duration
}

// DefaultConfig returns the documented defaults; APIEnv and ID are left to the
// caller.
func DefaultConfig() Config {
	return Config{
		Slots:           64,
		Create:          Budget{Rate: 5, Burst: 5},
		Requests:        Budget{Rate: 20, Burst: 10},
		MaxOpen:         10_000,
		PostTimeout:     15 * time.Second,
		Plan:            Plan{First: 2 * time.Second, Max: 60 * time.Second, Factor: 1.6},
		SessionDeadline: 24 * time.Hour,
		ResultLifetime:  2 * time.Hour,
		OnUnknown:       Recreate,
		MaxEventBytes:   queue.MaxEventBytes,
		StopGrace:       5 * time.Second,
		IdleWait:        time.Second,
		LookEvery:       500 * time.Millisecond,
		RepairEvery:     30 * time.Second,
		RepairRate:      200,
		RepairAge:       time.Minute,
	}
}

// Validate reports every setting that cannot work, in the users' names.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.APIEnv != "", "--api-env must be set")
	check(c.ID != "", "the worker needs an id")
	check(c.Slots >= tiers, "--slots must be at least %d, so that fetches never wait behind creates, nor those behind new jobs", tiers)
	for _, b := range []struct {
		name string
		Budget
	}{{"create", c.Create}, {"request", c.Requests}} {
		if err := b.Validate(); err != nil {
			check(false, "--%s-rate and --%s-burst: %w", b.name, b.name, err)
		}
	}
	check(c.MaxOpen >= 1, "--max-open must be at least 1")
	check(c.PostTimeout >= time.Second && c.PostTimeout <= CreateClaim-2*time.Second,
		"--post-timeout must be between 1s and 18s: 20s after it started, a create call counts as unknown")
	check(c.Plan.First > 0, "--poll-first must be above 0")
	check(c.Plan.Factor >= 1, "--poll-factor must be at least 1")
	check(c.Plan.Max >= c.Plan.First, "--poll-max must not be below --poll-first")
	check(c.ResultLifetime > 0, "--result-lifetime must be above 0")
	check(c.Plan.Max < c.ResultLifetime/2, "--poll-max must be below half of --result-lifetime, or results perish between two polls")
	check(c.SessionDeadline > 0, "--session-deadline must be above 0")
	check(c.OnUnknown == Recreate || c.OnUnknown == FailUnknown, "--on-unknown must be recreate or fail")
	check(c.MaxEventBytes >= 64<<10, "the message limit must be at least 64 KiB")
	check(c.IdleWait > 0 && c.LookEvery > 0, "an idle worker needs a pace")
	check(c.RepairEvery > 0 && c.RepairRate > 0 && c.RepairAge > 0, "the repair needs a pace")
	return errors.Join(problems...)
}

// Deps is what a worker works with.
type Deps struct {
	Ledger    Ledger
	Wakes     Wakes
	Outcomes  Outcomes
	Evidence  Evidence
	Registers Registers
	Signals   Signals
	Clock     Clock
	Sessions  Sessions
	Entities  Entities
	Due       Due
	Jobs      Jobs
	Batches   Batches
	// Health is told of what goes wrong; nil if nobody wants to know.
	Health *Health
	// Metrics is where the worker counts; nil if nobody collects it.
	Metrics *Metrics
	// Tracer makes a span of each step; nil for none.
	Tracer trace.Tracer
	Log    *zap.Logger
}

// Worker takes jobs through their lives. Any number of workers may share one
// store and queue.
type Worker struct {
	cfg       Config
	plan      Plan
	ledger    Ledger
	wakes     Wakes
	outcomes  Outcomes
	evidence  Evidence
	registers Registers
	clock     Clock
	sessions  Sessions
	entities  Entities
	due       Due
	jobs      Jobs
	batches   Batches
	limiter   *limiter
	health    *Health
	metrics   *Metrics
	tracer    trace.Tracer
	logger    *zap.Logger
	lines     *stepLog
	counts    counts
	slots     slots
	creations atomic.Int64 // steps under way that may create a session
	suspects  sync.Mutex   // held by the one step under way that was struck before
	flight    flight
}

// New returns a worker that is ready to Run.
func New(cfg Config, d Deps) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if d.Health == nil {
		d.Health = NewHealth(d.Log, func(error) Diagnosis { return Diagnosis{} })
	}
	if d.Metrics == nil {
		d.Metrics = NewMetrics()
	}
	w := &Worker{
		cfg: cfg, plan: cfg.Plan,
		ledger: d.Ledger, wakes: d.Wakes, outcomes: d.Outcomes, evidence: d.Evidence, registers: d.Registers, clock: d.Clock,
		sessions: d.Sessions, entities: d.Entities,
		due: d.Due, jobs: d.Jobs, batches: d.Batches,
		health: d.Health, metrics: d.Metrics, tracer: d.Tracer, logger: d.Log, lines: newStepLog(d.Log),
		slots:  newSlots(cfg.Slots),
		flight: newFlight(),
	}
	w.limiter = newLimiter(limiterConfig{
		register: LimitsRegister(cfg.APIEnv), by: cfg.ID,
		first:    NewLimits(cfg.Create, cfg.Requests, cfg.MaxOpen, "worker "+cfg.ID, time.Time{}),
		lifetime: cfg.ResultLifetime, creating: func() int { return int(w.creations.Load()) }, open: d.Wakes.Open,
		registers: d.Registers, signals: d.Signals, clock: d.Clock, health: d.Health, log: d.Log,
	})
	return w, nil
}

// Run works until ctx ends, then lets the steps in flight end and returns
// when nothing it started is left. Trouble with store, queue or API is logged
// and waited out.
func (w *Worker) Run(ctx context.Context) {
	steps, endSteps := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endSteps(nil)

	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	var keeper sync.WaitGroup
	keeper.Go(func() { w.keepAlive(background) })
	keeper.Go(func() { w.limiter.run(background) })

	d := &dispatcher{Worker: w, steps: steps, stop: ctx, lobby: newLobby()}
	var loops sync.WaitGroup
	loops.Go(func() { d.dueLoop(ctx) })
	loops.Go(func() { d.jobsLoop(ctx) })
	loops.Go(func() { w.repairLoop(ctx) })
	loops.Wait()

	// Creates and commits go on under their own deadlines; what can be
	// repeated elsewhere gets a moment to end by itself.
	grace := time.AfterFunc(w.cfg.StopGrace, func() { endSteps(errStopping) })
	defer grace.Stop()
	d.running.Wait()
	endBackground()
	keeper.Wait()
}

// Quota takes in what a RateLimit header of the API tells: how many calls, or
// creations, are left until there are more. It can only slow the fleet down.
func (w *Worker) Quota(creation bool, remaining int, reset time.Duration) {
	class := Poll
	if creation {
		class = Create
	}
	w.limiter.hear(quotaAnswer(class, w.clock.Now(), remaining, reset))
}
