package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/store/storetest"
)

// put writes a record as an earlier worker may have left it.
func (w *world) put(j queue.Job, rec Record) {
	w.t.Helper()
	value, err := json.Marshal(rec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.putValue(j, value)
}

func (w *world) putValue(j queue.Job, value []byte) {
	w.t.Helper()
	key := store.Key{Batch: "b", Job: string(j.ID)}
	old, err := w.store.Ledger.Load(context.Background(), key)
	after := old.Seq
	if err != nil {
		after = 0
	}
	if _, err := w.store.Ledger.Commit(context.Background(), key, value, after, false); err != nil {
		w.t.Fatal(err)
	}
}

// Law 6: whatever state a job was left in, with nothing that would wake it, it
// goes on.
func TestRepairSetsEveryStateGoingAgain(t *testing.T) {
	now := func() time.Time { return time.Now().UTC() }
	doc := func(w *world) *Document {
		sha, err := w.store.Evidence.Put(context.Background(), []byte(`{"aml":{"status":"NONE"}}`))
		if err != nil {
			w.t.Fatal(err)
		}
		return &Document{SHA256: sha, Bytes: 25, Found: queue.Undetermined, ReadyAt: now(), FetchedAt: now()}
	}
	for name, c := range map[string]struct {
		left    func(w *world, rec Record) Record
		failed  bool
		flagged bool
	}{
		"queued": {left: func(_ *world, rec Record) Record { return rec.queueAgain(now(), now()) }},
		"creating": {flagged: true, left: func(_ *world, rec Record) Record {
			return rec.startCreating(now())
		}},
		"waiting": {left: func(w *world, rec Record) Record {
			client, err := apiclient.New(w.api)
			if err != nil {
				w.t.Fatal(err)
			}
			id, err := client.CreateSession(context.Background(), nil, queryOf(rec.Query))
			if err != nil {
				w.t.Fatal(err)
			}
			return rec.startWaiting(now(), id)
		}},
		"done": {left: func(w *world, rec Record) Record {
			rec.Session, rec.CreatedAt = "s", now()
			return rec.finish(now(), 1, doc(w), &Report{State: queue.ReportNotOrdered})
		}},
		"failed": {failed: true, left: func(_ *world, rec Record) Record { return rec.fail(now(), queue.SessionFailed, 0, "") }},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{}, func(w *world) {
				job := person(1, false)
				w.put(job, c.left(w, Record{Attempt: 1, CustomerRef: job.CustomerRef, Query: &job}))
				_, stop := w.start("w")
				defer stop()
				if c.failed {
					w.failure(5*time.Minute, job)
					return
				}
				if r := w.result(5*time.Minute, job); r.PossibleDuplicate != c.flagged {
					t.Errorf("flagged %v", r.PossibleDuplicate)
				}
				if n := w.sessionsOf(job); name != "done" && n != 1 || name == "done" && n != 0 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

// What this version cannot read, or what lacks something, is left alone, and
// keeps the repair from nothing else.
func TestRepairLeavesAloneWhatItCannotRead(t *testing.T) {
	strange := []string{
		`{"state":"paused","attempt":1}`, `{"state":"done","attempt":1}`, `{"state":"failed","attempt":1}`,
		`{"state":"waiting","attempt":1}`, `{"state":"creating","attempt":1}`, `{"state":"queued","attempt":1}`, `nothing`, ``,
	}
	inWorld(t, amlsim.Config{}, func(w *world) {
		for i, value := range strange {
			job := person(100+i, false)
			w.putValue(job, []byte(value))
			w.submit(job) // and somebody queues it on top
		}
		good := person(1, false)
		w.put(good, Record{Attempt: 1, Query: &good}.queueAgain(time.Now(), time.Now()))
		_, stop := w.start("w")
		defer stop()
		w.outcomes(5*time.Minute, good)
		time.Sleep(10 * time.Minute)
		if n := len(w.published()); n != 1 {
			t.Errorf("%d outcomes", n)
		}
		for i, value := range strange {
			stored, err := w.store.Ledger.Load(t.Context(), store.Key{Batch: "b", Job: fmt.Sprintf("job-%d", 100+i)})
			if err != nil || string(stored.Value) != value {
				t.Errorf("%s is now %s (%v)", value, stored.Value, err)
			}
		}
		if n := w.jobs.Stream().Len(); n != len(strange) {
			t.Errorf("%d of %d messages wait for a newer worker", n, len(strange))
		}
	})
}

// The repair reads every record once, and again only what has not ended.
func TestRepairLooksAtWhatHasEndedOnce(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(3 * time.Hour)}, func(w *world) {
		w.cfg.RepairRate = 1000
		ended := people(300)
		for _, j := range ended {
			w.put(j, Record{Attempt: 1, Query: &j}.fail(time.Now(), queue.SessionFailed, 0, ""))
		}
		open := person(1000, false)
		w.submit(open)
		var exists atomic.Int64
		w.store.SetFault(func(op, _ string) storetest.Fault {
			if op == storetest.OpOutcomesExists {
				exists.Add(1)
			}
			return storetest.Fault{}
		})
		_, stop := w.start("w")
		w.outcomes(5*time.Minute, ended...)
		time.Sleep(time.Hour)
		stop()
		before := exists.Load()
		if before > int64(2*len(ended)) {
			t.Errorf("%d looks at %d ended records", before, len(ended))
		}
		_, stop = w.start("another")
		time.Sleep(10 * time.Minute)
		stop()
		if again := exists.Load() - before; again != 0 {
			t.Errorf("another worker looked %d times at what had ended", again)
		}
	})
}

// One worker repairs at a time; when it dies, another takes over after the
// claim's time.
func TestRepairIsTakenOver(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		first, second := w.launch("first"), w.launch("second")
		defer second.stop()
		time.Sleep(5 * time.Minute)
		dead, alive := first, second
		if w.repairHolder() == "second" {
			dead, alive = second, first
		}
		holder := w.repairHolder()
		passes := w.batches.passes.Load()
		time.Sleep(10 * time.Minute)
		if w.repairHolder() != holder {
			t.Error("the claim has wandered")
		}
		if n := w.batches.passes.Load() - passes; n < 15 || n > 30 {
			t.Errorf("%d passes of two workers in ten minutes", n)
		}
		dead.kill()
		defer alive.stop()
		time.Sleep(leasePasses*w.cfg.RepairEvery + time.Minute)
		if w.repairHolder() == holder {
			t.Error("nobody has taken over")
		}
		job := person(1, false)
		w.put(job, Record{Attempt: 1, Query: &job}.queueAgain(time.Now(), time.Now()))
		w.result(5*time.Minute, job)
	})
}

func (w *world) repairHolder() string {
	value, _, err := w.store.Registers.Load(context.Background(), RepairRegister)
	if err != nil {
		w.t.Fatal(err)
	}
	var c repairClaim
	if err := json.Unmarshal(value, &c); err != nil {
		w.t.Fatal(err)
	}
	return c.Holder
}

func TestRepairClaimThatCannotBeReadIsBegunAnew(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		if _, err := w.store.Registers.Commit(t.Context(), RepairRegister, []byte("{"), 0); err != nil {
			t.Fatal(err)
		}
		job := person(1, false)
		w.put(job, Record{Attempt: 1, Query: &job}.queueAgain(time.Now(), time.Now()))
		_, stop := w.start("w")
		defer stop()
		w.result(5*time.Minute, job)
	})
}

// Evidence whose time is up does not keep a result back for ever.
func TestResultWithoutItsEvidenceIsPublishedAfterAWhile(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job := person(1, false)
		rec := Record{Attempt: 1, Query: &job, Session: "s", CreatedAt: time.Now()}
		gone := &Document{SHA256: fmt.Sprintf("%064d", 7), Bytes: 10, Found: queue.Clear, ReadyAt: time.Now(), FetchedAt: time.Now()}
		w.put(job, rec.finish(time.Now(), 1, gone, &Report{State: queue.ReportNotOrdered}))
		_, stop := w.start("w")
		defer stop()
		if r := w.result(5*time.Minute, job); len(r.Document) != 0 || r.DocumentSHA256 != gone.SHA256 {
			t.Errorf("document of %d bytes", len(r.Document))
		}
	})
}

// A wake-up that the server has kept and never fired counts as an open session
// for ever, if nobody looks: here that of a job that has ended.
func TestRepairParksWakeUpsAgainThatDidNotFire(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		w.result(time.Minute, job)
		w.store.SetFault(func(op, _ string) storetest.Fault {
			if op == storetest.OpWakesPark {
				return storetest.Fault{Kind: storetest.Stuck}
			}
			return storetest.Fault{}
		})
		key := store.Key{Batch: "b", Job: string(job.ID)}
		if err := w.store.Wakes.Park(t.Context(), store.Wake{Key: key, Attempt: 1, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		w.store.SetFault(nil)
		time.Sleep(5 * time.Minute)
		if n, err := w.store.Wakes.Open(t.Context()); n != 0 || err != nil {
			t.Errorf("%d open, %v", n, err)
		}
		if n := w.log.count("wake-up was dead"); n != 1 {
			t.Errorf("%d times parked again", n)
		}
	})
}
