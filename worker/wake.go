package worker

import (
	"encoding/json"
	"fmt"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
)

// wake is the content of a wake-up: everything a poll needs, so that a poll
// that finds nothing reads and writes no record. Without a session it only
// says "look at the record". All times are the server's.
type wake struct {
	Session apiclient.SessionID `json:"session,omitempty"`
	Country string              `json:"country,omitempty"`
	// Seq is the record's sequence when the wake-up was parked.
	Seq uint64 `json:"seq,omitempty"`
	// Poll is how many polls there have been.
	Poll      int       `json:"poll,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	// ReadyAt is when a poll first found the session ready, whose document could
	// not be fetched yet.
	ReadyAt time.Time `json:"ready_at,omitzero"`
	// Answered is the last time the API knew the session: the last successful
	// poll, or the creation. A 404 long after it means "perished".
	Answered time.Time `json:"answered,omitzero"`
	// Missing counts 404 answers that came too early to mean that.
	Missing int `json:"missing,omitempty"`
	// Unanswered counts calls in a row without an answer that could be used.
	Unanswered int `json:"unanswered,omitempty"`
	// Spoiled counts answers that could not be used, of the document and of
	// the report.
	SpoiledDocument int `json:"spoiled_document,omitempty"`
	SpoiledReport   int `json:"spoiled_report,omitempty"`
	// Report says that the PDF is ordered, Document what is stored already.
	Report   bool      `json:"report,omitempty"`
	Document *Document `json:"document,omitempty"`
	// Trace is the W3C trace context of the job; see trace.go.
	Trace string `json:"trace,omitempty"`
}

// wakeFor is the wake-up that a waiting record implies, for its first poll or
// when its wake-up was lost.
func wakeFor(rec Record, seq uint64) wake {
	if rec.State != Waiting {
		return wake{Seq: seq, Trace: rec.Traceparent}
	}
	return wake{
		Session:   rec.Session,
		Country:   rec.Country,
		Seq:       seq,
		Poll:      rec.Polls,
		CreatedAt: rec.CreatedAt,
		Answered:  rec.CreatedAt,
		Report:    rec.Query != nil && rec.Query.Report,
		Document:  rec.Document,
		Trace:     rec.Traceparent,
	}
}

func (w wake) ref() apiclient.Ref {
	return apiclient.Ref{Country: w.Country, ID: w.Session}
}

func (w wake) encode() ([]byte, error) {
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode wake-up: %w", err)
	}
	return b, nil
}

// decodeWake reads a wake-up. One that cannot be read says as much as one
// without a session: look at the record, it decides.
func decodeWake(data []byte) wake {
	var w wake
	if json.Unmarshal(data, &w) != nil {
		return wake{}
	}
	if !queue.ValidTraceparent(w.Trace) {
		w.Trace = ""
	}
	return w
}
