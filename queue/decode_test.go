package queue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rescreen/queue"
)

func TestMessagesThatAreNoJob(t *testing.T) {
	for name, c := range map[string]struct{ data, problem string }{
		"nothing":           {"", "is not a JSON object"},
		"null":              {"null", "is not a JSON object"},
		"a list":            {"[" + topstad + "]", "is not a JSON object"},
		"text":              {`"job"`, "is not a JSON object"},
		"cut short":         {topstad[:len(topstad)-4], "is not valid JSON near byte"},
		"cut in a member":   {topstad[:20], "is not valid JSON near byte"},
		"a stray comma":     {strings.Replace(topstad, "}", ",}", 1), "is not valid JSON near byte"},
		"two jobs":          {topstad + topstad, "has something behind it"},
		"text behind":       {topstad + "x", "has something behind it"},
		"invalid UTF-8":     {strings.Replace(topstad, "Tomas", "Tom\xe5s", 1), "is not valid UTF-8"},
		"a byte order mark": {"\ufeff" + topstad, "is not a JSON object"},
		"too large":         {strings.Replace(topstad, "Tomas", strings.Repeat("T", queue.MaxJobBytes), 1), "is larger than 65536 bytes"},
		"very deep":         {strings.Replace(topstad, `"Tomas"`, strings.Repeat("[", 30000)+strings.Repeat("]", 30000), 1), "is not valid JSON near byte"},
		"unknown member":    {with("vip", "true"), "has an unknown member, number 6 in the object"},
		"other spelling":    {with("customerRef", `"C"`), "has an unknown member, number 6 in the object, meant as customer_ref?"},
		"other case":        {with("SSN", `"01010750160"`), "has an unknown member, number 6 in the object, meant as ssn?"},
		"given twice":       {strings.Replace(topstad, "}", `,"ssn":"01010750241"}`, 1), "is given twice"},
	} {
		_, err := queue.DecodeJob([]byte(c.data))
		var jobErr *queue.JobError
		if !errors.As(err, &jobErr) || !strings.HasPrefix(jobErr.Problem, c.problem) {
			t.Errorf("%s: %v, want %s", name, err, c.problem)
		}
	}
}

func TestFailedJobCanStillBeAddressed(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want queue.Job
	}{
		"unknown member first":     {`{"vip":1,` + strings.TrimPrefix(with("attempt", "3"), "{"), queue.Job{ID: "c-1", CustomerRef: "C-1", Attempt: 3}},
		"wrong type":               {with("report", `"yes"`), queue.Job{ID: "c-1", CustomerRef: "C-1", Attempt: 1}},
		"rule broken":              {with("language", `"fr"`), queue.Job{ID: "c-1", CustomerRef: "C-1", Attempt: 1}},
		"cut short":                {topstad[:60], queue.Job{ID: "c-1", CustomerRef: "C-1"}},
		"something behind":         {topstad + "x", queue.Job{ID: "c-1", CustomerRef: "C-1", Attempt: 1}},
		"id twice":                 {strings.Replace(topstad, "}", `,"id":"c-2"}`, 1), queue.Job{CustomerRef: "C-1", Attempt: 1}},
		"id unusable":              {with("id", `"a b"`), queue.Job{CustomerRef: "C-1", Attempt: 1}},
		"reference is a person":    {with("customer_ref", `"01010750160"`), queue.Job{ID: "c-1", Attempt: 1}},
		"attempt unreadable":       {with("attempt", `"one"`), queue.Job{ID: "c-1", CustomerRef: "C-1"}},
		"attempt twice":            {strings.Replace(topstad, "}", `,"attempt":2,"attempt":2}`, 1), queue.Job{ID: "c-1", CustomerRef: "C-1"}},
		"nothing that can be read": {"-", queue.Job{}},
	} {
		got, err := queue.DecodeJob([]byte(c.data))
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: addressed %+v, want %+v", name, got, c.want)
		}
	}
}

func TestErrorsHoldNoPersonalData(t *testing.T) {
	secrets := []string{"01010750160", "Topstad", "2007-01-01", "1010750160"}
	for _, member := range []string{"id", "customer_ref", "first_name", "last_name", "date_of_birth", "ssn", "ssn_country",
		"country", "expands", "report", "language", "attempt", "01010750160", "Topstad"} {
		for _, secret := range secrets {
			for _, form := range []string{`%q`, `[%q]`, `{%q:1}`, `%q:`, `1010750160`, `010107%.0q`, `%q}}`, "\"%s\xff\""} {
				value := fmt.Sprintf(form, secret)
				_, err := queue.DecodeJob([]byte(with(member, value)))
				if err == nil {
					continue
				}
				for _, s := range secrets {
					if strings.Contains(err.Error(), s) {
						t.Errorf("member %s with %s: the error shows it: %v", member, form, err)
					}
				}
			}
		}
	}
}

// FuzzDecodeJob: what decodes encodes, decodes to the same again, and is
// stable from then on; what does not decode says why and shows nothing.
func FuzzDecodeJob(f *testing.F) {
	f.Add([]byte(topstad))
	f.Add([]byte(with("date_of_birth", `"2007-01-01"`)))
	f.Add([]byte(with("expands", `["aml","roles"]`)))
	f.Add([]byte(with("first_name", `"\u00c5se \ud83d\ude00 \ud800"`)))
	f.Add([]byte(with("attempt", `1e0`)))
	f.Add([]byte(`{"id":"a","id":"b","attempt":2`))
	f.Add([]byte(with("vip", `{"a":[1,2,{"b":null}]}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		job, err := queue.DecodeJob(data)
		if err != nil {
			var jobErr *queue.JobError
			if !errors.As(err, &jobErr) || jobErr.Problem == "" {
				t.Fatalf("error %v is no JobError", err)
			}
			if job.FirstName != "" || job.LastName != "" || job.SSN != "" || job.DateOfBirth != "" {
				t.Fatal("a refused job carries the person")
			}
			return
		}
		first, err := job.Encode()
		if err != nil {
			t.Fatalf("a decoded job does not encode: %v", err)
		}
		again, err := queue.DecodeJob(first)
		if err != nil || !reflect.DeepEqual(again, job) {
			t.Fatalf("decoded again: %v", err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoded again: %v", err)
		}
		if !json.Valid(first) || bytes.ContainsAny(first, "\n\r") {
			t.Fatal("the wire form is not one line of JSON")
		}
	})
}
