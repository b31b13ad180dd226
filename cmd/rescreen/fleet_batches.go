package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"rescreen/queue"
)

const (
	// batchFactsEvery is the pause between two readings of the batches, and
	// batchFactsTimeout bounds one; batchFactsAge is how old it may be to be told.
	batchFactsEvery   = 30 * time.Second
	batchFactsTimeout = 25 * time.Second
	batchFactsAge     = 2 * time.Minute
	// endedBatchLife is for how long a batch is told after its end.
	endedBatchLife = time.Hour
	// mostBatches is how many are told, the youngest first: each is three series.
	mostBatches = 100
)

// batchWatch counts the batches that are under way or have ended of late. The
// register keeps batches for ever: those that are over are asked for once.
//
// A reading is one request for the names, and five for each batch under way; once
// a minute its two counters are made anew.
type batchWatch struct {
	desk *batchDesk
	now  func() time.Time // the server's clock
	log  *zap.Logger

	over   map[queue.BatchID]bool        // that ended long ago
	ended  map[queue.BatchID]batchStatus // that ended of late, counted since
	tally  map[queue.BatchID]*tallier    // of those under way
	failed map[queue.BatchID]bool        // that could not be read the last time
}

func newBatchWatch(desk *batchDesk, now func() time.Time, log *zap.Logger) *batchWatch {
	return &batchWatch{
		desk: desk, now: now, log: log, over: make(map[queue.BatchID]bool), ended: make(map[queue.BatchID]batchStatus),
		tally: make(map[queue.BatchID]*tallier), failed: make(map[queue.BatchID]bool),
	}
}

// loop reads the batches into the facts, again and again.
func (w *batchWatch) loop(f *facts) *factsLoop {
	return &factsLoop{
		what: "batches", every: batchFactsEvery, timeout: batchFactsTimeout, clock: w.now, log: w.log,
		complete: func(time.Time) {},
		parts:    []part{partOf(f, "batches", &f.batches, w.read)},
	}
}

// read returns the youngest batches that are not over. One that cannot be read is
// left out, and logged when that begins.
func (w *batchWatch) read(ctx context.Context) ([]batchStatus, error) {
	names, err := w.desk.batches.Names(ctx)
	if err != nil {
		return nil, err
	}
	failed := make(map[queue.BatchID]bool)
	note := func(name queue.BatchID, err error) {
		if !w.failed[name] {
			w.log.Warn("batch cannot be counted", zap.String("batch", string(name)), zap.Error(err))
		}
		failed[name] = true
	}
	var all []batchStatus
	for _, name := range names {
		if w.over[name] {
			continue
		}
		s, counted := w.ended[name]
		if !counted {
			if s.Batch, _, err = w.desk.batches.Load(ctx, name); err != nil {
				note(name, err)
				continue
			}
		}
		if s.State == queue.Ended && w.now().Sub(s.EndedAt) > endedBatchLife {
			w.over[name] = true
			delete(w.ended, name)
			continue
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b batchStatus) int { return olderFirst(b, a) })
	all = all[:min(len(all), mostBatches)]
	all = w.count(ctx, all, note)
	w.failed = failed
	return all, ctx.Err()
}

// count counts those of the batches that were not counted since their end, and
// tells note of those that cannot be.
func (w *batchWatch) count(ctx context.Context, all []batchStatus, note func(queue.BatchID, error)) []batchStatus {
	talliers := make(map[queue.BatchID]*tallier)
	errs := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, s := range all {
		if _, counted := w.ended[s.Name]; counted {
			continue
		}
		t := w.tally[s.Name]
		if t == nil {
			t = newTallier(w.desk.js, s.Name)
		}
		talliers[s.Name] = t
		group.Go(func() error {
			status, err := w.desk.statusBy(ctx, s.Name, t)
			if errs[i] = err; err == nil {
				all[i] = status
			}
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	var counted []batchStatus
	for i, s := range all {
		switch {
		case errors.Is(errs[i], errUnknownBatch): // removed meanwhile
			continue
		case errs[i] != nil:
			note(s.Name, errs[i])
			continue
		case s.State == queue.Ended:
			w.ended[s.Name] = s
		}
		counted = append(counted, s)
	}
	w.keep(ctx, talliers)
	return counted
}

// keep keeps the counters of batches under way and removes the others.
func (w *batchWatch) keep(ctx context.Context, talliers map[queue.BatchID]*tallier) {
	for name, t := range w.tally {
		if talliers[name] == nil {
			t.close(ctx)
		}
	}
	for name := range talliers {
		if _, ended := w.ended[name]; ended {
			talliers[name].close(ctx)
			delete(talliers, name)
		}
	}
	w.tally = talliers
}
