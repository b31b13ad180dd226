package worker

import (
	"context"
	"slices"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/store"
)

// A worker that is paused between the answer to its POST and the commit comes
// after its claim has ended: the session is recorded with the job that went on
// without it, if that is still open, and flagged in any case.
func TestAnswerAfterTheClaimIsAnOrphan(t *testing.T) {
	for name, c := range map[string]struct {
		ready time.Duration
		known int // orphans, by the time the job ends
	}{"job is still open": {10 * time.Minute, 1}, "job has ended": {time.Second, 0}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(c.ready)}, func(w *world) {
				job := person(1, false)
				w.submit(job)
				w.wrap = func(d Deps) Deps {
					d.Ledger = &pausingLedger{Ledger: d.Ledger, before: Waiting, pause: 2 * time.Minute}
					return d
				}
				zombie := w.launch("zombie")
				time.Sleep(3 * time.Second)
				zombie.gate.shut()
				w.wrap = nil
				other := w.launch("other")
				defer other.stop()
				time.Sleep(3 * time.Minute)
				zombie.gate.open()
				r := w.result(time.Hour, job)
				time.Sleep(time.Minute)
				zombie.stop()
				if !r.PossibleDuplicate || r.Recreations != 1 || w.sessionsOf(job) != 2 || len(r.OrphanedSessions) != c.known {
					t.Errorf("flagged %v, %d recreations, orphans %v, %d sessions", r.PossibleDuplicate, r.Recreations, r.OrphanedSessions, w.sessionsOf(job))
				}
				if r.SessionsCreated != 1+c.known || slices.Contains(r.OrphanedSessions, r.SessionID) {
					t.Errorf("%d sessions counted; orphans %v, session %s", r.SessionsCreated, r.OrphanedSessions, r.SessionID)
				}
				if n := zombie.worker.Stats().Orphans; n != 1 {
					t.Errorf("%d orphans", n)
				}
				if n := w.outcomesOf(job); len(n) != 1 || n[1] != 1 {
					t.Errorf("outcomes %v", n)
				}
			})
		})
	}
}

// pausingLedger stands still once: before or after the commit of a record in a
// state.
type pausingLedger struct {
	Ledger
	before, after State
	pause         time.Duration
	paused        bool
}

func (l *pausingLedger) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	rec, err := decodeRecord(value)
	if err != nil {
		return 0, err
	}
	stand := func(s State) {
		if rec.State == s && !l.paused {
			l.paused = true
			time.Sleep(l.pause)
		}
	}
	stand(l.before)
	seq, err := l.Ledger.Commit(context.WithoutCancel(ctx), key, value, after, final)
	stand(l.after)
	return seq, err
}

// A process that was paused between its intent and its POST makes no call.
func TestPauseBetweenIntentAndPostMakesNoCall(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Minute)}, func(w *world) {
		job := person(1, false)
		var ledger *pausingLedger
		w.wrap = func(d Deps) Deps {
			// 6 s of the claim are left then, which is no time for a POST.
			ledger = &pausingLedger{Ledger: d.Ledger, after: Creating, pause: 14 * time.Second}
			d.Ledger = ledger
			return d
		}
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		r := w.result(10*time.Minute, job)
		if !ledger.paused || r.PossibleDuplicate || w.sessionsOf(job) != 1 {
			t.Errorf("paused %v, flagged %v, %d sessions", ledger.paused, r.PossibleDuplicate, w.sessionsOf(job))
		}
	})
}

// A conflict may mean that one's own write was stored and somebody has written
// on top of it: the session is the job's, and no orphan.
func TestOwnSessionIsNoOrphan(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Minute)}, func(w *world) {
		job := person(1, false)
		w.wrap = func(d Deps) Deps {
			d.Ledger = overwrittenLedger{d.Ledger}
			return d
		}
		w.submit(job)
		worker, stop := w.start("w")
		defer stop()
		r := w.result(10*time.Minute, job)
		if r.SessionsCreated != 1 || len(r.OrphanedSessions) != 0 || r.PossibleDuplicate || w.sessionsOf(job) != 1 {
			t.Errorf("%d sessions counted, orphans %v, flagged %v", r.SessionsCreated, r.OrphanedSessions, r.PossibleDuplicate)
		}
		if worker.Stats().Conflicts == 0 {
			t.Error("the test met no conflict")
		}
	})
}

// overwrittenLedger stores the waiting record, writes a strike on top, and says
// conflict, as the ledger may when the acknowledgement got lost.
type overwrittenLedger struct{ Ledger }

func (l overwrittenLedger) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	seq, err := l.Ledger.Commit(ctx, key, value, after, final)
	rec, derr := decodeRecord(value)
	if err != nil || derr != nil || rec.State != Waiting || rec.Strikes != nil || rec.Polls > 0 {
		return seq, err
	}
	if _, err := l.Ledger.Commit(ctx, key, value, seq, final); err != nil {
		return 0, err
	}
	return 0, store.ErrConflict
}

// Two steps fetch the same session's document and the API sends different
// bytes: what is published is the document that the record names.
func TestPublishedDocumentIsTheOneOfTheRecord(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		w.cfg.RepairEvery = time.Hour
		first, second := w.launch("first"), w.launch("second")
		defer second.stop()
		defer first.stop()
		r := w.result(time.Minute, job)

		other := []byte(`{"aml":null}`)
		sha, err := w.store.Evidence.Put(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		s := &step{Worker: first.worker, key: store.Key{Batch: "b", Job: "job-1"}, attempt: 1, document: other, documentSHA256: sha, deliveries: 1}
		data, err := s.documentOf(t.Context(), w.record(job))
		if err != nil || string(data) == string(other) || len(data) != int(w.record(job).Document.Bytes) || r.DocumentSHA256 == sha {
			t.Errorf("a step with another document publishes %d bytes of its own (%v)", len(data), err)
		}
	})
}

func TestTwoWorkersShareOneQueue(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.LogNormal(5*time.Second, 1, 0, time.Minute), Latency: amlsim.LogNormal(50*time.Millisecond, 1, 0, 5*time.Second)}, func(w *world) {
		jobs := people(200)
		w.submit(jobs...)
		a, b := w.launch("a"), w.launch("b")
		defer a.stop()
		defer b.stop()
		for id, e := range w.outcomes(10*time.Minute, jobs...) {
			if r, err := e.Result(); err != nil || r.SessionsCreated != 1 || r.PossibleDuplicate {
				t.Errorf("%s: %s", id, e.Type)
			}
		}
		if n := w.sim.Stats().Sessions; n != len(jobs) {
			t.Errorf("%d sessions for %d jobs", n, len(jobs))
		}
		sa, sb := a.worker.Stats(), b.worker.Stats()
		if sa.Created < 20 || sb.Created < 20 {
			t.Errorf("the workers have created %d and %d", sa.Created, sb.Created)
		}
		if sa.Conflicts+sb.Conflicts > 0 {
			t.Errorf("%d conflicts without any trouble", sa.Conflicts+sb.Conflicts)
		}
	})
}
