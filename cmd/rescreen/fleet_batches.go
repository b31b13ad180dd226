package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"rescreen/queue"
	"rescreen/store"
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

// batchRegister holds the claim on the counting, and batchLease is for how long one
// holds without being renewed: for more than two readings.
const (
	batchRegister = "batch-metrics"
	batchLease    = 90 * time.Second
)

// batchClaim is the register's value. One worker of the fleet counts at a time, the
// others have nothing to tell; when it dies its claim expires.
type batchClaim struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"` // server's time
}

// batchWatch counts the batches that are under way or have ended of late. The
// register keeps batches for ever: each is asked for once, but for those that are
// under way and told.
//
// A reading is two requests for the claim, one for the names and five for each
// batch under way; once a minute its two counters are made anew.
type batchWatch struct {
	desk      *batchDesk
	registers *store.Registers
	holder    string
	now       func() time.Time // the server's clock
	log       *zap.Logger

	known  map[queue.BatchID]*watchedBatch
	failed map[queue.BatchID]bool // that could not be read the last time
}

// watchedBatch is a batch as it was read last.
type watchedBatch struct {
	batchStatus
	counted bool     // since its end: there is nothing more to come
	tally   *tallier // while it is under way and told
}

func (b *watchedBatch) close(ctx context.Context) {
	if b.tally != nil {
		b.tally.close(ctx)
		b.tally = nil
	}
}

func newBatchWatch(desk *batchDesk, registers *store.Registers, holder string, now func() time.Time, log *zap.Logger) *batchWatch {
	return &batchWatch{
		desk: desk, registers: registers, holder: holder, now: now, log: log, known: make(map[queue.BatchID]*watchedBatch),
	}
}

// loop reads the batches into the facts, again and again.
func (w *batchWatch) loop(f *facts) *factsLoop {
	return &factsLoop{
		what: "batches", every: batchFactsEvery, timeout: batchFactsTimeout, clock: w.now, log: w.log,
		complete: func(time.Time) {},
		parts:    []part{partOf(f, "batches", &f.batches, w.read)},
		end:      w.end,
	}
}

// read returns the youngest batches that are not over, and none while another worker
// counts. One that cannot be read is left out; there is one line about all of which
// that is new. A reading that is interrupted says nothing about any.
func (w *batchWatch) read(ctx context.Context) ([]batchStatus, error) {
	mine, err := w.claim(ctx, batchLease)
	if err != nil {
		return nil, err
	}
	if !mine {
		w.close(ctx)
		return nil, nil
	}
	names, err := w.desk.batches.Names(ctx)
	if err != nil {
		return nil, err
	}
	w.forget(ctx, names)
	failed := make(map[queue.BatchID]error)
	var all []*watchedBatch
	for _, name := range names {
		b := w.known[name]
		if b == nil {
			entry, _, err := w.desk.batches.Load(ctx, name)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				failed[name] = err
				continue
			}
			b = &watchedBatch{batchStatus: batchStatus{Batch: entry}}
			w.known[name] = b
		}
		if !w.over(b) {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b *watchedBatch) int { return olderFirst(b.batchStatus, a.batchStatus) })
	told := all[:min(len(all), mostBatches)]
	for _, b := range all[len(told):] {
		b.close(ctx)
	}
	if err := w.count(ctx, told, failed); err != nil {
		return nil, err
	}
	w.note(failed)
	var statuses []batchStatus
	for _, b := range told {
		if failed[b.Name] == nil && !w.over(b) {
			statuses = append(statuses, b.batchStatus)
		}
	}
	return statuses, nil
}

// over reports whether a batch has ended too long ago to be told.
func (w *batchWatch) over(b *watchedBatch) bool {
	return b.State == queue.Ended && w.now().Sub(b.EndedAt) > endedBatchLife
}

// forget forgets batches that are not among the names any more, which are sorted.
func (w *batchWatch) forget(ctx context.Context, names []queue.BatchID) {
	for name, b := range w.known {
		if _, there := slices.BinarySearch(names, name); !there {
			b.close(ctx)
			delete(w.known, name)
		}
	}
}

// count counts those of the batches that were not counted since their end, and adds
// those that cannot be to failed. Its error is that of ctx.
func (w *batchWatch) count(ctx context.Context, told []*watchedBatch, failed map[queue.BatchID]error) error {
	errs := make([]error, len(told))
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, b := range told {
		if b.counted {
			continue
		}
		if b.tally == nil {
			b.tally = newTallier(w.desk.js, b.Name)
		}
		group.Go(func() error {
			status, err := w.desk.statusBy(ctx, b.Name, b.tally)
			if err != nil {
				errs[i] = err
				return nil
			}
			b.batchStatus = status
			if b.counted = status.State == queue.Ended; b.counted {
				b.close(ctx)
			}
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, b := range told {
		if errs[i] != nil {
			failed[b.Name] = errs[i]
		}
	}
	return nil
}

// note logs that batches cannot be read, if that is new for one of them.
func (w *batchWatch) note(failed map[queue.BatchID]error) {
	before := w.failed
	w.failed = make(map[queue.BatchID]bool)
	var first queue.BatchID
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if errors.Is(failed[name], queue.ErrNoBatch) || errors.Is(failed[name], errUnknownBatch) {
			continue // removed meanwhile
		}
		if w.failed[name] = true; first == "" && !before[name] {
			first = name
		}
	}
	if first != "" {
		w.log.Warn("batches cannot be counted", zap.Int("batches", len(w.failed)), zap.String("batch", string(first)), zap.Error(failed[first]))
	}
}

// claim takes the claim for so long if it is free, expired or this worker's own, and
// reports whether it is this worker's now.
func (w *batchWatch) claim(ctx context.Context, lease time.Duration) (bool, error) {
	value, seq, err := w.registers.Load(ctx, batchRegister)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("claim on the counting: %w", err)
	}
	now := w.now()
	var found batchClaim
	// A value that cannot be read is nobody's claim.
	if err == nil && json.Unmarshal(value, &found) == nil && found.Holder != w.holder && now.Before(found.Until) {
		return false, nil
	}
	if value, err = json.Marshal(batchClaim{Holder: w.holder, Until: now.Add(lease)}); err != nil {
		return false, fmt.Errorf("encode claim on the counting: %w", err)
	}
	_, err = w.registers.Commit(ctx, batchRegister, value, seq)
	if errors.Is(err, store.ErrConflict) {
		return false, nil // another was quicker
	}
	return err == nil, err
}

// end lets another worker count at once, if it was this one that did.
func (w *batchWatch) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	w.close(ctx)
	_, _ = w.claim(ctx, 0) // else it expires
}

// endTimeout is how long a worker that stops may take to clear up behind its counting.
const endTimeout = 2 * time.Second

// close removes the counters and forgets all batches: who counts next begins anew. What
// is not removed when ctx ends the server removes.
func (w *batchWatch) close(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for _, b := range w.known {
		group.Go(func() error {
			if ctx.Err() == nil {
				b.close(ctx)
			}
			return nil
		})
	}
	_ = group.Wait() // there is no error
	clear(w.known)
}
