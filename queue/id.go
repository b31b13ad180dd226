package queue

import (
	"errors"

	"rescreen/apiclient/nationalid"
)

// BatchID is the name of a batch: 1 to 32 of a-z, 0-9, "_" and "-". It is a
// token of subjects and part of consumer names.
type BatchID string

// DefaultBatch takes the jobs of producers that publish without submitting a
// batch of their own. Setup makes its consumer.
const DefaultBatch BatchID = "default"

// JobID names a job within its batch: 1 to 64 of A-Z, a-z, 0-9, "_" and "-".
// It is a token of subjects.
type JobID string

// Lengths of names, in characters. The names are tokens of subjects, and a
// subject of the longest names stays below 200 bytes.
const (
	MaxBatchID = 32
	MaxJobID   = 64
)

var (
	errBatchID = errors.New("batch name: not 1 to 32 of a-z, 0-9, _ and -")
	errJobID   = errors.New("job id: not 1 to 64 of A-Z, a-z, 0-9, _ and -")
	// Names end up in subjects, logs and file names, where no person may be.
	errBatchPerson = errors.New("batch name: reads as a national identity number")
	errJobPerson   = errors.New("job id: reads as a national identity number")
)

// Validate says whether the name can be a token of a subject and names no
// person. The error does not repeat the name.
func (b BatchID) Validate() error {
	if !token(string(b), MaxBatchID, false) {
		return errBatchID
	}
	if nationalid.Looks(string(b)) {
		return errBatchPerson
	}
	return nil
}

// Validate says whether the id can be a token of a subject and names no
// person. The error does not repeat the id.
func (j JobID) Validate() error {
	if !token(string(j), MaxJobID, true) {
		return errJobID
	}
	if nationalid.Looks(string(j)) {
		return errJobPerson
	}
	return nil
}

// token reports whether s is 1 to limit characters that are safe in a subject,
// a path and a file name.
func token(s string, limit int, upper bool) bool {
	if len(s) == 0 || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-':
		case upper && c >= 'A' && c <= 'Z':
		default:
			return false
		}
	}
	return true
}
