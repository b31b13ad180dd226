package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

const (
	// factsEvery is the pause between two readings of the facts about the fleet.
	factsEvery = 10 * time.Second
	// factTimeout bounds the reading of one part.
	factTimeout = 5 * time.Second
	// factsAge is how old a part may be to be told.
	factsAge = time.Minute
)

// A fact is something about the fleet as it was at a time.
type fact[T any] struct {
	is T
	at time.Time // when it was asked for, by the local clock; zero: never
}

// fresh returns the fact, and whether it is young enough to be told.
func (f *fact[T]) fresh(now time.Time, age time.Duration) (T, bool) {
	return f.is, !f.at.IsZero() && now.Sub(f.at) <= age
}

// facts is what the leaders in NATS say about the fleet, in parts that are read
// each by itself: one that cannot be read does not keep the others.
type facts struct {
	mu       sync.Mutex
	streams  map[string]*fact[streamFact]
	due      fact[dueFact]
	limits   fact[limitsFact]
	account  fact[accountFact]
	batches  fact[[]batchStatus]
	complete time.Time // server's time of the last reading of all parts but the batches
}

// streamFact is what is told of a stream.
type streamFact struct {
	messages, bytes uint64
	subjects        uint64
	limit           int64 // of bytes; none unless above 0
}

// dueFact is what is told of due wake-ups.
type dueFact struct {
	count  int
	oldest time.Duration // age of the oldest; 0: there is none
}

// limitsFact is what is told of the limits, as of when they were read.
type limitsFact struct {
	worker.Limits
	create, requests limitFact
}

// limitFact is one budget.
type limitFact struct {
	effective float64   // calls per second, after what answers have taught
	feed      float64   // the same, as far as one can count on it
	closed    time.Time // until when; zero: it is open
}

// accountFact is what the account takes on disk.
type accountFact struct {
	bytes uint64
	limit int64 // none unless above 0
}

// A part of the facts is read by one request or two.
type part struct {
	name string
	read func(context.Context) error
}

// partOf keeps what is read.
func partOf[T any](f *facts, name string, into *fact[T], read func(context.Context) (T, error)) part {
	return part{name, func(ctx context.Context) error {
		at := time.Now()
		is, err := read(ctx)
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		*into = fact[T]{is, at}
		return nil
	}}
}

// factsLoop reads parts again and again.
type factsLoop struct {
	what           string // for the log
	every, timeout time.Duration
	parts          []part
	clock          func() time.Time      // the server's
	complete       func(at time.Time)    // told of each reading that had all parts
	end            func(context.Context) // called after the last reading, with its ended context; nil: there is nothing to end
	log            *zap.Logger

	missing []string // what could not be read the last time
}

// run reads at once and then every so often, give or take a tenth, until ctx ends.
func (l *factsLoop) run(ctx context.Context) {
	for {
		l.turn(ctx)
		timer := time.NewTimer(l.every*9/10 + rand.N(l.every/5))
		select {
		case <-ctx.Done():
			timer.Stop()
			if l.end != nil {
				l.end(ctx)
			}
			return
		case <-timer.C:
		}
	}
}

// turn reads all parts, at the same time. What cannot be read says nothing about
// whether this worker does its work, which /readyz is about: it is missing in
// the metrics, and logged when that begins and ends.
func (l *factsLoop) turn(ctx context.Context) {
	at := l.clock()
	errs := make([]error, len(l.parts))
	var reading sync.WaitGroup
	for i, p := range l.parts {
		reading.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, l.timeout)
			defer cancel()
			errs[i] = p.read(ctx)
		})
	}
	reading.Wait()
	if ctx.Err() != nil {
		return
	}
	var missing []string
	for i, err := range errs {
		if err != nil {
			missing = append(missing, l.parts[i].name)
		}
	}
	if missing == nil {
		l.complete(at)
	}
	if slices.Equal(missing, l.missing) {
		return
	}
	l.missing = missing
	if missing == nil {
		l.log.Info("all can be read again: " + l.what)
		return
	}
	l.log.Warn("not all can be read: "+l.what, zap.Strings("missing", missing), zap.Error(errors.Join(errs...)))
}

// newFacts are those that a worker reads: with 11 requests, 12 when anything is due.
// None of them lists anything, whatever there is.
func (st *station) newFacts(s workerSettings) (*facts, *factsLoop) {
	f := &facts{streams: make(map[string]*fact[streamFact])}
	loop := &factsLoop{
		what: "facts about the fleet", every: factsEvery, timeout: factTimeout, clock: st.store.Clock.Now, log: st.log,
		complete: func(at time.Time) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.complete = at
		},
		parts: []part{
			partOf(f, "due wake-ups", &f.due, st.readDue),
			partOf(f, "limits", &f.limits, func(ctx context.Context) (limitsFact, error) { return st.readLimits(ctx, s) }),
			partOf(f, "account", &f.account, st.readAccount),
		},
	}
	for _, stream := range wantedStreams(1) {
		name := stream.Name
		f.streams[name] = new(fact[streamFact])
		loop.parts = append(loop.parts, partOf(f, name, f.streams[name],
			func(ctx context.Context) (streamFact, error) { return st.readStream(ctx, name) }))
	}
	return f, loop
}

// readStream asks the leader of a stream.
func (st *station) readStream(ctx context.Context, name string) (streamFact, error) {
	stream, err := st.link.JS.Stream(ctx, name)
	if err != nil {
		return streamFact{}, err
	}
	info := stream.CachedInfo()
	return streamFact{
		messages: info.State.Msgs, bytes: info.State.Bytes, subjects: info.State.NumSubjects, limit: info.Config.MaxBytes,
	}, nil
}

func (st *station) readDue(ctx context.Context) (dueFact, error) {
	due, err := st.store.Wakes.Due(ctx)
	if err != nil {
		return dueFact{}, err
	}
	f := dueFact{count: due.Count}
	if !due.Oldest.IsZero() {
		f.oldest = max(0, st.store.Clock.Now().Sub(due.Oldest))
	}
	return f, nil
}

// readLimits reads the limits; if there are none, those are meant that this worker
// would write with its first job.
func (st *station) readLimits(ctx context.Context, s workerSettings) (limitsFact, error) {
	desk := limitsDesk{st.store}
	l, _, err := desk.read(ctx, s.API.APIEnv)
	now := st.store.Clock.Now()
	if errors.Is(err, store.ErrNotFound) {
		c := s.workerConfig(0)
		l, err = worker.NewLimits(c.Create, c.Requests, c.MaxOpen, "", now), nil
	}
	if err != nil {
		return limitsFact{}, err
	}
	f := limitsFact{Limits: l}
	f.create.effective, f.requests.effective = l.Create.Effective(now), l.Requests.Effective(now)
	f.create.feed, f.requests.feed = l.Feed(now, worker.DefaultHorizon)
	f.create.closed, f.requests.closed = l.ClosedUntil(now)
	return f, nil
}

// readAccount asks what the account takes on disk, and may. Where it has limits for
// each number of replicas, those are told that are nearest.
func (st *station) readAccount(ctx context.Context) (accountFact, error) {
	info, err := st.link.JS.AccountInfo(ctx)
	if err != nil {
		return accountFact{}, err
	}
	return fullest(info), nil
}

func fullest(info *jetstream.AccountInfo) accountFact {
	f := accountFact{bytes: info.Store, limit: info.Limits.MaxStore}
	share := -1.0
	for _, tier := range info.Tiers {
		if tier.Limits.MaxStore <= 0 {
			continue
		}
		if s := float64(tier.Store) / float64(tier.Limits.MaxStore); s > share {
			f, share = accountFact{bytes: tier.Store, limit: tier.Limits.MaxStore}, s
		}
	}
	return f
}

// demand is what the fleet has to do; false unless all of it is known.
func (f *facts) demand(now time.Time) (worker.Demand, bool) {
	jobs, j := f.streams[queue.JobsStream].fresh(now, factsAge)
	wakes, w := f.streams[store.WakesStream].fresh(now, factsAge)
	due, d := f.due.fresh(now, factsAge)
	limits, l := f.limits.fresh(now, factsAge)
	return worker.Demand{
		Backlog: int(jobs.messages), Due: due.count, Open: int(wakes.subjects),
		CreateRate: limits.create.feed, RequestRate: limits.requests.feed,
	}, j && w && d && l
}
