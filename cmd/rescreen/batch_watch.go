package main

import (
	"context"
	"fmt"
	"time"

	"rescreen/queue"
)

// watchOptions say how to watch a batch.
type watchOptions struct {
	Every time.Duration     // between two looks
	Seen  func(batchStatus) // called after each look; may be nil
	Tell  func(string)      // what the user should know meanwhile; may be nil
}

// endLooks is how often a complete batch is looked at again until it has left
// the job stream: its last acknowledgements come after its last outcome.
const endLooks = 5

// lookShare keeps looks that take long, of a large batch that has to be counted
// anew each time, to a twentieth of the server's time.
const lookShare = 20

// watch looks at a batch until it is complete, for as long as it takes: a NATS
// that is away is waited for. The error is ctx's, or one that will not pass,
// such as errUnknownBatch.
func (d *batchDesk) watch(ctx context.Context, batch queue.BatchID, o watchOptions) (batchStatus, error) {
	t := d.tallier(ctx, batch)
	defer t.close(ctx)
	complete, told := 0, false
	for {
		var s batchStatus
		var took time.Duration
		err := retrier{tell: o.Tell}.try(ctx, func(ctx context.Context) (err error) {
			began := time.Now()
			s, err = d.statusBy(ctx, batch, t)
			took = time.Since(began)
			return err
		})
		if err != nil {
			return batchStatus{}, err
		}
		if o.Seen != nil {
			o.Seen(s)
		}
		if s.State == queue.Submitting && !told && o.Tell != nil {
			told = true
			o.Tell(fmt.Sprintf("batch %s is still being submitted; if that broke off, run batch submit again", batch))
		}
		if s.Complete {
			complete++
		}
		if s.Complete && (s.State == queue.Ended || s.Unregistered || complete > endLooks) {
			return s, nil
		}
		if err := sleep(ctx, max(o.Every, lookShare*took)); err != nil {
			return batchStatus{}, err
		}
	}
}

// reading is the status as progress.
func (s batchStatus) reading(paint colours) reading {
	r := reading{What: "screening", Count: int64(s.outcomes()), Unit: "done", Parts: []figure{
		{Name: "failed", N: int64(s.Failures), Paint: paint.red},
		{Name: "waiting", N: int64(s.Waiting)},
		{Name: "queued", N: int64(s.Queued)},
	}}
	if !uncounted(s.Batch) {
		r.Done, r.Total = int64(s.outcomes()), int64(s.total())
	}
	return r
}

// failed is the error of a batch that ended with failures, else nil.
func (s batchStatus) failed() error {
	if s.Failures == 0 {
		return nil
	}
	return finishedWithFailures(fmt.Errorf("batch %s: %s of %s jobs failed", s.Name, grouped(int64(s.Failures)), grouped(int64(s.total()))))
}
