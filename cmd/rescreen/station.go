package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// statusEvery is how often a running worker says in its log how it is doing.
const statusEvery = time.Minute

// errConnectionLost is the cause with which a worker ends whose connection to
// NATS has been closed for good.
var errConnectionLost = errors.New("connection to NATS was closed for good")

// station is a worker with everything it works with, put together in the
// order in which the parts depend on each other.
type station struct {
	now     func() time.Time
	link    *natsLink
	client  *apiclient.Client
	store   *store.Store
	jobs    *queue.Jobs
	batches *queue.Batches
	due     *queue.Puller
	health  *worker.Health
	login   login
	metrics *worker.Metrics
	worker  *worker.Worker
	calls   *callMetrics
	facts   factsCollector
	loops   []*factsLoop // that read the facts; none if nobody asks for metrics
	servers *serversCollector
	tracer  trace.Tracer
	log     *zap.Logger
}

// newStation puts a worker together, with faults between it and its
// surroundings unless that is nil. Without a tracer it traces nothing. It makes no call to the API.
func newStation(ctx context.Context, now func() time.Time, link *natsLink, s workerSettings, tracer trace.Tracer, log *zap.Logger, f faults) (*station, error) {
	st := &station{
		now: now, link: link, tracer: tracer, log: log,
		health: worker.NewHealth(log, link.diagnose), metrics: worker.NewMetrics(), calls: newCallMetrics(),
	}
	link.denied.tell(st.health)
	api, err := s.API.clientConfig(s.Lifecycle, log)
	if err != nil {
		return nil, err
	}
	api.Now = now
	api.OnQuota = func(creation bool, q apiclient.Quota) { st.worker.Quota(creation, q.Remaining, q.Reset) }
	api.OnToken = func(err error) {
		st.health.Heard(worker.TokenHealth, err)
		st.login.heard(err)
		st.calls.token(err)
	}
	api.OnCall = st.calls.called
	if f != nil {
		f.api(&api)
	}
	if st.client, err = apiclient.New(api); err != nil {
		return nil, usageError(err, "")
	}
	if err := st.open(ctx); err != nil {
		return nil, setUpFirst(err)
	}
	st.servers = newServersCollector(s.NATS)
	deps := st.deps()
	if f != nil {
		f.deps(&deps)
	}
	st.worker, err = worker.New(s.workerConfig(int(link.Conn.MaxPayload())), deps)
	if err != nil {
		return nil, usageError(err, "")
	}
	st.observe(s)
	return st, nil
}

// observe has the facts about the fleet read while the station runs, if anybody can
// ask for them.
func (st *station) observe(s workerSettings) {
	f, loop := st.newFacts(s)
	st.facts = factsCollector{facts: f, slots: s.Lifecycle.Slots, callTime: st.calls.mean.get}
	if s.HTTPAddr == "" {
		return
	}
	st.loops = append(st.loops, loop)
	if s.BatchMetrics {
		desk := &batchDesk{js: st.link.JS, jobs: st.jobs, batches: st.batches}
		st.loops = append(st.loops, newBatchWatch(desk, st.store.Registers, cmp.Or(s.id, workerID()), st.store.Clock.Now, st.log).loop(f))
	}
}

// deps is what the worker works with.
func (st *station) deps() worker.Deps {
	return worker.Deps{
		Ledger: st.store.Ledger, Wakes: st.store.Wakes, Outcomes: st.store.Outcomes, Evidence: st.store.Evidence,
		Registers: st.store.Registers, Signals: st.store.Signals, Clock: st.store.Clock,
		Sessions: st.client, Entities: st.client,
		Due: st.due, Jobs: st.jobs, Batches: queue.NewCaretaker(st.jobs, st.batches),
		Health: st.health, Metrics: st.metrics, Tracer: st.tracer, Log: st.log,
	}
}

// open looks up everything in NATS.
func (st *station) open(ctx context.Context) (err error) {
	if st.store, err = store.Open(ctx, st.link.JS, st.now, store.Listen(st.heard)); err != nil {
		return err
	}
	if st.jobs, err = queue.OpenJobs(ctx, st.link.JS); err != nil {
		return err
	}
	if st.batches, err = queue.OpenBatches(ctx, st.link.JS); err != nil {
		return err
	}
	st.due, err = queue.OpenPuller(ctx, st.link.JS, store.WakesStream, store.DueConsumerName)
	return err
}

// heard passes on what the store tells of its requests.
func (st *station) heard(stream string, write bool, err error) {
	verb := "read "
	if write {
		verb = "write "
	}
	st.health.Heard(verb+stream, err)
}

// run works until ctx ends or the connection is closed for good.
func (st *station) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var background sync.WaitGroup
	background.Go(func() { st.store.Clock.Run(ctx) })
	background.Go(func() { st.report(ctx) })
	background.Go(func() { st.logIn(ctx) })
	for _, l := range st.loops {
		background.Go(func() { l.run(ctx) })
	}
	background.Go(func() { st.servers.run(ctx, st.log) })
	background.Go(func() {
		select {
		case <-st.link.Lost:
			cancel(errConnectionLost)
		case <-ctx.Done():
		}
	})
	st.worker.Run(ctx)
	cause := context.Cause(ctx)
	background.Wait()
	st.client.Close()
	if errors.Is(cause, errConnectionLost) {
		return failedError(cause, "Everything is in the streams: start the worker again when NATS lets it in.")
	}
	return nil
}

// report logs how the worker is doing, until ctx ends.
func (st *station) report(ctx context.Context) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			s := st.worker.Stats()
			st.log.Info("status",
				zap.Int64("created", s.Created), zap.Int64("polls", s.Polls), zap.Int64("fetches", s.Fetches),
				zap.Int64("done", s.Done), zap.Int64("failed", s.Failed),
				zap.Int64("unknown_outcomes", s.Unknowns), zap.Int64("recreations", s.Recreations), zap.Int64("conflicts", s.Conflicts),
				zap.Int64("leases", s.Leases), zap.Int64("lease_tries", s.LeaseTries), zap.Int64("late_departures", s.Late),
				zap.Int("goroutines", runtime.NumGoroutine()), zap.Uint64("heap_bytes", memory.HeapAlloc))
		}
	}
}

// workerConfig translates the settings; maxPayload is the server's limit of a
// message in bytes.
func (s workerSettings) workerConfig(maxPayload int) worker.Config {
	c := worker.DefaultConfig()
	c.APIEnv, c.ID = string(s.API.APIEnv), cmp.Or(s.id, workerID())
	c.Slots, c.MaxOpen = s.Lifecycle.Slots, s.Budgets.MaxOpen
	c.Create = worker.Budget{Rate: s.Budgets.CreateRate.PerSecond(), Burst: s.Budgets.CreateBurst}
	c.Requests = worker.Budget{Rate: s.Budgets.RequestRate.PerSecond(), Burst: s.Budgets.RequestBurst}
	c.PostTimeout = s.Lifecycle.PostTimeout
	c.Plan = worker.Plan{First: s.Lifecycle.PollFirst, Max: s.Lifecycle.PollMax, Factor: s.Lifecycle.PollFactor}
	c.SessionDeadline, c.ResultLifetime = s.Lifecycle.SessionDeadline, s.Lifecycle.ResultLifetime
	c.OnUnknown = worker.OnUnknown(s.Lifecycle.OnUnknown)
	c.AllowTestNumbers = s.API.testNumbersAllowed()
	c.MaxEventBytes = maxPayload - queue.EventHeadroom
	return c
}

// workerID tells this process from every other worker in logs and claims.
func workerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), nuid.Next()[16:])
}

// setUpFirst adds the remedy to the error of a stream or consumer that does
// not exist.
func setUpFirst(err error) error {
	if errors.Is(err, store.ErrNotSetUp) || errors.Is(err, queue.ErrNoConsumer) || isNotFound(err) {
		return failedError(err, "Make the streams with: rescreen setup")
	}
	return err
}
