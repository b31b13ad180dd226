package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/personal"
	"rescreen/queue"
)

func TestJobComesThroughWhateverTheAnswersLookLike(t *testing.T) {
	for _, shape := range []amlsim.Shape{amlsim.ShapeFlat, amlsim.ShapeNested, amlsim.ShapeList, amlsim.ShapeMixed} {
		for _, links := range []amlsim.Links{amlsim.LinksRelative, amlsim.LinksPath, amlsim.LinksAbsolute, amlsim.LinksNone} {
			t.Run(fmt.Sprintf("%s %s", shape, links), func(t *testing.T) {
				sim := amlsim.Config{ReadyAfter: amlsim.Fixed(3 * time.Second), ReportAfter: amlsim.Fixed(time.Second), Shape: shape, Links: links}
				inWorld(t, sim, func(w *world) {
					job := person(1, true)
					w.submit(job)
					_, stop := w.start("w")
					defer stop()
					r := w.result(time.Minute, job)
					if r.Report.State != queue.ReportStored || *r.Report.Signature != "valid" || r.SessionsCreated != 1 || r.PossibleDuplicate {
						t.Errorf("result: %+v", r)
					}
					if w.sessionsOf(job) != 1 {
						t.Errorf("%d sessions", w.sessionsOf(job))
					}
				})
			})
		}
	}
}

// The evidence is what the API sent, byte for byte, and the document inside the
// event has the same values.
func TestEvidenceIsWhatTheAPISent(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job := person(7, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		r := w.result(time.Minute, job)
		for _, e := range r.Evidence {
			data, err := w.store.Evidence.Get(context.Background(), e.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != e.SHA256 || int64(len(data)) != e.Bytes {
				t.Errorf("%s does not match its hash or length", e.Kind)
			}
			if e.Kind != queue.EvidenceDocument {
				continue
			}
			var sent, carried any
			if json.Unmarshal(data, &sent) != nil || json.Unmarshal(r.Document, &carried) != nil || !reflect.DeepEqual(sent, carried) {
				t.Errorf("the event's document differs from the evidence")
			}
		}
		if len(r.Evidence) != 2 {
			t.Errorf("%d pieces of evidence", len(r.Evidence))
		}
	})
}

func TestTestPeopleComeOutAsDocumented(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		var jobs []queue.Job
		want := map[queue.JobID]queue.Outcome{}
		for i, p := range []struct {
			ssn, first, last string
			outcome          queue.Outcome
		}{
			{"01010750160", "Tomas", "Topstad", queue.Hit},
			{"01010750241", "Kari", "Klaven", queue.Clear},
			{"01010750322", "Kris Psa", "Granum", queue.Hit},
			{"01010751388", "Morten", "Holm", queue.Hit},
			{"01010751469", "Mia", "Holm", queue.Hit},
		} {
			job := person(i, false)
			job.FirstName, job.LastName, job.DateOfBirth = personal.Text(p.first), personal.Text(p.last), "2007-01-01"
			job.SSN, job.SSNCountry = personal.Text(p.ssn), nationalid.Norway
			jobs, want[job.ID] = append(jobs, job), p.outcome
		}
		w.submit(jobs...)
		_, stop := w.start("w")
		defer stop()
		for id, e := range w.outcomes(time.Minute, jobs...) {
			if r, err := e.Result(); err != nil || r.Outcome != want[id] {
				t.Errorf("%s: %s, want %s (%v)", id, r.Outcome, want[id], err)
			}
		}
	})
}

func TestReportAnHourAfterItsDocument(t *testing.T) {
	sim := amlsim.Config{ReadyAfter: amlsim.Fixed(5 * time.Second), ReportAfter: amlsim.Fixed(time.Hour)}
	inWorld(t, sim, func(w *world) {
		job := person(1, true)
		w.submit(job)
		worker, stop := w.start("w")
		defer stop()
		time.Sleep(time.Minute)
		rec := w.record(job)
		if rec.State != Waiting || rec.Document == nil {
			t.Fatalf("a minute after the document was ready the record is %s, document %v", rec.State, rec.Document)
		}
		r := w.result(2*time.Hour, job)
		if r.Report.State != queue.ReportStored {
			t.Errorf("report is %s", r.Report.State)
		}
		if waited := r.FetchedAt.Sub(r.CreatedAt); waited > time.Minute {
			t.Errorf("the document was fetched %v after creation: it must not wait for its report", waited)
		}
		if worker.Stats().Fetches != 2 {
			t.Errorf("%d fetches for one document and one report", worker.Stats().Fetches)
		}
	})
}

func TestReportThatNeverComesLeavesAResult(t *testing.T) {
	for fate, want := range map[amlsim.Fate]queue.ReportState{
		amlsim.FateReportNever: queue.ReportLate, amlsim.FateReportFail: queue.ReportFailed,
	} {
		t.Run(string(fate), func(t *testing.T) {
			fault := amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActFate, Fate: fate}}
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Lifetime: 48 * time.Hour, Faults: []amlsim.Fault{fault}}, func(w *world) {
				job := person(1, true)
				w.submit(job)
				_, stop := w.start("w")
				defer stop()
				if r := w.result(25*time.Hour, job); r.Report.State != want || len(r.Document) == 0 {
					t.Errorf("report is %s, want %s; document of %d bytes", r.Report.State, want, len(r.Document))
				}
			})
		})
	}
}

func TestReportCutShort(t *testing.T) {
	cut := func(times int) amlsim.Config {
		return amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallReport, When: amlsim.When{Times: times}, Do: amlsim.Action{Kind: amlsim.ActTruncate, Bytes: 900}}}}
	}
	t.Run("once is fetched again", func(t *testing.T) {
		inWorld(t, cut(1), func(w *world) {
			job := person(1, true)
			w.submit(job)
			_, stop := w.start("w")
			defer stop()
			if r := w.result(time.Minute, job); r.Report.State != queue.ReportStored {
				t.Errorf("report is %s", r.Report.State)
			}
		})
	})
	t.Run("always is invalid and the result completed", func(t *testing.T) {
		inWorld(t, cut(0), func(w *world) {
			job := person(1, true)
			w.submit(job)
			_, stop := w.start("w")
			defer stop()
			r := w.result(10*time.Minute, job)
			if r.Report.State != queue.ReportInvalid || len(r.Evidence) != 1 || len(r.Document) == 0 {
				t.Errorf("report is %s, %d pieces of evidence", r.Report.State, len(r.Evidence))
			}
		})
	})
}

func TestExpiredSessionIsCreatedAnew(t *testing.T) {
	// The API answers no poll for three hours, so the results perish meanwhile.
	outage := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Until: 3 * time.Hour}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: http.StatusBadGateway}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Faults: []amlsim.Fault{outage}}, func(w *world) {
		job := person(1, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		r := w.result(4*time.Hour, job)
		if r.Expiries != 1 || r.SessionsCreated != 2 || r.PossibleDuplicate || w.sessionsOf(job) != 2 {
			t.Errorf("expiries %d, sessions %d (%d at the API), flagged %v", r.Expiries, r.SessionsCreated, w.sessionsOf(job), r.PossibleDuplicate)
		}
	})
}

func TestSessionThatAlwaysExpiresFails(t *testing.T) {
	inWorld(t, amlsim.Config{Fates: amlsim.Fates{Expire: 1}, ReadyAfter: amlsim.Fixed(time.Second)}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		f := w.failure(24*time.Hour, job)
		if f.Reason != queue.ResultExpired || f.SessionsCreated != 3 || w.sessionsOf(job) != 3 {
			t.Errorf("%s after %d sessions (%d at the API)", f.Reason, f.SessionsCreated, w.sessionsOf(job))
		}
	})
}

func TestFailedSessionIsAFailureWithoutRetry(t *testing.T) {
	inWorld(t, amlsim.Config{Fates: amlsim.Fates{Fail: 1}, ReadyAfter: amlsim.Fixed(time.Second)}, func(w *world) {
		job := person(1, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		f := w.failure(time.Minute, job)
		if f.Reason != queue.SessionFailed || f.FailedIn != queue.Waiting || w.sessionsOf(job) != 1 {
			t.Errorf("%s in %s, %d sessions", f.Reason, f.FailedIn, w.sessionsOf(job))
		}
	})
}

func TestSessionThatVanishesIsNotFound(t *testing.T) {
	inWorld(t, amlsim.Config{Fates: amlsim.Fates{Vanish: 1}, ReadyAfter: amlsim.Fixed(20 * time.Second)}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		f := w.failure(10*time.Minute, job)
		if f.Reason != queue.SessionNotFound || f.APIStatus == nil || *f.APIStatus != 404 || w.sessionsOf(job) != 1 {
			t.Errorf("%s, status %v, %d sessions", f.Reason, f.APIStatus, w.sessionsOf(job))
		}
	})
}

func TestSessionThatNeverEndsTimesOut(t *testing.T) {
	inWorld(t, amlsim.Config{Fates: amlsim.Fates{Never: 1}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		f := w.failure(25*time.Hour, job)
		if f.Reason != queue.SessionTimeout {
			t.Errorf("%s", f.Reason)
		}
		if took := f.FailedAt.Sub(*f.CreatedAt); took < w.cfg.SessionDeadline || took > w.cfg.SessionDeadline+time.Minute {
			t.Errorf("timed out after %v", took)
		}
	})
}

func TestUnknownStatusesAndMembersAreNotReadyYet(t *testing.T) {
	strange := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Until: time.Minute}, Do: amlsim.Action{Kind: amlsim.ActLiteral, Literal: "PONDERING"}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{strange}}, func(w *world) {
		job := person(1, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(10*time.Minute, job); r.SessionsCreated != 1 || r.FetchedAt.Sub(r.CreatedAt) < 50*time.Second {
			t.Errorf("fetched %v after creation", r.FetchedAt.Sub(r.CreatedAt))
		}
	})
}

func TestTokenRevokedInMidRunCostsNothing(t *testing.T) {
	revoke := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{Nth: 5}, Do: amlsim.Action{Kind: amlsim.ActRevoke}}
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(3 * time.Second), Faults: []amlsim.Fault{revoke}}, func(w *world) {
		jobs := people(20)
		w.submit(jobs...)
		worker, stop := w.start("w")
		defer stop()
		for id, e := range w.outcomes(5*time.Minute, jobs...) {
			if e.Type != queue.TypeCompleted {
				t.Errorf("%s: %s", id, e.Type)
			}
		}
		if s := worker.Stats(); s.Created != 20 || s.Unknowns != 0 {
			t.Errorf("created %d, unknown %d", s.Created, s.Unknowns)
		}
	})
}

func TestWrongBaseURLClosesTheUpstreamAndFailsNoJob(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		right := w.api
		w.api.BaseURL = "http://127.0.0.1:8117/elsewhere"
		jobs := people(50)
		w.submit(jobs...)
		worker, stop := w.start("wrong")
		time.Sleep(10 * time.Minute)
		stop()
		if n := len(w.published()); n != 0 {
			t.Errorf("%d outcomes with a wrong base URL", n)
		}
		if s := worker.Stats(); s.NotCreated > 200 {
			t.Errorf("%d calls in ten minutes: the upstream is not closed", s.NotCreated)
		}
		if w.log.count("the API does not let us in") == 0 {
			t.Error("nothing loud in the log")
		}
		w.api = right
		_, stop = w.start("right")
		defer stop()
		for id, e := range w.outcomes(10*time.Minute, jobs...) {
			if e.Type != queue.TypeCompleted {
				t.Errorf("%s: %s", id, e.Type)
			}
		}
	})
}

func TestRefusedQueryIsAFailure(t *testing.T) {
	refuse := amlsim.Fault{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 422, Body: `{"error":"ssn 01010750160 is odd"}`}}
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{refuse}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		f := w.failure(time.Minute, job)
		if f.Reason != queue.RequestRejected || *f.APIStatus != 422 || f.SessionsCreated != 0 || f.Retryable {
			t.Errorf("%+v", f)
		}
		if f.Message == nil || *f.Message == "" || containsDigits(*f.Message, "01010750160") {
			t.Errorf("message %v is missing or not masked", f.Message)
		}
	})
}

func containsDigits(s, digits string) bool {
	for i := range len(s) - len(digits) + 1 {
		if s[i:i+len(digits)] == digits {
			return true
		}
	}
	return false
}

func TestHostileJobsFailVisiblyAndAlone(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		good := people(5)
		w.submit(good...)
		for _, body := range []string{
			`{`, `null`, `[]`, `{"id":"job-1"}`, `{"id":"../x","customer_ref":"r","first_name":"A","last_name":"B","date_of_birth":"1980-01-01"}`,
			`{"id":"own-id","customer_ref":"C-9","first_name":"A","last_name":"B","date_of_birth":"1980-13-01"}`,
			`{"id":"extra","customer_ref":"C-8","first_name":"A","last_name":"B","date_of_birth":"1980-01-01","surprise":1}`,
		} {
			w.jobs.Stream().Publish(queue.JobSubject("b"), []byte(body), nil)
		}
		worker, stop := w.start("w")
		defer stop()
		w.outcomes(time.Minute, good...)
		got := w.published()
		failed := 0
		for id, e := range got {
			f, err := e.Failure()
			if err != nil {
				continue
			}
			failed++
			if f.Reason != queue.InvalidJob || f.Message == nil {
				t.Errorf("%s: %+v", id, f)
			}
		}
		if failed != 7 || len(got) != 12 {
			t.Errorf("%d failures among %d outcomes", failed, len(got))
		}
		claimed := 0
		for _, e := range got {
			if f, err := e.Failure(); err == nil && strings.Contains(*f.Message, "claims the id own-id") && e.Subject == "C-9" {
				claimed++
			}
		}
		if claimed != 1 {
			t.Errorf("%d failures tell the id and the reference of their message", claimed)
		}
		if e := got["job-1"]; e.Type != queue.TypeCompleted {
			t.Error("a broken message took over a good job's id")
		}
		if s := worker.Stats(); s.Returned != 0 {
			t.Errorf("%d messages were delivered again", s.Returned)
		}
	})
}

func TestTestNumbersAreRefusedUnlessAllowed(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		w.cfg.AllowTestNumbers = false
		body := `{"id":"synthetic","customer_ref":"C-1","first_name":"Syn","last_name":"Tetisk","ssn":"` + syntheticNumber + `"}`
		w.jobs.Stream().Publish(queue.JobSubject("b"), []byte(body), nil)
		w.submit()
		_, stop := w.start("w")
		defer stop()
		job := queue.Job{ID: "synthetic", CustomerRef: "C-1", FirstName: "Syn", LastName: "Tetisk"}
		if f := w.failure(time.Minute, job); f.Reason != queue.InvalidJob {
			t.Errorf("%s", f.Reason)
		}
	})
}

// syntheticNumber is of the Tax Administration's series for tests: 80 is added
// to the month.
const syntheticNumber = "01810750126"

func TestSameJobTwiceIsScreenedOnce(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(3 * time.Second)}, func(w *world) {
		job := person(1, false)
		body, err := job.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.submit()
		for range 5 {
			w.jobs.Stream().Publish(queue.JobSubject("b"), body, nil)
		}
		_, stop := w.start("w")
		defer stop()
		w.result(time.Minute, job)
		w.jobs.Stream().Publish(queue.JobSubject("b"), body, nil) // and once more after the end
		time.Sleep(time.Minute)
		if n := w.sessionsOf(job); n != 1 {
			t.Errorf("%d sessions", n)
		}
		if n := w.jobs.Stream().Len(); n != 0 {
			t.Errorf("%d job messages are left", n)
		}
	})
}

// What was paid for is never thrown away: a session that fails or vanishes
// after its document was stored leaves a result.
func TestSessionThatEndsAfterItsDocumentLeavesAResult(t *testing.T) {
	for _, c := range []struct {
		name string
		do   amlsim.Action
		want queue.ReportState
	}{
		{"fails", amlsim.Action{Kind: amlsim.ActLiteral, Entity: amlsim.EntitySession, Literal: "FAILED"}, queue.ReportFailed},
		{"vanishes", amlsim.Action{Kind: amlsim.ActStatus, Status: 404}, queue.ReportExpired},
		{"is gone after two hours", amlsim.Action{Kind: amlsim.ActStatus, Status: 410}, queue.ReportExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := amlsim.Fault{Call: amlsim.CallSession, When: amlsim.When{From: time.Minute}, Do: c.do}
			sim := amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), ReportAfter: amlsim.Fixed(5 * time.Hour), Faults: []amlsim.Fault{fault}}
			inWorld(t, sim, func(w *world) {
				job := person(1, true)
				w.submit(job)
				_, stop := w.start("w")
				defer stop()
				r := w.result(24*time.Hour, job)
				if r.Report.State != c.want || len(r.Document) == 0 || r.SessionsCreated != 1 {
					t.Errorf("report %s, want %s; %d sessions", r.Report.State, c.want, r.SessionsCreated)
				}
			})
		})
	}
}

// A session may be told to have failed while its document is there.
func TestDocumentOfAFailedSessionIsCollected(t *testing.T) {
	fault := amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActLiteral, Entity: amlsim.EntitySession, Literal: "COMPLETED_WITH_ERRORS"}}
	sim := amlsim.Config{ReportAfter: amlsim.Fixed(time.Hour), Shape: amlsim.ShapeNested, Faults: []amlsim.Fault{fault}}
	inWorld(t, sim, func(w *world) {
		job := person(1, true)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(time.Minute, job); r.Report.State != queue.ReportFailed || len(r.Document) == 0 {
			t.Errorf("report %s, document of %d bytes", r.Report.State, len(r.Document))
		}
	})
}

// Whether somebody is on a list is read as the profile says.
func TestScreeningIsReadByTheProfile(t *testing.T) {
	inWorld(t, amlsim.Config{Mix: amlsim.Mix{Clear: 1}}, func(w *world) {
		profile, err := apiclient.ReadProfile(strings.NewReader("document: {aml: another}"))
		if err != nil {
			t.Fatal(err)
		}
		w.api.Profile = profile
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(time.Minute, job); r.Outcome != queue.Undetermined {
			t.Errorf("%s, although the profile looks for the hits elsewhere", r.Outcome)
		}
	})
}
