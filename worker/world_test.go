package worker

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
	"rescreen/queue"
	"rescreen/queue/queuetest"
	"rescreen/store"
	"rescreen/store/storetest"
)

// world is everything around a worker, in memory and on simulated time: store,
// queue and the simulator of the API. Tests run it inside a synctest bubble.
type world struct {
	t     *testing.T
	cfg   Config
	api   apiclient.Config
	sim   *amlsim.Simulator
	store *storetest.Memory
	jobs  *queuetest.Jobs
	due   *queuetest.Stream
	log   *logBuffer

	create, requests Budget
	batches          fakeBatches
	watch            *watch // of what workers write, if it is to be watched
	queueFault       atomic.Pointer[queuetest.Fault]
	wrap             func(Deps) Deps             // what a worker is given instead, if set
	launched         func(*launched)             // told of each worker, if set
	metrics          *Metrics                    // of all workers
	tracer           trace.Tracer                // of all workers, if any
	spans            *tracetest.SpanRecorder     // what it has traced
	script           *script                     // of what befalls the calls of workers, if any
	events           map[queue.JobID]queue.Event // read so far
}

// inWorld runs test in a bubble with a world around it.
func inWorld(t *testing.T, sim amlsim.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))) // a bubble begins before the test people were born
		test(newWorld(t, sim))
	})
}

func newWorld(t *testing.T, sim amlsim.Config) *world {
	w := &world{t: t, metrics: NewMetrics(), log: &logBuffer{}, events: make(map[queue.JobID]queue.Event), create: Budget{1000, 100}, requests: Budget{5000, 500}}
	w.sim = amlsim.New(sim)
	fault := queuetest.WithFault(func(op, subject string) error {
		if hook := w.queueFault.Load(); hook != nil {
			return (*hook)(op, subject)
		}
		return nil
	})
	w.due = queuetest.NewStream(store.WakesStream, queuetest.OnePerSubject(), fault)
	w.store = storetest.NewMemory(storetest.Config{
		OnDue: func(subject string, wake store.Wake) {
			header := nats.Header{}
			if wake.Traceparent != "" {
				header.Set("traceparent", wake.Traceparent)
			}
			w.due.Publish(subject, wake.Value, header)
		},
		Due: w.due.Has,
	})
	t.Cleanup(w.store.Close)
	w.jobs = queuetest.NewJobs(fault)
	w.cfg = DefaultConfig()
	w.cfg.APIEnv, w.cfg.AllowTestNumbers = "local", true
	w.api = apiclient.Config{
		Env: apiclient.EnvLocal, ClientID: amlsim.DefaultClientID, ClientSecret: personal.Text(amlsim.DefaultClientSecret),
		Transport: w.sim.Transport(), Log: w.logger(),
	}
	return w
}

// deps is what the worker of this name works with, but for the API.
func (w *world) deps(id string) Deps {
	due := w.due.Puller("screening.due.>")
	if w.script != nil {
		due.React = func() time.Duration { return w.script.pause(id) }
	}
	return Deps{
		Ledger: w.store.Ledger, Wakes: w.store.Wakes, Outcomes: w.store.Outcomes, Evidence: w.store.Evidence,
		Registers: w.store.Registers, Signals: w.store.Signals, Clock: w.store.Clock,
		Due: due, Jobs: w.jobs, Batches: &w.batches,
		Metrics: w.metrics, Tracer: w.tracer, Log: w.logger(),
	}
}

// config is that of a worker with an id.
func (w *world) config(id string) Config {
	cfg := w.cfg
	cfg.ID, cfg.Create, cfg.Requests = id, w.create, w.requests
	return cfg
}

// start runs a worker; the returned function stops it and waits for its end.
func (w *world) start(id string) (*Worker, func()) {
	l := w.launch(id)
	return l.worker, l.stop
}

// launched is a worker that runs, behind a gate.
type launched struct {
	worker *Worker
	gate   *gate
	cancel context.CancelFunc
	ended  chan struct{}
}

// launch runs a worker that can be stopped, paused and killed.
func (w *world) launch(id string) *launched {
	l := &launched{gate: newGate(id, w.script), ended: make(chan struct{})}
	cfg := w.config(id)
	deps, err := l.gate.behind(w.deps(id), w.api)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.wrap != nil {
		deps = w.wrap(deps)
	}
	if w.watch != nil {
		deps.Ledger, deps.Evidence = watchedLedger{w.watch, deps.Ledger}, watchedEvidence{w.watch, deps.Evidence}
	}
	if l.worker, err = New(cfg, deps); err != nil {
		w.t.Fatal(err)
	}
	if w.launched != nil {
		w.launched(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if w.spans != nil { // the command has a span of its own
		ctx = trace.ContextWithSpanContext(ctx, contextOf("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"))
	}
	l.cancel = cancel
	go func() {
		defer close(l.ended)
		l.worker.Run(ctx)
	}()
	return l
}

// stop stops the worker and waits for its end.
func (l *launched) stop() {
	l.cancel()
	<-l.ended
}

// kill ends the worker as SIGKILL would, and waits until nothing of it is left.
func (l *launched) kill() {
	l.gate.kill()
	l.stop()
}

// submit queues the jobs in the batch "b".
func (w *world) submit(jobs ...queue.Job) {
	w.t.Helper()
	ctx := context.Background()
	if err := w.jobs.EnsureConsumer(ctx, "b"); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.jobs.Publish(ctx, "b", jobs); err != nil {
		w.t.Fatal(err)
	}
}

// outcomes waits, for at most d, until every job has an outcome, and returns
// the events by job. It fails when one is missing, or when one job has two.
func (w *world) outcomes(d time.Duration, jobs ...queue.Job) map[queue.JobID]queue.Event {
	w.t.Helper()
	pause := 100 * time.Millisecond
	for deadline := time.Now().Add(d); ; time.Sleep(pause) {
		pause = min(pause*5/4, max(pause, d/100))
		got := w.published()
		missing := 0
		for _, j := range jobs {
			if _, ok := got[j.ID]; !ok {
				missing++
			}
		}
		if missing == 0 {
			return got
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("after %v %d of %d jobs have no outcome\n%s", d, missing, len(jobs), w.log.tail(4000))
		}
	}
}

// published reads everything on the results stream.
func (w *world) published() map[queue.JobID]queue.Event {
	w.t.Helper()
	all := w.store.Outcomes.Published()
	for _, o := range all[len(w.events):] { // outcomes are only ever added
		e, err := queue.DecodeEvent(o.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, twice := w.events[e.JobID]; twice {
			w.t.Fatalf("job %s has two outcomes", e.JobID)
		}
		w.events[e.JobID] = e
	}
	return maps.Clone(w.events)
}

// result waits for the job's result; a failure instead fails the test.
func (w *world) result(d time.Duration, j queue.Job) queue.Result {
	w.t.Helper()
	e := w.outcomes(d, j)[j.ID]
	r, err := e.Result()
	if err != nil {
		f, _ := e.Failure()
		w.t.Fatalf("job %s: %v (failed: %s)\n%s", j.ID, err, f.Reason, w.log.tail(4000))
	}
	return r
}

// failure waits for the job's failure; a result instead fails the test.
func (w *world) failure(d time.Duration, j queue.Job) queue.Failure {
	w.t.Helper()
	f, err := w.outcomes(d, j)[j.ID].Failure()
	if err != nil {
		w.t.Fatalf("job %s: %v", j.ID, err)
	}
	return f
}

func (w *world) sessionsOf(j queue.Job) int {
	return w.sim.SessionsOf(j.FirstName.Reveal(), j.LastName.Reveal(), j.DateOfBirth.Reveal(), j.SSN.Reveal())
}

func (w *world) record(j queue.Job) Record {
	w.t.Helper()
	stored, err := w.store.Ledger.Load(context.Background(), store.Key{Batch: "b", Job: string(j.ID)})
	if err != nil {
		w.t.Fatal(err)
	}
	rec, err := decodeRecord(stored.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// person is an invented customer; report orders the PDF.
func person(n int, report bool) queue.Job {
	return queue.Job{
		ID: queue.JobID(fmt.Sprintf("job-%d", n)), CustomerRef: fmt.Sprintf("C-%06d", n),
		FirstName: "Ola", LastName: personal.Text(fmt.Sprintf("Testbruker%d", n)), DateOfBirth: "1980-02-29", Report: report,
	}.WithDefaults()
}

func people(n int) []queue.Job {
	jobs := make([]queue.Job, n)
	for i := range jobs {
		jobs[i] = person(i, i%5 == 0)
	}
	return jobs
}

// fakeBatches is a registry that never has anything to do.
type fakeBatches struct{ passes atomic.Int64 }

func (f *fakeBatches) Adopt(context.Context) ([]queue.BatchID, error) {
	f.passes.Add(1)
	return nil, nil
}

func (f *fakeBatches) Retire(context.Context) ([]queue.BatchID, error) { return nil, nil }

// logBuffer keeps all log lines, of every level.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(n int) string {
	s := l.String()
	return s[max(0, len(s)-n):]
}

func (l *logBuffer) count(text string) int { return strings.Count(l.String(), text) }

func (w *world) logger() *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(w.log), zap.DebugLevel))
}
