package worker

import (
	"context"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
)

// What the worker needs from the outside, each interface named for its role.
// The real ones are in store, queue and apiclient; the tests run the same
// worker over the in-memory ones under simulated time.
//
// Unless a method says otherwise, an error means "out of reach or outcome
// unknown": the step ends, its message comes again, and the record tells then
// what really happened.

// Ledger holds the records.
type Ledger interface {
	// Load returns the record as the leader knows it, which may be stale;
	// store.ErrNotFound when there is none.
	Load(ctx context.Context, key store.Key) (store.Record, error)
	// Commit replaces the record whose sequence is after (0: there is none)
	// and returns the new sequence. store.ErrConflict: somebody else's write
	// came first, start again from the record as it is now. final records
	// expire after their retention.
	Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error)
	// Next returns the oldest record written after the given sequence;
	// store.ErrNotFound at the end.
	Next(ctx context.Context, after uint64) (store.Record, error)
}

// Wakes holds the schedule of what is to be looked at again.
type Wakes interface {
	// Park replaces the wake-up of the job's attempt.
	Park(ctx context.Context, wake store.Wake) error
	// Parked reports whether a wake-up or a due message of the attempt exists.
	Parked(ctx context.Context, key store.Key, attempt int) (bool, error)
	// Next returns the oldest that was parked after the given sequence;
	// store.ErrNotFound at the end.
	Next(ctx context.Context, after uint64) (store.ParkedWake, error)
	// Open returns how many wake-ups there are, near enough the number of
	// open sessions.
	Open(ctx context.Context) (int, error)
}

// Outcomes publishes results and failures, each once.
type Outcomes interface {
	// Publish makes the outcome known; that it is known already is success, and first
	// is false then.
	Publish(ctx context.Context, o store.Outcome) (first bool, err error)
	// Exists reports whether the outcome has been published.
	Exists(ctx context.Context, key store.Key, attempt int, failed bool) (bool, error)
}

// Evidence keeps what was fetched, exactly as it was received.
type Evidence interface {
	// Put stores the bytes under their SHA-256 and returns it in hex, once
	// they are safe.
	Put(ctx context.Context, data []byte) (string, error)
	// Get returns the bytes; store.ErrNotFound when their time is up.
	Get(ctx context.Context, sha256 string) ([]byte, error)
}

// Registers holds small shared values: the claim on the repair, and the limits.
type Registers interface {
	// Load returns the value and its sequence; store.ErrNotFound when unset.
	Load(ctx context.Context, name string) ([]byte, uint64, error)
	// Commit replaces the value whose sequence is after; store.ErrConflict
	// when somebody else's came first.
	Commit(ctx context.Context, name string, value []byte, after uint64) (uint64, error)
}

// Signals carries announcements between workers. They may be lost: what counts
// is in a register.
type Signals interface {
	// Announce tells everybody who listens, this worker included, at once.
	Announce(name string, value []byte) error
	// Listen calls heard for each announcement, one at a time, until stop is called.
	Listen(name string, heard func(value []byte)) (stop func(), err error)
}

// Clock tells the server's time, which all workers share.
type Clock interface {
	Now() time.Time
	// Refresh reads the server's clock now. After an error Now goes on as before.
	Refresh(ctx context.Context) error
}

// Sessions creates and polls sessions at the API. Errors are *apiclient.Error;
// their Kind decides what happens. Each asks admit right before it sends anything.
type Sessions interface {
	// CreateSession is the call that costs money.
	CreateSession(ctx context.Context, admit apiclient.Admit, q apiclient.Query) (apiclient.SessionID, error)
	Session(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref) (apiclient.Session, error)
}

// Entities fetches what a session has produced, and reads it. Errors of the
// fetches are as for Sessions, and so is admit.
type Entities interface {
	Document(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref, link string) ([]byte, error)
	Report(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref, link string) (apiclient.Report, error)
	// View reads a document as the profile says; an error means that it is no
	// document at all.
	View(document []byte) (apiclient.View, error)
}

// Due gives the wake-ups that have come due.
type Due interface {
	// Pull returns up to limit messages, waiting at most wait for the first;
	// with wait 0 what is there now. None is not an error.
	Pull(ctx context.Context, limit int, wait time.Duration) ([]*queue.Delivery, error)
}

// Jobs gives the jobs of all batches.
type Jobs interface {
	// Backlog lists the batches with what waits in each.
	Backlog(ctx context.Context) ([]queue.BatchBacklog, error)
	// Pull returns up to limit jobs of the batch that are there now.
	Pull(ctx context.Context, batch queue.BatchID, limit int) ([]*queue.Delivery, error)
}

// Batches is what the repair needs of the registry of batches.
type Batches interface {
	// Adopt registers every batch somebody publishes to without having
	// registered it, and returns their names.
	Adopt(ctx context.Context) ([]queue.BatchID, error)
	// Retire removes the consumers of batches that have ended, and returns
	// their names.
	Retire(ctx context.Context) ([]queue.BatchID, error)
}
