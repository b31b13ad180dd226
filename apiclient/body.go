package apiclient

import (
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Limits of an answer, after decompression, in bytes. Documents seen in
// samples have some 10 KiB, reports some 100 KiB.
const (
	maxDocumentBytes  = 8 << 20
	maxReportBytes    = 32 << 20
	maxSmallJSONBytes = 1 << 20 // session information, answer to a creation, access rights, discovery
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

// readBody reads a whole body of at most limit bytes, counted as they come out
// of decompression.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, errCoding // the transport removes the header when it decompresses
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case int64(len(body)) > limit:
		return nil, errTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errCut
	case isCodingError(err):
		return nil, errCoding
	case err != nil:
		return nil, err
	case resp.ContentLength >= 0 && !resp.Uncompressed && int64(len(body)) != resp.ContentLength:
		return nil, errLength
	}
	return body, nil
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
