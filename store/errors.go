package store

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The facts a caller decides by. Any other error of a write means that its
// outcome is unknown or that the store is out of reach: try the step again,
// from the record. Any other error of a read means the same, without harm.
var (
	// ErrNotFound: there is no such record, register or evidence, or a scan is
	// at its end. A read alone does not prove it, see the package comment.
	ErrNotFound = errors.New("not found")

	// ErrConflict: the record or register is no longer the one the write was
	// based on. The write was not applied, or it was and somebody else's has
	// replaced it since. Start again from the record as it is now.
	ErrConflict = errors.New("conflict with another write")

	// ErrKey: a name or number cannot be part of a subject. Nothing was sent.
	ErrKey = errors.New("invalid key")

	// ErrRefused: the server or the client refuses this very message, whoever
	// sends it and how often: too large, or not allowed by the stream's settings. Not
	// applied, and repeating is pointless.
	ErrRefused = errors.New("write refused")

	// ErrCorrupt: the bytes found are not those that were stored.
	ErrCorrupt = errors.New("evidence does not match its hash")

	// ErrNotSetUp: a stream is missing or has settings the store cannot live with.
	ErrNotSetUp = errors.New("run `rescreen setup`")
)

// verdict is what an answer to a publish means for the writer.
type verdict int

const (
	stored   verdict = iota
	conflict         // the server compared, and refused
	refused          // no repetition of this message will be accepted
	closed           // the connection was closed for good; nothing was sent
	unclear          // stored or not; another try may tell
)

// codeAccountFull says that the account has used up what it may store. It comes
// as a 400, like what is wrong with a message, and passes like a full disk.
const codeAccountFull jetstream.ErrorCode = 10002

// judge sorts the error of a publish. What is not known for certain is unclear
// and is tried again: timeouts, no responders, 10163 (the new leader cannot
// compare yet), a lost connection, a full disk or account, too many requests.
func judge(err error) verdict {
	if err == nil {
		return stored
	}
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrInvalidConnection) {
		return closed
	}
	for _, target := range []error{nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrBadHeaderMsg, nats.ErrHeadersNotSupported} {
		if errors.Is(err, target) {
			return refused
		}
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return unclear
	}
	switch api.ErrorCode {
	// On replicated streams most conflicts are 10164: another write to the
	// subject is in flight, and it may yet come to nothing.
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return conflict
	}
	if api.ErrorCode == codeAccountFull {
		return unclear
	}
	switch api.Code {
	case 408, 409, 429: // not now
		return unclear
	}
	if 400 <= api.Code && api.Code < 500 {
		return refused
	}
	return unclear
}
