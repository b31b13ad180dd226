package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// demoOutcome is what a demo came to.
type demoOutcome struct {
	portfolio, dir string
	submitted      submission
	exported       exportSummary
	api            amlsim.Stats
	took           time.Duration
}

// errUnaccounted: a row was neither rejected nor screened nor failed.
var errUnaccounted = errors.New("not every row is accounted for")

// verdict is nil when every row has come to something.
func (o demoOutcome) verdict() error {
	b, e := o.submitted.Batch, o.exported
	if b.Rows != b.Accepted+b.Rejected || b.Accepted != e.results()+e.failures() || !e.Complete || e.Evidence.Missing > 0 {
		return failedError(fmt.Errorf("%w: %d rows, %d rejected, %d results, %d failures", errUnaccounted, b.Rows, b.Rejected, e.results(), e.failures()),
			"This is a defect of rescreen: please report it, with "+filepath.Join(o.dir, demoLog)+".")
	}
	return nil
}

// print writes the summary for a person.
func (o demoOutcome) print(w io.Writer, paint colours) error {
	b, e := o.submitted.Batch, o.exported
	var rows [][]string
	add := func(name string, n int, note string) { rows = append(rows, []string{name, grouped(int64(n)), note}) }
	add("Rows in "+o.portfolio, b.Rows, "")
	add("  rejected", b.Rejected, "")
	for _, r := range o.submitted.RejectedBy {
		add("", r.Count, r.text())
	}
	add("  screened", e.results(), "")
	for _, outcome := range queue.Outcomes() {
		add("    "+string(outcome), e.Results[outcome], demoMeaning(outcome))
	}
	add("  failed", e.failures(), "")
	for _, reason := range slices.Sorted(maps.Keys(e.Failures)) {
		add("    "+string(reason), e.Failures[reason], "")
	}
	add("Signed PDFs", e.Reports[queue.ReportStored], "of "+grouped(int64(e.results()-e.Reports[queue.ReportNotOrdered]))+" ordered")
	add("Sessions created", o.api.Sessions, fmt.Sprintf("for %s people, %d of them more than once", grouped(int64(o.api.People)), o.api.RepeatedPeople))
	rows = append(rows,
		[]string{"Polls per session", fmt.Sprintf("%.1f", e.pollsPerSession()), fmt.Sprintf("%d at the most", e.MostPolls)},
		[]string{"Creations in any second", grouped(int64(o.api.PeakCreate.Second)), fmt.Sprintf("at the most, of the %d that the API allows; it said 429 %d times", demoCreateRate+demoCreateBurst, o.api.Throttled)},
		[]string{"Time", fmt.Sprintf("%.1f s", o.took.Seconds()), fmt.Sprintf("%s from end to end", rateText(float64(b.Accepted)/o.took.Seconds()))},
	)
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := writeSummary(w, rows); err != nil {
		return err
	}
	return o.printFiles(w, paint)
}

func demoMeaning(o queue.Outcome) string {
	switch o {
	case queue.Hit:
		return "on a PEP or sanction list"
	case queue.Clear:
		return "on no list"
	case queue.Undetermined:
		return "the API did not say: not the same as clear"
	}
	return ""
}

// writeSummary aligns names to the left and figures to the right.
func writeSummary(w io.Writer, rows [][]string) error {
	width := [2]int{}
	for _, r := range rows {
		for i := range width {
			width[i] = max(width[i], len([]rune(r[i])))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %*s  %s", width[0], r[0], width[1], r[1], r[2])
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// printFiles says where everything lies.
func (o demoOutcome) printFiles(w io.Writer, paint colours) error {
	files := [][]string{
		{"results.csv", "a line per customer: outcome, hits, evidence"},
		{"results.ndjson", "the events as a risk engine gets them"},
		{"failures.csv, failures.ndjson", "the same for screenings that failed"},
		{"evidence" + string(filepath.Separator), fmt.Sprintf("%s files: JSON and signed PDFs, byte for byte as the API sent them", grouped(int64(o.exported.Evidence.Files)))},
		{demoRejects, "the rows that were rejected, with line, column and reason"},
		{demoLog, "what the worker logged"},
	}
	if o.submitted.Rejected == 0 {
		files = slices.DeleteFunc(files, func(f []string) bool { return f[0] == demoRejects })
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", paint.green("In "+o.dir+string(filepath.Separator))); err != nil {
		return err
	}
	for i := range files {
		files[i][0] = "  " + files[i][0]
	}
	return writeTable(w, nil, files)
}
