package apiclient

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Limits of an answer, after decompression, in bytes. Documents seen in
// samples have some 10 KiB, reports some 100 KiB.
const (
	maxDocumentBytes  = 8 << 20
	maxReportBytes    = 32 << 20
	maxSmallJSONBytes = smallBody // session information, answer to a creation, access rights, discovery
	maxErrorBytes     = 64 << 10
)

// maxDepth is how deep JSON may nest. Documents nest some ten levels deep;
// encoding/json itself stops at 10,000.
const maxDepth = 200

// answerError is a fault of the answer itself: broken, too large, cut short.
// Its text holds nothing of the answer.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

var (
	errTooLarge = &answerError{"answer is too large"}
	errCut      = &answerError{"answer ends before its announced length"}
	errLength   = &answerError{"answer has not its announced length"}
	errCoding   = &answerError{"answer cannot be decompressed"}
	errJSON     = &answerError{"answer is not JSON"}
	errDepth    = &answerError{"answer nests too deep"}
)

// smallBody is what an answer may hold, in bytes, without waiting for its turn:
// 8 MiB for a worker's 64 steps together.
const smallBody = 128 << 10

// mediumBody is the same for an answer that waits for one of mediumBodies buffers
// at most. Reports of a usual size fit.
const (
	mediumBody   = 256 << 10
	mediumBodies = 8
)

// bodies reads the bodies of answers into buffers that are used again: those
// larger than smallBody a few at a time, those larger than mediumBody one at a time.
// However many large answers come at once, and whatever they claim to be, those that
// are of no use cost the memory of one; and one that hardly moves holds up usual ones
// only when others as large have taken all their buffers. An answer to a creation never waits: it is small, or not read.
type bodies struct {
	small  sync.Pool   // of *[]byte
	medium chan []byte // nil as long as nobody has needed it
	turn   gate
	large  []byte // guarded by turn; grows to the largest limit asked for
}

func newBodies() *bodies {
	b := &bodies{turn: newGate(), medium: make(chan []byte, mediumBodies), small: sync.Pool{New: func() any {
		b := make([]byte, smallBody+1)
		return &b
	}}}
	for range mediumBodies {
		b.medium <- nil
	}
	return b
}

// read reads a body of at most limit bytes and checks it.
func (b *bodies) read(ctx context.Context, body io.Reader, limit int64, check func([]byte) error) ([]byte, error) {
	small := b.small.Get().(*[]byte)
	defer b.small.Put(small)
	begun, whole, err := fill(body, (*small)[:min(limit, smallBody)+1], 0)
	if err != nil {
		return nil, err
	}
	if whole {
		return keep(begun, check)
	}
	if limit <= smallBody {
		return nil, errTooLarge
	}
	var medium []byte
	select {
	case medium = <-b.medium:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if medium == nil {
		medium = make([]byte, mediumBody+1)
	}
	defer func() { b.medium <- medium }()
	begun, whole, err = fill(body, medium[:min(limit, mediumBody)+1], copy(medium, begun))
	switch {
	case err != nil:
		return nil, err
	case whole:
		return keep(begun, check)
	case limit <= mediumBody:
		return nil, errTooLarge
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer b.turn.leave()
	if int64(len(b.large)) <= limit {
		b.large = make([]byte, limit+1)
	}
	all, whole, err := fill(body, b.large[:limit+1], copy(b.large, begun))
	if err != nil {
		return nil, err
	}
	if !whole {
		return nil, errTooLarge
	}
	return keep(all, check)
}

// fill reads into a buffer whose first n bytes have been read. whole is false
// when the buffer is full.
func fill(from io.Reader, buffer []byte, n int) (read []byte, whole bool, err error) {
	for n < len(buffer) {
		more, err := from.Read(buffer[n:])
		n += more
		if errors.Is(err, io.EOF) {
			return buffer[:n], n < len(buffer), nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return buffer, false, nil
}

// keep returns a copy of what stands the check.
func keep(body []byte, check func([]byte) error) ([]byte, error) {
	if err := check(body); err != nil {
		return nil, err
	}
	return bytes.Clone(body), nil
}

// readBody reads a whole body of at most limit bytes, counted as they come out
// of decompression, and checks it.
func (c *Client) readBody(ctx context.Context, resp *http.Response, limit int64, check func([]byte) error) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, errCoding // the transport removes the header when it decompresses
	}
	body, err := c.bodies.read(ctx, resp.Body, limit, func(body []byte) error {
		if resp.ContentLength >= 0 && !resp.Uncompressed && int64(len(body)) != resp.ContentLength {
			return errLength
		}
		if check == nil {
			return nil
		}
		return check(body)
	})
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errCut
	case isCodingError(err):
		return nil, errCoding
	}
	return body, err
}

func isCodingError(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt)
}

// checkJSON reports whether data is one JSON value that may safely be decoded.
func checkJSON(data []byte) error {
	if tooDeep(data) {
		return errDepth
	}
	if !json.Valid(data) {
		return errJSON
	}
	return nil
}

// tooDeep counts brackets outside of strings, in one loop: a check that
// recursed would fall to what it looks for.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
