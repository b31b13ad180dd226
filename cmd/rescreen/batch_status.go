package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rescreen/queue"
)

// batchDesk is what the batch commands work with.
type batchDesk struct {
	js      jetstream.JetStream
	jobs    *queue.Jobs
	batches *queue.Batches

	ask   sync.Once
	known rights
}

// rights are asked for when they are first needed.
func (d *batchDesk) rights(ctx context.Context) rights {
	d.ask.Do(func() { d.known = askRights(ctx, d.js.Conn()) })
	return d.known
}

// openBatchDesk looks the job stream and the register up.
func openBatchDesk(ctx context.Context, js jetstream.JetStream) (*batchDesk, error) {
	jobs, err := queue.OpenJobs(ctx, js)
	if err != nil {
		return nil, setUpFirst(err)
	}
	batches, err := queue.OpenBatches(ctx, js)
	if err != nil {
		return nil, setUpFirst(err)
	}
	return &batchDesk{js: js, jobs: jobs, batches: batches}, nil
}

func (d *batchDesk) tallier(ctx context.Context, batch queue.BatchID) *tallier {
	t := newTallier(d.js, batch)
	t.results.rights, t.failures.rights = d.rights(ctx), d.rights(ctx)
	return t
}

// now is the server's time, so that what different machines write about a
// batch can be compared.
func (d *batchDesk) now(ctx context.Context) (time.Time, error) {
	stream, err := d.js.Stream(ctx, queue.JobsStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("time of the server: %w", err)
	}
	return stream.CachedInfo().TimeStamp.UTC(), nil
}

// batchStatus is a batch with what has become of its jobs. It is what batch
// status prints as JSON.
type batchStatus struct {
	queue.Batch
	Results  uint64 `json:"results"`
	Failures uint64 `json:"failures"`
	// Queued jobs are in the job stream; those in the hands of a worker count.
	Queued uint64 `json:"queued"`
	// Waiting jobs have left it and wait for the API's answer.
	Waiting uint64 `json:"waiting"`
	// Open jobs have no outcome yet. It is queued + waiting, but for jobs that
	// are not published yet or twice.
	Open uint64 `json:"open"`
	// Complete: the submission is, and every job has its outcome.
	Complete bool `json:"complete"`
}

// errUnknownBatch: nobody has ever heard of the batch.
var errUnknownBatch = errors.New("no such batch")

// unknownBatch is the error for the user.
func unknownBatch(batch queue.BatchID) error {
	return failedError(fmt.Errorf("batch %s: %w", batch, errUnknownBatch), "See which there are: rescreen batch list")
}

// status counts a batch once, and notes in the register when it has come to
// its end. The error of a batch nobody has heard of wraps errUnknownBatch.
func (d *batchDesk) status(ctx context.Context, batch queue.BatchID) (batchStatus, error) {
	t := d.tallier(ctx, batch)
	defer t.close(ctx)
	return d.statusBy(ctx, batch, t)
}

// statusBy is status with a tallier that is used again.
//
// What is counted moves on meanwhile: from the job stream to the records to
// the outcomes. It is counted in this order, so that no job is missed.
func (d *batchDesk) statusBy(ctx context.Context, batch queue.BatchID, t *tallier) (batchStatus, error) {
	entry, _, err := d.batches.Load(ctx, batch)
	known := err == nil
	if err != nil && !errors.Is(err, queue.ErrNoBatch) {
		return batchStatus{}, err
	}
	if !known {
		entry = queue.Batch{Name: batch, State: queue.Submitted, Unregistered: true}
	}
	stored, err := d.jobs.Stored(ctx)
	if err != nil {
		return batchStatus{}, err
	}
	var begun uint64
	if uncounted(entry) {
		if begun, err = countRecords(ctx, d.js, d.rights(ctx), batch); err != nil {
			return batchStatus{}, err
		}
	}
	counted, err := t.tally(ctx)
	if err != nil {
		return batchStatus{}, err
	}
	s := newBatchStatus(entry, stored[batch], begun, counted)
	if !known && batch != queue.DefaultBatch && s.Queued+s.Open+s.outcomes() == 0 {
		return batchStatus{}, unknownBatch(batch)
	}
	return d.noteEnd(ctx, s, counted.At), nil
}

// uncounted reports whether nobody has said (yet) how many jobs a batch has.
func uncounted(b queue.Batch) bool { return b.Unregistered || b.State == queue.Submitting }

// newBatchStatus puts the counts together; begun, the number of records, is
// used where nobody has said how many jobs there are.
func newBatchStatus(b queue.Batch, stored, begun uint64, t tally) batchStatus {
	s := batchStatus{Batch: b, Results: t.Results, Failures: t.Failures, Queued: stored}
	total := uint64(b.Accepted)
	if uncounted(b) {
		total = max(begun, t.outcomes()) + stored
	}
	if total > t.outcomes() {
		s.Open = total - t.outcomes()
	}
	if s.Open > s.Queued {
		s.Waiting = s.Open - s.Queued
	}
	s.Complete = b.State != queue.Submitting && s.Open == 0
	return s
}

func (s batchStatus) outcomes() uint64 { return s.Results + s.Failures }

// total is the number of jobs, as far as it is known.
func (s batchStatus) total() uint64 { return s.outcomes() + s.Open }

// noteEnd marks a batch as ended that is complete and has left the job
// stream: a job that was published twice may still be there, for which the
// batch must keep its consumer. Whichever command notices does it; the
// register's compare-and-set makes it once.
//
// Who may only read still sees the status: a mark that cannot be made is left
// to the next one who looks.
func (d *batchDesk) noteEnd(ctx context.Context, s batchStatus, at time.Time) batchStatus {
	if !s.Complete || s.Queued > 0 || s.Unregistered || s.State != queue.Submitted || !d.rights(ctx).publish(queue.BatchSubject(s.Name)) {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	changed, err := d.batches.Change(ctx, s.Name, func(b *queue.Batch) error {
		if b.State != queue.Submitted {
			return errSettled
		}
		b.State, b.EndedAt = queue.Ended, at.UTC()
		return nil
	})
	if errors.Is(err, errSettled) { // by somebody else
		changed, _, err = d.batches.Load(ctx, s.Name)
	}
	if err == nil {
		s.Batch = changed
	}
	return s
}

// noteTimeout is how long a mark may take.
const noteTimeout = 2 * time.Second

// errSettled ends a change that somebody else has made already.
var errSettled = errors.New("already done")

// list returns all batches with their counts: those in the register, those
// with jobs in the stream and the default one if it was ever used; by the time
// of their start, those without one last.
func (d *batchDesk) list(ctx context.Context) ([]batchStatus, error) {
	registered, err := d.batches.List(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := d.jobs.Stored(ctx)
	if err != nil {
		return nil, err
	}
	names := map[queue.BatchID]bool{queue.DefaultBatch: true}
	for _, b := range registered {
		names[b.Name] = true
	}
	for name := range stored {
		names[name] = true
	}
	all, err := d.statuses(ctx, slices.Collect(maps.Keys(names)))
	slices.SortFunc(all, olderFirst)
	return all, err
}

// askedAtOnce is how many batches are counted at a time: enough to hide the
// way to a server far off, few enough not to keep it from its work.
const askedAtOnce = 8

func (d *batchDesk) statuses(ctx context.Context, names []queue.BatchID) ([]batchStatus, error) {
	found := make([]batchStatus, len(names))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for i, name := range names {
		group.Go(func() (err error) {
			found[i], err = d.status(groupCtx, name)
			if errors.Is(err, errUnknownBatch) { // removed by hand meanwhile
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, batchStatus.unused), nil
}

// unused reports whether there is nothing to say about the batch.
func (s batchStatus) unused() bool {
	return s.Name == "" || s.Name == queue.DefaultBatch && s.total()+s.Queued == 0
}

func olderFirst(a, b batchStatus) int {
	switch {
	case a.StartedAt.IsZero() != b.StartedAt.IsZero():
		if a.StartedAt.IsZero() {
			return 1
		}
		return -1
	case !a.StartedAt.Equal(b.StartedAt):
		return a.StartedAt.Compare(b.StartedAt)
	}
	if a.Name < b.Name {
		return -1
	}
	return 1
}
