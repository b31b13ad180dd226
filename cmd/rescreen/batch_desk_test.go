package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/queue"
	"rescreen/queue/natsembed"
	"rescreen/queue/portfolio"
	"rescreen/store"
)

// batchWorld is JetStream as setup leaves it, without any worker.
type batchWorld struct {
	*batchDesk
	store *store.Store
}

func newBatchWorld(t testing.TB) *batchWorld {
	t.Helper()
	s, err := natsembed.Start(natsembed.Config{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	link, err := inProcess(s).connect(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	if _, err := setup(t.Context(), link.JS, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := joinBatchWorld(t.Context(), link.JS)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func joinBatchWorld(ctx context.Context, js jetstream.JetStream) (*batchWorld, error) {
	desk, err := openBatchDesk(ctx, js)
	if err != nil {
		return nil, err
	}
	remembered, err := store.Open(ctx, js, time.Now)
	return &batchWorld{batchDesk: desk, store: remembered}, err
}

// limitJobs sets the size of the job stream.
func (w *batchWorld) limitJobs(ctx context.Context, maxBytes int64) error {
	stream, err := w.js.Stream(ctx, queue.JobsStream)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = maxBytes
	_, err = w.js.UpdateStream(ctx, config)
	return err
}

// people is a portfolio of so many rows without national ids.
func people(rows int) string {
	var b strings.Builder
	b.WriteString("customer_ref,first_name,last_name,date_of_birth\n")
	for i := range rows {
		fmt.Fprintf(&b, "C-%06d,Kari,Nordmann,1970-01-%02d\n", i, i%28+1)
	}
	return b.String()
}

// submitText submits a portfolio; rejects go to a directory of the test.
func (w *batchWorld) submitText(t testing.TB, text string, o submitOptions) (submission, error) {
	t.Helper()
	if o.Rejects == "" {
		o.Rejects = filepath.Join(t.TempDir(), "rejects.csv")
	}
	return w.submitPortfolio(t.Context(), strings.NewReader(text), o)
}

func (w *batchWorld) queued(t testing.TB, batch queue.BatchID) uint64 {
	t.Helper()
	stored, err := w.jobs.Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stored[batch]
}

// acknowledgeAll takes the batch's jobs off the stream, as workers do.
func (w *batchWorld) acknowledgeAll(ctx context.Context, batch queue.BatchID) (jobs []queue.JobID, err error) {
	for {
		deliveries, err := w.jobs.Pull(ctx, batch, 100)
		if err != nil || len(deliveries) == 0 {
			return jobs, err
		}
		for _, d := range deliveries {
			job, err := queue.DecodeJob(d.Data)
			if err := errors.Join(err, d.Ack()); err != nil {
				return jobs, err
			}
			jobs = append(jobs, job.ID)
		}
	}
}

// takeAll takes the batch's jobs off the stream until none is left: a consumer
// offers a job some moments after it was published, and nobody answers an
// acknowledgement.
func (w *batchWorld) takeAll(t testing.TB, batch queue.BatchID) (jobs []queue.JobID) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); w.queued(t, batch) > 0; {
		taken, err := w.acknowledgeAll(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if jobs = append(jobs, taken...); time.Now().After(deadline) {
			t.Fatalf("%d jobs of %s are left", w.queued(t, batch), batch)
		}
	}
	return jobs
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// result publishes the outcome of a customer.
func (w *batchWorld) result(t testing.TB, batch queue.BatchID, ref string, document, report []byte) {
	t.Helper()
	if err := w.publishResult(t.Context(), batch, ref, document, report); err != nil {
		t.Fatal(err)
	}
}

// publishResult publishes a result, evidence first. A report makes it one with
// a PDF.
func (w *batchWorld) publishResult(ctx context.Context, batch queue.BatchID, ref string, document, report []byte) error {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	none, polls := 0, 3
	r := queue.Result{
		SessionID: "s-" + string(portfolio.JobID(ref))[:8], Outcome: queue.Clear, PEPHits: &none, SanctionHits: &none,
		ListsSearched: []string{"EU", "UN"}, Document: document, DocumentSHA256: hexHash(document),
		Report: queue.Report{State: queue.ReportNotOrdered}, SessionsCreated: 1, Polls: polls,
		CreatedAt: at, ReadySeenAt: at.Add(time.Second), FetchedAt: at.Add(2 * time.Second),
		Evidence: []queue.Evidence{{Kind: queue.EvidenceDocument, SHA256: hexHash(document), Bytes: int64(len(document)), ContentType: "application/json"}},
	}
	if report != nil {
		sum, size, signature := hexHash(report), int64(len(report)), "valid"
		r.Report = queue.Report{State: queue.ReportStored, SHA256: &sum, Bytes: &size, Signature: &signature}
		r.Evidence = append(r.Evidence, queue.Evidence{Kind: queue.EvidenceReport, SHA256: sum, Bytes: size, ContentType: "application/pdf"})
	}
	for _, data := range [][]byte{document, report} {
		if data == nil {
			continue
		}
		if _, err := w.store.Evidence.Put(ctx, data); err != nil {
			return err
		}
	}
	event, err := queue.EncodeResult(w.meta(batch, ref, at), r)
	return errors.Join(err, w.publish(ctx, batch, ref, false, event))
}

func (w *batchWorld) failure(t testing.TB, batch queue.BatchID, ref string, f queue.Failure) {
	t.Helper()
	if err := w.publishFailure(t.Context(), batch, ref, f); err != nil {
		t.Fatal(err)
	}
}

func (w *batchWorld) publishFailure(ctx context.Context, batch queue.BatchID, ref string, f queue.Failure) error {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f.FailedAt, f.FailedIn = at, queue.Creating
	event, err := queue.EncodeFailure(w.meta(batch, ref, at), f)
	return errors.Join(err, w.publish(ctx, batch, ref, true, event))
}

func (w *batchWorld) meta(batch queue.BatchID, ref string, at time.Time) queue.EventMeta {
	return queue.EventMeta{APIEnv: "local", Batch: batch, Job: portfolio.JobID(ref), Attempt: 1, Subject: ref, Time: at}
}

func (w *batchWorld) publish(ctx context.Context, batch queue.BatchID, ref string, failed bool, event []byte) error {
	key := store.Key{Batch: string(batch), Job: string(portfolio.JobID(ref))}
	_, err := w.store.Outcomes.Publish(ctx, store.Outcome{Key: key, Attempt: 1, Failed: failed, Value: event})
	return err
}

func readFile(t testing.TB, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
}

// wantExit checks the exit code of an error and what it says.
func wantExit(t testing.TB, err error, code int, text string) {
	t.Helper()
	var b strings.Builder
	printError(&b, err)
	if exitCode(err) != code || !strings.Contains(b.String(), text) {
		t.Errorf("exit %d, %q; want %d and %q", exitCode(err), b.String(), code, text)
	}
}
