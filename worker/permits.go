package worker

import (
	"errors"
	"fmt"
	"time"
)

// Class is what a call at the API is for. Fetches go before polls, polls
// before creates: what is paid for comes first.
type Class int

const (
	// Fetch collects a result before it perishes.
	Fetch Class = iota
	// Poll asks a session how far it is.
	Poll
	// Create makes a session, which costs money.
	Create
)

// String returns the class as logs and metrics name it.
func (c Class) String() string {
	switch c {
	case Fetch:
		return "fetch"
	case Poll:
		return "poll"
	case Create:
		return "create"
	}
	return fmt.Sprintf("class %d", int(c))
}

// A permit lets one creation go out: from at on, and not after dies. Both are
// the server's time. The call needs a departure among all calls besides, which
// it gets when it is ready to go.
type permit struct{ at, dies time.Time }

// ClosedError says that no call may go out, or no creation, before a time.
type ClosedError struct {
	Until time.Time // server's time
	Why   Verdict
}

func (e *ClosedError) Error() string {
	return fmt.Sprintf("upstream closed (%s) until %s", e.Why, e.Until.UTC().Format(time.RFC3339))
}

var (
	// errNoPermit is returned when no permit came in time.
	errNoPermit = errors.New("no permit in time")
	// errNoRepeat is returned when calls that repeat one without an answer have
	// used up their share for now.
	errNoRepeat = errors.New("too many calls are repetitions")
)
