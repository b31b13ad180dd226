package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/queue"
)

// maxSpoiled is how often a document or a report that cannot be used is
// fetched: a transfer may break, a broken original stays broken.
const maxSpoiled = 5

// maxListBytes bounds the names of the lists searched that record, wake-up and
// result repeat: a message that is too large could never be stored. The lists
// known have 20 bytes each.
const maxListBytes = 16 << 10

// errDocument is returned for a JSON result that cannot be read as one.
var errDocument = errors.New("document cannot be used")

// collect fetches what is ready and not stored yet: evidence first, then the
// record. What is not ready is asked for again later.
func (s *step) collect(ctx context.Context, wk wake, session apiclient.Session) error {
	if wk.Document == nil {
		switch session.Document.State() {
		case apiclient.EntityFailed:
			return s.giveUp(ctx, wk, queue.SessionFailed, 0, "the JSON result ended as "+literal(session.Document.Status))
		case apiclient.EntityReady:
			s.did(fetchStep)
			s.noteLife(wk)
			if wk.ReadyAt.IsZero() {
				wk.ReadyAt = s.clock.Now()
			}
			if err := s.fetchDocument(ctx, &wk, session.Document.Link); err != nil {
				return s.fetchFailed(ctx, wk, err)
			}
		default:
			wk.Answered, wk.Unanswered, wk.ReadyAt = s.clock.Now(), 0, time.Time{}
			return s.nextPoll(ctx, wk, session.RetryAfter)
		}
	}
	if !wk.Report {
		return s.complete(ctx, wk, &Report{State: queue.ReportNotOrdered})
	}
	return s.collectReport(ctx, wk, session)
}

// collectReport is collect for the PDF, once the JSON is stored. While the PDF
// is not there the record keeps what is.
func (s *step) collectReport(ctx context.Context, wk wake, session apiclient.Session) error {
	switch session.Report.State() {
	case apiclient.EntityFailed:
		return s.complete(ctx, wk, &Report{State: queue.ReportFailed})
	case apiclient.EntityReady:
		s.did(fetchStep)
		s.noteLife(wk)
		report, err := s.fetchReport(ctx, &wk, session.Report.Link)
		if report != nil {
			return s.complete(ctx, wk, report)
		}
		if ours, keepErr := s.keepDocument(ctx, wk); keepErr != nil || !ours {
			return keepErr
		}
		return s.fetchFailed(ctx, wk, err)
	}
	if session.Failed() {
		return s.complete(ctx, wk, &Report{State: queue.ReportFailed})
	}
	wk.Answered, wk.Unanswered = s.clock.Now(), 0
	if ours, err := s.keepDocument(ctx, wk); err != nil || !ours {
		return err
	}
	return s.nextPoll(ctx, wk, session.RetryAfter)
}

// fetchDocument fetches the JSON result and stores it at once.
func (s *step) fetchDocument(ctx context.Context, wk *wake, link string) error {
	data, err := s.entities.Document(ctx, s.admitFetch(*wk), wk.ref(), link)
	s.fetched(*wk, err)
	if err != nil {
		if spoiled(err) {
			wk.SpoiledDocument++
		}
		return err
	}
	doc, err := s.examine(data)
	if err != nil {
		wk.SpoiledDocument++
		return err
	}
	doc.ReadyAt, doc.FetchedAt = wk.ReadyAt, s.clock.Now()
	if doc.SHA256, err = s.keepEvidence(ctx, *wk, data); err != nil {
		return err
	}
	wk.Document, s.document, s.documentSHA256 = doc, data, doc.SHA256
	return nil
}

// fetchReport fetches the signed PDF and stores it at once. A report that
// stays unusable is no error but a state of the report.
func (s *step) fetchReport(ctx context.Context, wk *wake, link string) (*Report, error) {
	pdf, err := s.entities.Report(ctx, s.admitFetch(*wk), wk.ref(), link)
	s.fetched(*wk, err)
	if kind, _ := apiclient.KindOf(err); err != nil && kind == apiclient.Gone {
		return &Report{State: queue.ReportExpired}, nil
	}
	if err != nil {
		if spoiled(err) {
			wk.SpoiledReport++
		}
		if wk.SpoiledReport >= maxSpoiled {
			s.log().Warn("report cannot be used", zap.Error(err))
			return &Report{State: queue.ReportInvalid}, nil
		}
		return nil, err
	}
	sha, err := s.keepEvidence(ctx, *wk, pdf.Bytes)
	if err != nil {
		return nil, err
	}
	return &Report{State: queue.ReportStored, SHA256: sha, Bytes: int64(len(pdf.Bytes)), Signature: string(pdf.Signature)}, nil
}

// fetchFailed sorts out a fetch that brought nothing.
func (s *step) fetchFailed(ctx context.Context, wk wake, err error) error {
	if stopped(ctx) || errors.Is(err, errStopping) {
		return errStopping
	}
	if notLetOut(err) {
		return s.heldBack(ctx, wk, err)
	}
	kind, fromAPI := apiclient.KindOf(err)
	if !fromAPI && !errors.Is(err, errDocument) {
		return err // the store's trouble: the message comes again, as if for the first time
	}
	s.callErr = err
	if fromAPI && kind == apiclient.Gone {
		return s.expired(ctx, wk) // it was ready, and is no more
	}
	if wk.Document == nil && wk.SpoiledDocument >= maxSpoiled {
		return s.giveUp(ctx, wk, queue.ResultInvalid, statusOf(err), "the JSON result could not be used, however often it was fetched")
	}
	wk.Unanswered++
	if !s.shutUntil.IsZero() {
		return s.pollFrom(ctx, wk, s.shutUntil)
	}
	return s.nextPoll(ctx, wk, retryAfter(err))
}

// fetched notes the end of a fetch.
func (s *step) fetched(wk wake, err error) {
	s.told(Fetch, wk.Unanswered > 0, err)
	if !notLetOut(err) {
		s.counts.fetches.Add(1)
	}
}

// spoiled reports whether the answer to a fetch is of no use, and might be
// again: cut short, no PDF, a link to elsewhere.
func spoiled(err error) bool {
	kind, _ := apiclient.KindOf(err)
	return kind == apiclient.Invalid || kind == apiclient.Misconfigured || kind == apiclient.Refused
}

// keepDocument writes a document that waits for its report into the record, so
// that it survives the loss of the wake-up. ours is false when the record is
// about something else by now.
func (s *step) keepDocument(ctx context.Context, wk wake) (ours bool, err error) {
	if s.document == nil {
		return true, nil // was written when it was fetched
	}
	_, _, ours, err = s.update(ctx, wk, func(rec Record) Record {
		rec.Document, rec.Polls, rec.Strikes = wk.Document, wk.Poll, nil
		return rec
	})
	return ours, err
}

// keepEvidence stores what was paid for, even while the worker is stopping. What
// could not be fetched again before it perishes is held until the store is back.
func (s *step) keepEvidence(ctx context.Context, wk wake, data []byte) (string, error) {
	began, perishes := time.Now(), wk.Answered.Add(s.cfg.ResultLifetime)
	sha, err := s.putEvidence(ctx, data)
	for transient(err) && time.Since(began) < idPatience && perishes.Sub(s.clock.Now()) < urgentBelow && wait(s.stop, troublePause) == nil {
		sha, err = s.putEvidence(ctx, data)
	}
	if err != nil {
		return "", fmt.Errorf("store evidence: %w", err)
	}
	s.counts.evidenceBytes.Add(int64(len(data)))
	s.noteLife(wk)
	return sha, nil
}

// noteLife measures how long what is ready can be fetched yet.
func (s *step) noteLife(wk wake) {
	if !wk.Answered.IsZero() {
		s.metrics.lifeLeft.add(time.Now(), wk.Answered.Add(s.cfg.ResultLifetime).Sub(s.clock.Now()))
	}
}

func (s *step) putEvidence(ctx context.Context, data []byte) (string, error) {
	ctx, cancel := lasting(ctx, storeTimeout)
	defer cancel()
	return s.evidence.Put(ctx, data)
}

// examine reads from a document what the result says about it. That a part is
// missing is never read as "no hits".
func (s *step) examine(data []byte) (*Document, error) {
	view, err := s.entities.View(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	found := view.Screening()
	doc := &Document{Bytes: int64(len(data)), Found: queue.Undetermined, PEPHits: found.PEPHits, SanctionHits: found.SanctionHits, Lists: found.Lists}
	if textBytes(doc.Lists) > maxListBytes {
		doc.Lists = nil
	}
	switch {
	case found.Hit():
		doc.Found = queue.Hit
	case found.Clear():
		doc.Found = queue.Clear
	}
	return doc, nil
}

func textBytes(texts []string) int {
	sum := 0
	for _, t := range texts {
		sum += len(t)
	}
	return sum
}
