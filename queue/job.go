package queue

import (
	"bytes"
	"encoding/json"
	"slices"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/personal"
)

// Job is one person to screen. DecodeJob reads it from the wire; whoever
// builds one may leave members with a default empty and call WithDefaults.
type Job struct {
	// ID is unique in its batch.
	ID JobID `json:"id"`
	// CustomerRef is the customer's own reference, at most 128 characters.
	// It is shown in logs and events, so it must not be a national id.
	CustomerRef string        `json:"customer_ref"`
	FirstName   personal.Text `json:"first_name"`
	LastName    personal.Text `json:"last_name"`
	// DateOfBirth is YYYY-MM-DD. It or SSN is required.
	DateOfBirth personal.Text `json:"date_of_birth,omitempty"`
	// SSN is the national identity number in the spelling of SSNCountry.
	SSN personal.Text `json:"ssn,omitempty"`
	// SSNCountry issued SSN: NO (default), SE, DK or FI.
	SSNCountry nationalid.Country `json:"ssn_country"`
	// Country is the path segment of the session call, default "no".
	Country string `json:"country"`
	// Expands is what to buy, default DefaultExpands.
	Expands []string `json:"expands"`
	// Report orders the PDF.
	Report bool `json:"report"`
	// Language of the PDF: nb (default), nn, no or en.
	Language string `json:"language"`
	// Attempt counts from 1; a retry of a finished job is a new attempt.
	Attempt int `json:"attempt"`
}

// What an absent member of a job means.
const (
	DefaultCountry    = "no"
	DefaultLanguage   = "nb"
	DefaultSSNCountry = nationalid.Country("NO")
)

// DefaultExpands returns what a job buys that does not say so itself.
func DefaultExpands() []string {
	return []string{"keyInformation.citizenship", "address.postal", "address.national", "aml", "roles"}
}

// WithDefaults returns the job with its empty members set to their defaults.
func (j Job) WithDefaults() Job {
	if j.SSNCountry == "" {
		j.SSNCountry = DefaultSSNCountry
	}
	if j.Country == "" {
		j.Country = DefaultCountry
	}
	if len(j.Expands) == 0 {
		j.Expands = DefaultExpands()
	} else {
		j.Expands = slices.Clone(j.Expands)
	}
	if j.Language == "" {
		j.Language = DefaultLanguage
	}
	if j.Attempt == 0 {
		j.Attempt = 1
	}
	return j
}

// Encode returns the job as it goes over the wire, defaults filled in: one
// line of JSON that DecodeJob reads back to the same job. A job that is not
// valid is refused with a *JobError.
func (j Job) Encode() ([]byte, error) {
	j = j.WithDefaults()
	if err := j.Validate(); err != nil {
		return nil, err
	}
	return encode(j)
}

// TestNumber reports whether the job's ssn is a synthetic or an aid number,
// which belongs to no living person: in production such a job is a mistake.
func (j Job) TestNumber() bool {
	if j.SSN == "" {
		return false
	}
	n, err := nationalid.Parse(j.WithDefaults().SSNCountry, j.SSN)
	return err == nil && (n.Synthetic() || n.Kind() == nationalid.AidNumber)
}

// encode writes v as one line of JSON without HTML escapes: the documents of
// the API hold links, and their bytes are to be kept.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}
