package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/store"
)

// TestScanPassesOverWhatIsNotARecord: somebody else's message must not end a scan.
func TestScanPassesOverWhatIsNotARecord(t *testing.T) {
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	for _, subject := range []string{"screening.record.a", "screening.record.a.b.c"} {
		if _, err := js.Publish(t.Context(), subject, []byte("?")); err != nil {
			t.Fatal(err)
		}
	}
	k := store.Key{Batch: "b", Job: "j"}
	seq, err := s.Ledger.Commit(t.Context(), k, nil, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Ledger.Next(t.Context(), 0); err != nil || r.Seq != seq || r.Key != k {
		t.Errorf("got %+v, error %v", r, err)
	}
	if _, err := s.Ledger.Next(t.Context(), seq); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("at the end: got %v", err)
	}
}

// TestReplacedDueMessageIsNotPending: else each would take a place of
// MaxAckPending for ever.
func TestReplacedDueMessageIsNotPending(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	due, err := js.Consumer(t.Context(), store.WakesStream, store.DueConsumerName)
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Batch: "b", Job: "j"}
	for range 3 {
		if err := s.Wakes.Park(t.Context(), store.Wake{Key: k, Attempt: 1, At: s.Clock.Now()}); err != nil {
			t.Fatal(err)
		}
		if _, err := due.Next(jetstream.FetchContext(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	// The server gives the places back on its own time, within milliseconds.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		info, err := due.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.NumAckPending == 1 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%d messages are pending, want the last alone", info.NumAckPending)
		}
	}
}

// TestOutcomeHeaders: a consumer that knows nothing of us can read the event.
func TestOutcomeHeaders(t *testing.T) {
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	k := store.Key{Batch: "b", Job: "j"}
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if _, err := s.Outcomes.Publish(t.Context(), store.Outcome{Key: k, Attempt: 1, Traceparent: trace}); err != nil {
		t.Fatal(err)
	}
	results, err := js.Stream(t.Context(), store.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := results.GetLastMsgForSubject(t.Context(), "screening.result.b.j.1")
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("content-type") != store.OutcomeContentType || m.Header.Get("traceparent") != trace || m.Header.Get(jetstream.MsgIDHeader) != "" {
		t.Errorf("headers %v", m.Header)
	}
}
