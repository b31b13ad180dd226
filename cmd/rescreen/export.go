package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
)

// exportOptions say how to export a batch.
type exportOptions struct {
	// Progress is called for each outcome; may be nil.
	Progress func(exportProgress)
	// Tell is called with what the user should know meanwhile; may be nil.
	Tell func(string)
}

// exportProgress is how far an export is.
type exportProgress struct {
	Outcomes, Total int
	Evidence        evidenceSummary
}

// exportSummary is what an export wrote. It is what manifest.json holds, and
// what batch export prints as JSON.
type exportSummary struct {
	Batch      queue.BatchID `json:"batch"`
	ExportedAt time.Time     `json:"exported_at"` // server's time
	// Complete: the submission was complete and every job had its outcome.
	Complete bool   `json:"complete"`
	Accepted int    `json:"accepted"`
	Open     uint64 `json:"open"`

	// What was submitted: rows = accepted + rejected, out of the input with
	// this hash.
	Rows        int       `json:"rows"`
	Rejected    int       `json:"rejected"`
	Duplicates  int       `json:"duplicates"` // of the rejected
	InputSHA256 string    `json:"input_sha256"`
	SubmittedBy string    `json:"submitted_by"`
	SubmittedAt time.Time `json:"submitted_at,omitzero"`

	Results  map[queue.Outcome]int     `json:"results"`
	Failures map[queue.Reason]int      `json:"failures"`
	Reports  map[queue.ReportState]int `json:"reports"` // of the results

	PossibleDuplicates int `json:"possible_duplicates"`
	Sessions           int `json:"sessions"` // created
	Recreations        int `json:"recreations"`
	Expiries           int `json:"expiries"`
	Polls              int `json:"polls"`
	MostPolls          int `json:"most_polls"` // of one job
	Unreadable         int `json:"unreadable"` // messages in the stream that are no outcomes

	Evidence evidenceSummary `json:"evidence"`
	Files    []exportedFile  `json:"files"`
}

// exportedFile describes a file of an export.
type exportedFile struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Records int    `json:"records"` // lines without a header
}

func (s exportSummary) results() int  { return sum(s.Results) }
func (s exportSummary) failures() int { return sum(s.Failures) }

// pollsPerSession is the mean.
func (s exportSummary) pollsPerSession() float64 {
	if s.Sessions == 0 {
		return 0
	}
	return float64(s.Polls) / float64(s.Sessions)
}

func sum[K comparable](counts map[K]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// manifestFile is written last: where it stands, all that it lists is whole
// and from the same export.
const manifestFile = "manifest.json"

// errOtherExport: the directory holds the export of another batch.
var errOtherExport = errors.New("the directory holds the export of another batch")

// exportBatch writes the outcomes of a batch, as they are now, into a
// directory:
//
//	results.ndjson, failures.ndjson   the events, one a line, as they were published
//	results.csv, failures.csv         the same in short, one line each
//	evidence/<sha256>.json, .pdf      what the API sent, byte for byte
//	missing.csv                       evidence that is gone, if there is any
//	manifest.json                     the counts, and the hashes of the files
//
// Directories are made with mode 0700 and files with 0600. Each file appears
// when it is complete, so an export that broke off leaves those of an earlier
// one; running it again keeps the evidence that is there.
//
// Memory does not grow with the batch. Errors for the user are *exitError; a
// batch that is not complete is none, nor is evidence that is missing: see the
// summary.
func (d *batchDesk) exportBatch(ctx context.Context, source evidenceSource, batch queue.BatchID, dir string, o exportOptions) (exportSummary, error) {
	p := retrier{limit: natsPatience, tell: o.Tell}
	var status batchStatus
	err := p.try(ctx, func(ctx context.Context) (err error) {
		status, err = d.status(ctx, batch)
		return err
	})
	if err != nil {
		return exportSummary{}, err
	}
	if err := ownDirectory(dir, batch); err != nil {
		return exportSummary{}, err
	}
	x, err := newExporting(ctx, dir, source, p)
	if err != nil {
		return exportSummary{}, failedError(fmt.Errorf("export to %s: %w", dir, err), "")
	}
	defer x.discard()
	err = x.read(ctx, &outcomeReader{js: d.js, batch: batch}, int(status.outcomes()), o.Progress)
	if waitErr := x.evidence.wait(); err == nil { // waited for after an error too: nothing is left running
		err = waitErr
	}
	if err != nil {
		return exportSummary{}, err
	}
	now, err := d.now(ctx)
	if err != nil {
		return exportSummary{}, err
	}
	x.summary.Batch, x.summary.ExportedAt = batch, now
	x.summary.Complete, x.summary.Accepted, x.summary.Open = status.Complete, status.Accepted, status.Open
	x.summary.Rows, x.summary.Rejected, x.summary.Duplicates = status.Rows, status.Rejected, status.Duplicates
	x.summary.InputSHA256, x.summary.SubmittedBy, x.summary.SubmittedAt = status.InputSHA256, status.SubmittedBy, status.SubmittedAt
	err = x.commit()
	return x.summary, err
}

// ownDirectory refuses a directory with the export of another batch: two
// batches in one directory would look like one.
func ownDirectory(dir string, batch queue.BatchID) error {
	manifest, err := readManifest(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return failedError(fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err), "Choose another directory with --to.")
	case manifest.Batch != batch:
		return usageError(fmt.Errorf("%s: %w, %q", dir, errOtherExport, manifest.Batch), "Choose another directory with --to.")
	}
	return nil
}

func readManifest(dir string) (exportSummary, error) {
	var manifest exportSummary
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return manifest, err
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return manifest, errors.New("not a manifest of ours")
	}
	return manifest, nil
}

// exporting is an export at work.
type exporting struct {
	dir      string
	retry    retrier
	results  *outcomeFiles
	failures *outcomeFiles
	evidence *evidenceExport
	summary  exportSummary
}

func newExporting(ctx context.Context, dir string, source evidenceSource, p retrier) (_ *exporting, err error) {
	x := &exporting{dir: dir, retry: p, summary: exportSummary{
		Results: map[queue.Outcome]int{}, Failures: map[queue.Reason]int{}, Reports: map[queue.ReportState]int{},
	}}
	if x.evidence, err = newEvidenceExport(ctx, dir, source, p); err != nil {
		return nil, err
	}
	if x.results, err = createOutcomeFiles(dir, "results", resultColumns()); err != nil {
		return nil, err
	}
	if x.failures, err = createOutcomeFiles(dir, "failures", failureColumns()); err != nil {
		x.results.discard()
		return nil, err
	}
	return x, nil
}

// read writes outcome after outcome.
func (x *exporting) read(ctx context.Context, from *outcomeReader, total int, progress func(exportProgress)) error {
	defer from.close(ctx)
	for n := 0; ; {
		var msgs []jetstream.Msg
		err := x.retry.try(ctx, func(ctx context.Context) (err error) {
			msgs, err = from.next(ctx)
			return err
		})
		if err != nil || len(msgs) == 0 {
			return err
		}
		for _, m := range msgs {
			if err := x.take(m.Data()); err != nil {
				return err
			}
			n++
			if progress != nil {
				progress(exportProgress{Outcomes: n, Total: max(total, n), Evidence: x.evidence.counts()})
			}
		}
		if err := x.evidence.ended(ctx); err != nil {
			return err
		}
	}
}

// take writes one outcome.
func (x *exporting) take(data []byte) error {
	event, err := queue.DecodeEvent(data)
	if err != nil {
		x.summary.Unreadable++
		return nil
	}
	if bytes.ContainsAny(data, "\n\r") { // ours has none; an event takes one line, whoever wrote it
		var line bytes.Buffer
		if err := json.Compact(&line, data); err != nil {
			x.summary.Unreadable++
			return nil
		}
		data = line.Bytes()
	}
	if result, err := event.Result(); err == nil {
		x.countResult(result)
		x.evidence.add(event.JobID, result.Evidence)
		return x.results.add(data, resultCells(event, result))
	}
	if failure, err := event.Failure(); err == nil {
		x.countFailure(failure)
		return x.failures.add(data, failureCells(event, failure))
	}
	x.summary.Unreadable++
	return nil
}

func (x *exporting) countResult(r queue.Result) {
	x.summary.Results[r.Outcome]++
	x.summary.Reports[r.Report.State]++
	x.countWork(r.PossibleDuplicate, r.SessionsCreated, r.Recreations, r.Expiries, r.Polls)
}

func (x *exporting) countFailure(f queue.Failure) {
	x.summary.Failures[f.Reason]++
	x.countWork(f.PossibleDuplicate, f.SessionsCreated, f.Recreations, f.Expiries, f.Polls)
}

func (x *exporting) countWork(duplicate bool, sessions, recreations, expiries, polls int) {
	s := &x.summary
	if duplicate {
		s.PossibleDuplicates++
	}
	s.Sessions += sessions
	s.Recreations += recreations
	s.Expiries += expiries
	s.Polls += polls
	s.MostPolls = max(s.MostPolls, polls)
}

// commit gives the files their names, the manifest last.
func (x *exporting) commit() error {
	x.summary.Evidence = x.evidence.counts()
	if err := os.Remove(filepath.Join(x.dir, manifestFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := x.evidence.commit(); err != nil {
		return err
	}
	for _, files := range []*outcomeFiles{x.results, x.failures} {
		written, err := files.commit()
		if err != nil {
			return err
		}
		x.summary.Files = append(x.summary.Files, written...)
	}
	manifest, err := createPending(filepath.Join(x.dir, manifestFile))
	if err != nil {
		return err
	}
	defer manifest.discard()
	if err := writeJSON(manifest, x.summary); err != nil {
		return err
	}
	return manifest.commit()
}

func (x *exporting) discard() {
	x.results.discard()
	x.failures.discard()
	x.evidence.discard()
}
