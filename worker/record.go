package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
)

// State is where a job stands. The set is closed: a record in another state
// was written by a newer worker and is refused, never overwritten.
type State string

const (
	// Queued: no session exists and none is being created.
	Queued State = "queued"
	// Creating: a create call may be under way since Record.Since.
	Creating State = "creating"
	// Waiting: the session exists at the API and is polled.
	Waiting State = "waiting"
	// Done: the result is in evidence and record; final.
	Done State = "done"
	// Failed: the screening failed for the reason in Record.Failure; final
	// for its attempt.
	Failed State = "failed"
)

// none stands for "no record yet" in the table of transitions.
const none State = ""

// transitions is every change of state a worker may commit. Within an
// attempt nothing leaves Done or Failed; a job message of a later attempt
// may start again from Failed (newAttempt).
var transitions = map[State][]State{
	none:     {Queued, Creating, Failed},
	Queued:   {Queued, Creating, Failed},
	Creating: {Creating, Waiting, Queued, Failed},
	Waiting:  {Waiting, Queued, Done, Failed},
	Done:     {},
	Failed:   {},
}

// allowed reports whether a record in state from may become one in state to.
func allowed(from, to State) bool {
	for _, s := range transitions[from] {
		if s == to {
			return true
		}
	}
	return false
}

// terminal reports whether s is a final state.
func (s State) terminal() bool { return s == Done || s == Failed }

// errUnknownState is returned for a record that this version cannot read, or
// in which something is missing that its state needs. The job is left alone: a
// newer worker knows what to do with it.
var errUnknownState = errors.New("record in a state unknown to this version")

// Record is the one authority on a job: what has happened and what may happen
// next. Its JSON is the message on screening.record.<batch>.<job>. All times
// are the server's.
type Record struct {
	State   State `json:"state"`
	Attempt int   `json:"attempt"`
	// Since is when the state was entered: for Creating the start of the call,
	// for Done and Failed the time of the outcome.
	Since time.Time `json:"since"`
	// NotBefore is when a Queued job may be tried again.
	NotBefore time.Time `json:"not_before,omitzero"`

	CustomerRef string `json:"customer_ref,omitempty"`
	Traceparent string `json:"traceparent,omitempty"`
	// Stored is when the job stream took the job. It is kept until the first
	// creation is begun.
	Stored time.Time `json:"stored,omitzero"`
	// Query travels with the record from creating on, so that the job message
	// can be acknowledged and an expired session created anew. Done drops it,
	// Failed keeps it until the record's time is up.
	Query *queue.Job `json:"query,omitempty"`

	Session apiclient.SessionID `json:"session,omitempty"`
	// Country is the path segment under which the session was created.
	Country   string    `json:"country,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	// NotCreated counts the tries in a row that provably created nothing; it
	// paces the next one and is forgotten when a session exists.
	NotCreated int `json:"not_created,omitempty"`
	Polls      int `json:"polls,omitempty"`

	Document *Document `json:"document,omitempty"`
	Report   *Report   `json:"report,omitempty"`
	Failure  *Failure  `json:"failure,omitempty"`

	Counters
	Strikes *Strikes `json:"strikes,omitempty"`

	added *unknown // by a newer worker, and written back as it was read
}

type plainRecord Record // without the methods

// UnmarshalJSON implements json.Unmarshaler.
func (r *Record) UnmarshalJSON(b []byte) error {
	var plain plainRecord
	added, err := decodeKeeping(b, &plain)
	if err != nil {
		return err
	}
	*r = Record(plain)
	r.added = added
	return nil
}

// MarshalJSON implements json.Marshaler.
func (r Record) MarshalJSON() ([]byte, error) { return encodeKeeping(plainRecord(r), r.added) }

// Counters only grow within an attempt: every transition carries them on, and
// they stand in the result and in the failure.
type Counters struct {
	// SessionsCreated is how many sessions the API is known to have created.
	SessionsCreated int `json:"sessions_created,omitempty"`
	// Recreations is how often a create call was repeated after an unknown outcome.
	Recreations int `json:"recreations,omitempty"`
	// Expiries is how often a session was lost because its results perished.
	Expiries int `json:"expiries,omitempty"`
	// Expired are those sessions.
	Expired []apiclient.SessionID `json:"expired,omitempty"`
	// PossibleDuplicate says that a session beyond SessionsCreated may exist.
	PossibleDuplicate bool `json:"possible_duplicate,omitempty"`
	// Orphans are sessions that were created but that the job does not use.
	Orphans []apiclient.SessionID `json:"orphans,omitempty"`
}

// Document is what the record keeps of the JSON result.
type Document struct {
	SHA256 string        `json:"sha256"`
	Bytes  int64         `json:"bytes"`
	Found  queue.Outcome `json:"outcome"`
	// PEPHits, SanctionHits and Lists are nil where the document does not say.
	PEPHits      *int      `json:"pep_hits"`
	SanctionHits *int      `json:"sanction_hits"`
	Lists        []string  `json:"lists_searched"`
	ReadyAt      time.Time `json:"ready_seen_at"`
	FetchedAt    time.Time `json:"fetched_at"`
}

// Report is what the record keeps of the signed PDF, or of why there is none.
type Report struct {
	State     queue.ReportState `json:"state"`
	SHA256    string            `json:"sha256,omitempty"`
	Bytes     int64             `json:"bytes,omitempty"`
	Signature string            `json:"signature,omitempty"`
}

// Failure is why a job has no result.
type Failure struct {
	Reason queue.Reason `json:"reason"`
	// In is the state in which it failed.
	In State `json:"failed_in"`
	// APIStatus is the HTTP status behind it; 0 when no answer was.
	APIStatus int `json:"api_status,omitempty"`
	// Message is for people; it holds no personal data.
	Message string `json:"message,omitempty"`
}

// Strikes counts deliveries of one message that found the record as the one
// before had left it: the mark of a step that kills its worker.
type Strikes struct {
	Message string `json:"message"` // stream and sequence
	Count   int    `json:"count"`
}

// maxStrikes deliveries of a message may find their record unchanged; then
// the job fails with internal_error instead of taking workers down for ever.
const maxStrikes = 5

func decodeRecord(value []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return Record{}, fmt.Errorf("decode record: %w", err)
	}
	if !r.whole() {
		return Record{}, errUnknownState
	}
	return r, nil
}

// whole reports whether r holds what every step of its state relies on.
func (r Record) whole() bool {
	switch r.State {
	case Queued, Creating:
		return r.Query != nil
	case Waiting:
		return r.Query != nil && r.Session != "" && !r.CreatedAt.IsZero()
	case Done:
		return r.Document != nil && r.Report != nil
	case Failed:
		return r.Failure != nil
	}
	return false
}

// fail turns r into the failed record it becomes at now.
func (r Record) fail(now time.Time, reason queue.Reason, status int, message string) Record {
	r.Failure = &Failure{Reason: reason, In: r.State, APIStatus: status, Message: message}
	if r.State == none {
		r.Failure.In = Queued
	}
	r.State, r.Since, r.NotBefore, r.Strikes = Failed, now, time.Time{}, nil
	return r
}

// queueAgain turns r into a job that waits until at for its next try.
func (r Record) queueAgain(now, at time.Time) Record {
	r.State, r.Since, r.NotBefore, r.Strikes = Queued, now, at, nil
	r.Session, r.Country, r.CreatedAt = "", "", time.Time{}
	r.Document, r.Report = nil, nil
	return r
}

// startCreating turns r into the record of a create call that starts at now.
func (r Record) startCreating(now time.Time) Record {
	r.State, r.Since, r.NotBefore, r.Strikes = Creating, now, time.Time{}, nil
	r.Stored = time.Time{}
	return r
}

// startWaiting turns r into the record of the session that the call created.
func (r Record) startWaiting(now time.Time, id apiclient.SessionID) Record {
	r.State, r.Since, r.Strikes = Waiting, now, nil
	r.Session, r.Country, r.CreatedAt = id, r.Query.Country, now
	r.SessionsCreated++
	r.NotCreated = 0
	return r
}

// finish turns r into the done record with the evidence at hand.
func (r Record) finish(now time.Time, polls int, d *Document, rep *Report) Record {
	r.State, r.Since, r.Strikes = Done, now, nil
	r.Polls, r.Document, r.Report = polls, d, rep
	r.Query = nil
	return r
}

// knows reports whether the session is, or was, one of the job's.
func (r Record) knows(id apiclient.SessionID) bool {
	return r.Session == id || slices.Contains(r.Expired, id) || slices.Contains(r.Orphans, id)
}

// expire counts the session whose results have perished.
func (r Record) expire() Record {
	r.Expiries++
	r.Expired = append(slices.Clone(r.Expired), r.Session)
	return r
}

// withOrphan adds a session that nobody will poll. Its slice is its own, so
// that two records never share one.
func (r Record) withOrphan(id apiclient.SessionID) Record {
	if r.knows(id) {
		return r
	}
	r.Orphans = append(slices.Clone(r.Orphans), id)
	r.SessionsCreated++
	r.PossibleDuplicate = true
	return r
}
