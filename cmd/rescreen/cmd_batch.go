package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rescreen/queue"
)

// batchCmd is about portfolios and what becomes of them.
type batchCmd struct {
	Submit batchSubmitCmd `cmd:"" help:"Queue a portfolio for screening."`
	List   batchListCmd   `cmd:"" help:"List the batches."`
	Status batchStatusCmd `cmd:"" help:"Show how far a batch is."`
	Watch  batchWatchCmd  `cmd:"" help:"Follow a batch until it is done."`
	Export batchExportCmd `cmd:"" help:"Write the results of a batch, evidence included, to a directory."`
}

// batchName is a batch given on the command line.
type batchName queue.BatchID

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *batchName) UnmarshalText(text []byte) error {
	*b = batchName(text)
	return queue.BatchID(text).Validate()
}

// openDesk connects for a batch command whose progress appears on show. Close
// the link.
func (s natsSettings) openDesk(ctx context.Context, a *app, name string, show *progress) (*natsLink, *batchDesk, error) {
	link, err := s.connect(ctx, name, a.grammar.logger(show))
	if err != nil {
		return nil, nil, err
	}
	a.link = link
	desk, err := openBatchDesk(ctx, link.JS)
	if err != nil {
		link.Close()
		return nil, nil, err
	}
	return link, desk, nil
}

// batchListCmd lists the batches.
type batchListCmd struct {
	NATS natsSettings `embed:""`
	outputOption
}

func (c *batchListCmd) problems() problems { return c.NATS.problems() }

// Run implements the command.
func (c *batchListCmd) Run(ctx context.Context, a *app) error {
	link, desk, err := c.NATS.openDesk(ctx, a, "rescreen batch list", a.progress(a.stderr))
	if err != nil {
		return err
	}
	defer link.Close()
	all, err := desk.list(ctx)
	if err != nil {
		return err
	}
	if c.json() {
		return writeJSON(a.stdout, append([]batchStatus{}, all...))
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stderr, "no batches yet")
		return err
	}
	var rows [][]string
	for _, s := range all {
		rows = append(rows, []string{
			string(s.Name), s.stateText(), number(s.Accepted), number(s.Rejected), number(s.Results), number(s.Failures), number(s.Open), timeText(s.StartedAt),
		})
	}
	return writeTable(a.stdout, []string{"BATCH", "STATE", "ACCEPTED", "REJECTED", "RESULTS", "FAILURES", "OPEN", "STARTED"}, rows)
}

// batchStatusCmd shows one batch.
type batchStatusCmd struct {
	NATS  natsSettings `embed:""`
	Batch batchName    `arg:"" help:"Name of the batch."`
	outputOption
}

func (c *batchStatusCmd) problems() problems { return c.NATS.problems() }

// Run implements the command.
func (c *batchStatusCmd) Run(ctx context.Context, a *app) error {
	link, desk, err := c.NATS.openDesk(ctx, a, "rescreen batch status", a.progress(a.stderr))
	if err != nil {
		return err
	}
	defer link.Close()
	s, err := desk.status(ctx, queue.BatchID(c.Batch))
	if err != nil {
		return err
	}
	return printStatus(a, c.outputOption, s)
}

func printStatus(a *app, o outputOption, s batchStatus) error {
	if o.json() {
		return writeJSON(a.stdout, s)
	}
	return writeTable(a.stdout, nil, s.table())
}

// stateText is the state in a word.
func (s batchStatus) stateText() string {
	switch {
	case s.Unregistered:
		return "unregistered"
	case s.Complete && s.State == queue.Submitted:
		return "complete"
	}
	return string(s.State)
}

// table is the status for a person; what is not known or nought is left out
// where that says nothing.
func (s batchStatus) table() [][]string {
	rows := [][]string{{"batch", string(s.Name)}, {"state", s.stateText()}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("input", s.InputSHA256)
	add("submitted by", s.SubmittedBy)
	add("started", timeText(s.StartedAt))
	add("submitted", timeText(s.SubmittedAt))
	add("ended", timeText(s.EndedAt))
	if !uncounted(s.Batch) {
		add("rows", number(s.Rows))
		add("accepted", number(s.Accepted))
		rejected := number(s.Rejected)
		if s.Duplicates > 0 {
			rejected += ", " + number(s.Duplicates) + " of them duplicates"
		}
		add("rejected", rejected)
	}
	add("results", number(s.Results))
	add("failures", number(s.Failures))
	add("open", number(s.Open))
	add("  queued", number(s.Queued))
	add("  waiting", number(s.Waiting))
	return rows
}

func number[N int | uint64](n N) string { return grouped(int64(n)) }

// batchWatchCmd follows one batch.
type batchWatchCmd struct {
	NATS  natsSettings `embed:""`
	Batch batchName    `arg:"" help:"Name of the batch."`
	outputOption
}

func (c *batchWatchCmd) problems() problems { return c.NATS.problems() }

// Help implements kong.HelpProvider.
func (c *batchWatchCmd) Help() string {
	return "Ends when every job has its outcome: with 0 if all have a result, with 3 if there are failures. " +
		"While NATS is away it waits. It only looks: ending it ends nothing else."
}

// watchEvery is smooth enough, and next to nothing for the server: a look is
// four requests that take a millisecond together, whatever the batch's size.
const watchEvery = time.Second

// Run implements the command.
func (c *batchWatchCmd) Run(ctx context.Context, a *app) error {
	show := a.progress(a.stderr)
	defer show.end()
	link, desk, err := c.NATS.openDesk(ctx, a, "rescreen batch watch", show)
	if err != nil {
		return err
	}
	defer link.Close()
	s, err := desk.watch(ctx, queue.BatchID(c.Batch), watchOptions{
		Every: watchEvery, Tell: show.note,
		Seen: func(s batchStatus) { show.show(s.reading(show.paint)) },
	})
	show.end()
	if err != nil {
		return err
	}
	return errors.Join(printStatus(a, c.outputOption, s), s.failed())
}
