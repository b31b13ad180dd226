package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// MaxMessageBytes is the largest evidence kept in one message; larger goes to the
// object store [EvidenceBucket]. Half of the server's default limit for a message.
const MaxMessageBytes = 512 << 10

// headroom is what a message needs besides its data: subject and headers.
const headroom = 4 << 10

// Evidence keeps bytes exactly as they were received, under their SHA-256.
type Evidence struct {
	line    line
	objects objects
	limit   int // bytes; above it the object store is used
}

// Put stores data and returns its SHA-256 in small hex digits. Without an
// error it is stored as durably as the servers store anything, and will be
// there for [ResultsAge] from now at least: bytes that are put again start
// their age anew. (A write that was refused because the bytes are there would
// leave the first write's age, and a monthly screening that receives identical bytes
// would lose its evidence.)
//
// Errors are [ErrRefused], else the outcome is unknown and the call should be made again.
func (e *Evidence) Put(ctx context.Context, data []byte) (sha256hex string, err error) {
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	if len(data) > e.limit {
		err = e.objects.put(ctx, name, data)
	} else {
		err = e.line.put(ctx, evidencePrefix+name, data, nil)
	}
	if err != nil {
		return "", fmt.Errorf("put evidence: %w", err)
	}
	return name, nil
}

// Get returns the bytes with the given SHA-256, verified. Errors are [ErrKey],
// [ErrNotFound], [ErrCorrupt], else the store is out of reach.
func (e *Evidence) Get(ctx context.Context, sha256hex string) ([]byte, error) {
	subject, err := EvidenceSubject(sha256hex)
	if err != nil {
		return nil, err
	}
	data, err := e.get(ctx, subject, sha256hex)
	if err != nil {
		return nil, fmt.Errorf("get evidence %s: %w", sha256hex, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != sha256hex {
		return nil, fmt.Errorf("get evidence %s: %w", sha256hex, ErrCorrupt)
	}
	return data, nil
}

func (e *Evidence) get(ctx context.Context, subject, name string) ([]byte, error) {
	m, err := e.line.last(ctx, subject)
	if errors.Is(err, ErrNotFound) {
		return e.objects.get(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}
