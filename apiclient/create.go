package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"rescreen/apiclient/personal"
)

// Query is what a session is to find out about whom.
type Query struct {
	Country             string // path segment of the session call; "" means "no"
	FirstName, LastName personal.Text
	DateOfBirth         personal.Text // YYYY-MM-DD; this or SSN, better both
	SSN                 personal.Text
	SSNCountry          string   // issuing country of SSN, ISO 3166-1 alpha-2; "" means NO
	Language            string   // of the report: no, nb, nn or en
	Expands             []string // what to buy, in the API's words
	Report              bool     // order the PDF
}

// CreateSession creates one session, within PostTimeout from when admit lets it out.
//
// Errors that stand for "nothing was created": Refused, Throttled, Denied,
// Misconfigured, NotSent, and Unavailable (no token or no discovery, so nothing
// was sent). Unknown: there may be a session.
func (c *Client) CreateSession(ctx context.Context, admit Admit, q Query) (SessionID, error) {
	const op = "create session"
	body, err := c.createBody(q)
	if err != nil {
		return "", &Error{Op: op, Kind: Refused, Err: err}
	}
	out, ferr := c.authorized(ctx, plan{
		timeout: c.postTimeout,
		// With less than half of the time left a creation would rather end as
		// unknown than be answered.
		least:     c.postTimeout / 2,
		admit:     admit,
		renewable: slices.Contains(c.profile.Statuses.NotCreated, http.StatusUnauthorized),
		build: func(e endpoints) (request, error) {
			t, err := c.sessionTarget(e, Ref{Country: q.Country}, c.profile.Paths.Create)
			return request{
				op: op, call: CallCreate, method: http.MethodPost, target: t, accept: "application/json",
				body: body, limit: maxSmallJSONBytes,
			}, err
		},
	})
	if ferr != nil {
		return "", ferr.named(op)
	}
	id, cerr := c.judgeCreate(out, q)
	if cerr != nil {
		return "", cerr.named(op)
	}
	return id, nil
}

var errNoSessionID = errors.New("no usable session id in the answer")

// judgeCreate says what the answer to a creation, or its absence, means.
func (c *Client) judgeCreate(out outcome, q Query) (SessionID, *Error) {
	e := out.toError(c.personalWords(q))
	switch {
	case out.err != nil && out.status == 0:
		e.Kind = Unknown
		if c.provablyNotSent(out) {
			e.Kind = NotSent
		}
	case isStatus2xx(out.status):
		id, err := c.sessionID(out)
		if err == nil {
			return id, nil
		}
		e.Kind, e.Err = Unknown, err
	default:
		e.Kind = c.profile.Statuses.createKind(out.status, out.hasRetryAfter)
	}
	return "", e
}

// provablyNotSent reports whether a failed exchange never had a connection.
//
// The proof is that httptrace's GotConn was not called. A transport that does
// not speak httptrace would never call it, so it counts only after some other
// exchange of this client (the token's always comes first) has shown that the
// transport does.
func (c *Client) provablyNotSent(out outcome) bool {
	return !out.gotConn && c.traces.Load()
}

// sessionID reads the answer to a creation.
func (c *Client) sessionID(out outcome) (SessionID, error) {
	if out.err != nil {
		return "", out.err
	}
	if err := checkJSON(out.body); err != nil {
		return "", err
	}
	raw := lookup(out.body, c.profile.Create.SessionID)
	id, ok := asString(raw)
	var number json.Number
	if !ok && json.Unmarshal(raw, &number) == nil {
		id = number.String()
	}
	if !usableID(id) {
		return "", errNoSessionID
	}
	return SessionID(id), nil
}

// usableID accepts what can stand in a path and in a record: the format of
// session ids is not documented. 200 bytes are five times a UUID.
func usableID(id string) bool {
	if id == "" || len(id) > 200 || id == "." || id == ".." {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// createBody checks the query and encodes it.
func (c *Client) createBody(q Query) ([]byte, error) {
	if !slices.Contains(c.profile.Countries, country(q.Country)) {
		return nil, errors.New("country is not one of the profile's")
	}
	if strings.TrimSpace(q.FirstName.Reveal()) == "" || strings.TrimSpace(q.LastName.Reveal()) == "" {
		return nil, errors.New("first or last name is blank")
	}
	if q.DateOfBirth == "" && q.SSN == "" {
		return nil, errors.New("neither date of birth nor ssn")
	}
	var born *time.Time
	if q.DateOfBirth != "" {
		t, err := time.Parse(time.DateOnly, q.DateOfBirth.Reveal())
		if err != nil {
			return nil, errors.New("date of birth is not YYYY-MM-DD")
		}
		born = &t
	}
	return c.profile.Create.body(q, born)
}

// body encodes the query. Only here do its members leave their type's
// protection.
func (f CreateFields) body(q Query, born *time.Time) ([]byte, error) {
	root := map[string]any{}
	members := []struct {
		name  string
		value any
		send  bool
	}{
		{f.FirstName, q.FirstName.Reveal(), true},
		{f.LastName, q.LastName.Reveal(), true},
		{f.SSN, q.SSN.Reveal(), q.SSN != ""},
		{f.SSNCountry, ssnCountry(q.SSNCountry), q.SSN != ""},
		{f.Language, q.Language, q.Language != ""},
	}
	for _, m := range members {
		if m.send && m.name != "" {
			if err := setPath(root, m.name, m.value); err != nil {
				return nil, err
			}
		}
	}
	if born != nil {
		if err := setPath(root, f.DateOfBirth, born.Format(f.DateLayout)); err != nil {
			return nil, err
		}
	}
	expands := slices.Clone(q.Expands)
	if q.Report && f.ReportExpand != "" && !slices.Contains(expands, f.ReportExpand) {
		expands = append(expands, f.ReportExpand)
	}
	if len(expands) > 0 {
		var value any = expands
		if f.ExpandsAsText {
			value = strings.Join(expands, ",")
		}
		if err := setPath(root, f.Expands, value); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(root); err != nil {
		return nil, errors.New("query cannot be encoded")
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// setPath sets a member by its dotted path, making objects on the way.
func setPath(root map[string]any, path string, value any) error {
	steps := strings.Split(path, ".")
	at := root
	for i, step := range steps {
		switch inner := at[step].(type) {
		case nil:
			if i == len(steps)-1 {
				at[step] = value
				return nil
			}
			next := map[string]any{}
			at[step] = next
			at = next
		case map[string]any:
			at = inner
		default:
			return fmt.Errorf("member %q collides with another one", path)
		}
	}
	return fmt.Errorf("member %q collides with another one", path)
}

// lookup returns the member at a dotted path, or nil.
func lookup(data []byte, path string) json.RawMessage {
	raw := json.RawMessage(data)
	for _, step := range strings.Split(path, ".") {
		members, ok := asObject(raw)
		if !ok {
			return nil
		}
		raw = members[step]
	}
	return raw
}

func country(c string) string {
	if c == "" {
		return "no"
	}
	return c
}

func ssnCountry(c string) string {
	if c == "" {
		return "NO"
	}
	return strings.ToUpper(c)
}
