package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rescreen/store"
)

// Backend is a store as its contract sees it: the parts by their methods, and
// what lies beside them.
type Backend struct {
	Ledger    ledger
	Wakes     wakes
	Outcomes  outcomes
	Evidence  evidence
	Registers registers
	Signals   signals
	Clock     clock

	// Due waits for the next due message.
	Due func(ctx context.Context) (Due, error)

	// Outcome reads the published event on a subject, or store.ErrNotFound.
	Outcome func(ctx context.Context, subject string) ([]byte, error)
}

// Due is a due message as it was delivered.
type Due struct {
	Subject     string
	Data        []byte
	Traceparent string    // its header
	At          time.Time // on the server's clock
	Ack         func() error
}

type ledger interface {
	Load(ctx context.Context, k store.Key) (store.Record, error)
	Commit(ctx context.Context, k store.Key, value []byte, after uint64, final bool) (uint64, error)
	Next(ctx context.Context, after uint64) (store.Record, error)
}

type wakes interface {
	Park(ctx context.Context, w store.Wake) error
	Parked(ctx context.Context, k store.Key, attempt int) (bool, error)
	Next(ctx context.Context, after uint64) (store.ParkedWake, error)
	Open(ctx context.Context) (int, error)
	Due(ctx context.Context) (store.DueWakes, error)
}

type outcomes interface {
	Publish(ctx context.Context, o store.Outcome) (first bool, err error)
	Exists(ctx context.Context, k store.Key, attempt int, failed bool) (bool, error)
}

type evidence interface {
	Put(ctx context.Context, data []byte) (string, error)
	Get(ctx context.Context, sha256hex string) ([]byte, error)
}

type registers interface {
	Load(ctx context.Context, name string) ([]byte, uint64, error)
	Commit(ctx context.Context, name string, value []byte, after uint64) (uint64, error)
}

type signals interface {
	Announce(name string, value []byte) error
	Listen(name string, heard func(value []byte)) (stop func(), err error)
}

type clock interface{ Now() time.Time }

// Contract holds a store to what store promises. run is called once per promise, with
// the test that needs a fresh, empty store; it may call it in a testing/synctest bubble,
// in which t.Run is not allowed.
func Contract(t *testing.T, run func(t *testing.T, test func(t *testing.T, b Backend))) {
	t.Helper()
	for _, promise := range []struct {
		name string
		test func(t *testing.T, b Backend)
	}{
		{"a record is committed once per sequence", recordOnce},
		{"a commit based on another sequence is a conflict", recordConflicts},
		{"a commit on a record that is not there is a conflict", recordMissing},
		{"a record comes back as it was written", recordRoundTrip},
		{"records are scanned in the order of writing", recordScan},
		{"records follow the model", recordModel},
		{"of writers at the same time each value is won once", recordRaces},
		{"what cannot be a subject is refused", badNames},
		{"what is too large is refused", tooLarge},
		{"a cancelled context writes nothing", cancelled},
		{"a wake-up becomes due at its time", wakeFires},
		{"a wake-up whose time has passed is due at once", wakeInThePast},
		{"a wake-up parked again fires once, as parked last", wakeReplaced},
		{"a new due message takes the place of an old one", dueReplaced},
		{"due messages are counted until they are settled", dueCounted},
		{"a due message has the trace of who parked it", wakeTrace},
		{"attempts and jobs have wake-ups of their own", wakesApart},
		{"wake-ups are read in the order of their parking", wakesInOrder},
		{"an outcome is published once", outcomeOnce},
		{"evidence comes back as it was put", evidenceRoundTrip},
		{"a register is committed once per sequence", registerOnce},
		{"announcements reach everybody who listens", announcements},
		{"the clock tells the time", clockRuns},
	} {
		t.Run(strings.ReplaceAll(promise.name, " ", "-"), func(t *testing.T) {
			run(t, promise.test)
		})
	}
}

// soon bounds the calls of a promise: no server of a test needs as long.
const soon = 30 * time.Second

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

func mustNot(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}
