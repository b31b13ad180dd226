package worker

import (
	"context"
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
	// classes is how many there are.
	classes = int(Create) + 1
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

// Permits decides when a call may go out to the API, for this process or for
// the whole fleet.
type Permits interface {
	// Take waits until a call of the class may go out and returns how many
	// may go out now: at least one, at most limit. While the upstream is
	// closed it returns a *ClosedError at once; otherwise its error is the
	// context's.
	Take(ctx context.Context, c Class, limit int) (int, error)
	// Return gives back permits of the class that were not used.
	Return(c Class, n int)
	// Close keeps every call back until the given time, the server's; an
	// earlier time than is set already changes nothing.
	Close(until time.Time)
}

// ClosedError is returned by Take while no call may go out at all.
type ClosedError struct {
	Until time.Time // when the upstream opens again, server's time
}

func (e *ClosedError) Error() string {
	return "upstream closed until " + e.Until.UTC().Format(time.RFC3339)
}
