package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"rescreen/queue"
	"rescreen/queue/portfolio"
	"rescreen/worker"
)

// submitOptions say how to submit a portfolio.
type submitOptions struct {
	// Batch is the name; empty for one that comes from the input's hash.
	Batch queue.BatchID
	// By is who submits, for the register.
	By string
	// Rejects is the file for rows that cannot be screened, made when there is one; empty
	// for <batch>.rejects.csv in the working directory.
	Rejects string
	// RefuseTestNumbers rejects rows with synthetic and aid numbers.
	RefuseTestNumbers bool
	// Trace makes spans, of the submission and of each job; nil for none.
	Trace trace.Tracer
	// Progress is called often, with how far it is; may be nil.
	Progress func(submitProgress)
	// Tell is called with what the user should know meanwhile; may be nil.
	Tell func(string)
}

// submitProgress is how far a submission is.
type submitProgress struct {
	Bytes, Size int64 // of the input: read, and all of it
	portfolio.Counts
}

// submission is what a submission came to. It is what batch submit prints as
// JSON.
type submission struct {
	queue.Batch
	// RejectedBy counts the rejects by column and reason, most frequent first.
	RejectedBy []rejectCount `json:"rejected_by"`
	// RejectsFile is where they lie; empty if there are none.
	RejectsFile string `json:"rejects_file,omitempty"`
	// Already: the same input was submitted before, and nothing was changed.
	Already bool `json:"already_submitted"`
	// Resumed: an earlier submission of the same input had broken off.
	Resumed bool `json:"resumed"`
}

// Errors of a submission that the user has to solve.
var (
	errOtherInput = errors.New("the batch was submitted from another input")
	errTaken      = errors.New("the batch takes jobs from programs that publish them one by one")
	errNoRows     = errors.New("no row can be screened")
	errChanged    = errors.New("the input changed while it was read")
)

// errLagging passes: what was read is older than what was written.
var errLagging = errors.New("the register does not show the batch yet")

// submitChunk is how many jobs are published before the next are read. Each
// chunk is pipelined; together with the rows it is all that is held in memory.
const submitChunk = 512

// submitPortfolio publishes the rows of a portfolio as the jobs of a batch and
// registers the batch. Memory does not grow with the input, but for what finds
// duplicates (see package portfolio).
//
// The input is read twice. First its SHA-256 says which batch it is: the same
// input submitted again changes nothing, and one that broke off is completed,
// in any case without screening anybody twice, as a row always makes the same
// job. Then the rows are published. Everything that NATS refuses for the
// moment is tried again; what was published stays when it ends in an error.
//
// Errors for the user are *exitError.
func (d *batchDesk) submitPortfolio(ctx context.Context, in io.ReadSeeker, o submitOptions) (submission, error) {
	if o.Trace == nil {
		o.Trace = noop.NewTracerProvider().Tracer("")
	}
	ctx, span := o.Trace.Start(ctx, "submit")
	defer span.End()
	s := &submitting{desk: d, options: o, retry: retrier{limit: natsPatience, tell: o.Tell}}
	if err := s.identify(in); err != nil {
		return submission{}, err
	}
	span.SetAttributes(attribute.String(worker.BatchAttribute, string(s.batch)))
	old, err := s.look(ctx)
	if err != nil {
		return submission{}, err
	}
	if old.State == queue.Submitted || old.State == queue.Ended {
		return s.again(ctx, in, old)
	}
	s.resumed = old.State == queue.Submitting
	if err := s.publish(ctx, in); err != nil {
		return submission{}, err
	}
	return s.finish(ctx)
}

// submitting is a submission at work.
type submitting struct {
	desk    *batchDesk
	options submitOptions
	retry   retrier

	batch   queue.BatchID
	hash    string
	size    int64
	resumed bool

	rejectsOnly bool // publish nothing

	begun   bool // registered, and the consumer is there
	chunk   []queue.Job
	counts  portfolio.Counts
	rejects *rejectsFile
}

// again answers a submission of what was submitted before: nothing is
// published, but the rejects, which only that file tells, are written once more.
func (s *submitting) again(ctx context.Context, in io.Reader, old queue.Batch) (submission, error) {
	if old.Rejected > 0 {
		s.rejectsOnly = true
		if err := s.publish(ctx, in); err != nil {
			return submission{}, err
		}
	}
	return submission{Batch: old, RejectedBy: s.rejects.counts(), RejectsFile: s.rejects.written(), Already: true}, nil
}

// identify reads the input for its hash and decides the batch's name.
func (s *submitting) identify(in io.ReadSeeker) error {
	var size countingWriter
	sum, err := portfolio.SHA256(io.TeeReader(in, &size))
	if err != nil {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the input again: %w", err)
	}
	s.hash, s.size, s.batch = sum, int64(size), s.options.Batch
	if s.batch == "" {
		s.batch = batchOfHash(sum)
	}
	if err := s.batch.Validate(); err != nil {
		return usageError(err, "")
	}
	if s.batch == queue.DefaultBatch {
		return usageError(fmt.Errorf("batch %s: %w", s.batch, errTaken), "Choose another name with --batch.")
	}
	path := s.options.Rejects
	if path == "" {
		path = string(s.batch) + ".rejects.csv"
	}
	s.rejects = &rejectsFile{path: path}
	return s.rejects.mayReplace()
}

// batchOfHash names the batch of an input: the first 12 hex digits of its
// hash. Where they happen to read as a national id, which no name may, it
// begins a digit later.
func batchOfHash(sum string) queue.BatchID {
	const digits = 12
	for i := digits; i < len(sum); i++ {
		if name := queue.BatchID(sum[i-digits : i]); name.Validate() == nil {
			return name
		}
	}
	return queue.BatchID(sum) // refused by its length; never seen
}

type countingWriter int64

func (w *countingWriter) Write(b []byte) (int, error) {
	*w += countingWriter(len(b))
	return len(b), nil
}

// look finds the batch in the register, if it is there, and refuses one that
// is somebody else's.
func (s *submitting) look(ctx context.Context) (queue.Batch, error) {
	var found queue.Batch
	err := s.retry.try(ctx, func(ctx context.Context) (err error) {
		found, _, err = s.desk.batches.Load(ctx, s.batch)
		return err
	})
	if errors.Is(err, queue.ErrNoBatch) {
		return queue.Batch{}, nil
	}
	if err != nil {
		return queue.Batch{}, err
	}
	switch {
	case found.Unregistered:
		return found, usageError(fmt.Errorf("batch %s: %w", s.batch, errTaken), "Choose another name with --batch.")
	case found.InputSHA256 != s.hash:
		return found, usageError(fmt.Errorf("batch %s: %w, of SHA-256 %s, on %s", s.batch, errOtherInput,
			found.InputSHA256, timeText(found.StartedAt)), "Choose another name with --batch; without it, the input's own hash is the name.")
	}
	return found, nil
}

// publish reads the rows and publishes them.
func (s *submitting) publish(ctx context.Context, in io.Reader) error {
	defer s.rejects.discard()
	again := sha256.New()
	var read countingWriter
	rows, err := portfolio.Open(io.TeeReader(in, io.MultiWriter(again, &read)), portfolio.Options{RefuseTestNumbers: s.options.RefuseTestNumbers})
	if err != nil {
		return fileError(err)
	}
	for {
		row, err := rows.Next()
		s.counts = rows.Counts()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.take(ctx, row)
		}
		if err != nil {
			return err
		}
		if s.options.Progress != nil && s.counts.Rows%submitChunk == 0 {
			s.options.Progress(submitProgress{int64(read), s.size, s.counts})
		}
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.unchanged(in, again); err != nil {
		return err
	}
	return s.rejects.commit()
}

// fileError gives a file that cannot be read at all the exit code of a
// mistake of the caller.
func fileError(err error) error {
	var file *portfolio.FileError
	if errors.As(err, &file) {
		return usageError(err, "")
	}
	return err
}

// take deals with one row.
func (s *submitting) take(ctx context.Context, row portfolio.Row) error {
	if row.Reject != nil {
		return s.rejects.add(*row.Reject)
	}
	if s.rejectsOnly {
		return nil
	}
	s.chunk = append(s.chunk, row.Job)
	if len(s.chunk) < submitChunk {
		return nil
	}
	return s.flush(ctx)
}

// flush publishes the jobs read so far.
func (s *submitting) flush(ctx context.Context) error {
	if len(s.chunk) == 0 {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	traces := s.traceJobs(ctx)
	left := s.chunk
	for len(left) > 0 {
		err := s.retry.try(ctx, func(ctx context.Context) error {
			receipts, err := s.desk.jobs.Publish(ctx, s.batch, left, queue.WithTraceparent(traces))
			before := len(left)
			left = unacknowledged(left, receipts)
			if passing(err) && len(left) < before {
				return nil // it moves: the time starts anew
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	clear(s.chunk) // what they point to
	s.chunk = s.chunk[:0]
	return nil
}

// unacknowledged keeps, in place, the jobs that are to be published again.
func unacknowledged(jobs []queue.Job, receipts []queue.Receipt) []queue.Job {
	kept := jobs[:0]
	for i, j := range jobs {
		if receipts[i] == queue.Unacknowledged {
			kept = append(kept, j)
		}
	}
	return kept
}

// begin registers the batch and makes its consumer, before the first job: a
// file without any job leaves no trace.
func (s *submitting) begin(ctx context.Context) error {
	if s.begun {
		return nil
	}
	err := s.retry.try(ctx, func(ctx context.Context) error {
		now, err := s.desk.now(ctx)
		if err != nil {
			return err
		}
		_, err = s.desk.batches.Register(ctx, queue.Batch{
			Name: s.batch, InputSHA256: s.hash, State: queue.Submitting, SubmittedBy: s.options.By, StartedAt: now,
		})
		return err
	})
	if errors.Is(err, queue.ErrBatchExists) { // an earlier submission broke off, or somebody was faster
		_, err = s.look(ctx)
	}
	if err != nil {
		return err
	}
	err = s.retry.try(ctx, func(ctx context.Context) error { return s.desk.jobs.EnsureConsumer(ctx, s.batch) })
	s.begun = err == nil
	return err
}

// unchanged compares the input as it was published with what it was named
// after.
func (s *submitting) unchanged(in io.Reader, again hash.Hash) error {
	if _, err := io.Copy(again, in); err != nil { // nothing, unless a file has grown
		return fmt.Errorf("read the input: %w", err)
	}
	if hex.EncodeToString(again.Sum(nil)) == s.hash {
		return nil
	}
	return failedError(fmt.Errorf("batch %s: %w: jobs of both versions may be queued", s.batch, errChanged),
		"Submit a file that nobody is writing to.")
}

// finish notes the totals in the register.
func (s *submitting) finish(ctx context.Context) (submission, error) {
	if s.counts.Jobs == 0 {
		return submission{RejectedBy: s.rejects.counts(), RejectsFile: s.rejects.written(), Resumed: s.resumed, Batch: queue.Batch{
			Name: s.batch, InputSHA256: s.hash, Rows: s.counts.Rows, Rejected: s.counts.Rejected, Duplicates: s.counts.Duplicates,
		}}, failedError(fmt.Errorf("%w, of %d", errNoRows, s.counts.Rows), s.rejects.hint())
	}
	var batch queue.Batch
	err := s.retry.try(ctx, func(ctx context.Context) error {
		now, err := s.desk.now(ctx)
		if err != nil {
			return err
		}
		batch, err = s.desk.batches.Change(ctx, s.batch, func(b *queue.Batch) error { return s.complete(b, now) })
		if errors.Is(err, errSettled) {
			batch, _, err = s.desk.batches.Load(ctx, s.batch)
		}
		if errors.Is(err, queue.ErrNoBatch) { // we have registered it: a replica lags behind
			return errLagging
		}
		return err
	})
	if err != nil {
		return submission{}, err
	}
	return submission{Batch: batch, RejectedBy: s.rejects.counts(), RejectsFile: s.rejects.written(), Resumed: s.resumed}, nil
}

// complete is the change of the register that ends a submission. Two that ran
// at the same time published the same; the first one's entry stands.
func (s *submitting) complete(b *queue.Batch, now time.Time) error {
	if b.State != queue.Submitting {
		return errSettled
	}
	b.Rows, b.Accepted, b.Rejected, b.Duplicates = s.counts.Rows, s.counts.Jobs, s.counts.Rejected, s.counts.Duplicates
	b.State, b.SubmittedAt = queue.Submitted, now
	return nil
}
