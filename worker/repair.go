package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"rescreen/store"
)

// RepairRegister holds the claim on the repair and its place in the records. Who
// makes a stream anew removes it, because that place means nothing any more.
const RepairRegister = "repair"

// leasePasses is for how many pauses between two passes a claim holds without
// being renewed: whoever repairs keeps at it, because what it remembers is
// worth nothing to the next one.
const leasePasses = 3

// repairClaim is the register's value. One worker at a time repairs; when it
// dies its claim expires, and the next goes on from the saved place.
type repairClaim struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"` // server's time
	// Floor is the sequence up to which every record has ended and has its
	// outcome, so that nobody needs to look there again.
	Floor uint64 `json:"floor"`
}

// repair looks for jobs that nothing would wake any more, and sets them going
// again (law 6). It finds nothing unless a message was lost or deleted.
type repair struct {
	*Worker
	claim repairClaim
	seq   uint64 // of the claim's register
	// checked is the sequence up to which this worker has looked, and open the
	// records below it that had not ended then. A record that changes moves to
	// the end of the stream, so sequences are all there is to remember.
	checked uint64
	open    map[uint64]struct{}
}

// repairLoop makes passes, at a bounded rate, until ctx ends.
func (w *Worker) repairLoop(ctx context.Context) {
	r := &repair{Worker: w, open: make(map[uint64]struct{})}
	for wait(ctx, jitter(w.cfg.RepairEvery, w.cfg.ID, time.Now().Nanosecond())) == nil {
		err := r.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if w.health.Heard(repairHealth, err); err != nil {
			w.logger.Warn("repair", zap.Error(err))
		}
	}
}

// pass looks once, if no other worker is at it.
func (r *repair) pass(ctx context.Context) error {
	ok, err := r.take(ctx)
	if err != nil || !ok {
		return err
	}
	if err := r.batchesPass(ctx); err != nil {
		return err
	}
	pace := time.NewTicker(time.Duration(float64(time.Second) / r.cfg.RepairRate))
	defer pace.Stop()
	if err := r.wakesPass(ctx, pace); err != nil {
		return err // nor could a record be helped
	}
	return r.recordsPass(ctx, pace)
}

// take takes the claim if it is free, expired, or its own. What a worker
// remembers is worth nothing after another has held the claim.
func (r *repair) take(ctx context.Context) (bool, error) {
	value, seq, err := r.registers.Load(ctx, RepairRegister)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("load repair claim: %w", err)
	}
	var found repairClaim
	if err == nil {
		if err := json.Unmarshal(value, &found); err != nil {
			r.logger.Error("repair claim cannot be read, begun anew", zap.Error(err))
			found = repairClaim{}
		}
		if found.Holder != r.cfg.ID && r.clock.Now().Before(found.Until) {
			return false, nil
		}
	}
	if found.Holder != r.cfg.ID || r.checked < found.Floor {
		r.checked, r.open = found.Floor, make(map[uint64]struct{})
	}
	r.claim, r.seq = found, seq
	err = r.renew(ctx)
	if errors.Is(err, store.ErrConflict) {
		return false, nil // another was quicker
	}
	return err == nil, err
}

// renew saves the claim with the floor as it is known now.
func (r *repair) renew(ctx context.Context) error {
	r.claim.Floor = r.checked
	for seq := range r.open {
		r.claim.Floor = min(r.claim.Floor, seq-1)
	}
	r.claim.Holder, r.claim.Until = r.cfg.ID, r.clock.Now().Add(r.lease())
	value, err := json.Marshal(r.claim)
	if err != nil {
		return fmt.Errorf("encode repair claim: %w", err)
	}
	if r.seq, err = r.registers.Commit(ctx, RepairRegister, value, r.seq); err != nil {
		return fmt.Errorf("save repair claim: %w", err)
	}
	return nil
}

func (r *repair) lease() time.Duration { return leasePasses * r.cfg.RepairEvery }

// recordsPass looks again at what was open, then, in the order of writing, at
// what is new, up to the first record that is younger than RepairAge.
func (r *repair) recordsPass(ctx context.Context, pace *time.Ticker) error {
	for _, seq := range slices.Sorted(maps.Keys(r.open)) {
		rec, err := r.next(ctx, pace, seq-1)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && rec.Seq != seq:
			delete(r.open, seq) // it has moved on
		case err == nil:
			err = r.look(ctx, rec)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	for {
		rec, err := r.next(ctx, pace, r.checked)
		if errors.Is(err, store.ErrNotFound) || err == nil && r.clock.Now().Sub(rec.Time) < r.cfg.RepairAge {
			return r.renew(ctx)
		}
		if err == nil {
			err = r.look(ctx, rec)
		}
		if err != nil {
			return err
		}
		r.checked = rec.Seq
	}
}

// wakesPerPass bounds how many wake-ups a pass looks at, the oldest first: one that
// lives is parked anew with each poll, one that is dead stays behind.
const wakesPerPass = 1000

// wakesPass parks wake-ups again that the server will never deliver. Those of
// ended jobs do no harm but count as open sessions; delivered they are acknowledged.
func (r *repair) wakesPass(ctx context.Context, pace *time.Ticker) error {
	seen := uint64(0)
	for range wakesPerPass {
		if err := r.keepPace(ctx, pace); err != nil {
			return err
		}
		wk, err := r.wakes.Next(ctx, seen)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if seen = wk.Seq; !wk.Dead {
			continue
		}
		r.logger.Warn("wake-up was dead, parked again by the repair", zap.Stringer("record", wk.Key), zap.Int("attempt", wk.Attempt))
		wk.At = r.clock.Now()
		if err := r.wakes.Park(ctx, wk.Wake); err != nil {
			return fmt.Errorf("park wake-up: %w", err)
		}
	}
	return nil
}

// keepPace waits for the repair's next turn, and keeps the claim.
func (r *repair) keepPace(ctx context.Context, pace *time.Ticker) error {
	select {
	case <-pace.C:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.claim.Until.Sub(r.clock.Now()) < r.lease()/2 {
		return r.renew(ctx)
	}
	return nil
}

// next reads the next record at the repair's pace.
func (r *repair) next(ctx context.Context, pace *time.Ticker, after uint64) (store.Record, error) {
	if err := r.keepPace(ctx, pace); err != nil {
		return store.Record{}, err
	}
	rec, err := r.ledger.Next(ctx, after)
	if err != nil {
		return store.Record{}, fmt.Errorf("next record: %w", err)
	}
	return rec, nil
}

// look sees to one record and remembers it unless it has ended. One that cannot
// be repaired must not keep the others from it: it is looked at again. Trouble
// with the store is the same for all, and ends the pass.
func (r *repair) look(ctx context.Context, rec store.Record) error {
	ended, err := r.record(ctx, rec)
	if transient(err) {
		return fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if err != nil && ctx.Err() == nil {
		r.logger.Warn("repair", zap.Stringer("record", rec.Key), zap.Error(err))
	}
	if ended {
		delete(r.open, rec.Seq)
	} else {
		r.open[rec.Seq] = struct{}{}
	}
	return nil
}

// record parks a wake-up for a job that nothing else will set going again, and
// reports whether it has ended and its outcome is out. The step of that wake-up
// does what is missing, the outcome of an ended job included. A job message that
// is still there makes the wake-up needless but harmless: the record decides.
func (r *repair) record(ctx context.Context, stored store.Record) (ended bool, err error) {
	rec, err := decodeRecord(stored.Value)
	if errors.Is(err, errUnknownState) {
		return false, nil // a newer worker's
	}
	if err != nil { // it stays so, and must not keep the others from it
		r.logger.Warn("repair", zap.Stringer("record", stored.Key), zap.Error(err))
		return false, nil
	}
	if rec.State.terminal() {
		out, err := r.outcomes.Exists(ctx, stored.Key, rec.Attempt, rec.State == Failed)
		if err != nil || out {
			return out, err
		}
	}
	parked, err := r.wakes.Parked(ctx, stored.Key, rec.Attempt)
	if err != nil || parked {
		return false, err
	}
	s := &step{Worker: r.Worker, key: stored.Key, attempt: rec.Attempt}
	s.log().Warn("wake-up was missing, parked by the repair", zap.String("state", string(rec.State)))
	return false, s.park(ctx, wakeFor(rec, stored.Seq), later(r.clock.Now(), rec.NotBefore))
}

// batchesPass takes in batches that nobody registered and lets go of the
// consumers of those that have ended.
func (r *repair) batchesPass(ctx context.Context) error {
	adopted, err := r.batches.Adopt(ctx)
	for _, batch := range adopted {
		r.logger.Warn("jobs were published to a batch nobody registered; registered it", zap.String("batch", string(batch)))
	}
	if err != nil {
		return fmt.Errorf("adopt batches: %w", err)
	}
	retired, err := r.batches.Retire(ctx)
	for _, batch := range retired {
		r.logger.Info("batch has ended, its consumer is removed", zap.String("batch", string(batch)))
	}
	if err != nil {
		return fmt.Errorf("retire batches: %w", err)
	}
	return nil
}
