package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"rescreen/apiclient"
	"rescreen/store"
)

// watch looks at every record that any worker tries to commit, and holds it
// against the record it is to replace.
type watch struct {
	mu       sync.Mutex
	records  map[uint64]Record // by sequence, as far as somebody has seen them
	evidence map[string]bool   // hashes that are stored for certain
	began    map[string]bool   // attempts of jobs that have a record for certain, as "batch.job.attempt"
	problems []string
}

func newWatch() *watch {
	return &watch{records: make(map[uint64]Record), evidence: make(map[string]bool), began: make(map[string]bool)}
}

func (w *watch) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *watch) seen(key store.Key, seq uint64, value []byte) {
	var rec Record
	if json.Unmarshal(value, &rec) == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.records[seq] = rec
		w.began[fmt.Sprintf("%s.%d", key, rec.Attempt)] = true
	}
}

// committing checks one commit before it is made.
func (w *watch) committing(key store.Key, value []byte, after uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var to Record
	if err := json.Unmarshal(value, &to); err != nil || !to.whole() {
		w.problem("%s: a record that is not whole: %s, %v", key, to.State, err)
		return
	}
	if to.State == Done { // law 4
		if !w.evidence[to.Document.SHA256] {
			w.problem("%s: done before its document is in evidence", key)
		}
		if to.Report.SHA256 != "" && !w.evidence[to.Report.SHA256] {
			w.problem("%s: done before its report is in evidence", key)
		}
	}
	from, known := w.records[after]
	if !known {
		return
	}
	if from.Attempt == to.Attempt && !allowed(from.State, to.State) && !onlyStruck(from, to) {
		w.problem("%s: %s to %s", key, from.State, to.State)
	}
	if from.Attempt > to.Attempt || from.Attempt < to.Attempt && from.State != Failed {
		w.problem("%s: attempt %d (%s) to %d", key, from.Attempt, from.State, to.Attempt)
	}
	if from.Attempt == to.Attempt && shrunk(from.Counters, to.Counters) { // law 8
		w.problem("%s: %s to %s: counters shrink from %+v to %+v", key, from.State, to.State, from.Counters, to.Counters)
	}
	if to.State != Done && from.Query != nil && to.Query == nil { // law 7
		w.problem("%s: %s to %s loses the query", key, from.State, to.State)
	}
	if to.State == Done && to.Query != nil {
		w.problem("%s: done and keeps the query", key)
	}
}

// onlyStruck reports whether nothing has changed about a done job but how often
// its result was tried to be published.
func onlyStruck(from, to Record) bool {
	from.Strikes, to.Strikes = nil, nil
	a, errA := json.Marshal(from)
	b, errB := json.Marshal(to)
	return from.State == Done && errors.Join(errA, errB) == nil && bytes.Equal(a, b)
}

func shrunk(from, to Counters) bool {
	lost := func(from, to []apiclient.SessionID) bool {
		return slices.ContainsFunc(from, func(id apiclient.SessionID) bool { return !slices.Contains(to, id) })
	}
	return lost(from.Orphans, to.Orphans) || lost(from.Expired, to.Expired) || to.SessionsCreated < from.SessionsCreated || to.Recreations < from.Recreations || to.Expiries < from.Expiries ||
		from.PossibleDuplicate && !to.PossibleDuplicate
}

type watchedLedger struct {
	*watch
	Ledger
}

func (l watchedLedger) Load(ctx context.Context, key store.Key) (store.Record, error) {
	rec, err := l.Ledger.Load(ctx, key)
	if err == nil {
		l.seen(key, rec.Seq, rec.Value)
	}
	return rec, err
}

func (l watchedLedger) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	l.committing(key, value, after)
	seq, err := l.Ledger.Commit(ctx, key, value, after, final)
	if err == nil {
		l.seen(key, seq, value)
	}
	return seq, err
}

type watchedEvidence struct {
	*watch
	Evidence
}

func (e watchedEvidence) Put(ctx context.Context, data []byte) (string, error) {
	sha, err := e.Evidence.Put(ctx, data)
	if err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.evidence[sha] = true
	}
	return sha, err
}
