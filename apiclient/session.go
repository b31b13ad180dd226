package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// SessionID is the API's name for a session.
type SessionID string

// Ref addresses a session: the country it was created for is part of its path.
type Ref struct {
	Country string // "" means "no"
	ID      SessionID
}

// Session is what the API tells about a session.
type Session struct {
	Status           string // of the whole session, as sent; "" if not told
	Document, Report Entity

	// RetryAfter is how long the API asks us to wait before asking again;
	// 0: it does not say.
	RetryAfter time.Duration

	failed bool
}

// Failed reports whether the session as a whole failed: no entity will come.
func (s Session) Failed() bool { return s.failed }

// Entity is one result of a session: the JSON document or the PDF report.
type Entity struct {
	Status  string // as sent; unknown literals are data
	Link    string // where to fetch it, as sent; "" if not told
	Present bool   // the answer speaks of it

	state EntityState
}

// EntityState is what an entity's status means.
type EntityState int

// The states of an entity. A literal we do not know is pending.
const (
	EntityAbsent EntityState = iota // not spoken of: not ordered, or not yet begun
	EntityPending
	EntityReady
	EntityFailed
)

// String returns the state in words.
func (s EntityState) String() string {
	switch s {
	case EntityAbsent:
		return "absent"
	case EntityPending:
		return "pending"
	case EntityReady:
		return "ready"
	case EntityFailed:
		return "failed"
	}
	return "unknown state"
}

// State returns what the status means under the client's profile, or under the
// default profile for an Entity that did not come from a client.
func (e Entity) State() EntityState {
	switch {
	case !e.Present:
		return EntityAbsent
	case e.state != EntityAbsent:
		return e.state
	}
	return DefaultProfile().Session.state(e.Status)
}

// state classifies a status literal.
func (f SessionFields) state(status string) EntityState {
	switch {
	case equalsFold(status, f.Ready):
		return EntityReady
	case status != "" && containsFold(status, f.Failed):
		return EntityFailed
	}
	return EntityPending
}

// Session asks how far a session is.
//
// Errors: NotReady, Gone, Throttled, Denied, Misconfigured, Unavailable,
// Invalid, Refused, NotSent.
func (c *Client) Session(ctx context.Context, admit Admit, ref Ref) (Session, error) {
	const op = "read session"
	got, err := c.get(ctx, getCall{
		op:     op,
		call:   CallPoll,
		admit:  admit,
		locate: func(e endpoints) (target, error) { return c.sessionTarget(e, ref, c.profile.Paths.Session) },
		accept: "application/json",
		limit:  maxSmallJSONBytes,
	})
	if err != nil {
		return Session{}, err
	}
	s, perr := c.profile.Session.read(got.body)
	if perr != nil {
		return Session{}, &Error{Op: op, Kind: Invalid, Status: got.status, RequestID: got.requestID, Err: perr}
	}
	s.RetryAfter = got.retryAfter
	return s, nil
}

// maxStatusBytes bounds a literal, which goes into logs and records.
const maxStatusBytes = 100

var errNotSession = errors.New("not session information")

// read reads session information in any of the shapes seen or guessed: flat
// literals, objects, lists of entities, and any mix of them. What else is
// there is ignored.
func (f SessionFields) read(data []byte) (Session, error) {
	if err := checkJSON(data); err != nil {
		return Session{}, err
	}
	var s Session
	if items, ok := asList(data); ok {
		f.readList(&s, items)
		return s, nil
	}
	members, ok := asObject(data)
	if !ok {
		return Session{}, errNotSession
	}
	f.readMembers(&s, members)
	for _, key := range f.Lists {
		if items, ok := asList(members[key]); ok {
			f.readList(&s, items)
		} else if inner, ok := asObject(members[key]); ok {
			f.readMembers(&s, inner)
		}
	}
	if status, ok := asString(members[f.Status]); ok {
		s.Status = bounded(status, maxStatusBytes)
		s.failed = f.state(status) == EntityFailed
	}
	return s, nil
}

// readMembers reads entities that are members, flat or nested.
func (f SessionFields) readMembers(s *Session, members map[string]json.RawMessage) {
	f.merge(&s.Document, members[f.Document])
	f.merge(&s.Report, members[f.Report])
}

// readList reads entities that are items with a name.
func (f SessionFields) readList(s *Session, items []json.RawMessage) {
	for _, item := range items {
		members, ok := asObject(item)
		if !ok {
			continue
		}
		switch name := firstString(members, f.NameKeys); {
		case name == "":
			f.readMembers(s, members) // a list of one-member objects
		case name == f.Document:
			f.merge(&s.Document, item)
		case name == f.Report:
			f.merge(&s.Report, item)
		}
	}
}

// merge adds one mention of an entity. Of several the most hopeful counts,
// whatever their order: asking for something that is not there costs a call,
// not asking for something that is can cost the two hours it is kept.
func (f SessionFields) merge(e *Entity, raw json.RawMessage) {
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	found := Entity{Present: true}
	if members, ok := asObject(raw); ok {
		found.Status = firstString(members, f.StatusKeys)
		found.Link = firstString(members, f.LinkKeys)
	} else {
		found.Status, _ = asString(raw)
	}
	found.state = f.state(found.Status)
	rank := []EntityState{EntityAbsent, EntityPending, EntityFailed, EntityReady}
	if slices.Index(rank, found.state) > slices.Index(rank, e.state) {
		e.Status, e.state = bounded(found.Status, maxStatusBytes), found.state
	}
	e.Present = true
	if e.Link == "" {
		e.Link = found.Link
	}
}

// The readers below take what has the expected type and ignore the rest; the
// zero value of json.RawMessage is an absent member.

func asObject(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return nil, false
	}
	return m, true
}

func asList(raw json.RawMessage) ([]json.RawMessage, bool) {
	var l []json.RawMessage
	if json.Unmarshal(raw, &l) != nil || l == nil {
		return nil, false
	}
	return l, true
}

func asString(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return strings.TrimSpace(*s), true
}

func firstString(members map[string]json.RawMessage, keys []string) string {
	for _, key := range keys {
		if s, ok := asString(members[key]); ok && s != "" {
			return s
		}
	}
	return ""
}

// isStatus2xx reports whether a status says success.
func isStatus2xx(status int) bool {
	return status >= http.StatusOK && status < http.StatusMultipleChoices
}
