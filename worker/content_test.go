package worker

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
)

// otherDocument gives every session the same document.
type otherDocument struct {
	Entities
	data []byte
}

func (o otherDocument) Document(context.Context, apiclient.Admit, apiclient.Ref, string) ([]byte, error) {
	return o.data, nil
}

func TestDocumentsThatNoEventCanCarryStayInEvidence(t *testing.T) {
	lists := `{"aml":{"status":"NONE","pepResults":[],"sanctionResults":[],"list":["` + strings.Repeat(`A_LIST_OF_TWENTY_BYTE","`, 100_000) + `"]}}`
	for name, data := range map[string][]byte{
		"too large":             []byte(`{"aml":null,"filler":"` + strings.Repeat("x", 2<<20) + `"}`),
		"a million list names":  []byte(lists),
		"not UTF-8":             []byte("{\"aml\":null,\"name\":\"\xff\xfe\"}"),
		"larger than a message": []byte(`{"aml":null,"filler":"` + strings.Repeat("y", 900<<10) + `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{}, func(w *world) {
				w.cfg.MaxEventBytes = 128 << 10
				w.wrap = func(d Deps) Deps {
					d.Entities = otherDocument{d.Entities, data}
					return d
				}
				job := person(1, true)
				w.submit(job)
				_, stop := w.start("w")
				defer stop()
				r := w.result(time.Minute, job)
				if len(r.Document) != 0 || r.Report.State != queue.ReportStored {
					t.Errorf("document of %d bytes in the event, report %s", len(r.Document), r.Report.State)
				}
				kept, err := w.store.Evidence.Get(t.Context(), r.DocumentSHA256)
				if err != nil || string(kept) != string(data) {
					t.Errorf("evidence of %d bytes, sent were %d (%v)", len(kept), len(data), err)
				}
			})
		})
	}
}

// Whatever stands in a wake-up, the record decides.
func TestWakeUpsThatMakeNoSense(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":           ``,
		"no JSON":           `{"session"`,
		"another type":      `[1,2]`,
		"another session":   `{"session":"nobodys","country":"no","created_at":"2026-01-05T08:00:00Z","answered":"2026-01-05T08:00:00Z"}`,
		"no country":        `{"session":"x","created_at":"2026-01-05T08:00:00Z"}`,
		"a path":            `{"session":"../../token","country":"..","created_at":"2026-01-05T08:00:00Z"}`,
		"the far future":    `{"session":"x","country":"no","created_at":"9999-01-05T08:00:00Z"}`,
		"numbers below 0":   `{"session":"x","country":"no","created_at":"2026-01-05T08:00:00Z","poll":-5,"missing":-7,"spoiled_document":-1}`,
		"an empty document": `{"session":"x","country":"no","created_at":"2026-01-05T08:00:00Z","document":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Minute)}, func(w *world) {
				job := person(1, false)
				w.submit(job)
				_, stop := w.start("w")
				defer stop()
				time.Sleep(10 * time.Second)
				wake := store.Wake{Key: store.Key{Batch: "b", Job: "job-1"}, Attempt: 1, At: time.Now(), Value: []byte(value)}
				if err := w.store.Wakes.Park(t.Context(), wake); err != nil {
					t.Fatal(err)
				}
				if r := w.result(30*time.Minute, job); r.SessionsCreated != 1 || r.PossibleDuplicate || w.sessionsOf(job) != 1 {
					t.Errorf("%d sessions", w.sessionsOf(job))
				}
			})
		})
	}
}

// A job may have the id under which a broken message would be failed. Neither
// stops the worker, and the job is screened.
func TestBrokenMessageWhoseIDIsTaken(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Minute)}, func(w *world) {
		job := person(1, false)
		job.ID = "invalid-2"
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		time.Sleep(10 * time.Second)
		w.jobs.Stream().Publish(queue.JobSubject("b"), []byte(`{"id":"other"`), nil)
		w.result(10*time.Minute, job)
		if n := w.jobs.Stream().Len(); n != 0 {
			t.Errorf("%d messages are left", n)
		}
		if w.log.count("a job has the id its failure would have") == 0 {
			t.Error("nothing in the log")
		}
	})
}

// A session past its deadline gets its last poll, also when its wake-up says
// nothing: the outage may have been ours.
func TestSessionPastItsDeadlineIsAskedOnceMore(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(25 * time.Hour)}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		time.Sleep(time.Minute)
		stop()
		time.Sleep(26 * time.Hour)
		wake := store.Wake{Key: store.Key{Batch: "b", Job: "job-1"}, Attempt: 1, At: time.Now(), Value: []byte(`?`)}
		if err := w.store.Wakes.Park(t.Context(), wake); err != nil {
			t.Fatal(err)
		}
		_, stop = w.start("w")
		defer stop()
		w.result(time.Minute, job)
	})
}

// Law 9: whatever goes wrong, neither logs nor names tell of a person.
func TestNothingTellsOfAPerson(t *testing.T) {
	echo := `{"error":"Kari Kanarifugl, born 1969-12-24, ssn 01010750241, has a hit"}`
	var faults []amlsim.Fault
	for i, do := range []amlsim.Action{
		{Kind: amlsim.ActStatus, Status: 422, Body: echo}, {Kind: amlsim.ActStatus, Status: 500, Body: echo},
		{Kind: amlsim.ActStatus, Status: 429, Body: echo}, {Kind: amlsim.ActStatus, Status: 403, Body: echo},
		{Kind: amlsim.ActStatus, Status: http.StatusNotFound, Body: echo}, {Kind: amlsim.ActLoseAnswer}, {Kind: amlsim.ActGarbage},
		{Kind: amlsim.ActLiteral, Literal: "FAILED Kari Kanarifugl"}, {Kind: amlsim.ActTruncate, Bytes: 100}, {Kind: amlsim.ActHTML},
	} {
		calls := []amlsim.Call{amlsim.CallCreate, amlsim.CallSession, amlsim.CallDocument, amlsim.CallReport}
		if do.Kind == amlsim.ActLiteral {
			calls = []amlsim.Call{amlsim.CallSession}
		}
		for _, call := range calls {
			faults = append(faults, amlsim.Fault{Name: fmt.Sprint(call, i), Call: call, When: amlsim.When{Probability: 0.05, Until: 10 * time.Minute}, Do: do})
		}
	}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(20 * time.Second), Faults: faults}, func(w *world) {
		w.trace()
		jobs := people(60)
		for i := range jobs {
			jobs[i].FirstName, jobs[i].LastName = "Kari", "Kanarifugl"
			jobs[i].DateOfBirth, jobs[i].SSN, jobs[i].SSNCountry = "1969-12-24", "01010750241", "NO"
		}
		trouble := trial{storeTrouble: 0.1, queueTrouble: 0.1}
		w.store.SetFault(trouble.storeFault(1))
		w.queueFault.Store(trouble.queueFault(1))
		w.submit(jobs...)
		w.jobs.Stream().Publish(queue.JobSubject("b"), []byte(`{"id":"broken-1","customer_ref":"01010750241","first_name":"Kanarifugl","ssn":"0101`), nil)
		w.jobs.Stream().Publish(queue.JobSubject("b"), []byte(`{"id":"x","customer_ref":"01010750241","first_name":"Kanarifugl","last_name":"K","date_of_birth":"1969-12-24"}`), nil)
		_, stop := w.start("w")
		time.Sleep(15 * time.Minute)
		w.store.SetFault(nil)
		w.queueFault.Store(nil)
		w.outcomes(3*time.Hour, jobs...)
		stop()
		w.checkPrivacy("Kanarifugl", "1969-12-24", "24.12.1969", "01010750241", "has a hit")
		if n := len(w.sim.Stats().Faults); n < 30 {
			t.Errorf("%d faults", n)
		}
		for _, o := range w.store.Outcomes.Published() {
			if f, err := queue.DecodeEvent(o.Value); err == nil && f.Type == queue.TypeFailed && strings.Contains(string(o.Value), "Kanarifugl") {
				t.Errorf("failure of %s repeats a name: %s", o.Key.Job, o.Value)
			}
		}
	})
}
