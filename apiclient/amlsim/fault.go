package amlsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Fault is one entry of the fault script: which calls it befalls and what then
// happens. Of several that match a call the first acts.
type Fault struct {
	// Name shows up in Stats.Faults; "" is "#" and the place in the script from 1.
	Name string `yaml:"name"`
	// Call is what is befallen; "" is any.
	Call Call   `yaml:"call"`
	When When   `yaml:"when"`
	Do   Action `yaml:"do"`
}

// When selects calls; all that is given must hold. The zero value selects every call.
type When struct {
	// From and Until bound the time since the simulator was made; Until 0 is no end.
	From  time.Duration `yaml:"from"`
	Until time.Duration `yaml:"until"`
	// Marker selects people whose lastName holds it. Of and Bucket select people
	// by a seeded hash: those for whom hash mod Of is Bucket. Calls that are
	// about nobody (discovery, token, access-rights) are then left alone.
	Marker string `yaml:"marker"`
	Of     int    `yaml:"of"`
	Bucket int    `yaml:"bucket"`
	// SessionCall selects the n-th call of its kind for its session, from 1.
	SessionCall int `yaml:"session_call"`

	// Of the calls selected so far these take, from 1, the n-th, every n-th, or
	// each with a probability. At most one of them.
	Nth         int     `yaml:"nth"`
	Every       int     `yaml:"every"`
	Probability float64 `yaml:"probability"`
	// Times is how often the fault acts at most; 0 is without end.
	Times int `yaml:"times"`
}

// ActionKind is what a fault does.
type ActionKind string

// The kinds. Those of the first group answer instead of the API, and nothing is
// done unless Applied says so.
const (
	ActStatus   ActionKind = "status"   // Status, RetryAfter, Body
	ActRedirect ActionKind = "redirect" // Status (302), Location
	ActRefuse   ActionKind = "refuse"   // the connection is never made (over a real socket: reset)
	ActReset    ActionKind = "reset"    // the connection breaks before an answer

	// What was asked is done, and the answer suffers.
	ActLoseAnswer  ActionKind = "lose-answer"  // done, then the connection breaks
	ActSlow        ActionKind = "slow"         // the body comes at BytesPerSecond
	ActTruncate    ActionKind = "truncate"     // the connection closes after Bytes of the body
	ActWrongLength ActionKind = "wrong-length" // Content-Length is off by Bytes (below 0: a short body that looks whole)
	ActGarbage     ActionKind = "garbage"      // the body is Bytes of noise (1024)
	ActHTML        ActionKind = "html"         // the body is an HTML page, as gateways like to send
	ActHuge        ActionKind = "huge"         // the body is valid JSON of Bytes (64 MiB)
	ActEndless     ActionKind = "endless"      // the body is JSON without a length and without an end
	ActGzipBomb    ActionKind = "gzip-bomb"    // the body is JSON that inflates to Bytes (1 GiB)
	ActDeep        ActionKind = "deep"         // the body is JSON nested Depth deep (100,000)

	// Neither call nor answer is hurt.
	ActHang     ActionKind = "hang"         // just Wait
	ActLiteral  ActionKind = "literal"      // the session information says Literal for Entity
	ActFate     ActionKind = "fate"         // the session meets Fate from now on
	ActUnsigned ActionKind = "unsigned"     // the report carries no signature
	ActRevoke   ActionKind = "revoke-token" // all tokens are worthless from now on, this call's included
)

// EntitySession addresses the status of the session as a whole.
const EntitySession = "session"

// Action is what a fault does. Fields that a kind does not use must be zero.
type Action struct {
	Kind ActionKind `yaml:"kind"`
	// Wait is how long the call is held before the action; for lose-answer
	// before the connection breaks.
	Wait time.Duration `yaml:"wait"`
	// Applied makes what was asked happen before Wait and action: a session is
	// created although its creator gets a 500.
	Applied bool `yaml:"applied"`

	Status int `yaml:"status"`
	// RetryAfter is sent with the status if above zero, as an HTTP date if RetryAfterDate.
	RetryAfter     time.Duration `yaml:"retry_after"`
	RetryAfterDate bool          `yaml:"retry_after_date"`
	Body           string        `yaml:"body"`
	Location       string        `yaml:"location"`
	BytesPerSecond int           `yaml:"bytes_per_second"`
	Bytes          int64         `yaml:"bytes"`
	Depth          int           `yaml:"depth"`
	// Entity is jsonData, aml-report, session, or "" for both entities.
	Entity  string `yaml:"entity"`
	Literal string `yaml:"literal"`
	Fate    Fate   `yaml:"fate"`
}

// LoadFaults reads a fault script, a YAML document with the list `faults`.
// Unknown keys and impossible entries are refused.
func LoadFaults(data []byte) ([]Fault, error) {
	var file struct {
		Faults []Fault `yaml:"faults"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("fault script: %w", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("fault script: more than one document")
	}
	if err := validateFaults(file.Faults); err != nil {
		return nil, fmt.Errorf("fault script: %w", err)
	}
	return file.Faults, nil
}

func validateFaults(faults []Fault) error {
	var problems []error
	for i, f := range faults {
		if err := f.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", f.label(i), err))
		}
	}
	return errors.Join(problems...)
}

// label names the fault at a place of the script.
func (f Fault) label(place int) string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("#%d", place+1)
}

// Validate says what is wrong with the fault.
func (f Fault) Validate() error {
	switch f.Call {
	case "", CallAny, CallDiscovery, CallToken, CallCreate, CallSession, CallDocument, CallReport, CallAccessRights:
	default:
		return fmt.Errorf("unknown call %q", f.Call)
	}
	if err := f.When.validate(); err != nil {
		return err
	}
	return f.Do.validate()
}

func (w When) validate() error {
	if w.Nth < 0 || w.Every < 0 || w.Times < 0 || w.SessionCall < 0 || w.From < 0 || w.Until < 0 || !(w.Probability >= 0 && w.Probability <= 1) {
		return errors.New("number out of range in when")
	}
	if w.Until > 0 && w.Until <= w.From {
		return errors.New("until is not after from")
	}
	if w.Of < 0 || w.Bucket < 0 || (w.Of == 0 && w.Bucket > 0) || (w.Of > 0 && w.Bucket >= w.Of) {
		return errors.New("bucket must be below of")
	}
	given := 0
	for _, is := range []bool{w.Nth > 0, w.Every > 0, w.Probability > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return errors.New("more than one of nth, every and probability")
	}
	return nil
}

func (a Action) validate() error {
	if a.Wait < 0 || a.RetryAfter < 0 {
		return errors.New("time below zero in do")
	}
	allowed, ok := fieldsOf(a.Kind)
	if !ok {
		return fmt.Errorf("unknown kind %q", a.Kind)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"status", a.Status != 0}, {"retry_after", a.RetryAfter != 0}, {"retry_after_date", a.RetryAfterDate},
		{"body", a.Body != ""}, {"location", a.Location != ""}, {"bytes_per_second", a.BytesPerSecond != 0},
		{"bytes", a.Bytes != 0}, {"depth", a.Depth != 0}, {"entity", a.Entity != ""},
		{"literal", a.Literal != ""}, {"fate", a.Fate != ""},
	} {
		if f.set && !strings.Contains(" "+allowed+" ", " "+f.name+" ") {
			return fmt.Errorf("%s has no meaning for kind %s", f.name, a.Kind)
		}
	}
	return a.validateValues()
}

// fieldsOf names the fields that belong to a kind, beside wait and applied.
func fieldsOf(kind ActionKind) (fields string, ok bool) {
	switch kind {
	case ActStatus:
		return "status retry_after retry_after_date body", true
	case ActRedirect:
		return "status location", true
	case ActSlow:
		return "bytes_per_second", true
	case ActTruncate, ActWrongLength, ActGarbage, ActHuge, ActGzipBomb:
		return "bytes", true
	case ActDeep:
		return "depth", true
	case ActLiteral:
		return "entity literal", true
	case ActFate:
		return "fate", true
	case ActRefuse, ActReset, ActLoseAnswer, ActHTML, ActEndless, ActHang, ActUnsigned, ActRevoke:
		return "", true
	}
	return "", false
}

func (a Action) validateValues() error {
	switch a.Kind {
	case ActStatus:
		if a.Status < 200 || a.Status > 599 {
			return errors.New("status must be 200 to 599")
		}
	case ActRedirect:
		if a.Status != 0 && (a.Status < 301 || a.Status > 308) {
			return errors.New("status must be 301 to 308")
		}
	case ActHang:
		if a.Wait == 0 {
			return errors.New("hang without wait")
		}
	case ActSlow:
		if a.BytesPerSecond < 1 {
			return errors.New("slow without bytes_per_second")
		}
	case ActLiteral:
		if a.Literal == "" || !strings.Contains("  "+documentName+" "+reportName+" "+EntitySession+" ", " "+a.Entity+" ") {
			return errors.New("literal needs a literal, and an entity of jsonData, aml-report, session or none")
		}
	case ActFate:
		if a.Fate.set() == 0 {
			return fmt.Errorf("unknown fate %q", a.Fate)
		}
	case ActRefuse:
		if a.Applied {
			return errors.New("a refused connection cannot have applied anything")
		}
	}
	if a.Kind != ActWrongLength && a.Bytes < 0 || a.Depth < 0 {
		return errors.New("size below zero")
	}
	return nil
}

// status returns the status of an answer the fault makes up.
func (a Action) statusOr(fallback int) int {
	if a.Status == 0 {
		return fallback
	}
	return a.Status
}
