package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/queue/portfolio"
	"rescreen/store"
)

func TestStatus(t *testing.T) {
	w := newBatchWorld(t)
	if _, err := w.submitText(t, people(4), submitOptions{Batch: "march"}); err != nil {
		t.Fatal(err)
	}
	check := func(want batchStatus) {
		t.Helper()
		got, err := w.status(t.Context(), "march")
		if err != nil || got.Results != want.Results || got.Failures != want.Failures || got.Queued != want.Queued ||
			got.Waiting != want.Waiting || got.Open != want.Open || got.Complete != want.Complete || got.State != want.State {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	check(batchStatus{Queued: 4, Open: 4, Batch: queue.Batch{State: queue.Submitted}})
	w.takeAll(t, "march")
	check(batchStatus{Waiting: 4, Open: 4, Batch: queue.Batch{State: queue.Submitted}})
	for i := range 3 {
		w.result(t, "march", fmt.Sprintf("C-%06d", i), []byte(`{}`), nil)
	}
	w.result(t, "march2", "C-000000", []byte(`{}`), nil) // another batch, whose name begins the same
	check(batchStatus{Results: 3, Waiting: 1, Open: 1, Batch: queue.Batch{State: queue.Submitted}})
	w.failure(t, "march", "C-000003", queue.Failure{Reason: queue.SessionFailed})
	check(batchStatus{Results: 3, Failures: 1, Complete: true, Batch: queue.Batch{State: queue.Ended}})
	b, _, err := w.batches.Load(t.Context(), "march")
	if err != nil || b.State != queue.Ended || b.EndedAt.Before(b.SubmittedAt) {
		t.Errorf("%+v, %v", b, err)
	}
}

// A job that was published twice may still be in the stream when all outcomes
// are there. Its batch keeps its consumer until it is gone.
func TestBatchDoesNotEndBeforeItHasLeftTheStream(t *testing.T) {
	w := newBatchWorld(t)
	if _, err := w.submitText(t, people(1), submitOptions{Batch: "march"}); err != nil {
		t.Fatal(err)
	}
	w.result(t, "march", "C-000000", []byte(`{}`), nil)
	if s, err := w.status(t.Context(), "march"); err != nil || !s.Complete || s.State != queue.Submitted || s.Queued != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestStatusOfBatchesNobodySubmitted(t *testing.T) {
	w := newBatchWorld(t)
	_, err := w.status(t.Context(), "march")
	if !errors.Is(err, errUnknownBatch) {
		t.Error(err)
	}
	wantExit(t, err, exitFailed, "rescreen batch list")
	if s, err := w.status(t.Context(), queue.DefaultBatch); err != nil || !s.Unregistered || !s.Complete {
		t.Errorf("%+v, %v", s, err)
	}
	jobs := []queue.Job{}
	for i := range 3 {
		ref := fmt.Sprintf("C-%06d", i)
		jobs = append(jobs, queue.Job{ID: portfolio.JobID(ref), CustomerRef: ref, FirstName: "Kari", LastName: "Nordmann", DateOfBirth: "1970-01-01"})
	}
	if _, err := w.jobs.Publish(t.Context(), queue.DefaultBatch, jobs); err != nil {
		t.Fatal(err)
	}
	w.takeAll(t, queue.DefaultBatch)
	if _, err := w.jobs.Publish(t.Context(), queue.DefaultBatch, []queue.Job{{ID: "more", CustomerRef: "more", FirstName: "Ola", LastName: "Nordmann", DateOfBirth: "1970-01-01"}}); err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs { // their workers have begun them
		if _, err := w.store.Ledger.Commit(t.Context(), store.Key{Batch: "default", Job: string(j.ID)}, []byte("{}"), 0, false); err != nil {
			t.Fatal(err)
		}
	}
	w.result(t, queue.DefaultBatch, "C-000000", []byte(`{}`), nil)
	s, err := w.status(t.Context(), queue.DefaultBatch)
	if err != nil || s.Results != 1 || s.Queued != 1 || s.Waiting != 2 || s.Open != 3 || s.Complete {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestList(t *testing.T) {
	w := newBatchWorld(t)
	if all, err := w.list(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	for _, name := range []queue.BatchID{"zulu", "alpha"} {
		if _, err := w.submitText(t, people(2), submitOptions{Batch: name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.js.Publish(t.Context(), queue.JobSubject("stray"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	all, err := w.list(t.Context())
	if err != nil || len(all) != 3 || all[0].Name != "zulu" || all[1].Name != "alpha" || all[2].Name != "stray" || !all[2].Unregistered || all[2].Queued != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// Counting leaves nothing behind, follows what is published, and outlives the
// loss of its consumer.
func TestTallier(t *testing.T) {
	w := newBatchWorld(t)
	tallier := newTallier(w.js, "march")
	for i := range 3 {
		w.result(t, "march", fmt.Sprintf("C-%06d", i), []byte(`{}`), nil)
		got, err := tallier.tally(t.Context())
		if err != nil || got.Failures != 0 || got.At.IsZero() {
			t.Fatalf("%+v, %v", got, err)
		}
		for deadline := time.Now().Add(longEnough); got.Results < uint64(i+1); { // the server counts some moments later
			if got, err = tallier.tally(t.Context()); err != nil || time.Now().After(deadline) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		if i == 1 {
			if err := w.js.DeleteConsumer(t.Context(), store.ResultsStream, tallier.results.consumer.CachedInfo().Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	tallier.close(t.Context())
	stream, err := w.js.Stream(t.Context(), store.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	for info := range stream.ListConsumers(t.Context()).Info() {
		t.Errorf("consumer %s is left", info.Name)
	}
	if _, err := (&counter{js: w.js, stream: "NONE", subject: "x"}).consumerCount(t); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Error(err)
	}
}

// Who may make no consumer of the results counts the same.
func TestTallierOfWhoMayNotRead(t *testing.T) {
	w := newBatchWorld(t)
	for i := range 3 {
		w.result(t, "march", fmt.Sprintf("C-%06d", i), []byte(`{}`), nil)
	}
	w.result(t, "april", "C-000000", []byte(`{}`), nil)
	w.ask.Do(func() { w.known = rights{Allow: []string{"$JS.API.STREAM.INFO.>"}} })
	counted, err := w.tallier(t.Context(), "march").tally(t.Context())
	if err != nil || counted.Results != 3 || counted.Failures != 0 || counted.At.IsZero() {
		t.Errorf("%+v, %v", counted, err)
	}
	if n, err := countRecords(t.Context(), w.js, w.rights(t.Context()), "march"); n != 0 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	if _, _, err := queue.Count(t.Context(), w.js, "NONE", "x"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Error(err)
	}
	stream, err := w.js.Stream(t.Context(), store.ResultsStream)
	if err != nil || stream.CachedInfo().State.Consumers > 0 {
		t.Errorf("consumers were made: %v", err)
	}
}

func (c *counter) consumerCount(t *testing.T) (uint64, error) {
	n, _, err := c.count(t.Context())
	return n, err
}
