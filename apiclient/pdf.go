package apiclient

import (
	"bytes"
	"strconv"
)

var (
	errNotPDF      = &answerError{"answer is not a PDF"}
	errPDFCut      = &answerError{"PDF is cut short"}
	errPDFEnd      = &answerError{"PDF lacks its end"}
	errRangeBeyond = &answerError{"PDF is cut short: its signature covers more than there is"}
)

// checkPDFEnd checks that data ends as a PDF does. The file is evidence, not
// input: nothing in it is followed, unpacked or rendered.
func checkPDFEnd(data []byte) error {
	// Readers look for the mark within the last 1024 bytes; we want it last,
	// since whatever stands behind it was added or torn.
	end := bytes.TrimRight(data, "\x00\t\n\f\r ")
	if !bytes.HasSuffix(end, []byte("%%EOF")) {
		return errPDFEnd
	}
	end = end[:len(end)-len("%%EOF")]
	at := bytes.LastIndex(end, []byte("startxref"))
	if at < 0 {
		return errPDFEnd
	}
	offset, err := strconv.ParseInt(string(bytes.TrimSpace(end[at+len("startxref"):])), 10, 64)
	if err != nil || offset < 0 {
		return errPDFEnd
	}
	if offset >= int64(at) {
		return errPDFCut // bytes are missing before its own index of them
	}
	return nil
}

// signedRange is a signature found in a file: bytes [0,before) and
// [after,end) are signed, contents between them is the signature.
type signedRange struct {
	before, after, end int64
	contents           []byte // hex digits
	subFilter          string
}

// Bounds of the search, against files made to be slow to search.
const (
	maxByteRanges      = 64       // mentions of one
	maxContentsBytes   = 1 << 20  // hex digits of one signature
	maxDictionaryBytes = 16 << 10 // of a signature dictionary, without its contents
)

// findSignatures returns the signatures of a file in their order; all is false
// if it stopped looking. A signature dictionary cannot hide in a compressed
// stream: its contents must stand in the open for the byte range to spare them.
func findSignatures(data []byte) (found []*signedRange, all bool, err error) {
	at := 0
	for range maxByteRanges {
		i := bytes.Index(data[at:], []byte("/ByteRange"))
		if i < 0 {
			return found, true, nil
		}
		r, beyond := readSignature(data, at+i)
		if beyond {
			return nil, false, errRangeBeyond
		}
		if r != nil {
			found = append(found, r)
		}
		at += i + len("/ByteRange")
	}
	return found, false, nil
}

// readSignature reads the dictionary around the /ByteRange at data[at:].
// beyond: the range is well-formed but ends behind the file's end.
func readSignature(data []byte, at int) (r *signedRange, beyond bool) {
	v, ok := readRange(data[at+len("/ByteRange"):])
	if !ok || v[0] != 0 || v[1] <= 0 || v[2]-v[1] < 2 || v[2]-v[1] > maxContentsBytes {
		return nil, false
	}
	size := int64(len(data))
	if v[2] > size || v[3] > size-v[2] {
		// Only a range next to its own gap can be a signature of this file;
		// the same words in some stream prove nothing.
		inHead := int64(at) < v[1] && int64(at) > v[1]-maxDictionaryBytes
		inTail := int64(at) >= v[2] && int64(at)-maxDictionaryBytes < v[2]
		return nil, inHead || inTail
	}
	gap := data[v[1]:v[2]]
	if gap[0] != '<' || gap[len(gap)-1] != '>' {
		return nil, false
	}
	dict, ok := dictionaryAround(data, at, int(v[1]), int(v[2]))
	if !ok {
		return nil, false
	}
	return &signedRange{
		before: v[1], after: v[2], end: v[2] + v[3],
		contents: gap[1 : len(gap)-1], subFilter: nameAfter(dict, "/SubFilter"),
	}, false
}

// readRange reads "[a b c d]", blanks wherever PDF allows them.
func readRange(data []byte) (v [4]int64, ok bool) {
	data = data[:min(len(data), 256)]
	data = bytes.TrimLeft(data, "\x00\t\n\f\r ")
	if len(data) == 0 || data[0] != '[' {
		return v, false
	}
	inner, _, closed := bytes.Cut(data[1:], []byte("]"))
	fields := bytes.Fields(inner)
	if !closed || len(fields) != len(v) {
		return v, false
	}
	for i, f := range fields {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// dictionaryAround returns the text of the dictionary that holds both the byte
// range at offset at and the contents in [from,to), the contents left out. It
// must be one object: no "endobj" between its parts, and /Contents right
// before the gap.
func dictionaryAround(data []byte, at, from, to int) ([]byte, bool) {
	head := data[max(0, from-maxDictionaryBytes):from]
	tail := data[to:min(len(data), to+maxDictionaryBytes)]
	if !bytes.HasSuffix(bytes.TrimRight(head, "\x00\t\n\f\r "), []byte("/Contents")) {
		return nil, false
	}
	if i := bytes.LastIndex(head, []byte("obj")); i >= 0 {
		head = head[i:]
	}
	if i := bytes.Index(tail, []byte("endobj")); i >= 0 {
		tail = tail[:i]
	}
	inHead := at >= from-len(head) && at < from
	inTail := at >= to && at < to+len(tail)
	if !inHead && !inTail {
		return nil, false
	}
	return append(bytes.Clone(head), tail...), true
}

// nameAfter returns the name that is the value of key, without its slash.
func nameAfter(dict []byte, key string) string {
	i := bytes.Index(dict, []byte(key))
	if i < 0 {
		return ""
	}
	value := bytes.TrimLeft(dict[i+len(key):], "\x00\t\n\f\r ")
	if len(value) == 0 || value[0] != '/' {
		return ""
	}
	value = value[1:]
	end := bytes.IndexAny(value, "\x00\t\n\f\r /<>[]()%{}")
	if end < 0 {
		end = len(value)
	}
	return string(value[:min(end, 64)])
}
