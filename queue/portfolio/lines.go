package portfolio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"rescreen/apiclient/personal"
)

// keptOfLongLine is how much of a line beyond MaxRowBytes a reject shows.
const keptOfLongLine = 1 << 10

// line is one line of the file, without its line end.
type line struct {
	no   int // from 1
	text []byte
	long bool // beyond MaxRowBytes; text is its beginning
}

// lines reads a file line by line in bounded memory and can look ahead.
type lines struct {
	in    *bufio.Reader
	count int    // lines read from in
	ahead []line // read, not yet taken
	err   error  // of reading; io.EOF at the end

	// current holds the text of the row taken last, until the next is taken.
	current []byte
}

func newLines(in io.Reader) *lines {
	return &lines{in: bufio.NewReaderSize(in, MaxRowBytes+len("\r\n"))}
}

// take returns the next line. Its text is valid until the next call.
func (l *lines) take() (line, error) {
	if len(l.ahead) == 0 {
		return l.read()
	}
	next := l.ahead[0]
	l.ahead[0] = line{}
	l.ahead = l.ahead[1:]
	return next, nil
}

// peek returns the line that i+1 calls of take will return. It may not be
// used while the text of the line taken last is needed.
func (l *lines) peek(i int) (line, error) {
	for len(l.ahead) <= i {
		next, err := l.read()
		if err != nil {
			return line{}, err
		}
		next.text = bytes.Clone(next.text)
		l.ahead = append(l.ahead, next)
	}
	return l.ahead[i], nil
}

// read reads one line from the file; its text lies in the buffer.
func (l *lines) read() (line, error) {
	if l.err != nil {
		return line{}, l.err
	}
	text, err := l.in.ReadSlice('\n')
	next := line{no: l.count + 1}
	if errors.Is(err, bufio.ErrBufferFull) {
		next.long = true
		text = bytes.Clone(text[:keptOfLongLine])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.in.ReadSlice('\n')
		}
	}
	if err != nil {
		l.err = err
		if !errors.Is(err, io.EOF) {
			l.err = fmt.Errorf("portfolio after line %d: %w", l.count, err)
			return line{}, l.err // a line cut short would be read as a whole one
		}
		if len(text) == 0 {
			return line{}, io.EOF
		}
	}
	l.count++
	next.text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(next.text) > MaxRowBytes {
		next.long, next.text = true, next.text[:keptOfLongLine]
	}
	return next, nil
}

// detect looks at the beginning of the file: it takes off a byte order mark
// and reports whether the rows are JSON. It refuses what no row could be read
// of, as a *FileError.
func (l *lines) detect() (ndjson bool, err error) {
	begin, err := l.in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("beginning of the portfolio: %w", err)
	}
	switch {
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")), bytes.IndexByte(begin, 0) >= 0:
		return false, &FileError{Problem: "is UTF-16: save it as UTF-8 (in Excel: \"CSV UTF-8\")"}
	case bytes.HasPrefix(begin, []byte("PK\x03")):
		return false, &FileError{Problem: "is a workbook or archive: save it as CSV (in Excel: \"CSV UTF-8\")"}
	case bytes.HasPrefix(begin, []byte("\xef\xbb\xbf")):
		_, _ = l.in.Discard(3) // peeked above
	}
	for i := 0; ; i++ {
		next, err := l.peek(i)
		switch {
		case errors.Is(err, io.EOF):
			return false, &FileError{Problem: "is empty"}
		case err != nil:
			return false, err
		}
		text := bytes.TrimSpace(next.text)
		switch {
		case len(text) == 0 && i < MaxRowLines:
			continue
		case len(text) == 0:
			return false, &FileError{Problem: fmt.Sprintf("starts with more than %d blank lines", MaxRowLines)}
		case text[0] == '[':
			return false, &FileError{Problem: "is a JSON array: write one object a line, without brackets and commas around them"}
		}
		return text[0] == '{', nil
	}
}

// readable returns the text of a row as valid UTF-8. Bytes that are not are
// taken for Latin-1, the likeliest other encoding, so that a person can read
// the reject and set it right.
func readable(text []byte) personal.Text {
	if utf8.Valid(text) {
		return personal.Text(text)
	}
	out := make([]rune, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			r = rune(text[0])
		}
		out, text = append(out, r), text[size:]
	}
	return personal.Text(string(out))
}
