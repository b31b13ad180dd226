package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxObjectBytes bounds what get will assemble, whatever an object claims to
// be. The largest evidence is a PDF, for which the caller has a limit well below.
const maxObjectBytes = 256 << 20

// objects is the object store [EvidenceBucket], in the format of the clients (so
// `nats object get` reads it), written with more care than they do: each chunk is
// acknowledged before the next is sent and all before the object is named. The client's own
// Put sends the name without waiting for the chunks, and one after a failure
// leaves a name without them. And it reads by asking the leader, where the client
// reads by a consumer it creates, which may be placed on a replica that lags.
type objects struct {
	line  line
	now   func() time.Time // the server's
	chunk int              // bytes
}

// defaultChunkBytes is the clients' chunk size.
const defaultChunkBytes = 128 << 10

// put stores data under name, unless it has been there for less than
// [evidenceFresh]. Chunks of an object that is written anew are left to their age:
// somebody may be reading them.
func (o objects) put(ctx context.Context, name string, data []byte) error {
	fresh, err := o.fresh(ctx, name)
	if err != nil {
		return err
	}
	if fresh {
		return nil
	}
	id := rand.Text() // chunks of two writers must not mix
	var chunks uint32
	var after uint64
	for part := range slices.Chunk(data, o.chunk) {
		// Compared, since all chunks share a subject: repeated, one would be there twice.
		after, err = o.line.commit(ctx, change{subject: chunkPrefix + id, value: part, after: after})
		if err != nil {
			return fmt.Errorf("chunk %d: %w", chunks, err)
		}
		chunks++
	}
	sum := sha256.Sum256(data)
	meta, err := json.Marshal(jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{
			Name: name,
			Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(o.chunk)},
		},
		Bucket: EvidenceBucket,
		NUID:   id,
		Size:   uint64(len(data)),
		Chunks: chunks,
		Digest: "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:]),
	})
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	rollup := nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}
	return o.line.put(ctx, metaSubject(name), meta, rollup)
}

// get assembles the object. What is found is not verified.
func (o objects) get(ctx context.Context, name string) ([]byte, error) {
	info, _, err := o.info(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.Size > maxObjectBytes {
		return nil, fmt.Errorf("%w: object of %d bytes", ErrCorrupt, info.Size)
	}
	data := make([]byte, 0, info.Size)
	seq := uint64(1)
	for range info.Chunks {
		m, err := o.line.next(ctx, chunkPrefix+info.NUID, seq)
		if err != nil {
			return nil, err // ErrNotFound: chunks are older than the name and expire first
		}
		if data = append(data, m.Data...); uint64(len(data)) > info.Size {
			return nil, fmt.Errorf("%w: object of more than its %d bytes", ErrCorrupt, info.Size)
		}
		seq = m.Sequence + 1
	}
	return data, nil
}

func (o objects) fresh(ctx context.Context, name string) (bool, error) {
	_, written, err := o.info(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrCorrupt):
		return false, nil
	case err != nil:
		return false, err
	}
	return o.now().Sub(written) < evidenceFresh, nil
}

func (o objects) info(ctx context.Context, name string) (info jetstream.ObjectInfo, written time.Time, err error) {
	m, err := o.line.last(ctx, metaSubject(name))
	if err != nil {
		return info, written, err
	}
	if err := json.Unmarshal(m.Data, &info); err != nil || info.NUID == "" {
		return info, written, fmt.Errorf("%w: unreadable object", ErrCorrupt)
	}
	if info.Deleted {
		return info, written, ErrNotFound
	}
	return info, m.Time, nil
}

func metaSubject(name string) string {
	return metaPrefix + base64.URLEncoding.EncodeToString([]byte(name))
}
