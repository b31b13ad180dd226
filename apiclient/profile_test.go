package apiclient

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The readings that rest on nothing but a guess. Whoever adds one adds it here
// and in the contract with the API.
func TestAssumedFields(t *testing.T) {
	want := []string{
		"base_urls", "countries",
		"paths.session", "paths.document", "paths.report", "paths.access_rights",
		"create.language", "create.expands", "create.date_layout", "create.report_expand", "create.expands_as_text",
		"statuses.not_created", "statuses.busy", "statuses.refused", "statuses.not_ready", "statuses.gone",
		"session.document", "session.report", "session.status", "session.lists", "session.name_keys",
		"session.status_keys", "session.link_keys", "session.failed",
		"links.allowed_origins",
		"document.status", "document.status_message", "document.pep_results", "document.sanction_results",
		"document.lists", "document.no_hits", "document.hits", "document.error_keys", "document.error_words",
		"access_rights.granted",
	}
	if got := DefaultProfile().Assumed(); !slices.Equal(got, want) {
		t.Errorf("assumed:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEveryFieldOfTheProfileIsMarked(t *testing.T) {
	marked := len(fieldPaths(reflect.TypeFor[Profile](), "", "assumed")) + len(fieldPaths(reflect.TypeFor[Profile](), "", "documented"))
	if unmarked := fieldPaths(reflect.TypeFor[Profile](), "", ""); len(unmarked) > 0 || marked == 0 {
		t.Errorf("neither documented nor assumed: %v", unmarked)
	}
}

func TestDefaultProfileIsValidAndCompleteInYAML(t *testing.T) {
	p := DefaultProfile()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadProfile(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	back.Links.AllowedOrigins = p.Links.AllowedOrigins // empty list or nil
	if !reflect.DeepEqual(back, p) {
		t.Errorf("after a round trip: %+v", back)
	}
}

func TestReadProfile(t *testing.T) {
	f, err := os.Open("testdata/profile.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := ReadProfile(f)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Countries, []string{"no", "se"}) || p.Create.DateLayout != "20060102" ||
		p.BaseURLs[EnvCurrent] != "https://aml-current.example.test/v1" || p.BaseURLs[EnvProd] == "" ||
		!slices.Equal(p.Statuses.NotReady, []int{202, 404}) || !slices.Equal(p.Session.LinkKeys, []string{"location"}) ||
		len(p.Links.AllowedOrigins) != 1 || p.Links.AllowedOrigins[0].SendToken {
		t.Errorf("%+v", p)
	}
	if d := DefaultProfile(); p.Paths != d.Paths || !slices.Equal(p.Session.Ready, d.Session.Ready) {
		t.Error("what the file does not name has changed")
	}
	if p, err := ReadProfile(strings.NewReader("# nothing\n")); err != nil || !reflect.DeepEqual(p, DefaultProfile()) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestProfilesThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":                  "patsh: {}",
		"unknown key within":           "paths: {sessions: /x}",
		"wrong type":                   "countries: {no: yes}",
		"not YAML":                     "a: [",
		"two documents":                "countries: [no]\n---\ncountries: [se]",
		"too large":                    "# " + strings.Repeat("x", maxProfileBytes),
		"no countries":                 "countries: []",
		"country that is none":         "countries: [Norway]",
		"country that climbs":          "countries: [..]",
		"path without a slash":         "paths: {session: 'session/{session}'}",
		"path to elsewhere":            "paths: {access_rights: //evil.example.test/x}",
		"path without the session":     "paths: {document: /json}",
		"unknown placeholder":          "paths: {report: '/{session}/{kind}'}",
		"create without the country":   "paths: {create: /person/session}",
		"no name for the ssn":          "create: {ssn: ''}",
		"names that collide":           "create: {first_name: name, last_name: name.last}",
		"same name twice":              "create: {first_name: name, last_name: name}",
		"layout without a year":        "create: {date_layout: 01-02}",
		"layout that is a text":        "create: {date_layout: YYYY-MM-DD}",
		"success as not created":       "statuses: {not_created: [200]}",
		"status of no kind":            "statuses: {gone: [1404]}",
		"401 as refused":               "statuses: {refused: [401]}",
		"one name for both entities":   "session: {document: x, report: x}",
		"no status keys":               "session: {status_keys: []}",
		"nothing means ready":          "session: {ready: []}",
		"everything fails":             "session: {failed: ['']}",
		"ready and failing":            "session: {ready: [NO_ERROR]}",
		"origin without TLS":           "links: {allowed_origins: [{origin: http://files.example.test}]}",
		"origin with a path":           "links: {allowed_origins: [{origin: https://files.example.test/x}]}",
		"origin that is a list":        "links: {allowed_origins: [https://files.example.test]}",
		"no name for the search":       "document: {aml: ''}",
		"hits and no hits":             "document: {no_hits: [PEP]}",
		"every message tells of error": "document: {error_words: ['']}",
	} {
		if _, err := ReadProfile(strings.NewReader(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
