package worker

import (
	"bytes"
	"context"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/store"
)

// losing is a ledger that loses the record of a creation under way, as a stream
// does that is deleted and made again.
type losing struct {
	Ledger
	last *uint64 // sequence under which the record lost lies in truth; 0: none is lost
	done *bool
}

func (l losing) Load(ctx context.Context, key store.Key) (store.Record, error) {
	if *l.last > 0 {
		return store.Record{}, store.ErrNotFound
	}
	return l.Ledger.Load(ctx, key)
}

func (l losing) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	switch {
	case *l.last > 0 && after > 0:
		return 0, store.ErrConflict
	case *l.last > 0:
		after, *l.last = *l.last, 0
	case !*l.done && bytes.Contains(value, []byte(`"state":"waiting"`)):
		*l.last, *l.done = after, true
		return 0, store.ErrConflict
	}
	return l.Ledger.Commit(ctx, key, value, after, final)
}

// A session that was paid for is used, although the record of its creation is
// gone when the call ends.
func TestSessionOfALostRecordIsKept(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		var last uint64
		var done bool
		w.wrap = func(d Deps) Deps {
			d.Ledger = losing{d.Ledger, &last, &done}
			return d
		}
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		if r := w.result(5*time.Minute, job); r.SessionsCreated != 1 || w.sessionsOf(job) != 1 || !done {
			t.Errorf("%d sessions in the result, %d at the API, lost %v", r.SessionsCreated, w.sessionsOf(job), done)
		}
	})
}
