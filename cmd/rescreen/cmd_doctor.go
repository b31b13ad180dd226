package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// doctorCmd says what is wrong with an installation, and what to do.
type doctorCmd struct {
	workerSettings
	Role       roleName      `flag:"only" default:"worker" placeholder:"ROLE" help:"Whose permissions in NATS to try: worker, submitter, consumer (of results), operator or setup."`
	Live       bool          `flag:"only" help:"Also run one session, with documents and report, and say which assumed readings of the API hold. It may be billed."`
	Person     string        `flag:"only" placeholder:"FILE" help:"Whom --live screens: a portfolio, as for batch submit, of one row. By itself a documented test person, except in prod."`
	AcceptBill bool          `flag:"only" help:"Let --live create a session in prod, which is billed."`
	LiveWait   time.Duration `flag:"only" default:"2m" placeholder:"TIME" help:"How long --live waits for the results."`
	FailOn     status        `flag:"only" enum:"warn,fail" default:"warn" placeholder:"warn|fail" help:"From what on doctor exits with another code than 0: fail lets warnings pass."`
	Output     string        `flag:"only" short:"o" enum:"table,json,nagios" default:"table" placeholder:"table|json|nagios" help:"How to print."`
}

// The exit codes of doctor are those of a monitoring plugin, not those of the
// other commands.
const (
	exitWarning  = 1
	exitCritical = 2
	exitUnknown  = 3
)

// Help implements kong.HelpProvider.
func (c *doctorCmd) Help() string {
	return "Every check is one line: ok, warn, fail, or unknown for what cannot be seen from here; below stands what to do. Nothing is changed anywhere. " +
		"It logs in at the API and asks it once for the access rights, and with --live runs its session, beside the limits of the fleet; --live does not begin while those let no creation out.\n\n" +
		"Exit codes, as monitoring plugins have them: 0 all well, 1 warnings (0 with --fail-on fail), 2 something fails, 3 the checks could not be made at all (a mistake on the command line)."
}

// examinesSettings implements examiner.
func (c *doctorCmd) examinesSettings() {}

// Run implements the command.
func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	d := c.doctor(a)
	var live *liveSession
	if c.Live {
		var err error
		if live, err = c.live(d); err != nil {
			return withCode(exitUnknown, err)
		}
	}
	found := d.examine(ctx)
	if ctx.Err() != nil { // what was cut off looks as if it failed
		return withCode(exitUnknown, fmt.Errorf("interrupted: %v", context.Cause(ctx)))
	}
	if live != nil {
		found = append(found, live.examine(ctx, found)...)
	}
	if err := c.print(a, found); err != nil {
		return withCode(exitUnknown, err)
	}
	if ctx.Err() != nil {
		return withCode(exitUnknown, fmt.Errorf("interrupted: %v%s", context.Cause(ctx), live.left()))
	}
	return doctorExit(found, c.FailOn)
}

func (c *doctorCmd) doctor(a *app) *doctor {
	log := zap.NewNop() // the findings say it better
	if a.grammar.LogLevel == zapcore.DebugLevel.String() {
		log = a.grammar.logger(a.stderr)
	}
	return &doctor{now: a.now, settings: c.workerSettings, app: a, role: c.Role, space: diskSpace, log: log}
}

// doctorExit turns findings into the exit code, from a status on.
func doctorExit(found []finding, from status) error {
	worst, count := sumUp(found)
	if from.worse(worst) {
		return nil
	}
	code := map[status]int{statusWarn: exitWarning, statusFail: exitCritical}[worst]
	if code == 0 {
		return nil
	}
	return &exitError{code: code, err: errors.New(countText(count))}
}

func countText(count map[status]int) string {
	return fmt.Sprintf("%d fail, %d warn, %d ok, %d unknown", count[statusFail], count[statusWarn], count[statusOK], count[statusUnknown])
}

// withCode gives an error another exit code, and keeps its hint.
func withCode(code int, err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return &exitError{code: code, hint: exit.hint, err: err}
	}
	return &exitError{code: code, err: err}
}

func (c *doctorCmd) print(a *app, found []finding) error {
	switch c.Output {
	case "json":
		return writeJSON(a.stdout, found)
	case "nagios":
		return printNagios(a.stdout, found)
	}
	return printFindings(a.stdout, found, a.colours(a.stdout))
}

// printFindings prints a line for each check, then what to do.
func printFindings(w io.Writer, found []finding, paint colours) error {
	rows := make([][]string, 0, len(found))
	for _, f := range found {
		rows = append(rows, []string{string(f.Status), f.Name, f.Found})
	}
	var table strings.Builder
	if err := writeTable(&table, nil, rows); err != nil {
		return err
	}
	text := table.String()
	if paint {
		text = paintStatus(text, found, paint)
	}
	if todo := todoText(found); todo != "" {
		text += "\nWhat to do\n" + todo
	}
	_, err := io.WriteString(w, text)
	return err
}

// paintStatus colours the first word of each line; escapes within the table would
// count as its width.
func paintStatus(table string, found []finding, paint colours) string {
	lines := strings.SplitAfter(table, "\n")
	for i, f := range found {
		word := string(f.Status)
		colour := map[status]func(string) string{statusOK: paint.green, statusWarn: paint.yellow, statusFail: paint.red}[f.Status]
		if rest, ok := strings.CutPrefix(lines[i], word); ok && colour != nil {
			lines[i] = colour(word) + rest
		}
	}
	return strings.Join(lines, "")
}

// todoText is what to do, failures first.
func todoText(found []finding) string {
	var b strings.Builder
	for _, s := range []status{statusFail, statusWarn, statusUnknown} {
		for _, f := range found {
			if f.Status == s && f.Do != "" {
				fmt.Fprintf(&b, "  %s: %s\n", f.Name, f.Do)
			}
		}
	}
	return b.String()
}

// printNagios prints what monitoring plugins print: a line with a verdict and
// figures, then the details.
func printNagios(w io.Writer, found []finding) error {
	worst, count := sumUp(found)
	text := map[status]string{statusOK: "OK", statusWarn: "WARNING", statusFail: "CRITICAL"}[worst] + ": "
	var names []string
	for _, f := range found {
		if f.Status == worst && worst != statusOK {
			names = append(names, f.Name+": "+f.Found)
		}
	}
	switch unknown := count[statusUnknown]; {
	case worst != statusOK:
	case unknown > 0:
		names = []string{fmt.Sprintf("nothing wrong; %d of %d checks could not be made", unknown, len(found))}
	default:
		names = []string{"all checks are well"}
	}
	// A bar would end the text.
	text += strings.ReplaceAll(strings.Join(names, "; "), "|", "/")
	text += fmt.Sprintf(" | ok=%d warn=%d fail=%d unknown=%d\n", count[statusOK], count[statusWarn], count[statusFail], count[statusUnknown])
	for _, f := range found {
		text += strings.ReplaceAll(fmt.Sprintf("%s %s: %s", f.Status, f.Name, f.Found), "|", "/") + "\n"
	}
	if todo := todoText(found); todo != "" {
		text += "What to do\n" + strings.ReplaceAll(todo, "|", "/")
	}
	_, err := io.WriteString(w, text)
	return err
}
