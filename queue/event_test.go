package queue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rescreen/queue"
)

func pointer[T any](v T) *T { return &v }

func at(second int) time.Time { return time.Date(2026, 11, 22, 3, 4, second, 123456789, time.UTC) }

var hash = strings.Repeat("0123456789abcdef", 4)

func meta() queue.EventMeta {
	return queue.EventMeta{
		APIEnv: "local", Batch: "b1", Job: "c-1", Attempt: 2, Subject: "C-1", Time: at(9),
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func hit() queue.Result {
	return queue.Result{
		SessionID: "7f3c", Outcome: queue.Hit, PEPHits: pointer(2), SanctionHits: pointer(0), ListsSearched: []string{"PEP", "UN"},
		Document: queue.Raw(`{ "aml" : { "score": 1.0, "n": 12345678901234567890, "big": 1e400, "a": 1, "a": 2,
			"link": "https://x/?a=1&b=<2>", "name": "\u00c5se \ud83d\ude00" } }`),
		DocumentSHA256: hash,
		Evidence: []queue.Evidence{{
			Kind: queue.EvidenceDocument, SHA256: hash, Bytes: 171, ContentType: "application/json",
			Location: "SCREENING_EVIDENCE/screening.evidence." + hash,
		}},
		Report:          queue.Report{State: queue.ReportStored, SHA256: pointer(hash), Bytes: pointer(int64(52_000)), Signature: pointer("valid")},
		SessionsCreated: 2, Expiries: 1, OrphanedSessions: []string{"6e2b"},
		CreatedAt: at(1), ReadySeenAt: at(5), FetchedAt: at(6), Polls: 3,
	}
}

// compactDocument is the document of hit without its spaces, and nothing else.
const compactDocument = `{"aml":{"score":1.0,"n":12345678901234567890,"big":1e400,"a":1,"a":2,` +
	`"link":"https://x/?a=1&b=<2>","name":"\u00c5se \ud83d\ude00"}}`

func createUnknown() queue.Failure {
	return queue.Failure{
		Reason: queue.CreateUnknown, FailedIn: queue.Creating, Retryable: true, APIStatus: pointer(502), Message: pointer("upstream [id] <gone>"),
		PossibleDuplicate: true, Recreations: 3, FailedAt: at(9),
	}
}

func TestDocumentKeepsItsValues(t *testing.T) {
	event, err := queue.EncodeResult(meta(), hit())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(event, []byte(`"document":`+compactDocument+`,`)) {
		t.Errorf("the event holds another document: %s", event)
	}
	if bytes.ContainsAny(event, "\n\r") {
		t.Error("the event is not one line")
	}
	e, err := queue.DecodeEvent(event)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Result()
	if err != nil || string(r.Document) != compactDocument {
		t.Errorf("decoded document %s, %v", []byte(r.Document), err)
	}
}

func TestDocumentsThatAreNoObject(t *testing.T) {
	for _, document := range []string{"null", "1e400", `"x"`, "[]", "[ 1.0 ]"} {
		r := hit()
		r.Document = queue.Raw(document)
		event, err := queue.EncodeResult(meta(), r)
		if err != nil {
			t.Fatal(err)
		}
		e, err := queue.DecodeEvent(event)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := e.Result(); err != nil || string(back.Document) != strings.ReplaceAll(document, " ", "") {
			t.Errorf("%s came back as %s, %v", document, []byte(back.Document), err)
		}
	}
}

func TestEnvelopeSaysWhoseOutcomeItIs(t *testing.T) {
	event, err := queue.EncodeFailure(meta(), createUnknown())
	if err != nil {
		t.Fatal(err)
	}
	got, err := queue.DecodeEvent(event)
	if err != nil {
		t.Fatal(err)
	}
	got.Data = nil
	want := queue.Event{
		SpecVersion: "1.0", ID: "b1.c-1.2", Source: "/rescreen/local", Type: "screening.failed.v1", Subject: "C-1", Time: at(9),
		DataContentType: "application/json", DataSchema: "urn:rescreen:schema:failure.v1#data", BatchID: "b1", JobID: "c-1",
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("envelope %+v\nwant     %+v", got, want)
	}
}

func TestDocumentBeyondTheLimitIsLeftOut(t *testing.T) {
	for _, size := range []int{queue.MaxEventBytes - 5000, queue.MaxEventBytes - 500, queue.MaxEventBytes, 2 * queue.MaxEventBytes} {
		r := hit()
		r.Document = queue.Raw(`"` + strings.Repeat("x", size) + `"`)
		event, err := queue.EncodeResult(meta(), r)
		if err != nil {
			t.Fatal(err)
		}
		if len(event) > queue.MaxEventBytes {
			t.Errorf("event of %d bytes", len(event))
		}
		e, err := queue.DecodeEvent(event)
		if err != nil {
			t.Fatal(err)
		}
		back, err := e.Result()
		if fits := size < queue.MaxEventBytes-2000; err != nil || (len(back.Document) > 0) != fits || len(back.Evidence) != 1 {
			t.Errorf("document of %d bytes: %d in the event, %v", size, len(back.Document), err)
		}
	}
}

func TestEventsThatCannotBe(t *testing.T) {
	result := func(change func(*queue.EventMeta, *queue.Result)) error {
		m, r := meta(), hit()
		change(&m, &r)
		_, err := queue.EncodeResult(m, r)
		return err
	}
	failure := func(change func(*queue.EventMeta, *queue.Failure)) error {
		m, f := meta(), createUnknown()
		change(&m, &f)
		_, err := queue.EncodeFailure(m, f)
		return err
	}
	for name, err := range map[string]error{
		"batch":         result(func(m *queue.EventMeta, _ *queue.Result) { m.Batch = "" }),
		"job":           result(func(m *queue.EventMeta, _ *queue.Result) { m.Job = "a.b" }),
		"attempt":       result(func(m *queue.EventMeta, _ *queue.Result) { m.Attempt = 0 }),
		"environment":   result(func(m *queue.EventMeta, _ *queue.Result) { m.APIEnv = "" }),
		"time":          result(func(m *queue.EventMeta, _ *queue.Result) { m.Time = time.Time{} }),
		"outcome":       result(func(_ *queue.EventMeta, r *queue.Result) { r.Outcome = "maybe" }),
		"report state":  result(func(_ *queue.EventMeta, r *queue.Result) { r.Report.State = "" }),
		"evidence kind": result(func(_ *queue.EventMeta, r *queue.Result) { r.Evidence[0].Kind = "film" }),
		"reason":        failure(func(_ *queue.EventMeta, f *queue.Failure) { f.Reason = "bad_luck" }),
		"stage":         failure(func(_ *queue.EventMeta, f *queue.Failure) { f.FailedIn = "done" }),
		"too large":     failure(func(m *queue.EventMeta, _ *queue.Failure) { m.MaxBytes = 100 }),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, document := range []string{`{`, `{}{}`, "\"\xff\"", `nil`} {
		if err := result(func(_ *queue.EventMeta, r *queue.Result) { r.Document = queue.Raw(document) }); !errors.Is(err, queue.ErrDocument) {
			t.Errorf("document %q: %v", document, err)
		}
	}
}

func TestDoubtfulMembersOfTheEnvelopeAreLeftOut(t *testing.T) {
	m := meta()
	m.Traceparent, m.Subject = "Topstad", "01010750160"
	event, err := queue.EncodeFailure(m, createUnknown())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(event, []byte("traceparent")) || bytes.Contains(event, []byte("subject")) {
		t.Errorf("event %s", event)
	}
}

func TestTraceparents(t *testing.T) {
	for s, want := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": true,
		"": false,
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01":  false,
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":  false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x": false,
		"00-0af7651916cd43dd8448eb211c80319c0b7ad6b7169203331-01":  false,
		"00--af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":  false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01":  false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01":  false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00":  true,
	} {
		if got := queue.ValidTraceparent(s); got != want {
			t.Errorf("%s: %t", s, got)
		}
	}
}

func TestEventsGainMembersWithoutHarm(t *testing.T) {
	event, err := queue.EncodeFailure(meta(), createUnknown())
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(event, []byte(`{"specversion"`), []byte(`{"partitionkey":"7","specversion"`), 1)
	newer = bytes.Replace(newer, []byte(`"data":{`), []byte(`"data":{"severity":null,`), 1)
	e, err := queue.DecodeEvent(newer)
	if err != nil {
		t.Fatal(err)
	}
	f, err := e.Failure()
	if err != nil || f.Reason != queue.CreateUnknown || *f.APIStatus != 502 || f.SessionID != nil {
		t.Errorf("failure %+v, %v", f, err)
	}
	if _, err := e.Result(); !errors.Is(err, queue.ErrEvent) {
		t.Errorf("a failure read as a result: %v", err)
	}
}

func TestBytesThatAreNoEvent(t *testing.T) {
	const secret = "01010750160"
	for _, data := range []string{
		"", "null", "[]", `"` + secret + `"`, secret, `{"id":` + secret + `}`, `{"specversion":"0.3","id":"a","type":"b","data":{}}`,
		`{"specversion":"1.0","type":"b","data":{}}`, `{"specversion":"1.0","id":"a","data":{}}`, `{"specversion":"1.0","id":"a","type":"b"}`,
		`{"specversion":"1.0","id":"a","type":"b","data":{}} ` + secret, `{"specversion":"1.0","time":"` + secret + `"}`, "{\"id\":\"\xff\"}",
	} {
		if _, err := queue.DecodeEvent([]byte(data)); !errors.Is(err, queue.ErrEvent) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", data, err)
		}
	}
	e := queue.Event{Type: queue.TypeFailed, Data: queue.Raw(`{"attempt":"` + secret + `"}`)}
	if _, err := e.Failure(); !errors.Is(err, queue.ErrEvent) || strings.Contains(err.Error(), secret) {
		t.Errorf("data of the wrong type: %v", err)
	}
}

func TestOutcomesPrintNothingAboutThePerson(t *testing.T) {
	event, err := queue.EncodeResult(meta(), hit())
	if err != nil {
		t.Fatal(err)
	}
	e, err := queue.DecodeEvent(event)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		r := hit()
		printed := fmt.Sprintf(verb, r) + fmt.Sprintf(verb, &r) + fmt.Sprintf(verb, e) + fmt.Sprintf(verb, r.Document)
		for _, secret := range []string{"hit", "score", "UN", fmt.Sprintf("%x", "score"), "115 99"} {
			if strings.Contains(printed, secret) {
				t.Errorf("%s prints %s: %s", verb, secret, printed)
			}
		}
	}
}

// TestResultsComeBackAsTheyWere: for any result in the form of the wire,
// decoding undoes encoding, and encoding again gives the same bytes.
func TestResultsComeBackAsTheyWere(t *testing.T) {
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	counts := rapid.IntRange(0, 1000)
	texts := rapid.SliceOf(rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		want := queue.Result{
			Attempt: rapid.IntRange(1, queue.MaxAttempt).Draw(t, "attempt"), SessionID: rapid.String().Draw(t, "session"),
			Outcome:       rapid.SampledFrom(queue.Outcomes()).Draw(t, "outcome"),
			PEPHits:       rapid.Ptr(counts, true).Draw(t, "pep"),
			SanctionHits:  rapid.Ptr(counts, true).Draw(t, "sanction"),
			ListsSearched: texts.Draw(t, "lists"), DocumentSHA256: hash, Evidence: []queue.Evidence{},
			Report:            queue.Report{State: rapid.SampledFrom(queue.ReportStates()).Draw(t, "report")},
			PossibleDuplicate: rapid.Bool().Draw(t, "duplicate"), SessionsCreated: counts.Draw(t, "sessions"),
			Recreations: counts.Draw(t, "recreations"), Expiries: counts.Draw(t, "expiries"), OrphanedSessions: texts.Draw(t, "orphans"),
			CreatedAt: moment.Draw(t, "created"), ReadySeenAt: moment.Draw(t, "ready"), FetchedAt: moment.Draw(t, "fetched"), Polls: counts.Draw(t, "polls"),
		}
		if rapid.Bool().Draw(t, "unknown lists") {
			want.ListsSearched = nil
		}
		if rapid.Bool().Draw(t, "with document") {
			document, err := json.Marshal(map[string]any{rapid.String().Draw(t, "key"): rapid.Float64Range(-1e9, 1e9).Draw(t, "value")})
			if err != nil {
				t.Fatal(err)
			}
			want.Document = document
		}
		m := meta()
		m.Attempt, m.Time = want.Attempt, moment.Draw(t, "time")
		event, err := queue.EncodeResult(m, want)
		if err != nil {
			t.Fatal(err)
		}
		e, err := queue.DecodeEvent(event)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Result()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v; the result came back changed in %s", err, event)
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, event) {
			t.Fatalf("%v; encoded again: %s\nfirst:         %s", err, again, event)
		}
	})
}

// FuzzDecodeEvent: what decodes encodes, and encoding is stable from then on.
func FuzzDecodeEvent(f *testing.F) {
	for _, golden := range goldenEvents(f) {
		f.Add(golden)
	}
	f.Add([]byte(`{"specversion":"1.0","id":"a","type":"screening.completed.v1","data":{"document":[1.0,1e400,{"a":1,"a":2}]}}`))
	f.Add([]byte(`{"SPECVERSION":"1.0","ID":"a","Type":"x","data":null,"time":"2026-11-22T03:04:05.999999999+01:00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := queue.DecodeEvent(data)
		if err != nil {
			if !errors.Is(err, queue.ErrEvent) {
				t.Fatalf("error %v", err)
			}
			return
		}
		_, _ = e.Result() // must not panic, whatever it says
		_, _ = e.Failure()
		first, err := e.Encode()
		if err != nil {
			t.Fatalf("a decoded event does not encode: %v", err)
		}
		again, err := queue.DecodeEvent(first)
		if err != nil {
			t.Fatalf("decoded again: %v", err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoded again: %v\n%s\n%s", err, first, second)
		}
	})
}
