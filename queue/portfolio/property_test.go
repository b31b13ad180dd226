package portfolio

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/nationalid/idtest"
	"rescreen/apiclient/personal"
	"rescreen/queue"
)

// anyJob draws a valid job of a portfolio: every member in every form that
// both formats can carry.
func anyJob(ref string) *rapid.Generator[queue.Job] {
	name := rapid.StringMatching(`[A-ZÆØÅÄÖ"][a-zæøåäöé' ,;|"-]{0,12}[a-z"]`)
	return rapid.Custom(func(t *rapid.T) queue.Job {
		j := queue.Job{
			CustomerRef: ref,
			FirstName:   personal.Text(name.Draw(t, "first name")),
			LastName:    personal.Text(name.Draw(t, "last name")),
			Language:    rapid.SampledFrom(append(queue.Languages(), "")).Draw(t, "language"),
			Country:     rapid.SampledFrom([]string{"", "no", "se"}).Draw(t, "country"),
			Report:      rapid.Bool().Draw(t, "report"),
		}
		born := time.Date(1860, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 14000).Draw(t, "day"))
		switch rapid.IntRange(0, 3).Draw(t, "number") {
		case 1:
			j.SSN, j.SSNCountry = personal.Text(idtest.Swedish(born, 238, 0)), nationalid.Sweden
		case 2:
			j.SSN, j.SSNCountry = personal.Text(idtest.Danish(born, 5000)), nationalid.Denmark
		case 3:
			j.SSN, j.SSNCountry = personal.Text(idtest.Finnish(born, '+', 900)), nationalid.Finland
		}
		if j.SSN == "" || rapid.Bool().Draw(t, "with date") {
			j.DateOfBirth = personal.Text(born.Format(time.DateOnly))
		}
		if rapid.Bool().Draw(t, "own expands") {
			all := rapid.Permutation(queue.Expands()).Draw(t, "expands")
			j.Expands = all[:rapid.IntRange(1, len(all)).Draw(t, "how many")]
		}
		j.ID = JobID(ref)
		return j.WithDefaults()
	})
}

func members(j queue.Job) map[string]string {
	m := map[string]string{
		"customer_ref": j.CustomerRef, "first_name": j.FirstName.Reveal(), "last_name": j.LastName.Reveal(),
		"date_of_birth": j.DateOfBirth.Reveal(), "ssn": j.SSN.Reveal(), "ssn_country": string(j.SSNCountry),
		"country": j.Country, "expands": strings.Join(j.Expands, "|"), "report": fmt.Sprint(j.Report), "language": j.Language,
	}
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var jobs []queue.Job
		for i := range rapid.IntRange(0, 8).Draw(t, "rows") {
			jobs = append(jobs, anyJob(fmt.Sprintf("C-%d", i)).Draw(t, "job"))
		}
		columns := rapid.Permutation(Columns()).Draw(t, "columns")
		var sheet bytes.Buffer
		w := csv.NewWriter(&sheet)
		w.Comma = rapid.SampledFrom([]rune{',', ';'}).Draw(t, "comma")
		w.UseCRLF = rapid.Bool().Draw(t, "CRLF")
		_ = w.Write(columns)
		var objects bytes.Buffer
		for _, j := range jobs {
			m := members(j)
			var record []string
			for _, c := range columns {
				record = append(record, m[c])
			}
			_ = w.Write(record)
			object := map[string]any{}
			for k, v := range m {
				object[k] = v
			}
			object["expands"], object["report"] = j.Expands, j.Report
			line, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			objects.Write(append(line, '\n'))
		}
		w.Flush()
		for _, text := range []string{sheet.String(), objects.String()} {
			if text == "" {
				continue
			}
			got := drain(t, text)
			if !slices.EqualFunc(got, jobs, equalJobs) {
				t.Fatalf("%d jobs of %d come back otherwise from\n%s", len(got), len(jobs), text)
			}
		}
	})
}

func drain(t *rapid.T, text string) (jobs []queue.Job) {
	r, err := Open(strings.NewReader(text), Options{})
	for err == nil {
		var row Row
		if row, err = r.Next(); err == nil && row.Reject == nil {
			jobs = append(jobs, row.Job)
		} else if err == nil {
			t.Fatalf("rejected: row %d %s: %s", row.Line, row.Reject.Column, row.Reject.Reason)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return jobs
}

// A file of good rows into which damage is mixed: every good row is read, and
// the damage is rejected.
func TestDamageCostsOnlyItself(t *testing.T) {
	damage := rapid.SampledFrom([]string{"\"", "x,\"y", "x,\"\"\"", "a,b,c\",d", "\"a\"b,,,", "x\x00,,,", ",,,\"", "\xff\xfe", "a,\"b\",\"c,d", "\"\"\",\"\",a"})
	rapid.Check(t, func(t *rapid.T) {
		text, want := head, ""
		for i := range rapid.IntRange(1, 30).Draw(t, "rows") {
			if rapid.IntRange(0, 2).Draw(t, "damaged") == 0 {
				text += damage.Draw(t, "damage") + "\n"
				continue
			}
			form := rapid.SampledFrom([]string{"C-%d,Ola,Berg,1990-01-02\n", "C-%d,\"Ola\",\"Berg, Jr\",1990-01-02\n", "C-%d,\"Ola \"\"x\"\"\",\"Berg\",\"1990-01-02\"\n"})
			text += fmt.Sprintf(form.Draw(t, "form"), i)
			want = strings.TrimSpace(fmt.Sprintf("%s C-%d", want, i))
		}
		r, err := Open(strings.NewReader(text), Options{})
		var jobs []queue.Job
		for err == nil {
			var row Row
			if row, err = r.Next(); err == nil && row.Reject == nil {
				jobs = append(jobs, row.Job)
			}
		}
		if got := refs(jobs); got != want {
			t.Fatalf("jobs %q, not %q, of\n%s", got, want, text)
		}
	})
}

// accounted reads text and checks that its rows follow each other without gap
// or overlap, so that every line is a job, a reject or blank exactly once.
func accounted(t *testing.T, text string) {
	r, err := Open(strings.NewReader(text), Options{})
	if err != nil {
		if _, ok := errors.AsType[*FileError](err); !ok {
			t.Fatalf("not a FileError: %v", err)
		}
		return
	}
	next := 0 // the line the next row starts on, once known
	for {
		row, err := r.rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.span < 1 || row.span > MaxRowLines {
			t.Fatalf("a row of %d lines", row.span)
		}
		if row.Line > 0 && next > 0 && row.Line != next {
			t.Fatalf("a row starts on line %d, expected on %d", row.Line, next)
		}
		if row.Line > 0 {
			next = row.Line
		}
		if next > 0 {
			next += row.span
		}
		if row.Reject == nil && row.Line > 0 && (row.Job.Validate() != nil || row.Job.ID != JobID(row.Job.CustomerRef)) {
			t.Fatalf("line %d is an invalid job", row.Line)
		}
		if row.Reject != nil && (row.Reject.Reason == "" || row.Reject.Row != row.Line) {
			t.Fatalf("line %d has an empty reject", row.Line)
		}
	}
	lines := strings.Count(text, "\n")
	if !strings.HasSuffix(text, "\n") {
		lines++
	}
	if next > 0 && next != lines+1 {
		t.Fatalf("the rows end at line %d of %d", next-1, lines)
	}
}

func FuzzCSV(f *testing.F) {
	for _, rows := range []string{"C-1,Ola,Berg,1990-01-02", "C-1,\"Ola\n\",Berg,1990-01-02\n", "C-1,\"Ola,Berg,1990-01-02\nC-2,Ola,Berg,1990-01-02\n",
		"\"\"\"\n\"\n,,,\n\n", "\xff,\x00,\r\r\n", strings.Repeat("\"\n", 40), strings.Repeat("x", MaxRowBytes+3) + "\n\n"} {
		f.Add(head, rows)
	}
	f.Add("sep=;\n", "customer_ref;first_name;last_name;ssn\nC-1;Ola;Berg;01010750160\n")
	f.Add("\ufeff", "customer_ref,ssn\r")
	f.Fuzz(func(t *testing.T, begin, rows string) {
		accounted(t, begin+rows)
		accounted(t, head+rows)
	})
}

func FuzzNDJSON(f *testing.F) {
	for _, rows := range []string{`{"customer_ref":"C-1","first_name":"Ola","last_name":"Berg","date_of_birth":"1990-01-02"}`, "{}\n{\n}\n\n[]\n", `{"id":"x"}`, `{"a":"}`, `{"a":{}`, "{\xff}"} {
		f.Add(rows)
	}
	f.Fuzz(func(t *testing.T, rows string) {
		accounted(t, "{}\n"+rows)
		accounted(t, rows)
	})
}

// portfolioText makes rows of CSV as it is read, so that a benchmark measures
// the reader's memory alone.
type portfolioText struct {
	rows, next int
	rest       []byte
}

func (p *portfolioText) Read(to []byte) (int, error) {
	for len(p.rest) < len(to) && p.next <= p.rows {
		if p.next == 0 {
			p.rest = append(p.rest, "customer_ref;first_name;last_name;date_of_birth;ssn;ssn_country;report;language\n"...)
		} else {
			p.rest = fmt.Appendf(p.rest, "C-%07d;Kari Anne;\"Berg, Lie\";2007-01-01;01010750241;NO;no;nb\n", p.next)
		}
		p.next++
	}
	n := copy(to, p.rest)
	p.rest = p.rest[:copy(p.rest, p.rest[n:])]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
