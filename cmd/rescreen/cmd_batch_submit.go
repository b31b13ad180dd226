package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"unicode"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
	"rescreen/queue"
)

// batchSubmitCmd queues a portfolio.
type batchSubmitCmd struct {
	NATS             natsSettings `embed:""`
	APIEnv           apiEnv       `group:"api" name:"api-env" placeholder:"local|current|prod" help:"Environment the workers call. With prod, rows with synthetic and aid numbers are rejected here already."`
	AllowTestNumbers bool         `group:"api" help:"Accept synthetic and aid numbers in prod, where they are refused otherwise."`

	File        string    `arg:"" help:"Portfolio, CSV or NDJSON in UTF-8; - for standard input."`
	Batch       batchName `flag:"only" placeholder:"NAME" help:"Name of the batch: 1 to 32 of a-z, 0-9, _ and -. By itself: the first 12 digits of the input's SHA-256. Standard input needs one."`
	Rejects     string    `flag:"only" placeholder:"FILE" help:"Where rows go that cannot be screened; made only if there are any. By itself: <batch>.rejects.csv."`
	SubmittedBy string    `flag:"only" placeholder:"NAME" help:"Who submits, for the register. By itself: $$USER."`
	outputOption
}

// Help implements kong.HelpProvider.
func (c *batchSubmitCmd) Help() string {
	return "The same file submitted again changes nothing; a submission that broke off is completed by running it again. " +
		"Nobody is screened twice by either.\n\n" +
		"Rows that break a rule are counted, listed by reason and written to a file of their own, which only its owner can read; the " +
		"rest is queued, and the exit code is 0. It is 1 if no row can be screened, and 2 for a file that cannot be read at all or a batch " +
		"that was submitted from another file."
}

func (c *batchSubmitCmd) problems() problems {
	found := c.NATS.problems()
	if c.File == "-" && c.Batch == "" {
		found.addf("--batch", "is required for standard input, which cannot be submitted again by its name")
	}
	checkName(&found, "--submitted-by", c.SubmittedBy)
	return found
}

// Run implements the command.
func (c *batchSubmitCmd) Run(ctx context.Context, a *app) error {
	in, err := openInput(ctx, a.stdin, c.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // opened for reading: nothing can be lost
	show := a.progress(a.stderr)
	defer show.end()
	link, desk, err := c.NATS.openDesk(ctx, a, "rescreen batch submit", show)
	if err != nil {
		return err
	}
	defer link.Close()
	log := a.grammar.logger(show)
	spans, err := a.tracing(ctx, show, workerID(), log)
	if err != nil {
		return err
	}
	defer spans.end(log)
	api := apiSettings{APIEnv: c.APIEnv, AllowTestNumbers: c.AllowTestNumbers}
	s, err := desk.submitPortfolio(ctx, in, submitOptions{
		Batch: queue.BatchID(c.Batch), By: a.person(c.SubmittedBy), Rejects: c.Rejects, RefuseTestNumbers: !api.testNumbersAllowed(),
		Trace:    spans.Tracer,
		Tell:     show.note,
		Progress: func(p submitProgress) { show.show(p.reading(show.paint)) },
	})
	show.end()
	if err != nil && ctx.Err() != nil {
		show.note("What was queued stays; the same command completes the batch.")
	}
	if s.Name == "" {
		return err
	}
	return errors.Join(c.print(a, s), err)
}

// checkName refuses what cannot be kept as the name of whoever did something.
func checkName(found *problems, flag, name string) {
	const most = 128
	switch {
	case utf8.RuneCountInString(name) > most || strings.ContainsFunc(name, unicode.IsControl):
		found.addf(flag, "must be a name of at most %d characters, without line breaks", most)
	case nationalid.Looks(name):
		found.addf(flag, "reads as a national identity number, which must not be kept there")
	}
}

// person is who does something: as given, or else whoever is logged in.
func (a *app) person(given string) string {
	if given != "" {
		return given
	}
	for _, key := range []string{"USER", "LOGNAME", "USERNAME"} {
		if name, ok := a.getenv(key); ok && !nationalid.Looks(name) {
			return name
		}
	}
	if who, err := user.Current(); err == nil && who.Username != "" && !nationalid.Looks(who.Username) {
		return who.Username
	}
	return "unknown"
}

func (p submitProgress) reading(paint colours) reading {
	return reading{What: "submitting", Done: p.Bytes, Total: p.Size, Count: int64(p.Rows), Unit: "rows", Parts: []figure{
		{Name: "rejected", N: int64(p.Rejected), Paint: paint.yellow},
	}}
}

func (c *batchSubmitCmd) print(a *app, s submission) error {
	if err := c.comment(a, s); err != nil {
		return err
	}
	if c.json() {
		return writeJSON(a.stdout, s)
	}
	rows := [][]string{
		{"batch", string(s.Name)}, {"input", s.InputSHA256},
		{"rows", number(s.Rows)}, {"accepted", number(s.Accepted)}, {"rejected", number(s.Rejected)},
	}
	for _, r := range s.RejectedBy {
		rows = append(rows, []string{"", number(r.Count) + "  " + r.text()})
	}
	if s.RejectsFile != "" {
		rows = append(rows, []string{"rejects in", s.RejectsFile})
	}
	return writeTable(a.stdout, nil, rows)
}

// comment says on stderr what a person should not overlook.
func (c *batchSubmitCmd) comment(a *app, s submission) error {
	var err error
	switch {
	case s.Already:
		_, err = fmt.Fprintf(a.stderr, "this input was submitted as batch %s on %s by %s: nothing was changed\n", s.Name, timeText(s.StartedAt), s.SubmittedBy)
	case s.Resumed:
		_, err = fmt.Fprintf(a.stderr, "completed the submission of batch %s, begun on %s by %s\n", s.Name, timeText(s.StartedAt), s.SubmittedBy)
	}
	if s.Rejected > 0 && !s.Already {
		a.warn(problem{text: fmt.Sprintf("%s of %s rows will not be screened, see %s", number(s.Rejected), number(s.Rows), s.RejectsFile)})
	}
	if err == nil && s.Accepted > 0 {
		_, err = fmt.Fprintf(a.stderr, "follow it: rescreen batch watch %s\n", s.Name)
	}
	return err
}

// openInput opens a portfolio for being read twice. What cannot be rewound,
// standard input above all, is first copied to a file that has no name and is
// its owner's alone.
func openInput(ctx context.Context, stdin io.Reader, name string) (*os.File, error) {
	if name == "-" {
		return spool(ctx, stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usageError(err, "Name a CSV or NDJSON file, or - for standard input.")
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = usageError(fmt.Errorf("%s is a directory", name), "Name a CSV or NDJSON file, or - for standard input.")
	case info.Mode().IsRegular():
		return f, nil
	default: // a pipe
		var copied *os.File
		copied, err = spool(ctx, f)
		return copied, errors.Join(err, f.Close())
	}
	return nil, errors.Join(err, f.Close())
}

func spool(ctx context.Context, in io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "rescreen-input-*") // mode 0600
	if err != nil {
		return nil, failedError(fmt.Errorf("file for standard input: %w", err), "Set TMPDIR to a directory with room for it.")
	}
	unlinked := os.Remove(f.Name()) // at once: no crash leaves people lying about
	_, err = io.Copy(f, stoppable{ctx, in})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err = errors.Join(unlinked, err); err != nil {
		return nil, errors.Join(fmt.Errorf("read the input: %w", err), f.Close())
	}
	return f, nil
}

// stoppable ends a copy when ctx does.
type stoppable struct {
	ctx context.Context
	io.Reader
}

func (s stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(b)
}
