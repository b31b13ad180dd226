package store

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxTokenBytes is the longest batch or job name, in bytes. Both are tokens of
// a subject; the server's limit for a whole subject is about 4 KiB.
const MaxTokenBytes = 64

// Key names a job in its batch. It is part of subjects, and so never holds
// anything about a person.
type Key struct {
	Batch string
	Job   string
}

// String returns "batch.job".
func (k Key) String() string { return k.Batch + "." + k.Job }

// Validate reports, by an error that wraps [ErrKey], a key that does not make
// two tokens of a subject: each 1 to 64 of A-Z a-z 0-9 _ and -. The error does
// not repeat the name: what broke the rule may be anything.
func (k Key) Validate() error {
	if !validToken(k.Batch) {
		return fmt.Errorf("%w: batch", ErrKey)
	}
	if !validToken(k.Job) {
		return fmt.Errorf("%w: job", ErrKey)
	}
	return nil
}

func validToken(s string) bool {
	if s == "" || len(s) > MaxTokenBytes {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func validHash(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// RecordSubject is where the record of k lives. Like the other subject builders
// it answers a key or number that would break the subject with an error
// that wraps [ErrKey], never with a wrong subject.
func RecordSubject(k Key) (string, error) {
	if err := k.Validate(); err != nil {
		return "", err
	}
	return recordPrefix + k.String(), nil
}

// WakeSubject is where the scheduled wake-up of an attempt waits.
func WakeSubject(k Key, attempt int) (string, error) { return attemptSubject(wakePrefix, k, attempt) }

// DueSubject is where the server puts the wake-up when its time has come.
func DueSubject(k Key, attempt int) (string, error) { return attemptSubject(duePrefix, k, attempt) }

// OutcomeSubject is where the outcome of an attempt is published: a failure if
// failed, else a result.
func OutcomeSubject(k Key, attempt int, failed bool) (string, error) {
	if failed {
		return attemptSubject(failurePrefix, k, attempt)
	}
	return attemptSubject(resultPrefix, k, attempt)
}

// EvidenceSubject is where evidence of up to [MaxMessageBytes] bytes is kept;
// sha256hex is the SHA-256 of its bytes in small hex digits.
func EvidenceSubject(sha256hex string) (string, error) {
	if !validHash(sha256hex) {
		return "", fmt.Errorf("%w: not a SHA-256 in small hex digits", ErrKey)
	}
	return evidencePrefix + sha256hex, nil
}

// RegisterSubject is where a register of [LimitsBucket] is kept; the
// `nats kv get` command finds it by name.
func RegisterSubject(name string) (string, error) {
	if !validToken(name) {
		return "", fmt.Errorf("%w: register", ErrKey)
	}
	return registerPrefix + name, nil
}

// DueKey is the reverse of [DueSubject]: whose wake-up a due message is. A
// subject of another shape is an error that wraps [ErrKey].
func DueKey(subject string) (Key, int, error) {
	rest, ok := strings.CutPrefix(subject, duePrefix)
	if !ok {
		return Key{}, 0, fmt.Errorf("%w: not a due subject", ErrKey)
	}
	tokens := strings.Split(rest, ".")
	if len(tokens) != 3 {
		return Key{}, 0, fmt.Errorf("%w: not a due subject", ErrKey)
	}
	k := Key{Batch: tokens[0], Job: tokens[1]}
	if err := k.Validate(); err != nil {
		return Key{}, 0, err
	}
	attempt, err := strconv.Atoi(tokens[2])
	if err != nil || attempt < 1 || strconv.Itoa(attempt) != tokens[2] {
		return Key{}, 0, fmt.Errorf("%w: attempt", ErrKey)
	}
	return k, attempt, nil
}

func recordKey(subject string) (Key, error) {
	rest, _ := strings.CutPrefix(subject, recordPrefix)
	batch, job, _ := strings.Cut(rest, ".")
	k := Key{Batch: batch, Job: job}
	return k, k.Validate()
}

func attemptSubject(prefix string, k Key, attempt int) (string, error) {
	if err := k.Validate(); err != nil {
		return "", err
	}
	if attempt < 1 {
		return "", fmt.Errorf("%w: attempt below 1", ErrKey)
	}
	return prefix + k.String() + "." + strconv.Itoa(attempt), nil
}
