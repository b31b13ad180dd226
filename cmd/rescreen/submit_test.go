package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rescreen/queue"
)

const mixedRows = `customer_ref,first_name,last_name,date_of_birth,ssn
C-1,Kari,Nordmann,1970-01-01,
C-2,Ola,Nordmann,1970-13-01,
C-1,Kari,Nordmann,1970-01-01,
C-3,,Nordmann,1970-01-01,
C-4,Per,Nordmann,1970-31-01,
C-5,Tor,Nordmann,,01837433777
`

func TestSubmit(t *testing.T) {
	w := newBatchWorld(t)
	rejects := filepath.Join(t.TempDir(), "rejects.csv")
	s, err := w.submitText(t, mixedRows, submitOptions{By: "anna", Rejects: rejects})
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != 6 || s.Accepted != 2 || s.Rejected != 4 || s.Duplicates != 1 || s.State != queue.Submitted || s.SubmittedBy != "anna" ||
		s.StartedAt.IsZero() || s.SubmittedAt.Before(s.StartedAt) || s.Already || s.Resumed {
		t.Errorf("%+v", s)
	}
	if want := hexHash([]byte(mixedRows)); s.InputSHA256 != want || s.Name != queue.BatchID(want[:12]) {
		t.Errorf("batch %s of %s", s.Name, s.InputSHA256)
	}
	if len(s.RejectedBy) != 3 || s.RejectedBy[0].Count != 2 || s.RejectedBy[0].text() != "date_of_birth is not a date in the form YYYY-MM-DD" {
		t.Errorf("%+v", s.RejectedBy)
	}
	text := readFile(t, rejects)
	if !strings.Contains(text, `4,customer_ref,seen before,"C-1,Kari,Nordmann,1970-01-01,"`) || strings.Count(text, "\n") != 5 {
		t.Error(text)
	}
	if info, err := os.Stat(rejects); err != nil || info.Mode().Perm() != 0o600 || s.RejectsFile != rejects {
		t.Errorf("%v, %v, %s", info.Mode(), err, s.RejectsFile)
	}
	if jobs := w.takeAll(t, s.Name); len(jobs) != 2 {
		t.Errorf("%d jobs", len(jobs))
	}
}

func TestSubmitRefusesTestNumbers(t *testing.T) {
	w := newBatchWorld(t)
	s, err := w.submitText(t, mixedRows, submitOptions{RefuseTestNumbers: true})
	if err != nil || s.Accepted != 1 || s.Rejected != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSubmitAgain(t *testing.T) {
	w := newBatchWorld(t)
	first, err := w.submitText(t, people(3), submitOptions{Batch: "march", By: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	w.takeAll(t, "march")
	again, err := w.submitText(t, people(3), submitOptions{Batch: "march", By: "berit"})
	if err != nil || !again.Already || again.Batch != first.Batch {
		t.Errorf("%+v, %v; want %+v", again, err, first)
	}
	if n := w.queued(t, "march"); n != 0 {
		t.Errorf("%d jobs were queued again", n)
	}
	_, err = w.submitText(t, people(4), submitOptions{Batch: "march"})
	if !errors.Is(err, errOtherInput) {
		t.Error(err)
	}
	wantExit(t, err, exitUsage, first.InputSHA256)
	if n := w.queued(t, "march"); n != 0 {
		t.Errorf("%d jobs of another input are queued", n)
	}
}

func TestSubmitRefusesForeignBatches(t *testing.T) {
	w := newBatchWorld(t)
	if _, err := w.batches.Register(t.Context(), queue.Batch{Name: "stray", State: queue.Submitted, Unregistered: true}); err != nil {
		t.Fatal(err)
	}
	for _, batch := range []queue.BatchID{"stray", queue.DefaultBatch} {
		_, err := w.submitText(t, people(1), submitOptions{Batch: batch})
		if !errors.Is(err, errTaken) {
			t.Errorf("%s: %v", batch, err)
		}
		wantExit(t, err, exitUsage, "--batch")
	}
	_, err := w.submitText(t, people(1), submitOptions{Batch: "No Name"})
	wantExit(t, err, exitUsage, "batch name")
}

// A file of which nothing can be screened leaves no batch behind, so that the
// name is free for the corrected one.
func TestSubmitNothing(t *testing.T) {
	w := newBatchWorld(t)
	s, err := w.submitText(t, "customer_ref,first_name,last_name,ssn\nC-1,A,B,1\n", submitOptions{Batch: "march"})
	if !errors.Is(err, errNoRows) || s.Rejected != 1 || s.RejectsFile == "" {
		t.Errorf("%+v, %v", s, err)
	}
	wantExit(t, err, exitFailed, s.RejectsFile)
	_, err = w.submitText(t, "a portfolio\n", submitOptions{Batch: "march"})
	wantExit(t, err, exitUsage, "no header")
	if s, err := w.submitText(t, people(2), submitOptions{Batch: "march"}); err != nil || s.Accepted != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// interrupted breaks off after some bytes.
type interrupted struct {
	io.ReadSeeker
	left int
	stop func()
}

func (r *interrupted) Seek(offset int64, whence int) (int64, error) {
	r.left = 150_000 // of the second reading
	return r.ReadSeeker.Seek(offset, whence)
}

func (r *interrupted) Read(b []byte) (int, error) {
	if r.left -= len(b); r.left < 0 {
		r.stop()
	}
	return r.ReadSeeker.Read(b)
}

func TestSubmissionThatBrokeOffIsCompleted(t *testing.T) {
	w := newBatchWorld(t)
	const rows = 4 * submitChunk
	dir := t.TempDir()
	o := submitOptions{Batch: "march", By: "anna", Rejects: filepath.Join(dir, "rejects.csv")}
	header, all, _ := strings.Cut(people(rows), "\n")
	text := header + "\nbad row\n" + strings.ReplaceAll(all, "Nordmann", strings.Repeat("Nordmann ", 10)) // several buffers long
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.submitPortfolio(ctx, &interrupted{strings.NewReader(text), 1 << 30, cancel}, o)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v lie around, %v", left, err)
	}
	b, _, err := w.batches.Load(t.Context(), "march")
	if n := w.queued(t, "march"); err != nil || b.State != queue.Submitting || n == 0 || n >= rows {
		t.Fatalf("%+v, %v, %d jobs", b, err, n)
	}
	if s, err := w.status(t.Context(), "march"); err != nil || s.Complete || s.Open == 0 || s.Open != s.Queued {
		t.Errorf("%+v, %v", s, err)
	}
	o.By = "berit"
	s, err := w.submitPortfolio(t.Context(), strings.NewReader(text), o)
	if err != nil || !s.Resumed || s.Accepted != rows || s.Rejected != 1 || s.SubmittedBy != "anna" {
		t.Errorf("%+v, %v", s, err)
	}
	if n := w.queued(t, "march"); n != rows {
		t.Errorf("%d jobs, want %d", n, rows)
	}
}

// changing is another text when it is read again.
type changing struct {
	*strings.Reader
	second string
}

func (c *changing) Seek(int64, int) (int64, error) {
	c.Reader = strings.NewReader(c.second)
	return 0, nil
}

func TestSubmitNoticesAChangedFile(t *testing.T) {
	w := newBatchWorld(t)
	_, err := w.submitPortfolio(t.Context(), &changing{strings.NewReader(people(2)), people(3)}, submitOptions{Batch: "march"})
	if !errors.Is(err, errChanged) {
		t.Error(err)
	}
	if b, _, err := w.batches.Load(t.Context(), "march"); err != nil || b.State != queue.Submitting {
		t.Errorf("%+v, %v", b, err)
	}
}

// A full stream is waited for; the user is told once.
func TestSubmitWaitsForRoom(t *testing.T) {
	w := newBatchWorld(t)
	if err := w.limitJobs(t.Context(), 300_000); err != nil {
		t.Fatal(err)
	}
	const rows = 2 * submitChunk // of about 500 bytes
	told := make(chan string, 10)
	type end struct {
		submission
		error
	}
	ended := make(chan end, 1)
	go func() {
		s, err := w.submitPortfolio(t.Context(), strings.NewReader(people(rows)), submitOptions{Batch: "march", Tell: func(s string) { told <- s }})
		ended <- end{s, err}
	}()
	select {
	case s := <-told:
		if !strings.Contains(s, "full") {
			t.Errorf("told %q", s)
		}
	case e := <-ended:
		t.Fatalf("%+v", e)
	case <-time.After(longEnough):
		t.Fatal("nobody was told")
	}
	taken := 0
	for deadline := time.After(longEnough); ; {
		jobs, err := w.acknowledgeAll(t.Context(), "march")
		if err != nil {
			t.Fatal(err)
		}
		taken += len(jobs)
		select {
		case e := <-ended:
			if e.error != nil || e.Accepted != rows {
				t.Errorf("%+v", e)
			}
			if taken += len(w.takeAll(t, "march")); taken != rows {
				t.Errorf("%d jobs", taken)
			}
			return
		case <-deadline:
			t.Fatalf("not submitted; %d jobs taken", taken)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestBatchOfHash(t *testing.T) {
	if got := batchOfHash(strings.Repeat("ab", 32)); got != "abababababab" {
		t.Error(got)
	}
	// Twelve digits that are somebody's number in the long Swedish form.
	const swedish = "189407872390"
	if queue.BatchID(swedish).Validate() == nil {
		t.Fatal("the example is none")
	}
	if got := batchOfHash(swedish + "abc"); got != queue.BatchID(swedish[1:]+"a") {
		t.Error(got)
	}
}
