package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Types of the events on SCREENING_RESULTS.
const (
	TypeCompleted = "screening.completed.v1"
	TypeFailed    = "screening.failed.v1"

	// SchemaCompleted and SchemaFailed identify the schemas that the data of
	// the events keep to: an anchor within queue/schema/result.v1.json and
	// failure.v1.json.
	SchemaCompleted = "urn:rescreen:schema:result.v1#data"
	SchemaFailed    = "urn:rescreen:schema:failure.v1#data"

	specVersion     = "1.0"
	dataContentType = "application/json"
)

// EventHeadroom is what a message of the server's largest size leaves to its
// headers and subject.
const EventHeadroom = 16 << 10

// MaxEventBytes bounds an event where nothing else is said: the server's
// default limit of a message is 1 MiB.
const MaxEventBytes = 1<<20 - EventHeadroom

// Event is a result or a failure on the wire: a CloudEvent 1.0 in structured
// JSON. Its fields beyond Data hold no personal data.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`     // <batch>.<job>.<attempt>: readers drop doubles by it
	Source          string    `json:"source"` // /rescreen/<api environment>
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"` // the customer reference
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	DataSchema      string    `json:"dataschema"`
	BatchID         BatchID   `json:"batchid"`
	JobID           JobID     `json:"jobid"`
	Traceparent     string    `json:"traceparent,omitempty"`
	Data            Raw       `json:"data"`
}

// EventMeta is what an event says about its job and about itself.
type EventMeta struct {
	APIEnv  string // the API environment: local, current, prod
	Batch   BatchID
	Job     JobID
	Attempt int
	// Subject is the customer reference; empty when the job's could not be
	// read. One that no valid job has is left out.
	Subject string
	// Time is when the outcome became final, not when the event is written: an
	// outcome published again is the same event.
	Time time.Time
	// Traceparent is the W3C trace context of the job. One that is malformed
	// is left out: it came from a producer, and an outcome matters more.
	Traceparent string
	// MaxBytes is the largest event wanted; 0 means MaxEventBytes.
	MaxBytes int
}

// Errors of encoding and reading events.
var (
	// ErrDocument: the document is not JSON in UTF-8, so that no event can
	// carry it. Leave it out: the evidence keeps its bytes.
	ErrDocument = errors.New("document is not JSON in UTF-8")
	// ErrTooLarge: the event exceeds its limit even without the document.
	ErrTooLarge = errors.New("event exceeds the message limit")
	// ErrEvent: the bytes are not an event of ours.
	ErrEvent = errors.New("not an event")
)

// EncodeResult returns the event of a completed screening, one line of JSON.
// The document is carried with its values untouched, only compacted; when the
// event would exceed meta.MaxBytes the document is left out, and the evidence
// says where its bytes are. r.Attempt is taken from meta.
//
// Errors: ErrDocument, ErrTooLarge, or a value outside its closed set.
func EncodeResult(meta EventMeta, r Result) ([]byte, error) {
	r.Attempt = meta.Attempt
	if err := errors.Join(meta.validate(), r.validate()); err != nil {
		return nil, err
	}
	if len(r.Document) > 0 && !(utf8.Valid(r.Document) && json.Valid(r.Document)) {
		return nil, fmt.Errorf("encode result: %w", ErrDocument)
	}
	r = r.normal()
	if len(r.Document) < meta.limit() {
		event, err := meta.encode(TypeCompleted, SchemaCompleted, r)
		if err != nil || len(event) <= meta.limit() {
			return event, err
		}
	}
	r.Document = nil
	return meta.encodeBounded(TypeCompleted, SchemaCompleted, r)
}

// EncodeFailure returns the event of a screening that came to nothing, one
// line of JSON. f.Attempt is taken from meta.
//
// Errors: ErrTooLarge, or a value outside its closed set.
func EncodeFailure(meta EventMeta, f Failure) ([]byte, error) {
	f.Attempt = meta.Attempt
	if err := errors.Join(meta.validate(), f.validate()); err != nil {
		return nil, err
	}
	return meta.encodeBounded(TypeFailed, SchemaFailed, f.normal())
}

func (m EventMeta) limit() int {
	if m.MaxBytes == 0 {
		return MaxEventBytes
	}
	return m.MaxBytes
}

func (m EventMeta) validate() error {
	if err := errors.Join(m.Batch.Validate(), m.Job.Validate()); err != nil {
		return err
	}
	switch {
	case attemptProblem(m.Attempt) != "":
		return errors.New("event: attempt out of range")
	case m.APIEnv == "":
		return errors.New("event: no API environment")
	case m.Time.IsZero():
		return errors.New("event: no time")
	}
	return nil
}

func (m EventMeta) encodeBounded(kind, schema string, data any) ([]byte, error) {
	event, err := m.encode(kind, schema, data)
	if err != nil {
		return nil, err
	}
	if len(event) > m.limit() {
		return nil, fmt.Errorf("event of %d bytes: %w", len(event), ErrTooLarge)
	}
	return event, nil
}

func (m EventMeta) encode(kind, schema string, data any) ([]byte, error) {
	payload, err := encode(data)
	if err != nil {
		return nil, errors.New("event: data cannot be encoded")
	}
	e := Event{
		SpecVersion:     specVersion,
		ID:              EventID(m.Batch, m.Job, m.Attempt),
		Source:          "/rescreen/" + m.APIEnv,
		Type:            kind,
		Time:            m.Time.UTC(),
		DataContentType: dataContentType,
		DataSchema:      schema,
		BatchID:         m.Batch,
		JobID:           m.Job,
		Data:            payload,
	}
	if customerRefProblem(m.Subject) == "" {
		e.Subject = m.Subject
	}
	if ValidTraceparent(m.Traceparent) {
		e.Traceparent = m.Traceparent
	}
	return e.Encode()
}

// Encode returns the event as one line of JSON.
func (e Event) Encode() ([]byte, error) {
	b, err := encode(e)
	if err != nil {
		return nil, errors.New("event: cannot be encoded")
	}
	return b, nil
}

// EventID is the id of an outcome and, for a job, the Nats-Msg-Id it is
// published under.
func EventID(batch BatchID, job JobID, attempt int) string {
	return fmt.Sprintf("%s.%s.%d", batch, job, attempt)
}

// DecodeEvent reads an event leniently: members it does not know are passed
// over, as events gain members. It needs the specversion 1.0, an id, a type
// and data. The error wraps ErrEvent and repeats nothing of the event.
func DecodeEvent(data []byte) (Event, error) {
	if !utf8.Valid(data) {
		return Event{}, fmt.Errorf("%w: not valid UTF-8", ErrEvent)
	}
	var e Event
	if err := json.Unmarshal(data, &e); err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrEvent, jsonProblem(err))
	}
	switch {
	case e.SpecVersion != specVersion:
		return Event{}, fmt.Errorf("%w: specversion is not 1.0", ErrEvent)
	case e.ID == "" || e.Type == "":
		return Event{}, fmt.Errorf("%w: no id or no type", ErrEvent)
	case len(e.Data) == 0:
		return Event{}, fmt.Errorf("%w: no data", ErrEvent)
	}
	return e, nil
}

// Result returns the data of a completed screening.
func (e Event) Result() (Result, error) { return dataOf[Result](e, TypeCompleted) }

// Failure returns the data of a failed screening.
func (e Event) Failure() (Failure, error) { return dataOf[Failure](e, TypeFailed) }

func dataOf[T Result | Failure](e Event, kind string) (T, error) {
	var data T
	if e.Type != kind {
		return data, fmt.Errorf("%w of type %s", ErrEvent, kind)
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		var none T
		return none, fmt.Errorf("%w: data: %s", ErrEvent, jsonProblem(err))
	}
	return data, nil
}

// jsonProblem describes a decoding error by its place. The error's own text
// may quote the value.
func jsonProblem(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("invalid JSON near byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("a member of the wrong type near byte %d", kind.Offset)
	}
	return "a member that cannot be read"
}

// ValidTraceparent reports whether s is a W3C trace context header of version
// 00: only such a one travels on, as headers are visible to everybody.
func ValidTraceparent(s string) bool {
	const form = "00-00000000000000000000000000000000-0000000000000000-00"
	if len(s) != len(form) || s[:3] != form[:3] {
		return false
	}
	for i := range len(s) {
		dash := form[i] == '-'
		hex := s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'
		if dash != (s[i] == '-') || !dash && !hex {
			return false
		}
	}
	return s[3:35] != form[3:35] && s[36:52] != form[36:52] // an id of zeros is none
}
