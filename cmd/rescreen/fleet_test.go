package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// factsWorld is a loop over two parts whose answers a test decides.
type factsWorld struct {
	facts *facts
	loop  *factsLoop
	logs  *observer.ObservedLogs

	mu         sync.Mutex
	due, limit func(context.Context) error // what becomes of a reading; nil: it is read
	readings   int
}

func newFactsWorld() *factsWorld {
	core, logs := observer.New(zapcore.InfoLevel)
	w := &factsWorld{facts: &facts{streams: map[string]*fact[streamFact]{queue.JobsStream: {}, store.WakesStream: {}}}, logs: logs}
	ask := func(which *func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			w.mu.Lock()
			w.readings++
			answer := *which
			w.mu.Unlock()
			if answer == nil {
				return nil
			}
			return answer(ctx)
		}
	}
	askDue, askLimit := ask(&w.due), ask(&w.limit)
	w.loop = &factsLoop{
		what: "facts", every: factsEvery, timeout: factTimeout, clock: time.Now, log: zap.New(core),
		complete: func(at time.Time) { w.facts.complete = at },
		parts: []part{
			partOf(w.facts, "due", &w.facts.due, func(ctx context.Context) (dueFact, error) { return dueFact{count: 7}, askDue(ctx) }),
			partOf(w.facts, "limits", &w.facts.limits, func(ctx context.Context) (limitsFact, error) {
				return limitsFact{Limits: worker.NewLimits(worker.Budget{Rate: 3, Burst: 2}, worker.Budget{Rate: 9, Burst: 8}, 50, "", time.Now())}, askLimit(ctx)
			}),
		},
	}
	return w
}

func (w *factsWorld) answer(due, limit func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due, w.limit = due, limit
}

// told is which metrics there are.
func (w *factsWorld) told(t *testing.T) []string {
	t.Helper()
	names := make(map[string]bool)
	for name := range gathered(t, factsCollector{facts: w.facts, slots: 64, callTime: func() time.Duration { return 0 }}) {
		name, _, _ := strings.Cut(name, "{")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

var (
	ofDue    = []string{"due_wakeups", "oldest_due_seconds"}
	ofLimits = []string{"effective_rate", "gate_closed_until_timestamp_seconds", "limit_burst", "limit_rate", "open_sessions_limit"}
	ofAll    = []string{"facts_timestamp_seconds"}
)

func (w *factsWorld) want(t *testing.T, when string, names ...[]string) {
	t.Helper()
	if got, want := w.told(t), slices.Sorted(slices.Values(slices.Concat(names...))); !slices.Equal(got, want) {
		t.Errorf("%s: told are %v, want %v", when, got, want)
	}
}

// Each part is told when it was read of late, whatever becomes of the others; the time of
// the last complete reading stays.
func TestFactsAreToldWhileTheyAreFresh(t *testing.T) {
	denied := func(context.Context) error { return errors.New("denied") }
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	synctest.Test(t, func(t *testing.T) {
		w := newFactsWorld()
		w.want(t, "before anything was read")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		w.answer(denied, nil)
		running.Go(func() { w.loop.run(ctx) })
		synctest.Wait()
		w.want(t, "one part denied from the start", ofLimits)
		if lines := w.logs.TakeAll(); len(lines) != 1 || lines[0].Level != zapcore.WarnLevel {
			t.Errorf("logged: %v", lines)
		}

		w.answer(nil, nil)
		time.Sleep(factsEvery * 11 / 10)
		synctest.Wait()
		w.want(t, "both read", ofAll, ofDue, ofLimits)
		complete := w.facts.complete
		if lines := w.logs.TakeAll(); len(lines) != 1 || lines[0].Level != zapcore.InfoLevel {
			t.Errorf("logged: %v", lines)
		}

		// A part that does not answer takes its time and no more, and does not keep the other.
		w.answer(nil, silent)
		time.Sleep(factsAge - factsEvery)
		w.want(t, "one part silent for less than a minute", ofAll, ofDue, ofLimits)
		time.Sleep(2 * factsEvery)
		w.want(t, "one part silent for more than a minute", ofAll, ofDue)
		w.answer(silent, silent)
		time.Sleep(factsAge + 3*factsEvery)
		w.want(t, "all silent", ofAll)
		if !w.facts.complete.Equal(complete) {
			t.Errorf("complete at %v, when there was no complete reading since %v", w.facts.complete, complete)
		}
		if lines := w.logs.TakeAll(); len(lines) != 2 {
			t.Errorf("logged: %v", lines)
		}

		w.answer(nil, nil)
		time.Sleep(factTimeout + 2*factsEvery)
		synctest.Wait()
		w.want(t, "both read again", ofAll, ofDue, ofLimits)
		if since := time.Since(w.facts.complete); since > factsEvery*11/10 {
			t.Errorf("complete %v ago", since)
		}
		w.mu.Lock()
		before := w.readings
		w.mu.Unlock()
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if rounds := float64(w.readings-before) / 2; rounds < 54 || rounds > 67 {
			t.Errorf("%v readings in ten minutes", rounds)
		}
	})
}

// What is told is what was read.
func TestFactsCollector(t *testing.T) {
	now := time.Now()
	limits := worker.NewLimits(worker.Budget{Rate: 50, Burst: 10}, worker.Budget{Rate: 200, Burst: 20}, 1000, "", now)
	f := &facts{
		streams: map[string]*fact[streamFact]{
			queue.JobsStream:    {streamFact{messages: 1_000_000, bytes: 500, limit: 600}, now},
			store.WakesStream:   {streamFact{messages: 40, bytes: 4000, subjects: 39, limit: -1}, now},
			store.RecordsStream: {streamFact{messages: 1}, now.Add(-2 * factsAge)},
		},
		due: fact[dueFact]{dueFact{count: 5, oldest: 90 * time.Second}, now},
		limits: fact[limitsFact]{limitsFact{
			Limits: limits,
			create: limitFact{effective: 45, feed: 45}, requests: limitFact{effective: 180, feed: 180, closed: time.Unix(1_800_000_000, 0)},
		}, now},
		account:  fact[accountFact]{accountFact{bytes: 4500, limit: 9000}, now},
		batches:  fact[[]batchStatus]{[]batchStatus{{Batch: queue.Batch{Name: "b"}, Results: 10, Failures: 2, Open: 88}}, now},
		complete: time.Unix(1_700_000_000, 500_000_000),
	}
	got := gathered(t, factsCollector{facts: f, slots: 64, callTime: func() time.Duration { return 2 * time.Second }})
	want := map[string]float64{
		"facts_timestamp_seconds": 1_700_000_000.5,
		"backlog_jobs":            1_000_000, "due_wakeups": 5, "oldest_due_seconds": 90, "open_sessions": 39, "open_sessions_limit": 1000,
		`limit_rate{budget="create"}`: 50, `limit_burst{budget="create"}`: 10, `effective_rate{budget="create"}`: 45,
		`limit_rate{budget="requests"}`: 200, `limit_burst{budget="requests"}`: 20, `effective_rate{budget="requests"}`: 180,
		`gate_closed_until_timestamp_seconds{budget="create"}`: 0, `gate_closed_until_timestamp_seconds{budget="requests"}`: 1_800_000_000,
		"desired_workers":                       8, // 180 calls of 2 s at 48 a worker
		`stream_bytes{stream="SCREENING_JOBS"}`: 500, `stream_messages{stream="SCREENING_JOBS"}`: 1_000_000, `stream_limit_bytes{stream="SCREENING_JOBS"}`: 600,
		`stream_bytes{stream="SCREENING_WAKES"}`: 4000, `stream_messages{stream="SCREENING_WAKES"}`: 40,
		"jetstream_bytes": 4500, "jetstream_limit_bytes": 9000,
		`batch_jobs{batch="b",state="expected"}`: 100, `batch_jobs{batch="b",state="done"}`: 10, `batch_jobs{batch="b",state="failed"}`: 2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("told:\n%v\nwant:\n%v", got, want)
	}
}

// What workers are desired for is all that there is to do, and nothing is desired
// while any of it is not known.
func TestDemandOfTheFacts(t *testing.T) {
	now := time.Now()
	f := &facts{streams: map[string]*fact[streamFact]{
		queue.JobsStream:  {streamFact{messages: 12, subjects: 1}, now},
		store.WakesStream: {streamFact{messages: 40, subjects: 39}, now},
	}}
	f.due = fact[dueFact]{dueFact{count: 5}, now}
	f.limits = fact[limitsFact]{limitsFact{create: limitFact{effective: 50, feed: 45}, requests: limitFact{effective: 200, feed: 180}}, now}
	want := worker.Demand{Backlog: 12, Due: 5, Open: 39, CreateRate: 45, RequestRate: 180}
	if got, known := f.demand(now); got != want || !known {
		t.Errorf("%+v, known: %v, want %+v", got, known, want)
	}
	for name, at := range map[string]*time.Time{
		"jobs": &f.streams[queue.JobsStream].at, "wake-ups": &f.streams[store.WakesStream].at, "due": &f.due.at, "limits": &f.limits.at,
	} {
		*at = now.Add(-2 * factsAge)
		if _, known := f.demand(now); known {
			t.Errorf("known without %s", name)
		}
		*at = now
	}
}

func TestFullest(t *testing.T) {
	tier := func(used uint64, limit int64) jetstream.Tier {
		return jetstream.Tier{Store: used, Limits: jetstream.AccountLimits{MaxStore: limit}}
	}
	for _, c := range []struct {
		name string
		info jetstream.AccountInfo
		want accountFact
	}{
		{"no limit", jetstream.AccountInfo{Tier: tier(5, -1)}, accountFact{5, -1}},
		{"a limit", jetstream.AccountInfo{Tier: tier(5, 10)}, accountFact{5, 10}},
		{"limits by replicas", jetstream.AccountInfo{Tier: tier(107, 0), Tiers: map[string]jetstream.Tier{"R1": tier(7, 10), "R3": tier(100, 1000)}}, accountFact{7, 10}},
		{"one of them without", jetstream.AccountInfo{Tier: tier(107, 0), Tiers: map[string]jetstream.Tier{"R1": tier(7, -1), "R3": tier(100, 1000)}}, accountFact{100, 1000}},
		{"all of them without", jetstream.AccountInfo{Tier: tier(107, 0), Tiers: map[string]jetstream.Tier{"R1": tier(7, -1)}}, accountFact{107, 0}},
	} {
		if got := fullest(&c.info); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
