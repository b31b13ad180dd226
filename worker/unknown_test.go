package worker

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
)

// What a newer worker adds to a record, or to the query in it, survives every
// change this one makes of it; what it adds to the query goes with the query.
func TestMembersOfANewerVersionAreKept(t *testing.T) {
	const newer = `{"state":"creating","attempt":1,"since":"2026-03-01T12:00:00Z","customer_ref":"C-1",
		"priority":{"class":7},"query":{"id":"j","customer_ref":"C-1","country":"no","screen_for":["x"]},"Zone":null}`
	now := time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)
	rec, err := decodeRecord([]byte(newer))
	if err != nil {
		t.Fatal(err)
	}
	waiting := rec.startWaiting(now, "s")
	for name, next := range map[string]Record{
		"read":          rec,
		"queueAgain":    rec.queueAgain(now, now),
		"startCreating": rec.startCreating(now),
		"startWaiting":  waiting,
		"withOrphan":    rec.withOrphan("o"),
		"fail":          rec.fail(now, queue.SessionFailed, 0, ""),
		"finish":        waiting.finish(now, 1, &Document{}, &Report{}),
	} {
		b, err := json.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Priority json.RawMessage
			Zone     json.RawMessage
			Query    map[string]json.RawMessage
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v in %s", name, err, b)
		}
		if string(got.Priority) != `{"class":7}` || string(got.Zone) != "null" {
			t.Errorf("%s: written as %s", name, b)
		}
		if next.State != Done && string(got.Query["screen_for"]) != `["x"]` {
			t.Errorf("%s: the query is written as %s", name, b)
		}
		if back, err := decodeRecord(b); err != nil || back.State != next.State || back.Query != nil && back.Query.CustomerRef != "C-1" {
			t.Errorf("%s: reads back as %+v, %v", name, back, err)
		}
	}
}

func TestMembersOfNewerLimitsAreKept(t *testing.T) {
	value, err := NewLimits(Budget{5, 5}, Budget{20, 10}, 10, "w", time.Now()).Encode()
	if err != nil {
		t.Fatal(err)
	}
	l, err := DecodeLimits(bytes.Replace(append([]byte(`{"weights":{"a":2},`), value[1:]...), []byte(`"open_sessions":{`), []byte(`"open_sessions":{"floor":3,`), 1))
	if err != nil {
		t.Fatal(err)
	}
	most := 20
	next := l.Set(time.Now(), Change{MaxOpen: &most}, "p")
	again, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(again, &got); err != nil || string(got["weights"]) != `{"a":2}` || !strings.Contains(string(got["open_sessions"]), `"floor":3`) {
		t.Errorf("written as %s, %v", again, err)
	}
	if _, err := DecodeLimits(append(again, "{}"...)); err == nil {
		t.Error("limits with something behind them are read")
	}
	if back, err := DecodeLimits(again); err != nil || back.Open.Max != 20 {
		t.Errorf("reads back as %+v, %v", back, err)
	}
}

// What a newer worker wants to be bought is not bought without it. Sessions
// there are already are collected.
func TestUnknownQueryIsNotBought(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job := person(1, false)
		value := []byte(`{"state":"queued","attempt":1,"since":"2026-01-05T08:00:00Z","customer_ref":"C-1",
			"query":{"id":"job-1","customer_ref":"C-1","first_name":"Ola","last_name":"Testbruker1","date_of_birth":"1980-02-29","screen_for":["x"]}}`)
		w.putValue(job, value)
		_, stop := w.start("w")
		defer stop()
		time.Sleep(time.Hour)
		if n := w.sim.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions", n)
		}
		if rec := w.record(job); rec.State != Queued || rec.added.in("query") == nil {
			t.Errorf("record is %s with %+v", rec.State, rec.added)
		}
	})
}

func TestMembersAreThoseOfTheJSON(t *testing.T) {
	b, err := json.Marshal(Record{
		State: Failed, Attempt: 1, Since: time.Now(), NotBefore: time.Now(), Stored: time.Now(), CustomerRef: "C", Traceparent: "t", Query: &queue.Job{}, Session: "s", Country: "no",
		CreatedAt: time.Now(), NotCreated: 1, Polls: 1, Document: &Document{}, Report: &Report{}, Failure: &Failure{}, Strikes: &Strikes{},
		Counters: Counters{SessionsCreated: 1, Recreations: 1, Expiries: 1, Expired: []apiclient.SessionID{"e"}, PossibleDuplicate: true, Orphans: []apiclient.SessionID{"o"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range members(reflect.TypeFor[Record]()) {
		got = append(got, jsonName(f))
	}
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Errorf("%v\nand in JSON %v", got, want)
	}
}

// A record in a state that only a newer worker knows is left alone, by its
// messages and by the repair, until such a worker comes.
func TestRecordInAnUnknownStateIsLeftAlone(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job, other := person(1, false), person(2, false)
		key := store.Key{Batch: "b", Job: string(job.ID)}
		value := []byte(`{"state":"paused","attempt":1,"since":"2026-01-05T08:00:00Z","query":{"id":"job-1"}}`)
		seq, err := w.store.Ledger.Commit(t.Context(), key, value, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		w.submit(job, other)
		_, stop := w.start("w")
		defer stop()
		w.result(time.Minute, other)
		time.Sleep(time.Hour)
		stored, err := w.store.Ledger.Load(t.Context(), key)
		if err != nil || stored.Seq != seq || string(stored.Value) != string(value) {
			t.Errorf("record is %s at %d, %v", stored.Value, stored.Seq, err)
		}
		if w.jobs.Stream().Len() != 1 || w.sessionsOf(job) != 0 {
			t.Errorf("%d messages, %d sessions", w.jobs.Stream().Len(), w.sessionsOf(job))
		}
	})
}
