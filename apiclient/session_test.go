package apiclient

import (
	"context"
	"testing"
	"time"
)

func TestSessionInformationShapes(t *testing.T) {
	const link = "https://api.example.test/x"
	ready := Entity{Status: "READY", Present: true, state: EntityReady}
	linked := Entity{Status: "READY", Link: link, Present: true, state: EntityReady}
	running := Entity{Status: "IN_PROGRESS", Present: true, state: EntityPending}
	waiting := Entity{Status: "NOT_STARTED", Present: true, state: EntityPending}
	for _, tc := range []struct {
		name, body       string
		document, report Entity
	}{
		{"flat", `{"jsonData":"IN_PROGRESS","aml-report":"NOT_STARTED"}`, running, waiting},
		{"nested", `{"sessionId":"x","jsonData":{"status":"READY","href":"` + link + `"},
			"aml-report":{"status":"IN_PROGRESS","href":null}}`, linked, running},
		{"nested, other link keys", `{"jsonData":{"status":"READY","url":"` + link + `"},
			"aml-report":{"status":"READY","link":"` + link + `"}}`, linked, linked},
		{"list", `{"sessionId":"x","results":[{"name":"jsonData","status":"READY"},
			{"name":"aml-report","status":"READY","link":"` + link + `"}]}`, ready, linked},
		{"bare list", `[{"name":"jsonData","status":"READY"}]`, ready, Entity{}},
		{"list of objects with one member", `{"results":[{"jsonData":"READY"},{"aml-report":{"status":"READY","href":"` + link + `"}}]}`, ready, linked},
		{"object under the list's name", `{"results":{"jsonData":"READY","aml-report":"IN_PROGRESS"}}`, ready, running},
		{"flat and list", `{"jsonData":"READY","results":[{"name":"aml-report","status":"IN_PROGRESS"}]}`, ready, running},
		{"flat status, link in the list", `{"jsonData":"READY","results":[{"name":"jsonData","link":"` + link + `"}]}`, linked, Entity{}},
		{"told twice, the hopeful counts", `{"jsonData":"IN_PROGRESS","results":[{"name":"jsonData","status":"READY"}]}`, ready, Entity{}},
		{"told twice, the other way round", `{"jsonData":"READY","results":[{"name":"jsonData","status":"IN_PROGRESS"}]}`, ready, Entity{}},
		{"unknown members", `{"created":"2026-01-01","x":{"jsonData":"READY"},"jsonData":"IN_PROGRESS","results":[7,null,{"name":"other","status":"READY"}]}`, running, Entity{}},
		{"unknown status is pending", `{"jsonData":"SOMETHING_NEW"}`, Entity{Status: "SOMETHING_NEW", Present: true, state: EntityPending}, Entity{}},
		{"ready in any case", `{"jsonData":"Ready"}`, Entity{Status: "Ready", Present: true, state: EntityReady}, Entity{}},
		{"failing status", `{"jsonData":"READY","aml-report":"Report_FAILED"}`, ready, Entity{Status: "Report_FAILED", Present: true, state: EntityFailed}},
		{"entity null is absent", `{"jsonData":"READY","aml-report":null}`, ready, Entity{}},
		{"status null is pending", `{"jsonData":{"status":null}}`, Entity{Present: true, state: EntityPending}, Entity{}},
		{"status of another type is pending", `{"jsonData":7,"aml-report":{"status":{"a":1}}}`,
			Entity{Present: true, state: EntityPending}, Entity{Present: true, state: EntityPending}},
		{"nothing", `{}`, Entity{}, Entity{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := DefaultProfile().Session.read([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if s.Document != tc.document {
				t.Errorf("document %+v, want %+v", s.Document, tc.document)
			}
			if s.Report != tc.report {
				t.Errorf("report %+v, want %+v", s.Report, tc.report)
			}
			if s.Failed() {
				t.Error("the session counts as failed")
			}
		})
	}
}

func TestWholeSessionStatus(t *testing.T) {
	for status, failed := range map[string]bool{
		"FAILED": true, "Error": true, "cancelled": true, "CANCELED": true, "SESSION_EXPIRED": true,
		"RUNNING": false, "DONE": false, "": false,
	} {
		s, err := DefaultProfile().Session.read([]byte(`{"status":"` + status + `","jsonData":"IN_PROGRESS"}`))
		if err != nil || s.Failed() != failed || s.Status != status {
			t.Errorf("%q: %+v, %v", status, s, err)
		}
	}
}

func TestSessionInformationThatIsNone(t *testing.T) {
	for name, body := range map[string]string{
		"html": "<html></html>", "empty": "", "null": "null", "text": `"READY"`, "number": "7",
		"cut": `{"jsonData":"READY"`, "two values": `{} {}`,
	} {
		if _, err := DefaultProfile().Session.read([]byte(body)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// An Entity made by hand means what the default profile says.
func TestEntityStateWithoutAClient(t *testing.T) {
	for status, want := range map[string]EntityState{
		"READY": EntityReady, "IN_PROGRESS": EntityPending, "failed": EntityFailed, "": EntityPending,
	} {
		if got := (Entity{Status: status, Present: true}).State(); got != want {
			t.Errorf("%q is %v, want %v", status, got, want)
		}
	}
	if got := (Entity{Status: "READY"}).State(); got != EntityAbsent {
		t.Errorf("an entity that is not there is %v", got)
	}
}

func TestSessionTellsHowLongToWait(t *testing.T) {
	fake := newFake()
	fake.session = jsonAnswer(200, `{"jsonData":"IN_PROGRESS"}`, "Retry-After", "9")
	s, err := fake.client(t).Session(context.Background(), nil, testRef)
	if err != nil || s.RetryAfter != 9*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
}

// The literals and keys are the profile's.
func TestSessionInformationFollowsTheProfile(t *testing.T) {
	f := DefaultProfile().Session
	f.Document, f.Report = "json", "pdf"
	f.Lists, f.NameKeys, f.StatusKeys, f.LinkKeys = []string{"items"}, []string{"kind"}, []string{"state"}, []string{"at"}
	f.Ready, f.Failed = []string{"DONE"}, []string{"gave_up"}
	s, err := f.read([]byte(`{"items":[{"kind":"json","state":"DONE","at":"/x"},{"kind":"pdf","state":"GAVE_UP"}]}`))
	if err != nil || s.Document.State() != EntityReady || s.Document.Link != "/x" || s.Report.State() != EntityFailed {
		t.Errorf("%+v, %v", s, err)
	}
}
