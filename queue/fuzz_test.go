package queue

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient/personal"
)

// entry is a value of the bucket of batches.
type entry struct {
	jetstream.KeyValueEntry
	key   string
	value []byte
}

func (e entry) Key() string   { return e.key }
func (e entry) Value() []byte { return e.value }

// FuzzDecodeBatch: a batch that is read is one that could be written, under its
// own name, and no error repeats what it could not read.
func FuzzDecodeBatch(f *testing.F) {
	for _, seed := range []string{
		`{"name":"b","state":"submitted","rows":3,"accepted":3,"submitted_by":"kari","submitted_at":"2026-01-05T08:00:00Z"}`,
		`{"name":"b","state":"ended","later":{"a":1}}`, `{"name":"B.*","state":"ended"}`, `{"name":"b","state":"paused"}`,
		`{"name":"b","state":"ended","rows":-1}`, `{"name":"b","state":"ended","rows":1e99}`, `{"name":"b","state":"ended","started_at":"Topstad"}`,
		`{"name":"b","name":"c","state":"ended"}`, `{"NAME":"b","State":"ended"}`, `[]`, `null`, ``, strings.Repeat("[", 100_000),
	} {
		f.Add("b", []byte(seed))
	}
	f.Add("*", []byte(`{"name":"*","state":"ended"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		b, err := decodeBatch(entry{key: key, value: value})
		if err != nil {
			if len(err.Error()) > 100 || strings.Contains(err.Error(), "Topstad") {
				t.Errorf("error %v", err)
			}
			return
		}
		if string(b.Name) != key || b.Name.Validate() != nil {
			t.Fatalf("batch %q under the key %q", b.Name, key)
		}
		first, err := encode(b)
		if err != nil {
			t.Fatalf("a batch that was read cannot be written: %v", err)
		}
		back, err := decodeBatch(entry{key: key, value: first})
		if err != nil {
			t.Fatalf("a batch that was written cannot be read: %v", err)
		}
		if second, err := encode(back); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v: %s\nreads back as\n%s", err, first, second)
		}
	})
}

// FuzzJobSubject: a subject that is understood is the one that is built from
// what was understood.
func FuzzJobSubject(f *testing.F) {
	for _, seed := range []string{
		"screening.jobs.b", "screening.jobs.", "screening.jobs.a.b", "screening.jobs.*", "screening.jobs.>", "screening.jobs.B", "screening.jobs.b\r\n",
		"screening.job.b", "", "screening.jobs." + strings.Repeat("x", 33),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		batch, err := batchOf(subject)
		if err != nil {
			if len(subject) > 20 && strings.Contains(err.Error(), subject) {
				t.Errorf("error %v", err)
			}
			return
		}
		if JobSubject(batch) != subject || strings.ContainsAny(string(batch), ".*> \r\n") {
			t.Errorf("%q was understood as %q", subject, batch)
		}
	})
}

// FuzzTraceparent: what travels on can hold nothing but a trace.
func FuzzTraceparent(f *testing.F) {
	const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, seed := range []string{valid, strings.ToUpper(valid), valid + "-x", "01" + valid[2:], valid[:54] + "\n", "", strings.Replace(valid, "c", "Å", 1), "00-0101075024101010750241010107502-0101075024101010-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidTraceparent(s) && (len(s) != len(valid) || strings.Trim(s, "0123456789abcdef-") != "" || strings.Count(s, "-") != 3) {
			t.Errorf("%q is accepted", s)
		}
	})
}

// FuzzJobEncoding: whatever a submitter accepts a worker reads.
func FuzzJobEncoding(f *testing.F) {
	f.Add("c-1", "C-1", "Kari", "Å\u202eb", "2007-01-01", "", "aml", 1)
	f.Add("c-1", "C-1", "Kari <&>", "\u2028", "", "01010750241", "roles", 9999)
	f.Add("-", "\u00a0x", strings.Repeat("x", 256), "y", "2007-01-01", "01010750241", "", 0)
	f.Fuzz(func(t *testing.T, id, ref, first, last, born, ssn, expands string, attempt int) {
		job := Job{ID: JobID(id), CustomerRef: ref, FirstName: personal.Text(first), LastName: personal.Text(last), DateOfBirth: personal.Text(born), SSN: personal.Text(ssn), Attempt: attempt}
		if expands != "" {
			job.Expands = strings.Split(expands, ",")
		}
		data, err := job.Encode()
		if err != nil {
			return
		}
		if !json.Valid(data) || bytes.ContainsAny(data, "\r\n") {
			t.Fatalf("%q is not a line of JSON", data)
		}
		if _, err := DecodeJob(data); err != nil {
			t.Errorf("what is accepted by a submitter is refused by a worker: %v\n%s", err, data)
		}
	})
}
