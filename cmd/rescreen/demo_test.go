package main

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap/zapcore"

	"rescreen/queue"
	"rescreen/testdata"
)

// TestDemo runs the sample portfolio through everything, with the log at its
// most talkative, and looks at what came of it from every side.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	if err := clearDemo(dir); err != nil {
		t.Fatal(err)
	}
	var log syncBuffer
	d, err := newDemo(t.Context(), dir, logSettings{LogLevel: zapcore.DebugLevel.String(), LogFormat: "json"}.logger(&log))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	wire := tap(t, d.station.link.Conn)
	a := &app{stderr: io.Discard}
	outcome, err := d.screen(t.Context(), strings.NewReader(testdata.Portfolio()), a.progress(a.stderr))
	if err != nil {
		t.Fatal(err)
	}
	outcome.portfolio = "the sample portfolio"
	var summary strings.Builder
	if err := errors.Join(outcome.print(&summary, false), outcome.verdict()); err != nil {
		t.Fatal(err)
	}
	t.Run("every row is accounted for", func(t *testing.T) { checkDemoCounts(t, outcome) })
	t.Run("the test people come out as documented", func(t *testing.T) { checkTestPeople(t, dir) })
	t.Run("the exported evidence is what its name says", func(t *testing.T) { checkEvidenceFiles(t, dir) })
	t.Run("nobody stands in a log, a subject, a header or a name", func(t *testing.T) {
		names, people := fileNames(t, dir), canaries(t)
		if n := leaks(testdata.Portfolio(), people); n < 1000 {
			t.Fatalf("the check finds %d people in the portfolio itself", n)
		}
		for where, text := range map[string]string{"the log": log.String(), "subjects and headers": wire.text(), "file names": names, "the summary": summary.String()} {
			if len(text) == 0 {
				t.Errorf("%s are empty: the check checks nothing", where)
			}
			if n := leaks(text, people); n > 0 {
				t.Errorf("%s hold personal data in %d places", where, n)
			}
		}
	})
}

func checkDemoCounts(t *testing.T, o demoOutcome) {
	b := o.submitted.Batch
	if b.Rows != 500 || b.Rejected < 8 || len(o.submitted.RejectedBy) < 8 || b.Accepted+b.Rejected != 500 {
		t.Errorf("%d rows, %d accepted, %d rejected for %d reasons", b.Rows, b.Accepted, b.Rejected, len(o.submitted.RejectedBy))
	}
	if o.exported.results() != b.Accepted || o.api.Sessions != b.Accepted || o.api.RepeatedPeople != 0 {
		t.Errorf("%d results and %d sessions for %d jobs, %d people screened twice", o.exported.results(), o.api.Sessions, b.Accepted, o.api.RepeatedPeople)
	}
	for _, outcome := range queue.Outcomes() {
		if o.exported.Results[outcome] == 0 {
			t.Errorf("nobody is %s", outcome)
		}
	}
}

// checkTestPeople compares the first five customers with the documentation.
func checkTestPeople(t *testing.T, dir string) {
	f, err := os.Open(filepath.Join(dir, "results.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range rows[1:] {
		got[r[0]] = r[1] + " " + zeroOrMore(r[2]) + " " + zeroOrMore(r[3])
	}
	header, records := sampleRows(t)
	want := map[string]string{
		"01010750160": "hit + +", "01010750241": "clear 0 0", "01010750322": "hit + +", "01010751388": "hit + 0", "01010751469": "hit 0 +",
	}
	found := 0
	for _, r := range records {
		if outcome, ok := want[r[header["ssn"]]]; ok && got[r[header["customer_ref"]]] == outcome {
			found++
		} else if ok {
			t.Errorf("%s came out as %q, documented is %q", r[header["customer_ref"]], got[r[header["customer_ref"]]], outcome)
		}
	}
	if found != len(want) {
		t.Errorf("%d of %d test people", found, len(want))
	}
}

func zeroOrMore(count string) string {
	if count == "0" {
		return "0"
	}
	return "+"
}

// sampleRows reads the whole rows of the sample portfolio.
func sampleRows(t *testing.T) (header map[string]int, records [][]string) {
	t.Helper()
	lines := strings.Split(testdata.Portfolio(), "\n")
	header = map[string]int{}
	for i, name := range strings.Split(strings.TrimSpace(strings.TrimPrefix(lines[0], "\ufeff")), ",") {
		header[name] = i
	}
	for _, line := range lines[1:] {
		if r, err := csv.NewReader(strings.NewReader(line)).Read(); err == nil && len(r) == len(header) {
			records = append(records, r)
		}
	}
	if len(records) < 480 {
		t.Fatalf("%d rows of the sample could be read", len(records))
	}
	return header, records
}

// canaries are the words by which somebody in the sample could be known: last
// names of four letters and more, numbers in all their spellings, birth dates.
func canaries(t *testing.T) map[string]bool {
	t.Helper()
	header, records := sampleRows(t)
	words := map[string]bool{}
	for _, r := range records {
		number := r[header["ssn"]]
		for _, text := range []string{r[header["last_name"]], number, strings.NewReplacer("-", "", "+", "", " ", "").Replace(number), r[header["date_of_birth"]]} {
			for _, word := range wordsOf(text) {
				if utf8.RuneCountInString(word) >= 4 {
					words[word] = true
				}
			}
		}
	}
	return words
}

// wordsOf splits a text at everything that is in no name, number or date.
func wordsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '+'
	})
}

// leaks counts the canaries in a text.
func leaks(text string, canaries map[string]bool) (n int) {
	for _, word := range wordsOf(text) {
		if canaries[word] {
			n++
		}
	}
	return n
}

// wireTap keeps subject and headers of everything that passes through NATS,
// and the content of what the server itself says about it.
type wireTap struct {
	mu sync.Mutex
	b  strings.Builder
}

func tap(t *testing.T, nc *nats.Conn) *wireTap {
	t.Helper()
	w := &wireTap{}
	sub, err := nc.Subscribe(">", func(m *nats.Msg) {
		w.mu.Lock()
		defer w.mu.Unlock()
		_, _ = fmt.Fprintln(&w.b, m.Subject, m.Reply, m.Header)
		if strings.HasPrefix(m.Subject, "$JS.EVENT.") {
			_, _ = fmt.Fprintln(&w.b, string(m.Data))
		}
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	return w
}

func (w *wireTap) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func fileNames(t *testing.T, dir string) string {
	t.Helper()
	var names strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names.String()
}

// checkEvidenceFiles proves each exported file by the hash that is its name,
// and that the events name each of them.
func checkEvidenceFiles(t *testing.T, dir string) {
	f, err := os.Open(filepath.Join(dir, "results.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := json.NewDecoder(f)
	pieces := 0
	for {
		var line json.RawMessage
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		e, err := queue.DecodeEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range r.Evidence {
			suffix := map[string]string{queue.EvidenceDocument: ".json", queue.EvidenceReport: ".pdf"}[piece.Kind]
			data, err := os.ReadFile(filepath.Join(dir, "evidence", piece.SHA256+suffix))
			if err != nil || sha256Hex(data) != piece.SHA256 || int64(len(data)) != piece.Bytes {
				t.Errorf("evidence %s of job %s: %v", piece.SHA256, e.JobID, err)
			}
			pieces++
		}
	}
	if pieces < 484+50 {
		t.Errorf("%d pieces of evidence", pieces)
	}
}

func TestDemoReplacesOnlyWhatADemoLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := clearDemo(dir); exitCode(err) != exitUsage {
		t.Errorf("a directory with somebody's files: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
	fresh := filepath.Join(dir, "demo")
	for range 2 {
		if err := clearDemo(fresh); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(fresh, "old.csv"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDemoTakesAFileOfOnesOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "own.csv")
	rows := "customer_ref;first_name;last_name;date_of_birth;report\n" +
		"A-1;Kari;Nordmann;1980-01-31;true\nA-2;Ola;Nordmann;1979-12-24;\nA-3;;Nordmann;1979-12-24;\n"
	if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut strings.Builder
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := run(ctx, time.Now, []string{"demo", file, "--to", filepath.Join(dir, "out")}, nil, nil, &out, &errOut)
	if err != nil {
		t.Fatal(err, errOut.String())
	}
	for _, want := range []string{"first_name is missing", "Signed PDFs", "1  of 1 ordered", "results.csv"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, out.String())
		}
	}
	if err := run(ctx, time.Now, []string{"demo", filepath.Join(dir, "none.csv")}, nil, nil, &out, &errOut); exitCode(err) != exitUsage {
		t.Errorf("a file that is not there: %v", err)
	}
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
