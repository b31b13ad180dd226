package portfolio

import "errors"

// Why a text cannot be split into fields.
var (
	errOpenQuote  = errors.New("has a quote that is not closed")
	errStrayQuote = errors.New("has a quote within a field without quotes around it: quote the field and double its quotes")
	errAfterQuote = errors.New("has text behind a closing quote: double the quotes within a field")
)

// splitter splits the text of a row into fields, by RFC 4180 and strictly:
// a quote stands only around a field or twice within a quoted one. Blanks
// around a quoted field are forgiven. Strictness is what tells a field that
// goes on in the next line from a quote that nobody closed.
//
// The standard library's reader does not serve: an open quote makes it read to
// the end of the file, and it cannot go back.
type splitter struct {
	comma byte
	buf   []byte // the contents of all fields, one after the other
	ends  []int  // where each ends in buf
}

// split replaces the fields by those of text.
func (s *splitter) split(text []byte) error {
	s.buf, s.ends = s.buf[:0], s.ends[:0]
	for {
		rest, more, err := s.field(text)
		if err != nil {
			return err
		}
		s.ends = append(s.ends, len(s.buf))
		if !more {
			return nil
		}
		text = rest
	}
}

// len returns the number of fields.
func (s *splitter) len() int { return len(s.ends) }

// at returns a field; it is valid until the next split.
func (s *splitter) at(i int) []byte {
	begin := 0
	if i > 0 {
		begin = s.ends[i-1]
	}
	return s.buf[begin:s.ends[i]]
}

// field appends the field that text begins with to buf, and returns what
// follows it and whether there is another field.
func (s *splitter) field(text []byte) (rest []byte, more bool, err error) {
	i := 0
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	if i < len(text) && text[i] == '"' {
		return s.quoted(text[i+1:])
	}
	for i = 0; i < len(text); i++ {
		switch text[i] {
		case s.comma:
			s.buf = append(s.buf, text[:i]...)
			return text[i+1:], true, nil
		case '"':
			return nil, false, errStrayQuote
		}
	}
	s.buf = append(s.buf, text...)
	return nil, false, nil
}

// quoted is field behind an opening quote.
func (s *splitter) quoted(text []byte) (rest []byte, more bool, err error) {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			s.buf = append(s.buf, text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			s.buf = append(s.buf, '"')
			i++
			continue
		}
		for i++; i < len(text); i++ {
			switch text[i] {
			case ' ', '\t':
			case s.comma:
				return text[i+1:], true, nil
			default:
				return nil, false, errAfterQuote
			}
		}
		return nil, false, nil
	}
	return nil, false, errOpenQuote
}
