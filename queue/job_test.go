package queue_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rescreen/apiclient/personal"
	"rescreen/queue"
)

// topstad is a documented test person, the least a job can say.
const topstad = `{"id":"c-1","customer_ref":"C-1","first_name":"Tomas","last_name":"Topstad","ssn":"01010750160"}`

func TestAbsentMembersGetTheirDefaults(t *testing.T) {
	got, err := queue.DecodeJob([]byte(topstad))
	if err != nil {
		t.Fatal(err)
	}
	want := queue.Job{
		ID: "c-1", CustomerRef: "C-1", FirstName: "Tomas", LastName: "Topstad", SSN: "01010750160", SSNCountry: "NO", Country: "no",
		Expands: []string{"keyInformation.citizenship", "address.postal", "address.national", "aml", "roles"}, Language: "nb", Attempt: 1,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %s\nwant    %s", wire(t, got), wire(t, want))
	}
}

func wire(t *testing.T, j queue.Job) []byte {
	t.Helper()
	b, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with returns the job of topstad with one more or one other member.
func with(member, value string) string {
	var out []string
	for m := range strings.SplitSeq(strings.Trim(topstad, "{}"), ",") {
		if !strings.HasPrefix(m, `"`+member+`":`) {
			out = append(out, m)
		}
	}
	if value != "" {
		out = append(out, fmt.Sprintf("%q:%s", member, value))
	}
	return "{" + strings.Join(out, ",") + "}"
}

func TestRulesOfEachMember(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("ø", n) + `"` }
	for _, c := range []struct{ member, value, problem string }{
		{"id", ``, "is missing"},
		{"id", `""`, "is empty"},
		{"id", `"a.b"`, "is not 1 to 64 of"},
		{"id", `"` + strings.Repeat("a", 64) + `"`, ""},
		{"id", `"` + strings.Repeat("a", 65) + `"`, "is not 1 to 64 of"},
		{"id", `"01010750160"`, "reads as a national identity number"},
		{"id", `7`, "is not text"},
		{"customer_ref", ``, "is missing"},
		{"customer_ref", long(128), ""},
		{"customer_ref", long(129), "is too long"},
		{"customer_ref", `" "`, "is blank"},
		{"customer_ref", `"010107 50160"`, "reads as a national identity number"},
		{"customer_ref", `"131052-308T"`, "reads as a national identity number"},
		{"first_name", ``, "is missing"},
		{"first_name", `"  "`, "is blank"},
		{"first_name", `"Åse-Britt D'Ávila"`, ""},
		{"first_name", `"T\u0000"`, "holds a control character"},
		{"first_name", `"Ol\ufffd"`, "holds a damaged character"},
		{"first_name", `"Ol\ud800"`, "holds a damaged character"},
		{"first_name", `null`, "is null"},
		{"first_name", `["Ola"]`, "is not text"},
		{"last_name", long(256), ""},
		{"last_name", long(257), "is too long"},
		{"date_of_birth", `"2007-01-01"`, ""},
		{"date_of_birth", `"2008-02-29"`, ""},
		{"date_of_birth", `"2007-02-29"`, "is not a date"},
		{"date_of_birth", `"01.01.2007"`, "is not a date"},
		{"date_of_birth", `"2007-1-1"`, "is not a date"},
		{"date_of_birth", `"1849-12-31"`, "lies before 1850"},
		{"date_of_birth", `"2100-01-01"`, "lies in the future"},
		{"date_of_birth", `20070101`, "is not text"},
		{"ssn", `"01010750161"`, "cannot exist in its country"},
		{"ssn", `"0101075016"`, "cannot exist in its country"},
		{"ssn", `1010750160`, "is not text"},
		{"ssn_country", `"NO"`, ""},
		{"ssn_country", `"no"`, "is none of NO, SE, DK, FI"},
		{"ssn_country", `"GB"`, "is none of NO, SE, DK, FI"},
		{"country", `"se"`, ""},
		{"country", `"../no"`, "is not 1 to 16 of"},
		{"country", `"n/o"`, "is not 1 to 16 of"},
		{"country", `"."`, "is not 1 to 16 of"},
		{"expands", `["aml"]`, ""},
		{"expands", `[]`, "is empty"},
		{"expands", `"aml"`, "is not a list of texts"},
		{"expands", `[null]`, "is not a list of texts"},
		{"expands", `["aml","aml"]`, "holds a value twice"},
		{"expands", `["AML"]`, "holds an unknown value"},
		{"expands", `["links.reports.aml"]`, "orders the report"},
		{"report", `true`, ""},
		{"report", `"true"`, "is not true or false"},
		{"report", `1`, "is not true or false"},
		{"report", `null`, "is null"},
		{"language", `"en"`, ""},
		{"language", `"EN"`, "is none of nb, nn, no, en"},
		{"attempt", `2`, ""},
		{"attempt", `0`, "is not a whole number"},
		{"attempt", `-1`, "is not a whole number"},
		{"attempt", `1.5`, "is not a whole number"},
		{"attempt", `1.0`, "is not a whole number"},
		{"attempt", `10000`, "is not a whole number"},
		{"attempt", `1e400`, "is not a whole number"},
		{"attempt", `"1"`, "is not a whole number"},
	} {
		_, err := queue.DecodeJob([]byte(with(c.member, c.value)))
		var jobErr *queue.JobError
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s %s: %v", c.member, c.value, err)
		case c.problem != "" && !errors.As(err, &jobErr):
			t.Errorf("%s %s: error %v, want a JobError", c.member, c.value, err)
		case c.problem != "" && (jobErr.Member != c.member || !strings.HasPrefix(jobErr.Problem, c.problem)):
			t.Errorf("%s %s: %v, want %s", c.member, c.value, err, c.problem)
		}
	}
}

func TestBirthDateOrNumberIsNeeded(t *testing.T) {
	neither := with("ssn", "")
	if _, err := queue.DecodeJob([]byte(neither)); err == nil || err.Error() != "job: date_of_birth is missing, and so is ssn" {
		t.Errorf("with neither: %v", err)
	}
	born := strings.Replace(neither, "}", `,"date_of_birth":"1990-05-17"}`, 1)
	if _, err := queue.DecodeJob([]byte(born)); err != nil {
		t.Errorf("with a birth date only: %v", err)
	}
}

func TestNumbersOfFourCountries(t *testing.T) {
	for country, ssn := range map[string]string{"NO": "01010750160", "SE": "701063-2391", "DK": "010107-9999", "FI": "131052-308T"} {
		job := strings.Replace(with("ssn", fmt.Sprintf("%q", ssn)), "}", fmt.Sprintf(`,"ssn_country":%q}`, country), 1)
		if _, err := queue.DecodeJob([]byte(job)); err != nil {
			t.Errorf("%s: %v", country, err)
		}
	}
}

func TestTestNumbersAreKnown(t *testing.T) {
	for _, c := range []struct {
		job  queue.Job
		want bool
	}{
		{queue.Job{SSN: "01010750160"}, false},
		{queue.Job{SSNCountry: "FI", SSN: "131052-308T"}, false},
		{queue.Job{SSNCountry: "FI", SSN: "010107A9009"}, true},
		{queue.Job{DateOfBirth: "1990-05-17"}, false},
		{queue.Job{SSN: "no number"}, false},
	} {
		if got := c.job.TestNumber(); got != c.want {
			t.Errorf("country %q: %t, want %t", c.job.SSNCountry, got, c.want)
		}
	}
}

// jobs draws valid jobs.
func jobs() *rapid.Generator[queue.Job] {
	name := rapid.StringMatching(`[A-Za-zÆØÅæøåäö<>&'" \x{2028}-]{0,40}[A-Za-zÆØÅæøå]`)
	return rapid.Custom(func(t *rapid.T) queue.Job {
		j := queue.Job{
			ID:          queue.JobID(rapid.StringMatching(`[A-Za-z_-][A-Za-z0-9_-]{0,63}`).Draw(t, "id")),
			CustomerRef: rapid.StringMatching(`C[ -~æøå]{0,100}`).Draw(t, "customer_ref"),
			FirstName:   personal.Text(name.Draw(t, "first_name")),
			LastName:    personal.Text(name.Draw(t, "last_name")),
			DateOfBirth: personal.Text(rapid.StringMatching(`19[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])`).Draw(t, "born")),
			Country:     rapid.SampledFrom([]string{"no", "se", "dk", "fi"}).Draw(t, "country"),
			Expands:     rapid.SliceOfNDistinct(rapid.SampledFrom(queue.Expands()), 1, 9, rapid.ID).Draw(t, "expands"),
			Report:      rapid.Bool().Draw(t, "report"),
			Language:    rapid.SampledFrom(queue.Languages()).Draw(t, "language"),
			Attempt:     rapid.IntRange(1, queue.MaxAttempt).Draw(t, "attempt"),
		}
		if rapid.Bool().Draw(t, "numbered") {
			j.SSN, j.SSNCountry = "131052-308T", "FI"
		}
		return j.WithDefaults()
	})
}

func isValid(j queue.Job) bool { return j.Validate() == nil }

func TestWhatIsEncodedDecodesToTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := jobs().Filter(isValid).Draw(t, "job") // a drawn reference may happen to read as a number
		b, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := queue.DecodeJob(b)
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("the job came back changed: %s", b)
		}
	})
}

func TestInvalidJobIsNotEncoded(t *testing.T) {
	var jobErr *queue.JobError
	if _, err := (queue.Job{ID: "a"}).Encode(); !errors.As(err, &jobErr) || jobErr.Member != "customer_ref" {
		t.Errorf("error %v, want one about customer_ref", err)
	}
}

func TestJobPrintsNoPerson(t *testing.T) {
	job, err := queue.DecodeJob([]byte(with("date_of_birth", `"2007-01-01"`)))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		printed := fmt.Sprintf(verb, job) + fmt.Sprintf(verb, &job)
		for _, secret := range []string{"Tomas", "Topstad", "01010750160", "2007-01-01", fmt.Sprintf("%x", "Topstad")} {
			if strings.Contains(printed, secret) {
				t.Errorf("%s prints the person", verb)
			}
		}
	}
}
