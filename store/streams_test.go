package store_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/store"
)

func wantMessages(t *testing.T, js jetstream.JetStream, stream string, messages, lastSeq uint64) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	if state := s.CachedInfo().State; state.Msgs != messages || state.LastSeq != lastSeq {
		t.Errorf("%s holds %d messages and is at %d, want %d at %d", stream, state.Msgs, state.LastSeq, messages, lastSeq)
	}
}

// TestStreamsAreMadeAsAsked: the server accepts every setting and changes none
// of those that matter, and setup may run again.
func TestStreamsAreMadeAsAsked(t *testing.T) {
	js := connect(t, startServer(t))
	setup(t, js, 1)
	setup(t, js, 1)
	for _, want := range store.Streams(store.Options{}) {
		stream, err := js.Stream(t.Context(), want.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := stream.CachedInfo().Config
		if !slices.Equal(got.Subjects, want.Subjects) || got.Retention != want.Retention || got.Discard != want.Discard ||
			got.MaxAge != want.MaxAge || got.AllowDirect || got.AllowMsgTTL != want.AllowMsgTTL ||
			got.AllowMsgSchedules != want.AllowMsgSchedules || got.AllowRollup != want.AllowRollup ||
			got.DenyDelete != want.DenyDelete || got.DenyPurge || got.Storage != jetstream.FileStorage ||
			got.SubjectDeleteMarkerTTL != 0 || got.Replicas != 1 || got.MaxBytes > 0 || got.MaxMsgs > 0 {
			t.Errorf("%s: got %+v", want.Name, got)
		}
	}
	due, err := js.Consumer(t.Context(), store.WakesStream, store.DueConsumerName)
	if err != nil {
		t.Fatal(err)
	}
	if got := due.CachedInfo().Config; got.MaxDeliver != -1 || got.AckWait != store.AckWait ||
		got.MaxAckPending != store.MaxAckPending || len(got.BackOff) != 0 {
		t.Errorf("consumer: got %+v", got)
	}
}

func TestOpenNamesWhatIsMissing(t *testing.T) {
	js := connect(t, startServer(t))
	_, err := store.Open(t.Context(), js, time.Now)
	if !errors.Is(err, store.ErrNotSetUp) {
		t.Fatalf("without streams: got %v", err)
	}
	setup(t, js, 1)
	// What CreateOrUpdateKeyValue would do to the bucket.
	for _, config := range store.Streams(store.Options{}) {
		if config.Name == store.LimitsStream {
			config.AllowDirect = true
			if _, err := js.UpdateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = store.Open(t.Context(), js, time.Now)
	if !errors.Is(err, store.ErrNotSetUp) {
		t.Fatalf("with direct reads: got %v", err)
	}
}

// TestClientsReadBuckets: the registers and the large evidence are what the clients and
// the nats command take them for.
func TestClientsReadBuckets(t *testing.T) {
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Registers.Commit(ctx, "local", []byte("budget"), 0); err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(ctx, store.LimitsBucket)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := kv.Get(ctx, "local"); err != nil || string(entry.Value()) != "budget" {
		t.Errorf("key-value: %v, error %v", entry, err)
	}
	large := bytes.Repeat([]byte("evidence"), 100_000)
	name, err := s.Evidence.Put(ctx, large)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.ObjectStore(ctx, store.EvidenceBucket)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bucket.GetBytes(ctx, name); err != nil || !bytes.Equal(got, large) {
		t.Errorf("object store: %d bytes, error %v", len(got), err)
	}
}

// TestRecordAfterExpiry: a final record that expired leaves nothing behind, no
// marker either: the next one is committed after 0.
func TestRecordAfterExpiry(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	store.SetFinalAge(s, time.Second) // the shortest there is
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	k := store.Key{Batch: "b", Job: "j"}
	seq, err := s.Ledger.Commit(ctx, k, []byte("final"), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for err == nil {
		<-ticker.C
		_, err = s.Ledger.Load(ctx, k)
	}
	if !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Ledger.Commit(ctx, k, []byte("x"), seq, false); !errors.Is(err, store.ErrConflict) {
		t.Errorf("commit after the expired record: got %v, want a conflict", err)
	}
	if _, err := s.Ledger.Next(ctx, 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("scan: got %v, want nothing", err)
	}
	if _, err := s.Ledger.Commit(ctx, k, []byte("new"), 0, false); err != nil {
		t.Errorf("commit after 0: %v", err)
	}
}

// TestLargeEvidenceIsWrittenAnewNextDay, and not before.
func TestLargeEvidenceIsWrittenAnewNextDay(t *testing.T) {
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	ctx := t.Context()
	large := make([]byte, store.MaxMessageBytes+1) // five chunks and a name
	for _, step := range []struct {
		later    time.Duration
		lastSeq  uint64
		messages uint64
	}{{0, 6, 6}, {23 * time.Hour, 6, 6}, {24 * time.Hour, 12, 11}} {
		store.SetNow(s, func() time.Time { return s.Clock.Now().Add(step.later) })
		name, err := s.Evidence.Put(ctx, large)
		if err != nil {
			t.Fatal(err)
		}
		wantMessages(t, js, store.EvidenceBucketStream, step.messages, step.lastSeq)
		if got, err := s.Evidence.Get(ctx, name); err != nil || !bytes.Equal(got, large) {
			t.Fatalf("get: %d bytes, error %v", len(got), err)
		}
	}
}

// TestCorruptEvidence: what is not what was stored is not handed out.
func TestCorruptEvidence(t *testing.T) {
	js := connect(t, startServer(t))
	s := setup(t, js, 1)
	name, err := s.Evidence.Put(t.Context(), []byte("genuine"))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := store.EvidenceSubject(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), subject, []byte("forged")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Evidence.Get(t.Context(), name); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("got %q, error %v; want it refused", got, err)
	}
	// Put again, it is genuine again.
	if _, err := s.Evidence.Put(t.Context(), []byte("genuine")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Evidence.Get(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}
