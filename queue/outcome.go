package queue

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"rescreen/apiclient/personal"
)

// Outcome is what a completed screening found.
type Outcome string

// The outcomes. Undetermined means that the API gave no AML result: it is not
// the same as no hits.
const (
	Hit          Outcome = "hit"
	Clear        Outcome = "clear"
	Undetermined Outcome = "undetermined"
)

// Outcomes returns the closed set.
func Outcomes() []Outcome { return []Outcome{Hit, Clear, Undetermined} }

// ReportState says what became of the PDF of a completed screening.
type ReportState string

// The states of a report. What was paid for is never thrown away: a report
// that is late, failed, expired or invalid leaves the result completed.
const (
	ReportNotOrdered ReportState = "not_ordered"
	ReportStored     ReportState = "stored"
	ReportLate       ReportState = "late"    // not ready when the session's deadline passed
	ReportFailed     ReportState = "failed"  // the API says so
	ReportExpired    ReportState = "expired" // not fetched within its lifetime
	ReportInvalid    ReportState = "invalid" // fetched, but not a signed PDF
)

// ReportStates returns the closed set.
func ReportStates() []ReportState {
	return []ReportState{ReportNotOrdered, ReportStored, ReportLate, ReportFailed, ReportExpired, ReportInvalid}
}

// Reason says why a screening failed.
type Reason string

// The reasons.
const (
	InvalidJob      Reason = "invalid_job"       // the job broke a rule
	RequestRejected Reason = "request_rejected"  // the API refused the query
	CreateUnknown   Reason = "create_unknown"    // whether a session was created is unknown
	SessionFailed   Reason = "session_failed"    // the session ended without a result
	SessionNotFound Reason = "session_not_found" // the API does not know the session
	SessionTimeout  Reason = "session_timeout"   // the session's deadline passed
	ResultExpired   Reason = "result_expired"    // not fetched within its lifetime, too often
	ResultInvalid   Reason = "result_invalid"    // fetched, but not usable
	InternalError   Reason = "internal_error"    // a step that never ends
	Cancelled       Reason = "cancelled"
)

// Reasons returns the closed set.
func Reasons() []Reason {
	return []Reason{InvalidJob, RequestRejected, CreateUnknown, SessionFailed, SessionNotFound, SessionTimeout,
		ResultExpired, ResultInvalid, InternalError, Cancelled}
}

// Stage is the state of a job in which it failed.
type Stage string

// The stages.
const (
	Queued   Stage = "queued"
	Creating Stage = "creating"
	Waiting  Stage = "waiting"
)

// Stages returns the closed set.
func Stages() []Stage { return []Stage{Queued, Creating, Waiting} }

// Kinds of evidence.
const (
	EvidenceDocument = "document"
	EvidenceReport   = "report"
)

// Evidence says where the exact bytes lie that the API sent.
type Evidence struct {
	Kind        string `json:"kind"`
	SHA256      string `json:"sha256"` // 64 hex digits
	Bytes       int64  `json:"bytes"`
	ContentType string `json:"content_type"`
	// Location is stream and subject: SCREENING_EVIDENCE/screening.evidence.<sha256>.
	Location string `json:"location"`
}

// Report says what became of the PDF. The pointers are set when it is stored.
type Report struct {
	State     ReportState `json:"state"`
	SHA256    *string     `json:"sha256"`
	Bytes     *int64      `json:"bytes"`
	Signature *string     `json:"signature"` // what the check of the signature found
}

// Result is the data of a completed screening. Nil means not known.
type Result struct {
	Attempt      int     `json:"attempt"`
	SessionID    string  `json:"session_id"`
	Outcome      Outcome `json:"outcome"`
	PEPHits      *int    `json:"pep_hits"`
	SanctionHits *int    `json:"sanction_hits"`
	// ListsSearched is nil when the API did not say, empty when it named none.
	ListsSearched []string `json:"lists_searched"`
	// Document is the API's JSON; absent above the message limit.
	Document       Raw        `json:"document,omitempty"`
	DocumentSHA256 string     `json:"document_sha256"` // of the bytes as received
	Evidence       []Evidence `json:"evidence"`
	Report         Report     `json:"report"`
	// PossibleDuplicate: a session may have been paid for that nobody knows of.
	PossibleDuplicate bool     `json:"possible_duplicate"`
	SessionsCreated   int      `json:"sessions_created"`
	Recreations       int      `json:"recreations"` // after an unknown outcome of a creation
	Expiries          int      `json:"expiries"`    // sessions that expired before they were fetched
	OrphanedSessions  []string `json:"orphaned_sessions"`

	CreatedAt   time.Time `json:"created_at"`
	ReadySeenAt time.Time `json:"ready_seen_at"`
	FetchedAt   time.Time `json:"fetched_at"`
	Polls       int       `json:"polls"`
}

// Failure is the data of a failed screening. Nil means there is none.
type Failure struct {
	Attempt  int    `json:"attempt"`
	Reason   Reason `json:"reason"`
	FailedIn Stage  `json:"failed_in"`
	// Retryable: the same query may succeed another time.
	Retryable bool    `json:"retryable"`
	APIStatus *int    `json:"api_status"` // HTTP status
	Message   *string `json:"message"`    // masked
	SessionID *string `json:"session_id"`

	PossibleDuplicate bool     `json:"possible_duplicate"`
	SessionsCreated   int      `json:"sessions_created"`
	Recreations       int      `json:"recreations"`
	Expiries          int      `json:"expiries"`
	OrphanedSessions  []string `json:"orphaned_sessions"`

	CreatedAt *time.Time `json:"created_at"`
	FailedAt  time.Time  `json:"failed_at"`
	Polls     int        `json:"polls"`
}

// Format implements fmt.Formatter: whether somebody was hit is as private as
// the name, so that a result prints without its content.
func (r Result) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "result "+personal.Redacted)
}

func (r Result) validate() error {
	if !slices.Contains(Outcomes(), r.Outcome) {
		return errors.New("result: unknown outcome")
	}
	if !slices.Contains(ReportStates(), r.Report.State) {
		return errors.New("result: unknown state of the report")
	}
	for _, e := range r.Evidence {
		if e.Kind != EvidenceDocument && e.Kind != EvidenceReport {
			return errors.New("result: unknown kind of evidence")
		}
	}
	return nil
}

// normal returns the result in the form of the wire: times in UTC, lists that
// are never null.
func (r Result) normal() Result {
	r.Evidence = notNil(r.Evidence)
	r.OrphanedSessions = notNil(r.OrphanedSessions)
	r.CreatedAt, r.ReadySeenAt, r.FetchedAt = r.CreatedAt.UTC(), r.ReadySeenAt.UTC(), r.FetchedAt.UTC()
	return r
}

func (f Failure) validate() error {
	if !slices.Contains(Reasons(), f.Reason) {
		return errors.New("failure: unknown reason")
	}
	if !slices.Contains(Stages(), f.FailedIn) {
		return errors.New("failure: unknown stage")
	}
	return nil
}

func (f Failure) normal() Failure {
	f.OrphanedSessions = notNil(f.OrphanedSessions)
	f.FailedAt = f.FailedAt.UTC()
	if f.CreatedAt != nil {
		at := f.CreatedAt.UTC()
		f.CreatedAt = &at
	}
	return f
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
