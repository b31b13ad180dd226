package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/personal"
)

// MaxJobBytes bounds a job on the wire. A job of the longest members, every
// character escaped, takes less than 16 KiB.
const MaxJobBytes = 64 << 10

// DecodeJob reads a job strictly: one JSON object in UTF-8, only known
// members, each at most once, each of its type (null is none), nothing behind
// it. Members that are absent get their defaults, and the job is validated.
//
// A member given twice is refused because readers disagree on which one
// counts, and the two may name different people.
//
// The error is a *JobError for the first problem. The job returned with it
// holds the ID, the CustomerRef and the Attempt, each if it was given once and
// is valid by itself, so that the failure can be addressed; Attempt is 0 when
// it cannot be known.
func DecodeJob(data []byte) (Job, error) {
	d := jobDecoder{seen: make(map[string]int, len(jobMembers()))}
	d.read(data)
	if d.err == nil {
		d.job = d.job.WithDefaults()
		if err := d.job.Validate(); err != nil {
			return d.address(), err
		}
		return d.job, nil
	}
	return d.address(), d.err
}

// jobMembers returns the members of a job on the wire.
func jobMembers() []string {
	return []string{"id", "customer_ref", "first_name", "last_name", "date_of_birth", "ssn", "ssn_country",
		"country", "expands", "report", "language", "attempt"}
}

// jobDecoder collects the members of one message. It goes on after a problem
// as far as the JSON lets it, to learn whom the failure concerns.
type jobDecoder struct {
	job      Job
	seen     map[string]int
	complete bool  // the object was read to its end
	err      error // the first problem
}

func (d *jobDecoder) fail(member, problem string) {
	if d.err == nil {
		d.err = &JobError{Member: member, Problem: problem}
	}
}

func (d *jobDecoder) read(data []byte) {
	switch {
	case len(data) > MaxJobBytes:
		d.fail("", fmt.Sprintf("is larger than %d bytes", MaxJobBytes))
		return
	case !utf8.Valid(data):
		d.fail("", "is not valid UTF-8")
		return
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		d.fail("", "is not a JSON object")
		return
	}
	for n := 1; dec.More(); n++ {
		key, err := dec.Token()
		if err != nil {
			d.syntax(dec, err)
			return
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			d.syntax(dec, err)
			return
		}
		name, _ := key.(string) // within an object, Decoder yields strings only
		d.member(name, n, raw)
	}
	if _, err := dec.Token(); err != nil {
		d.syntax(dec, err)
		return
	}
	d.complete = true
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		d.fail("", "has something behind it")
	}
}

// syntax reports broken JSON by its place: the text of a decoding error may
// quote what it stumbled over.
func (d *jobDecoder) syntax(dec *json.Decoder, err error) {
	at := dec.InputOffset()
	var broken *json.SyntaxError
	if errors.As(err, &broken) {
		at = broken.Offset
	}
	d.fail("", fmt.Sprintf("is not valid JSON near byte %d", at))
}

func (d *jobDecoder) member(name string, n int, raw json.RawMessage) {
	if !slices.Contains(jobMembers(), name) {
		// The name itself is not repeated: it is text from outside.
		problem := fmt.Sprintf("has an unknown member, number %d in the object", n)
		if member := similarMember(name); member != "" {
			problem += ", meant as " + member + "?"
		}
		d.fail("", problem)
		return
	}
	d.seen[name]++
	if d.seen[name] > 1 {
		d.fail(name, "is given twice")
		return
	}
	if problem := d.set(name, raw); problem != "" {
		d.fail(name, problem)
	}
}

// similarMember finds the member that is spelled like name but for case and
// underscores, as in customerRef.
func similarMember(name string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	for _, m := range jobMembers() {
		if plain(m) == plain(name) {
			return m
		}
	}
	return ""
}

func (d *jobDecoder) set(name string, raw json.RawMessage) string {
	if string(raw) == "null" {
		return "is null; leave it out instead"
	}
	switch name {
	case "id":
		return readText(raw, &d.job.ID)
	case "customer_ref":
		return readText(raw, &d.job.CustomerRef)
	case "first_name":
		return readText(raw, &d.job.FirstName)
	case "last_name":
		return readText(raw, &d.job.LastName)
	case "date_of_birth":
		return readText(raw, &d.job.DateOfBirth)
	case "ssn":
		return readText(raw, &d.job.SSN)
	case "ssn_country":
		return readText(raw, &d.job.SSNCountry)
	case "country":
		return readText(raw, &d.job.Country)
	case "language":
		return readText(raw, &d.job.Language)
	case "expands":
		return readExpands(raw, &d.job.Expands)
	case "report":
		if json.Unmarshal(raw, &d.job.Report) != nil {
			return "is not true or false"
		}
	case "attempt":
		if json.Unmarshal(raw, &d.job.Attempt) != nil {
			return attemptProblem(0)
		}
		return attemptProblem(d.job.Attempt)
	}
	return ""
}

// readText reads text that is not empty: an empty member would silently turn
// into its default.
func readText[T JobID | string | personal.Text | nationalid.Country](raw json.RawMessage, to *T) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "is not text"
	}
	if s == "" {
		return "is empty"
	}
	*to = T(s)
	return ""
}

func readExpands(raw json.RawMessage, to *[]string) string {
	var items []*string
	if json.Unmarshal(raw, &items) != nil || slices.Contains(items, nil) {
		return "is not a list of texts"
	}
	if len(items) == 0 {
		return "is empty"
	}
	for _, item := range items {
		*to = append(*to, *item)
	}
	return ""
}

// address returns what a failure can be addressed with.
func (d *jobDecoder) address() Job {
	var j Job
	if d.seen["id"] == 1 && d.job.idProblem() == "" {
		j.ID = d.job.ID
	}
	if d.seen["customer_ref"] == 1 && customerRefProblem(d.job.CustomerRef) == "" {
		j.CustomerRef = d.job.CustomerRef
	}
	switch {
	case d.seen["attempt"] == 1 && attemptProblem(d.job.Attempt) == "":
		j.Attempt = d.job.Attempt
	case d.seen["attempt"] == 0 && d.complete:
		j.Attempt = 1
	}
	return j
}
