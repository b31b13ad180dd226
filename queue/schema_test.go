package queue_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"rescreen/queue"
	"rescreen/queue/schema"
)

// update rewrites the golden messages: go test ./queue -run Golden -update
var update = flag.Bool("update", false, "rewrite testdata/golden")

const goldenDir = "../testdata/golden"

// golden are the messages that others may test their readers against, by the
// name of their file, which begins with that of its schema.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	keep := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	full := queue.Job{
		ID: "c-2", CustomerRef: "C-2 / Åse", FirstName: "Kari", LastName: "Klaven", DateOfBirth: "2007-01-01", SSN: "01010750241",
		SSNCountry: "NO", Country: "no", Expands: queue.Expands(), Report: true, Language: "en", Attempt: 2,
	}
	bare := hit()
	bare.Outcome, bare.PEPHits, bare.SanctionHits, bare.ListsSearched, bare.Document = queue.Undetermined, nil, nil, nil, nil
	bare.Evidence, bare.Report, bare.OrphanedSessions = nil, queue.Report{State: queue.ReportNotOrdered}, nil
	bareMeta := meta()
	bareMeta.Subject, bareMeta.Traceparent = "", ""
	waited := createUnknown()
	waited.Reason, waited.FailedIn, waited.SessionID, waited.CreatedAt = queue.SessionTimeout, queue.Waiting, pointer("7f3c"), pointer(at(1))
	waited.OrphanedSessions, waited.Polls = []string{"6e2b"}, 2000
	return map[string][]byte{
		"job.v1.full.json":               keep(full.Encode()),
		"job.v1.minimal.json":            []byte(topstad),
		"result.v1.hit.json":             keep(queue.EncodeResult(meta(), hit())),
		"result.v1.undetermined.json":    keep(queue.EncodeResult(bareMeta, bare)),
		"failure.v1.create_unknown.json": keep(queue.EncodeFailure(meta(), createUnknown())),
		"failure.v1.timeout.json":        keep(queue.EncodeFailure(bareMeta, waited)),
	}
}

// goldenEvents returns the events of the golden files.
func goldenEvents(t testing.TB) [][]byte {
	t.Helper()
	var events [][]byte
	for name, message := range goldenFiles(t) {
		if !strings.HasPrefix(name, "job.") {
			events = append(events, message)
		}
	}
	return events
}

func goldenFiles(t testing.TB) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(goldenDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = bytes.TrimSuffix(b, []byte("\n"))
	}
	if len(files) == 0 {
		t.Fatal("no golden messages")
	}
	return files
}

func TestGoldenMessagesAreWhatTheCodeWrites(t *testing.T) {
	want := golden(t)
	if *update {
		for name, message := range want {
			if err := os.WriteFile(filepath.Join(goldenDir, name), append(slices.Clone(message), '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := goldenFiles(t)
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	for name, message := range want {
		if !bytes.Equal(files[name], message) {
			t.Errorf("%s holds\n%s\nthe code writes\n%s", name, files[name], message)
		}
	}
}

func TestGoldenMessagesKeepToTheirSchemas(t *testing.T) {
	for name, message := range goldenFiles(t) {
		kind, _, _ := strings.Cut(name, ".")
		if err := validate(t, kind, message); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGoldenMessagesDecode(t *testing.T) {
	for name, message := range goldenFiles(t) {
		var err error
		if strings.HasPrefix(name, "job.") {
			_, err = queue.DecodeJob(message)
		} else {
			var e queue.Event
			if e, err = queue.DecodeEvent(message); err == nil && e.Type == queue.TypeCompleted {
				_, err = e.Result()
			} else if err == nil {
				_, err = e.Failure()
			}
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// compiled returns the schema of a kind of message.
func compiled(t testing.TB, kind string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, s := range schema.Schemas() {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(s.JSON))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(s.ID, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := compiler.Compile("urn:rescreen:schema:" + kind + ".v1")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t testing.TB, kind string, message []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		return err
	}
	return compiled(t, kind).Validate(value)
}

func TestSchemaOfDataIsFoundByItsName(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	for _, s := range schema.Schemas() {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(s.JSON))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(s.ID, doc); err != nil {
			t.Fatal(err)
		}
	}
	for _, message := range goldenEvents(t) {
		e, err := queue.DecodeEvent(message)
		if err != nil {
			t.Fatal(err)
		}
		s, err := compiler.Compile(e.DataSchema)
		if err != nil {
			t.Fatal(err)
		}
		data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(data); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatTheCodeTakesTheSchemaTakes, and the other way round but for the
// rules that no schema can state.
func TestWhatTheCodeTakesTheSchemaTakes(t *testing.T) {
	s := compiled(t, "job")
	rapid.Check(t, func(t *rapid.T) {
		job := jobs().Filter(isValid).Draw(t, "job")
		message, err := job.Encode()
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value); err != nil {
			t.Fatalf("%s: %v", message, err)
		}
	})
	for _, message := range []string{
		`[]`, `{}`, with("vip", "1"), with("SSN", `"x"`), with("id", ""), with("id", `"a b"`), with("id", `""`), with("customer_ref", ""),
		with("customer_ref", `" "`), with("customer_ref", `"`+strings.Repeat("å", 129)+`"`), with("first_name", ""), with("first_name", `null`),
		with("last_name", `7`), with("last_name", `"`+strings.Repeat("å", 257)+`"`), with("ssn", ""), with("ssn", `""`), with("date_of_birth", `"2007-02-30"`),
		with("date_of_birth", `"1.1.2007"`), with("ssn_country", `"GB"`), with("country", `"n/o"`), with("country", `""`), with("expands", `[]`),
		with("expands", `["aml","aml"]`), with("expands", `["AML"]`), with("expands", `"aml"`), with("report", `1`), with("language", `"EN"`),
		with("attempt", `0`), with("attempt", `10000`), with("attempt", `1.5`), with("attempt", `"1"`),
	} {
		if err := validate(t, "job", []byte(message)); err == nil {
			t.Errorf("the schema takes %s", message)
		}
		if _, err := queue.DecodeJob([]byte(message)); err == nil {
			t.Errorf("the code takes %s", message)
		}
	}
}

func TestSchemasAndStructsHaveTheSameMembers(t *testing.T) {
	for _, c := range []struct {
		schema, at string
		of         any
		required   []string // nil: all but omitempty
	}{
		{"job", "", queue.Job{}, []string{"id", "customer_ref", "first_name", "last_name"}},
		{"result", "", queue.Event{}, nil},
		{"result", "data", queue.Result{}, nil},
		{"result", "evidence", queue.Evidence{}, nil},
		{"result", "report", queue.Report{}, nil},
		{"failure", "", queue.Event{}, nil},
		{"failure", "data", queue.Failure{}, nil},
	} {
		name := c.schema + " " + c.at
		node := schemaNode(t, c.schema, c.at)
		members, always := membersOf(reflect.TypeOf(c.of))
		if c.required != nil {
			always = c.required
		}
		if got, want := slices.Sorted(maps.Keys(node.Properties)), slices.Sorted(maps.Keys(members)); !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %v, the struct %v", name, got, want)
		}
		slices.Sort(node.Required)
		slices.Sort(always)
		if !slices.Equal(node.Required, always) {
			t.Errorf("%s: the schema requires %v, the struct always writes %v", name, node.Required, always)
		}
		for member, kind := range members {
			property := node.Properties[member]
			if got := property.types(); property.Ref == "" && kind != nil && !slices.Equal(got, kind) {
				t.Errorf("%s: %s is %v in the schema, %v in the struct", name, member, got, kind)
			}
		}
	}
}

func TestSchemasAndCodeKnowTheSameValues(t *testing.T) {
	job, result, report, failure := schemaNode(t, "job", ""), schemaNode(t, "result", "data"), schemaNode(t, "result", "report"), schemaNode(t, "failure", "data")
	same := func(what string, inSchema []any, inCode any) {
		t.Helper()
		a, _ := json.Marshal(inSchema)
		b, _ := json.Marshal(inCode)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: the schema has %s, the code %s", what, a, b)
		}
	}
	same("outcome", result.Properties["outcome"].Enum, queue.Outcomes())
	same("report state", report.Properties["state"].Enum, queue.ReportStates())
	same("reason", failure.Properties["reason"].Enum, queue.Reasons())
	same("failed_in", failure.Properties["failed_in"].Enum, queue.Stages())
	same("language", job.Properties["language"].Enum, queue.Languages())
	same("ssn_country", job.Properties["ssn_country"].Enum, queue.SSNCountries())
	same("expands", job.Properties["expands"].Items.Enum, queue.Expands())
	filled := queue.Job{}.WithDefaults()
	same("defaults", []any{
		job.Properties["ssn_country"].Default, job.Properties["country"].Default, job.Properties["expands"].Default,
		job.Properties["report"].Default, job.Properties["language"].Default, job.Properties["attempt"].Default,
	}, []any{filled.SSNCountry, filled.Country, filled.Expands, filled.Report, filled.Language, filled.Attempt})
	same("bounds", []any{
		job.Properties["customer_ref"].MaxLength, job.Properties["first_name"].MaxLength, job.Properties["last_name"].MaxLength, job.Properties["attempt"].Maximum,
	}, []int{queue.MaxCustomerRef, queue.MaxName, queue.MaxName, queue.MaxAttempt})
}

// node is the part of a schema that the tests compare.
type node struct {
	Required   []string         `json:"required"`
	Properties map[string]*node `json:"properties"`
	Defs       map[string]*node `json:"$defs"`
	Ref        string           `json:"$ref"`
	Type       any              `json:"type"`
	Enum       []any            `json:"enum"`
	Items      *node            `json:"items"`
	Default    any              `json:"default"`
	MaxLength  int              `json:"maxLength"`
	Maximum    int              `json:"maximum"`
}

func schemaNode(t *testing.T, kind, def string) *node {
	t.Helper()
	for _, s := range schema.Schemas() {
		if s.Name != kind+".v1.json" {
			continue
		}
		var n node
		if err := json.Unmarshal([]byte(s.JSON), &n); err != nil {
			t.Fatal(err)
		}
		if def != "" {
			return n.Defs[def]
		}
		return &n
	}
	t.Fatalf("no schema of %s", kind)
	return nil
}

// types returns the JSON types a property may have, sorted.
func (n *node) types() []string {
	var types []string
	switch t := n.Type.(type) {
	case string:
		types = []string{t}
	case []any:
		for _, one := range t {
			types = append(types, one.(string))
		}
	}
	slices.Sort(types)
	return types
}

// membersOf returns the JSON types of a struct's members, nil for any, and the
// names of those that are always written.
func membersOf(t reflect.Type) (types map[string][]string, always []string) {
	types = make(map[string][]string)
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		types[name] = typesOf(f)
		if options == "" {
			always = append(always, name)
		}
	}
	return types, always
}

func typesOf(f reflect.StructField) []string {
	t, types := f.Type, []string(nil)
	if t.Kind() == reflect.Pointer {
		t, types = t.Elem(), []string{"null"}
	}
	switch {
	case t == reflect.TypeFor[queue.Raw]():
		return nil
	case t.Kind() == reflect.Slice && f.Name == "ListsSearched": // the one list that may be unknown
		types = []string{"array", "null"}
	case t.Kind() == reflect.Slice:
		types = append(types, "array")
	case t.Kind() == reflect.Bool:
		types = append(types, "boolean")
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		types = append(types, "integer")
	default: // text, dates among it
		types = append(types, "string")
	}
	slices.Sort(types)
	return types
}
