package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
	"rescreen/queue/portfolio"
	"rescreen/store"
)

// exportedBatch is a batch of four with two results, a failure and one open.
func exportedBatch(t *testing.T) *batchWorld {
	t.Helper()
	w := newBatchWorld(t)
	if _, err := w.submitText(t, people(4), submitOptions{Batch: "march"}); err != nil {
		t.Fatal(err)
	}
	w.result(t, "march", "C-000000", []byte(`{"b": 1e2, "a": "<&>"}`), nil)
	status, message, session := 400, "=bad", "s-1"
	w.failure(t, "march", "C-000001", queue.Failure{Reason: queue.RequestRejected, APIStatus: &status, Message: &message,
		SessionID: &session, Polls: 5, SessionsCreated: 2, PossibleDuplicate: true, Expiries: 1})
	w.result(t, "march", "C-000002", []byte(`{"person": true}`), []byte("%PDF-1.7\x00\xff"))
	w.result(t, "other", "C-000000", []byte(`{}`), nil)
	return w
}

func TestExport(t *testing.T) {
	w := exportedBatch(t)
	dir := filepath.Join(t.TempDir(), "out")
	var last exportProgress
	s, err := w.exportBatch(t.Context(), w.store.Evidence, "march", dir, exportOptions{Progress: func(p exportProgress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if s.Complete || s.Open != 1 || s.Accepted != 4 || s.results() != 2 || s.Results[queue.Clear] != 2 || s.failures() != 1 ||
		s.Failures[queue.RequestRejected] != 1 || s.Reports[queue.ReportStored] != 1 || s.PossibleDuplicates != 1 || s.Expiries != 1 ||
		s.Sessions != 4 || s.Polls != 11 || s.MostPolls != 5 || s.pollsPerSession() != 2.75 || s.Unreadable != 0 || last.Outcomes != 3 || last.Total != 3 {
		t.Errorf("%+v, %+v", s, last)
	}
	if want := (evidenceSummary{Files: 3, Bytes: int64(len(`{"b": 1e2, "a": "<&>"}`) + len(`{"person": true}`) + 10)}); s.Evidence != want {
		t.Errorf("%+v, want %+v", s.Evidence, want)
	}
	if got, want := readFile(t, dir, "results.csv"), strings.Join(resultColumns(), ",")+"\n"+
		"C-000000,clear,0,0,EU|UN,false,not_ordered,,"+hexHash([]byte(`{"b": 1e2, "a": "<&>"}`))+",,"+row("C-000000")+
		"C-000002,clear,0,0,EU|UN,false,stored,valid,"+hexHash([]byte(`{"person": true}`))+","+hexHash([]byte("%PDF-1.7\x00\xff"))+","+row("C-000002"); got != want {
		t.Errorf("results.csv\n%s\nwant\n%s", got, want)
	}
	if got, want := readFile(t, dir, "failures.csv"), strings.Join(failureColumns(), ",")+"\n"+
		"C-000001,request_rejected,creating,false,400,'=bad,true,s-1,2,5,,2026-03-04T05:06:07Z,1,"+string(portfolio.JobID("C-000001"))+"\n"; got != want {
		t.Errorf("failures.csv\n%s\nwant\n%s", got, want)
	}
	if got := readFile(t, dir, "evidence", hexHash([]byte("%PDF-1.7\x00\xff"))+".pdf"); got != "%PDF-1.7\x00\xff" {
		t.Errorf("the report is %q", got)
	}
	w.checkEvents(t, filepath.Join(dir, "results.ndjson"), false, "C-000000", "C-000002")
	w.checkEvents(t, filepath.Join(dir, "failures.ndjson"), true, "C-000001")
	checkModes(t, dir)
	checkManifest(t, dir, s)
}

// row is the end of a line of results.csv.
func row(ref string) string {
	id := string(portfolio.JobID(ref))
	return "s-" + id[:8] + ",1,3,2026-03-04T05:06:07Z,2026-03-04T05:06:08Z,2026-03-04T05:06:09Z,1," + id + "\n"
}

// checkEvents compares a file with the messages of the stream, byte for byte.
func (w *batchWorld) checkEvents(t *testing.T, path string, failed bool, refs ...string) {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), store.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for _, ref := range refs {
		subject, err := store.OutcomeSubject(store.Key{Batch: "march", Job: string(portfolio.JobID(ref))}, 1, failed)
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.GetLastMsgForSubject(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		want.Write(m.Data)
		want.WriteByte('\n')
	}
	if got := readFile(t, path); got != want.String() {
		t.Errorf("%s\n%s\nwant\n%s", path, got, want.String())
	}
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
		if strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func checkManifest(t *testing.T, dir string, want exportSummary) {
	t.Helper()
	var got exportSummary
	if err := json.Unmarshal([]byte(readFile(t, dir, manifestFile)), &got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	if len(got.Files) != 4 {
		t.Errorf("%d files", len(got.Files))
	}
	for _, f := range got.Files {
		content := readFile(t, dir, f.Name)
		lines := strings.Count(content, "\n")
		if strings.HasSuffix(f.Name, ".csv") {
			lines--
		}
		if f.SHA256 != hexHash([]byte(content)) || f.Bytes != int64(len(content)) || f.Records != lines {
			t.Errorf("%+v", f)
		}
	}
}

// An export that is run again keeps the evidence that is whole and fetches the
// rest.
func TestExportAgain(t *testing.T) {
	w := exportedBatch(t)
	dir := t.TempDir()
	if _, err := w.exportBatch(t.Context(), w.store.Evidence, "march", dir, exportOptions{}); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "evidence", hexHash([]byte(`{"person": true}`))+".json")
	if err := os.WriteFile(damaged, []byte(`{"person": fals}`), 0o600); err != nil { // of the same size
		t.Fatal(err)
	}
	w.failure(t, "march", "C-000003", queue.Failure{Reason: queue.SessionTimeout})
	w.takeAll(t, "march")
	s, err := w.exportBatch(t.Context(), w.store.Evidence, "march", dir, exportOptions{})
	if err != nil || !s.Complete || s.Evidence.Files != 3 || s.Evidence.Kept != 2 || s.failures() != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := readFile(t, damaged); got != `{"person": true}` {
		t.Error(got)
	}
	_, err = w.exportBatch(t.Context(), w.store.Evidence, "other", dir, exportOptions{})
	if !errors.Is(err, errOtherExport) {
		t.Error(err)
	}
	wantExit(t, err, exitUsage, "--to")
	checkManifest(t, dir, s)
}

// goneEvidence has lost one piece and finds another one damaged.
type goneEvidence struct {
	evidenceSource
	gone, corrupt string
}

func (g goneEvidence) Get(ctx context.Context, hash string) ([]byte, error) {
	switch hash {
	case g.gone:
		return nil, store.ErrNotFound
	case g.corrupt:
		return nil, store.ErrCorrupt
	}
	return g.evidenceSource.Get(ctx, hash)
}

func TestExportReportsMissingEvidence(t *testing.T) {
	w := exportedBatch(t)
	dir := t.TempDir()
	report, document := hexHash([]byte("%PDF-1.7\x00\xff")), hexHash([]byte(`{"person": true}`))
	s, err := w.exportBatch(t.Context(), goneEvidence{w.store.Evidence, report, document}, "march", dir, exportOptions{})
	if err != nil || s.Evidence.Missing != 2 || s.Evidence.Files != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	id := string(portfolio.JobID("C-000002"))
	got := readFile(t, dir, "missing.csv")
	for _, want := range []string{id + ",report," + report + ",10,is gone or damaged\n", id + ",document," + document + ",16,is gone or damaged\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	// Found after all, nothing is missing any more.
	if s, err = w.exportBatch(t.Context(), w.store.Evidence, "march", dir, exportOptions{}); err != nil || s.Evidence.Missing != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Stat(filepath.Join(dir, missingFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// failingEvidence cannot be used in a way that waiting does not change.
type failingEvidence struct{ err error }

func (f failingEvidence) Get(context.Context, string) ([]byte, error) { return nil, f.err }

// An export that ends in an error leaves the earlier one as it was.
func TestExportThatFailsLeavesTheEarlierOne(t *testing.T) {
	w := exportedBatch(t)
	dir := filepath.Join(t.TempDir(), "out")
	first, err := w.exportBatch(t.Context(), w.store.Evidence, "march", dir, exportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "evidence")); err != nil {
		t.Fatal(err)
	}
	_, err = w.exportBatch(t.Context(), failingEvidence{nats.ErrConnectionClosed}, "march", dir, exportOptions{})
	if !errors.Is(err, nats.ErrConnectionClosed) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = w.exportBatch(ctx, w.store.Evidence, "march", dir, exportOptions{Progress: func(exportProgress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	checkManifest(t, dir, first)
	checkModes(t, dir)
}

// A message that is no outcome is counted, and one that somebody wrote over
// several lines takes one.
func TestExportOfForeignMessages(t *testing.T) {
	w := newBatchWorld(t)
	event, err := queue.EncodeFailure(queue.EventMeta{APIEnv: "local", Batch: "march", Job: "j1", Attempt: 1, Time: w.store.Clock.Now()},
		queue.Failure{Reason: queue.Cancelled, FailedIn: queue.Queued, FailedAt: w.store.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, event, "", " "); err != nil {
		t.Fatal(err)
	}
	for job, data := range map[string][]byte{"j1": indented.Bytes(), "j2": []byte("?"), "j3": bytes.Replace(event, []byte("failed.v1"), []byte("other.v1"), 1)} {
		if _, err := w.js.Publish(t.Context(), "screening.failure.march."+job+".1", data); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	s, err := w.exportBatch(t.Context(), w.store.Evidence, "march", dir, exportOptions{})
	if err != nil || s.Unreadable != 2 || s.failures() != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := readFile(t, dir, "failures.ndjson"); got != string(event)+"\n" {
		t.Error(got)
	}
}

// What the reader has lost it reads again, from a consumer made anew.
func TestOutcomeReaderGoesOn(t *testing.T) {
	w := newBatchWorld(t)
	const outcomes = 3*fetchMost + 1
	for i := range outcomes {
		subject := fmt.Sprintf("screening.%s.march.j%d.1", []string{"result", "failure"}[i%2], i)
		if _, err := w.js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := &outcomeReader{js: w.js, batch: "march"}
	defer r.close(t.Context())
	for read, calls := 0, 0; ; calls++ {
		msgs, err := r.next(t.Context())
		switch {
		case calls == 1 && !errors.Is(err, errGap), calls == 3 && err == nil:
			t.Errorf("call %d: %v", calls, err)
		case calls != 1 && calls != 3 && err != nil:
			t.Fatal(err)
		}
		for _, m := range msgs {
			if want := fmt.Sprintf(".j%d.1", read); !strings.HasSuffix(m.Subject(), want) {
				t.Fatalf("%s, want %s", m.Subject(), want)
			}
			read++
		}
		switch {
		case calls == 0: // as if some had been lost on their way
			r.delivered -= 2
			r.last -= 2
			read -= 2
		case calls == 2:
			if err := w.js.DeleteConsumer(t.Context(), store.ResultsStream, r.consumer.CachedInfo().Name); err != nil {
				t.Fatal(err)
			}
		case err == nil && len(msgs) == 0:
			if read != outcomes {
				t.Errorf("%d read, want %d", read, outcomes)
			}
			return
		}
	}
}

func TestSafeCell(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "C-1": "C-1", "=1+1": "'=1+1", "+47": "'+47", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "a=b": "a=b", "Ørn": "Ørn",
	} {
		if got := safeCell(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// The hash of evidence is part of a path: nothing but a hash gets there.
func TestEvidenceName(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	if name, ok := evidenceName(queue.Evidence{Kind: queue.EvidenceReport, SHA256: hash}); !ok || name != hash+".pdf" {
		t.Error(name)
	}
	for _, bad := range []string{"", "../../etc/passwd", strings.Repeat("0A", 32), "../" + hash[3:]} {
		if name, ok := evidenceName(queue.Evidence{SHA256: bad}); ok {
			t.Errorf("%q becomes %q", bad, name)
		}
	}
}
