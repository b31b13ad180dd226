package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"rescreen/store"
)

// A stream that is deleted and made again: the listener is told, and a commit
// based on what was in it is a conflict at once.
func TestStreamMadeAnew(t *testing.T) {
	js := connect(t, startServer(t))
	setup(t, js, 1)
	var mu sync.Mutex
	heard := make(map[string]error)
	s, err := store.Open(t.Context(), js, time.Now, store.Listen(func(stream string, write bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		if write {
			stream = "write " + stream
		}
		heard[stream] = err
	}))
	if err != nil {
		t.Fatal(err)
	}
	last := func(what string) error {
		mu.Lock()
		defer mu.Unlock()
		err, ok := heard[what]
		if !ok {
			t.Errorf("nothing heard of %s", what)
		}
		return err
	}
	key := store.Key{Batch: "b", Job: "j"}
	var seq uint64
	for range 5 {
		if seq, err = s.Ledger.Commit(t.Context(), key, []byte("x"), seq, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := last("write " + store.RecordsStream); err != nil {
		t.Errorf("told of %v", err)
	}
	if err := js.DeleteStream(t.Context(), store.RecordsStream); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Ledger.Commit(short, key, []byte("y"), seq, false); err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("commit into nothing: %v", err)
	}
	if last("write "+store.RecordsStream) == nil || last(store.RecordsStream) == nil {
		t.Error("not told that the stream is gone")
	}
	for _, config := range store.Streams(store.Options{}) {
		if _, err := js.CreateOrUpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	patient, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.Ledger.Commit(patient, key, []byte("y"), seq, false); !errors.Is(err, store.ErrConflict) {
		t.Errorf("commit based on what is gone: %v", err)
	}
	if _, err := s.Ledger.Commit(t.Context(), key, []byte("y"), 0, false); err != nil {
		t.Errorf("commit based on nothing: %v", err)
	}
	if err := errors.Join(last("write "+store.RecordsStream), last(store.RecordsStream)); err != nil {
		t.Errorf("still told of %v", err)
	}
}
