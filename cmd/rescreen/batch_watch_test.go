package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"rescreen/queue"
)

func TestWatch(t *testing.T) {
	w := newBatchWorld(t)
	if _, err := w.submitText(t, people(3), submitOptions{Batch: "march"}); err != nil {
		t.Fatal(err)
	}
	w.takeAll(t, "march")
	var seen []uint64
	s, err := w.watch(t.Context(), "march", watchOptions{Every: time.Millisecond, Seen: func(s batchStatus) {
		if seen = append(seen, s.Open); len(seen) <= 3 {
			w.result(t, "march", fmt.Sprintf("C-%06d", len(seen)-1), []byte("{}"), nil)
		}
	}})
	if err != nil || !s.Complete || s.Results != 3 || s.State != queue.Ended || seen[0] != 3 || s.failed() != nil {
		t.Errorf("%+v, %v, %v", s, err, seen)
	}
	s.Failures = 1
	wantExit(t, s.failed(), exitFailures, "batch march: 1 of 4 jobs failed")
	_, err = w.watch(t.Context(), "april", watchOptions{})
	if !errors.Is(err, errUnknownBatch) {
		t.Error(err)
	}
}

// A batch of which a job is left in the stream, twice published, is complete
// all the same.
func TestWatchEndsBeforeTheStreamIsEmpty(t *testing.T) {
	w := newBatchWorld(t)
	if _, err := w.submitText(t, people(1), submitOptions{Batch: "march"}); err != nil {
		t.Fatal(err)
	}
	w.result(t, "march", "C-000000", []byte("{}"), nil)
	s, err := w.watch(t.Context(), "march", watchOptions{Every: time.Millisecond})
	if err != nil || !s.Complete || s.Queued != 1 || s.State != queue.Submitted || s.stateText() != "complete" {
		t.Errorf("%+v, %v", s, err)
	}
}

// A submission that goes on, or has broken off, is no end however many
// outcomes there are; the watcher says so once.
func TestWatchOfAnOpenSubmission(t *testing.T) {
	w := newBatchWorld(t)
	if _, err := w.batches.Register(t.Context(), queue.Batch{Name: "march", State: queue.Submitting, InputSHA256: "x"}); err != nil {
		t.Fatal(err)
	}
	var told []string
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	_, err := w.watch(ctx, "march", watchOptions{Every: time.Millisecond, Tell: func(s string) { told = append(told, s) }, Seen: func(s batchStatus) {
		if r := s.reading(false); s.Complete || r.Total != 0 {
			t.Errorf("%+v, %+v", s, r)
		}
		if looks++; looks == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(told) != 1 || !strings.Contains(told[0], "batch submit") {
		t.Errorf("%v, %q", err, told)
	}
}

// A watcher outlives its server: it says so, and goes on when there is one.
func TestWatchOutlivesTheServer(t *testing.T) {
	t.Parallel() // a request that is under way when the server goes waits 5 s
	dir := t.TempDir()
	first, err := startNATS(&server.Options{StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(t, first.Addr().String())
	target := natsTarget{url: first.ClientURL(), options: []nats.Option{nats.ReconnectWait(10 * time.Millisecond)}}
	link, err := target.connect(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if _, err := setup(t.Context(), link.JS, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := joinBatchWorld(t.Context(), link.JS)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.submitText(t, people(2), submitOptions{Batch: "march"}); err != nil {
		t.Fatal(err)
	}
	w.takeAll(t, "march")
	w.result(t, "march", "C-000000", []byte("{}"), nil)

	looked, told := make(chan uint64), make(chan string, 10)
	ended := make(chan batchStatus, 1)
	go func() {
		defer close(looked)
		s, err := w.watch(t.Context(), "march", watchOptions{
			Every: time.Millisecond,
			Seen:  func(s batchStatus) { looked <- s.Open },
			Tell:  func(s string) { told <- s },
		})
		if err != nil {
			t.Error(err)
		}
		ended <- s
	}()
	if open := <-looked; open != 1 {
		t.Errorf("%d open", open)
	}
	first.Shutdown()
	first.WaitForShutdown()
	go func() {
		for range looked { // let it go on
		}
	}()
	if s := awaitText(t, told); !strings.Contains(s, "trying again") {
		t.Errorf("told %q", s)
	}
	second, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	second.Start()
	defer func() { second.Shutdown(); second.WaitForShutdown() }()
	if s := awaitText(t, told); s != "going on" {
		t.Errorf("told %q", s)
	}
	w.result(t, "march", "C-000001", []byte("{}"), nil)
	select {
	case s := <-ended:
		if s.Results != 2 || !s.Complete {
			t.Errorf("%+v", s)
		}
	case <-time.After(longEnough):
		t.Error("the watcher does not end")
	}
}

func awaitText(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(longEnough):
		t.Fatal("nothing was told")
		return ""
	}
}
