package worker

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"rescreen/queue"
	"rescreen/store"
)

// publish makes the outcome of an ended record known. Everything in it comes
// from record and evidence, so it can be published by anybody, at any time, any
// number of times; it lands once.
func (s *step) publish(ctx context.Context, rec Record) error {
	ctx, cancel := lasting(ctx, storeTimeout)
	defer cancel()
	out := store.Outcome{Key: s.key, Attempt: rec.Attempt, Failed: rec.State == Failed, Traceparent: rec.Traceparent}
	first, err := s.publishEvent(ctx, rec, out, !s.bare)
	if errors.Is(err, store.ErrRefused) && rec.State == Done {
		// The stream takes less than the server does. The document can be
		// read from the evidence; a job that is done cannot fail any more.
		first, err = s.publishEvent(ctx, rec, out, false)
	}
	if err != nil {
		return fmt.Errorf("publish outcome: %w", err)
	}
	s.counts.ended(rec)
	if first {
		s.metrics.published(rec)
	}
	s.published = &rec
	s.outcomePublished()
	if !s.ended {
		s.did(publishStep)
	}
	return nil
}

// publishEvent publishes the event of an ended record, with or without the
// document; first reports whether it was not known already.
func (s *step) publishEvent(ctx context.Context, rec Record, out store.Outcome, whole bool) (first bool, err error) {
	if out.Value, err = s.encode(ctx, rec, whole); err != nil {
		return false, err
	}
	return s.outcomes.Publish(ctx, out)
}

// encode is the CloudEvent of an ended record, with the document if whole.
func (s *step) encode(ctx context.Context, rec Record, whole bool) ([]byte, error) {
	meta := queue.EventMeta{
		APIEnv:      s.cfg.APIEnv,
		Batch:       queue.BatchID(s.key.Batch),
		Job:         queue.JobID(s.key.Job),
		Attempt:     rec.Attempt,
		Subject:     rec.CustomerRef,
		MaxBytes:    s.cfg.MaxEventBytes,
		Time:        rec.Since,
		Traceparent: rec.Traceparent,
	}
	if rec.State == Failed {
		return queue.EncodeFailure(meta, failureOf(rec))
	}
	result := resultOf(rec)
	if whole {
		document, err := s.documentOf(ctx, rec)
		if err != nil {
			return nil, err
		}
		result.Document = document
	}
	value, err := queue.EncodeResult(meta, result)
	if errors.Is(err, queue.ErrDocument) {
		s.log().Warn("document is not UTF-8, published without it")
		result.Document = nil
		value, err = queue.EncodeResult(meta, result)
	}
	return value, err
}

// documentOf returns the bytes of the document: as fetched in this step, else
// from the evidence. Evidence whose time is up leaves the result without it;
// that it is not found must be said more than once, because a read may be stale.
func (s *step) documentOf(ctx context.Context, rec Record) ([]byte, error) {
	if rec.Document.Bytes > int64(s.cfg.MaxEventBytes) {
		return nil, nil
	}
	if s.documentSHA256 == rec.Document.SHA256 { // else another step's document came first
		return s.document, nil
	}
	data, err := s.evidence.Get(ctx, rec.Document.SHA256)
	fresh := s.clock.Now().Sub(rec.Document.FetchedAt) < staleAtMost
	if errors.Is(err, store.ErrNotFound) && (fresh || s.deliveries <= maxStrikes) {
		return nil, errStale
	}
	if errors.Is(err, store.ErrNotFound) {
		s.log().Error("evidence of a result is gone, published without its document", zap.String("sha256", rec.Document.SHA256))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	return data, nil
}

func resultOf(rec Record) queue.Result {
	doc := rec.Document
	r := queue.Result{
		Attempt:           rec.Attempt,
		SessionID:         string(rec.Session),
		Outcome:           doc.Found,
		PEPHits:           doc.PEPHits,
		SanctionHits:      doc.SanctionHits,
		ListsSearched:     doc.Lists,
		DocumentSHA256:    doc.SHA256,
		Evidence:          []queue.Evidence{evidenceRef(queue.EvidenceDocument, doc.SHA256, doc.Bytes, "application/json")},
		Report:            queue.Report{State: rec.Report.State},
		PossibleDuplicate: rec.PossibleDuplicate,
		SessionsCreated:   rec.SessionsCreated,
		Recreations:       rec.Recreations,
		Expiries:          rec.Expiries,
		OrphanedSessions:  orphansOf(rec),
		CreatedAt:         rec.CreatedAt,
		ReadySeenAt:       doc.ReadyAt,
		FetchedAt:         doc.FetchedAt,
		Polls:             rec.Polls,
	}
	if rep := rec.Report; rep.State == queue.ReportStored {
		r.Report.SHA256, r.Report.Bytes, r.Report.Signature = &rep.SHA256, &rep.Bytes, &rep.Signature
		r.Evidence = append(r.Evidence, evidenceRef(queue.EvidenceReport, rep.SHA256, rep.Bytes, "application/pdf"))
	}
	return r
}

func evidenceRef(kind, sha256 string, bytes int64, contentType string) queue.Evidence {
	return queue.Evidence{
		Kind:        kind,
		SHA256:      sha256,
		Bytes:       bytes,
		ContentType: contentType,
		Location:    evidenceLocation(sha256, bytes),
	}
}

// evidenceLocation names where the store keeps the bytes: the stream and the
// subject, or the object in its bucket.
func evidenceLocation(sha256 string, bytes int64) string {
	if bytes > store.MaxMessageBytes {
		return store.EvidenceBucket + "/" + sha256
	}
	return store.EvidenceStream + "/screening.evidence." + sha256
}

// retryable says for each reason whether the same job, queued again as a later
// attempt, may well succeed.
var retryable = map[queue.Reason]bool{
	queue.InvalidJob:      false, // the job itself must change
	queue.RequestRejected: false,
	queue.CreateUnknown:   true, // at the price of a possible second session
	queue.SessionFailed:   true,
	queue.SessionNotFound: true,
	queue.SessionTimeout:  true,
	queue.ResultExpired:   true,
	queue.ResultInvalid:   true,
	queue.InternalError:   true,
	queue.Cancelled:       true,
}

func failureOf(rec Record) queue.Failure {
	f := queue.Failure{
		Attempt:           rec.Attempt,
		Reason:            rec.Failure.Reason,
		FailedIn:          queue.Stage(rec.Failure.In),
		Retryable:         retryable[rec.Failure.Reason],
		PossibleDuplicate: rec.PossibleDuplicate,
		SessionsCreated:   rec.SessionsCreated,
		Recreations:       rec.Recreations,
		Expiries:          rec.Expiries,
		OrphanedSessions:  orphansOf(rec),
		FailedAt:          rec.Since,
		Polls:             rec.Polls,
	}
	if rec.Failure.APIStatus != 0 {
		f.APIStatus = &rec.Failure.APIStatus
	}
	if rec.Failure.Message != "" {
		f.Message = &rec.Failure.Message
	}
	if rec.Session != "" {
		id := string(rec.Session)
		f.SessionID = &id
	}
	if !rec.CreatedAt.IsZero() {
		f.CreatedAt = &rec.CreatedAt
	}
	return f
}

func orphansOf(rec Record) []string {
	ids := make([]string, len(rec.Orphans))
	for i, id := range rec.Orphans {
		ids[i] = string(id)
	}
	return ids
}
