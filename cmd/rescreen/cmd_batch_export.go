package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"rescreen/queue"
	"rescreen/store"
)

// batchExportCmd writes the results of a batch.
type batchExportCmd struct {
	NATS  natsSettings `embed:""`
	Batch batchName    `arg:"" help:"Name of the batch."`
	To    string       `flag:"only" required:"" placeholder:"DIR" help:"Directory to write to; made if it does not exist."`
	outputOption
}

func (c *batchExportCmd) problems() problems { return c.NATS.problems() }

// Help implements kong.HelpProvider.
func (c *batchExportCmd) Help() string {
	return `Writes, for its owner's eyes only:

  results.ndjson    one CloudEvent a line, byte for byte as it was published
  results.csv       one line per customer: outcome, hits, evidence
  failures.ndjson   the same for screenings
  failures.csv      that failed
  evidence/         JSON and PDF as the API sent them, named by their SHA-256
  missing.csv       evidence that is gone, if there is any
  manifest.json     counts, and the hashes of the files; written last

In the CSV files, text that a spreadsheet would take for a formula (beginning with = + - @) has an apostrophe in front of it; the NDJSON files hold it as it is.

An export that broke off can be run again: evidence that is there is kept. The exit code is 0 if every job has a result, 3 if there are failures, and 1 if jobs are still open or evidence is missing; what there is has been written then.`
}

// Run implements the command.
func (c *batchExportCmd) Run(ctx context.Context, a *app) error {
	show := a.progress(a.stderr)
	defer show.end()
	link, desk, err := c.NATS.openDesk(ctx, a, "rescreen batch export", show)
	if err != nil {
		return err
	}
	defer link.Close()
	remembered, err := store.Open(ctx, link.JS, a.now)
	if err != nil {
		return setUpFirst(err)
	}
	s, err := desk.exportBatch(ctx, remembered.Evidence, queue.BatchID(c.Batch), c.To, exportOptions{
		Tell:     show.note,
		Progress: func(p exportProgress) { show.show(p.reading(show.paint)) },
	})
	show.end()
	if err != nil {
		return err
	}
	return errors.Join(c.print(a, s), s.verdict(c.To))
}

func (p exportProgress) reading(paint colours) reading {
	return reading{What: "exporting", Done: int64(p.Outcomes), Total: int64(p.Total), Count: int64(p.Outcomes), Unit: "outcomes", Parts: []figure{
		{Name: "evidence files", N: int64(p.Evidence.Files)},
		{Name: "missing", N: int64(p.Evidence.Missing), Paint: paint.red},
	}}
}

// verdict is the error that an export ends with, nil if nothing is wrong with
// the batch.
func (s exportSummary) verdict(dir string) error {
	switch {
	case s.Evidence.Missing > 0:
		return failedError(fmt.Errorf("batch %s: %s pieces of evidence are missing", s.Batch, number(s.Evidence.Missing)),
			"See "+filepath.Join(dir, missingFile)+"; evidence is kept for about a month.")
	case s.Unreadable > 0:
		return failedError(fmt.Errorf("batch %s: %s messages are no outcomes of rescreen", s.Batch, number(s.Unreadable)), "")
	case !s.Complete:
		return failedError(fmt.Errorf("batch %s is not complete: %s jobs are open", s.Batch, number(s.Open)),
			"Export it again when it is: rescreen batch watch "+string(s.Batch))
	case s.failures() > 0:
		return finishedWithFailures(fmt.Errorf("batch %s: %s of %s jobs failed", s.Batch, number(s.failures()), number(s.results()+s.failures())))
	}
	return nil
}

func (c *batchExportCmd) print(a *app, s exportSummary) error {
	if c.json() {
		return writeJSON(a.stdout, s)
	}
	rows := [][]string{{"batch", string(s.Batch)}, {"results", number(s.results())}}
	for _, o := range queue.Outcomes() {
		if n := s.Results[o]; n > 0 {
			rows = append(rows, []string{"  " + string(o), number(n)})
		}
	}
	rows = append(rows, []string{"failures", number(s.failures())})
	for _, r := range queue.Reasons() {
		if n := s.Failures[r]; n > 0 {
			rows = append(rows, []string{"  " + string(r), number(n)})
		}
	}
	rows = append(rows, s.openRows()...)
	rows = append(rows, []string{"evidence", fmt.Sprintf("%s files, %s", number(s.Evidence.Files), sizeText(s.Evidence.Bytes))},
		[]string{"written to", c.To})
	return writeTable(a.stdout, nil, rows)
}

// openRows are the figures that one wants to be nought.
func (s exportSummary) openRows() [][]string {
	rows := [][]string{
		{"open", number(s.Open)},
		{"possible duplicates", number(s.PossibleDuplicates)},
		{"missing evidence", number(s.Evidence.Missing)},
		{"unreadable", number(s.Unreadable)},
	}
	return slices.DeleteFunc(rows, func(r []string) bool { return r[1] == "0" })
}
