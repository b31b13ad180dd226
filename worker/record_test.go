package worker

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
)

var allStates = []State{none, Queued, Creating, Waiting, Done, Failed}

// The table, written once more by hand: every pair of states is decided.
func TestTransitionsAreTheseAndNoOthers(t *testing.T) {
	legal := []string{
		">queued", ">creating", ">failed",
		"queued>queued", "queued>creating", "queued>failed",
		"creating>creating", "creating>waiting", "creating>queued", "creating>failed",
		"waiting>waiting", "waiting>queued", "waiting>done", "waiting>failed",
	}
	for _, from := range allStates {
		for _, to := range allStates {
			pair := string(from) + ">" + string(to)
			if got, want := allowed(from, to), slices.Contains(legal, pair); got != want {
				t.Errorf("%q: allowed is %v, want %v", pair, got, want)
			}
		}
	}
}

func TestDiagramNamesEveryState(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	diagram := regexp.MustCompile(`(?s)# The life of a job.*?# Waiting`).FindString(string(doc))
	for _, s := range allStates[1:] {
		if !strings.Contains(diagram, string(s)) {
			t.Errorf("the diagram in doc.go does not name %s", s)
		}
	}
}

func TestUnknownStateIsRefused(t *testing.T) {
	for _, value := range []string{`{"state":"paused","attempt":1}`, `{"attempt":1}`, `{"state":""}`} {
		if _, err := decodeRecord([]byte(value)); !errors.Is(err, errUnknownState) {
			t.Errorf("%s: %v", value, err)
		}
	}
	if _, err := decodeRecord([]byte(`{"state":`)); err == nil || errors.Is(err, errUnknownState) {
		t.Errorf("a broken record: %v", err)
	}
}

// Law 8: whatever happens within an attempt, counters never shrink.
func TestCountersSurviveEveryTransition(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	full := Record{
		State: Creating, Attempt: 1, Query: &queue.Job{Country: "no"},
		Counters: Counters{SessionsCreated: 2, Recreations: 1, Expiries: 1, PossibleDuplicate: true, Orphans: []apiclient.SessionID{"o"}},
	}
	doc, rep := &Document{}, &Report{State: queue.ReportNotOrdered}
	for name, next := range map[string]Record{
		"fail":          full.fail(now, queue.SessionFailed, 0, ""),
		"queueAgain":    full.queueAgain(now, now),
		"startCreating": full.startCreating(now),
		"startWaiting":  full.startWaiting(now, "s"),
		"finish":        full.finish(now, 3, doc, rep),
		"withOrphan":    full.withOrphan("p"),
	} {
		if next.SessionsCreated < 2 || next.Recreations != 1 || next.Expiries != 1 || !next.PossibleDuplicate || !slices.Contains(next.Orphans, "o") {
			t.Errorf("%s loses counters: %+v", name, next.Counters)
		}
	}
	if full.withOrphan("o").SessionsCreated != 2 {
		t.Error("an orphan that is known is counted again")
	}
	full.Session = "e"
	again := full.expire().queueAgain(now, now)
	if next := again.withOrphan("e"); again.Expiries != 2 || next.SessionsCreated != 2 || len(next.Orphans) != 1 {
		t.Errorf("a session that has expired is counted again: %+v", next.Counters)
	}
	if len(full.Orphans) != 1 {
		t.Error("withOrphan changes the record it came from")
	}
}

func TestDoneDropsTheQueryAndFailedKeepsIt(t *testing.T) {
	rec := Record{State: Waiting, Query: &queue.Job{FirstName: "Tomas"}}
	if rec.finish(time.Now(), 1, nil, nil).Query != nil {
		t.Error("a done record still holds the query")
	}
	if rec.fail(time.Now(), queue.SessionFailed, 0, "").Query == nil {
		t.Error("a failed record has lost the query")
	}
}

func TestRecordReadsBackAsWritten(t *testing.T) {
	pep := 1
	rec := Record{
		State: Waiting, Attempt: 2, Since: time.Now().UTC(), CustomerRef: "C-1", Traceparent: "00-x",
		Query: &queue.Job{ID: "j", CustomerRef: "C-1", FirstName: "Kari", Report: true}, Session: "s", Country: "no", CreatedAt: time.Now().UTC(),
		NotCreated: 1, Polls: 4, Document: &Document{SHA256: "ab", Bytes: 3, Found: queue.Hit, PEPHits: &pep, Lists: []string{"UN"}},
		Strikes: &Strikes{Message: "S:1", Count: 2}, Counters: Counters{Expiries: 1},
	}
	b, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(b) {
		t.Errorf("reads back as %s\nwas %s (%v)", again, b, err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"state":"waiting","attempt":1,"session":"s","since":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"state":"done","document":null,"report":null}`))
	f.Add([]byte(`{"state":"failed"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := decodeRecord(b)
		if err != nil {
			return
		}
		first, err := json.Marshal(rec)
		if err != nil {
			t.Fatalf("a record that was read cannot be written: %v", err)
		}
		back, err := decodeRecord(first)
		if err != nil {
			t.Fatalf("a record that was written cannot be read: %v", err)
		}
		if second, _ := json.Marshal(back); string(second) != string(first) {
			t.Fatalf("%s\nreads back as\n%s", first, second)
		}
	})
}

func FuzzDecodeWake(f *testing.F) {
	f.Add([]byte(`{"session":"s","poll":3,"created_at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"poll":-1}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := decodeWake(b)
		first, err := w.encode()
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := decodeWake(first).encode(); string(second) != string(first) {
			t.Fatalf("%s\nreads back as\n%s", first, second)
		}
	})
}
