package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// BatchState is how far a batch has come.
type BatchState string

// The states of a batch.
const (
	Submitting BatchState = "submitting" // jobs are being published, or the submission broke off
	Submitted  BatchState = "submitted"  // all jobs are published
	Ended      BatchState = "ended"      // all jobs are done or failed
)

// BatchStates returns the closed set.
func BatchStates() []BatchState { return []BatchState{Submitting, Submitted, Ended} }

// Batch is what is known about a batch as a whole.
type Batch struct {
	Name BatchID `json:"name"`
	// InputSHA256 is the hash of the file, so that the same name is not used
	// for another one; empty for a batch that was not submitted from a file.
	InputSHA256 string     `json:"input_sha256"`
	Rows        int        `json:"rows"`
	Accepted    int        `json:"accepted"`
	Rejected    int        `json:"rejected"`
	Duplicates  int        `json:"duplicates"`
	State       BatchState `json:"state"`
	SubmittedBy string     `json:"submitted_by"`
	StartedAt   time.Time  `json:"started_at,omitzero"`
	SubmittedAt time.Time  `json:"submitted_at,omitzero"`
	EndedAt     time.Time  `json:"ended_at,omitzero"`
	// Unregistered: somebody published to the batch without submitting it.
	Unregistered bool `json:"unregistered,omitempty"`
}

// Validate checks what every batch has to have.
func (b Batch) Validate() error {
	if err := b.Name.Validate(); err != nil {
		return err
	}
	if !slices.Contains(BatchStates(), b.State) {
		return errors.New("batch: unknown state")
	}
	if min(b.Rows, b.Accepted, b.Rejected, b.Duplicates) < 0 {
		return errors.New("batch: a total below zero")
	}
	return nil
}

// Errors of the register of batches. All others are the connection's, and
// leave open whether a change was made.
var (
	// ErrBatchExists: the name is taken.
	ErrBatchExists = errors.New("batch exists")
	// ErrNoBatch: nobody registered the name.
	ErrNoBatch = errors.New("no such batch")
	// ErrBatchChanged: somebody else changed the batch meanwhile.
	ErrBatchChanged = errors.New("batch was changed by somebody else")
)

// Batches is the register of batches. What it returns may be some moments old:
// the bucket lets any replica answer. Decisions are made by Update, which is
// compare-and-set.
type Batches struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
}

// OpenBatches looks the bucket up; setup creates it.
//
// Errors: jetstream.ErrBucketNotFound, or the connection's.
func OpenBatches(ctx context.Context, js jetstream.JetStream) (*Batches, error) {
	kv, err := js.KeyValue(ctx, BatchesBucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", BatchesBucket, err)
	}
	return &Batches{js: js, kv: kv}, nil
}

// Register adds a batch and returns its revision. Errors: ErrBatchExists.
func (r *Batches) Register(ctx context.Context, b Batch) (revision uint64, err error) {
	return r.put(ctx, b, 0, ErrBatchExists)
}

// Update replaces a batch if it is still at the revision, and returns the new
// one. Errors: ErrBatchChanged.
func (r *Batches) Update(ctx context.Context, b Batch, revision uint64) (uint64, error) {
	return r.put(ctx, b, revision, ErrBatchChanged)
}

// put writes a batch whose last revision is known. It is Update for new ones
// too: the client's Create takes a deleted key for a free one.
func (r *Batches) put(ctx context.Context, b Batch, revision uint64, conflict error) (uint64, error) {
	if err := b.Validate(); err != nil {
		return 0, err
	}
	value, err := encode(b)
	if err != nil {
		return 0, fmt.Errorf("batch %s: %w", b.Name, err)
	}
	next, err := r.kv.Update(ctx, string(b.Name), value, revision)
	// A replicated bucket reports a conflict by another code (10164), which the
	// client maps to this error since 1.53.
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) || errors.Is(err, jetstream.ErrKeyExists) {
		return 0, fmt.Errorf("batch %s: %w", b.Name, conflict)
	}
	if err != nil {
		return 0, fmt.Errorf("batch %s: %w", b.Name, err)
	}
	return next, nil
}

// Load returns a batch and its revision. Errors: ErrNoBatch.
func (r *Batches) Load(ctx context.Context, name BatchID) (b Batch, revision uint64, err error) {
	if err := name.Validate(); err != nil {
		return Batch{}, 0, err
	}
	entry, err := r.kv.Get(ctx, string(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Batch{}, 0, fmt.Errorf("batch %s: %w", name, ErrNoBatch)
	}
	if err == nil {
		b, err = decodeBatch(entry)
	}
	if err != nil {
		return Batch{}, 0, fmt.Errorf("batch %s: %w", name, err)
	}
	return b, entry.Revision(), nil
}

// Change loads a batch, lets change alter it and writes it, and does so again
// when somebody else was faster. The function may be called several times; an
// error of it ends the attempt and is returned. Change returns the batch as it
// was written.
//
// Errors: ErrNoBatch, those of the function, or the connection's.
func (r *Batches) Change(ctx context.Context, name BatchID, change func(*Batch) error) (Batch, error) {
	for {
		b, revision, err := r.Load(ctx, name)
		if err != nil {
			return Batch{}, err
		}
		if err := change(&b); err != nil {
			return Batch{}, err
		}
		_, err = r.Update(ctx, b, revision)
		if !errors.Is(err, ErrBatchChanged) {
			return b, err
		}
		// A conflict means progress elsewhere; a stale read may repeat it for
		// some milliseconds.
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return Batch{}, fmt.Errorf("batch %s: %w", name, err)
		}
	}
}

// pause waits; the error is ctx's.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// List returns all batches in the order of names: one request for the names
// and one for each batch. The client's watcher would need one for all, but
// cannot be told apart from complete when its connection closes halfway.
func (r *Batches) List(ctx context.Context) ([]Batch, error) {
	names, err := r.Names(ctx)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", BatchesBucket, err)
	}
	batches := make([]Batch, 0, len(names))
	for _, name := range names {
		b, _, err := r.Load(ctx, name)
		if errors.Is(err, ErrNoBatch) { // removed by hand
			continue
		}
		if err != nil {
			return nil, err
		}
		batches = append(batches, b)
	}
	return batches, nil
}

// Names returns the names of all batches, sorted.
func (r *Batches) Names(ctx context.Context) ([]BatchID, error) {
	stream, err := r.js.Stream(ctx, batchesStream)
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(batchesPrefix+">"))
	if err != nil {
		return nil, err
	}
	names := make([]BatchID, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		names = append(names, BatchID(strings.TrimPrefix(subject, batchesPrefix)))
	}
	slices.Sort(names)
	return names, nil
}

// decodeBatch reads a record leniently: newer programs may add members.
func decodeBatch(entry jetstream.KeyValueEntry) (Batch, error) {
	var b Batch
	if err := json.Unmarshal(entry.Value(), &b); err != nil {
		return Batch{}, errors.New("record is not readable: " + jsonProblem(err))
	}
	if string(b.Name) != entry.Key() {
		return Batch{}, errors.New("record is of another batch")
	}
	return b, b.Validate()
}
