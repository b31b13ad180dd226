package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// FuzzObject: whatever is found where an object should be, it is read within
// bounds or an error that says which kind.
func FuzzObject(f *testing.F) {
	const name = "0a"
	for _, seed := range []string{
		`{"name":"0a","nuid":"N","size":5,"chunks":1}`, `{"nuid":"N","size":5,"chunks":2}`, `{"nuid":"N","size":2,"chunks":1}`, `{"nuid":"N","size":0,"chunks":4294967295}`,
		`{"nuid":"N","size":18446744073709551615,"chunks":1}`, `{"nuid":"N","size":300000000}`, `{"nuid":"N","size":-1}`, `{"nuid":"","deleted":true}`,
		`{"nuid":"N","deleted":true}`, `{"nuid":"*","chunks":1}`, `[]`, `null`, ``, strings.Repeat("[", 100_000),
	} {
		f.Add([]byte(seed), []byte("chunk"))
	}
	f.Fuzz(func(t *testing.T, meta, chunk []byte) {
		b := newFakeBroker()
		b.store(metaSubject(name), meta, nil)
		b.store(chunkPrefix+"N", chunk, nil)
		o := objects{line: newLine(inOrder{b}), now: time.Now, chunk: defaultChunkBytes}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		data, err := o.get(ctx, name)
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("error %v", err)
		}
		var claimed jetstream.ObjectInfo
		if err == nil && (json.Unmarshal(meta, &claimed) != nil || uint64(len(data)) > claimed.Size || claimed.Size > maxObjectBytes) {
			t.Errorf("%d bytes of %s", len(data), meta)
		}
	})
}

// inOrder holds a broker to the sequence that is asked for.
type inOrder struct{ *fakeBroker }

func (b inOrder) next(ctx context.Context, subject string, seq uint64) (*jetstream.RawStreamMsg, error) {
	m, err := b.fakeBroker.next(ctx, subject, seq)
	if err == nil && m.Sequence < seq {
		return nil, jetstream.ErrMsgNotFound
	}
	return m, err
}

// FuzzRecordKey: a subject that is understood is the one that is built from
// what was understood.
func FuzzRecordKey(f *testing.F) {
	for _, seed := range []string{"screening.record.b.j", "screening.record.b", "screening.record.b.j.k", "screening.record..", "screening.record.*.>", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		k, err := recordKey(subject)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := RecordSubject(k)
		if err != nil || strings.TrimPrefix(again, recordPrefix) != strings.TrimPrefix(subject, recordPrefix) {
			t.Errorf("%q was understood as %s", subject, k)
		}
	})
}
