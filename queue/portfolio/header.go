package portfolio

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
)

// FileError says why a file cannot be read at all.
type FileError struct {
	// Column is the column of the header at fault, empty if it is not one.
	Column string
	// Problem is a short phrase that says what to do.
	Problem string
}

// Error implements error.
func (e *FileError) Error() string {
	if e.Column == "" {
		return "portfolio: " + e.Problem
	}
	return fmt.Sprintf("portfolio: column %s %s", e.Column, e.Problem)
}

// Columns returns the columns a CSV file can have, which are the members of a
// row in NDJSON. customer_ref, first_name and last_name are required, and so is
// one of date_of_birth and ssn.
func Columns() []string {
	return []string{"customer_ref", "first_name", "last_name", "date_of_birth", "ssn", "ssn_country",
		"country", "expands", "report", "language"}
}

// header finds out what each column of a CSV file is.
func header(s *splitter) ([]string, error) {
	columns := make([]string, s.len())
	known := 0
	for i := range columns {
		columns[i] = strings.ToLower(strings.TrimSpace(string(s.at(i))))
		if slices.Contains(Columns(), columns[i]) {
			known++
		}
	}
	if known == 0 {
		// Without a header this is a row, so nothing of it is repeated.
		return nil, &FileError{Problem: "has no header: its first line must name the columns, of " + strings.Join(Columns(), ", ")}
	}
	for i, c := range columns {
		switch {
		case c == "":
			return nil, &FileError{Column: fmt.Sprintf("number %d", i+1), Problem: "has no name"}
		case c == "id" || c == "attempt":
			return nil, &FileError{Column: c, Problem: "does not belong in a portfolio: it is derived"}
		case !slices.Contains(Columns(), c):
			return nil, &FileError{Column: shown(c), Problem: "is unknown; known are " + strings.Join(Columns(), ", ")}
		case slices.Contains(columns[:i], c):
			return nil, &FileError{Column: c, Problem: "stands there twice"}
		}
	}
	for _, c := range []string{"customer_ref", "first_name", "last_name"} {
		if !slices.Contains(columns, c) {
			return nil, &FileError{Column: c, Problem: "is missing"}
		}
	}
	if !slices.Contains(columns, "date_of_birth") && !slices.Contains(columns, "ssn") {
		return nil, &FileError{Problem: "has neither a column date_of_birth nor a column ssn"}
	}
	return columns, nil
}

// shown returns an unknown name quoted, not longer than a name can be, and
// without a number that a data row has in its place.
func shown(name string) string {
	const most = 40 // characters
	name = nationalid.Mask(name)
	if r := []rune(name); len(r) > most {
		name = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", name)
}

// headerLine checks the line that should be a header and finds the character
// between its columns: the one of comma and semicolon that occurs.
func headerLine(l line) (comma byte, err error) {
	switch {
	case bytes.IndexByte(l.text, 0) >= 0:
		return 0, &FileError{Problem: "is UTF-16 or no text at all: save it as UTF-8 (in Excel: \"CSV UTF-8\")"}
	case bytes.IndexByte(l.text, '\r') >= 0:
		return 0, &FileError{Problem: "ends its lines with CR alone: save it with LF or CRLF"}
	case l.long:
		return 0, &FileError{Problem: fmt.Sprintf("has a first line of more than %d bytes", MaxRowBytes)}
	case !utf8.Valid(l.text):
		return 0, &FileError{Problem: "is not UTF-8: save it as UTF-8 (in Excel: \"CSV UTF-8\")"}
	}
	commas, semicolons := bytes.Count(l.text, []byte{','}), bytes.Count(l.text, []byte{';'})
	switch {
	case commas == 0 && semicolons == 0 && bytes.IndexByte(l.text, '\t') >= 0:
		return 0, &FileError{Problem: "has tabs between its columns: save it with commas or semicolons"}
	case semicolons > commas:
		return ';', nil
	default:
		return ',', nil
	}
}

// separatorLine reads Excel's "sep=;", and says whether l is one.
func separatorLine(l line) (comma byte, ok bool) {
	text := string(bytes.ToLower(bytes.Trim(l.text, " \"")))
	switch text {
	case "sep=;", "sep=,":
		return text[4], true
	default:
		return 0, false
	}
}
