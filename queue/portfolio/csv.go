package portfolio

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/personal"
	"rescreen/queue"
)

// csvRows reads rows of CSV.
type csvRows struct {
	lines   *lines
	columns []string
	fields  splitter
	trial   splitter // for looking at lines of a row by themselves
	joined  []byte   // the text of a row over several lines
}

// openCSV reads the header, and says how many lines before it were blank.
func openCSV(l *lines) (*csvRows, int, error) {
	blank := 0
	first, err := l.take()
	for ; err == nil && len(bytes.TrimSpace(first.text)) == 0; first, err = l.take() {
		blank++
	}
	if err != nil {
		return nil, 0, err
	}
	comma, given := separatorLine(first)
	if given {
		if first, err = l.take(); err != nil {
			return nil, 0, &FileError{Problem: "has no header"}
		}
	}
	found, err := headerLine(first)
	if err != nil {
		return nil, 0, err
	}
	if !given {
		comma = found
	}
	c := &csvRows{lines: l, fields: splitter{comma: comma}, trial: splitter{comma: comma}}
	if err := c.fields.split(first.text); err != nil {
		return nil, 0, &FileError{Problem: "has a header that " + err.Error()}
	}
	c.columns, err = header(&c.fields)
	return c, blank, err
}

// next implements rows.
func (c *csvRows) next() (Row, error) {
	l, err := c.lines.take()
	if err != nil {
		return Row{}, err
	}
	row := Row{Line: l.no, span: 1}
	c.lines.current = l.text
	if l.long {
		return c.reject(row, "", tooLong()), nil
	}
	err = c.fields.split(l.text)
	if errors.Is(err, errOpenQuote) {
		c.joined = append(c.joined[:0], l.text...)
		row.span, err = c.join()
		c.lines.current = c.joined
	}
	switch {
	case err != nil:
		return c.reject(row, "", err.Error()), nil
	case c.empty():
		return Row{span: row.span}, nil
	case c.fields.len() != len(c.columns):
		return c.reject(row, "", fmt.Sprintf("has %d columns, the header has %d", c.fields.len(), len(c.columns))), nil
	}
	job, refused := c.job()
	if refused != nil {
		return c.reject(row, refused.Member, refused.Problem), nil
	}
	row.Job = job
	return row, nil
}

// join follows an open quote over the next lines. It returns how many lines
// the row has, and leaves their text in joined and its fields in fields. If
// the quote is not closed, joined is the first line alone.
//
// A line on the way that is a row by itself ends the search: the quote was
// forgotten, and the row is not to be swallowed.
func (c *csvRows) join() (int, error) {
	first := len(c.joined)
	for i := range MaxRowLines - 1 {
		l, err := c.lines.peek(i)
		if err != nil || l.long || len(c.joined)+len(l.text) > MaxRowBytes {
			break // an error of reading comes back with the next row
		}
		if c.trial.split(l.text) == nil && c.trial.len() == len(c.columns) {
			break
		}
		c.joined = append(append(c.joined, '\n'), l.text...)
		err = c.fields.split(c.joined)
		if errors.Is(err, errOpenQuote) {
			continue
		}
		if err != nil || c.fields.len() != len(c.columns) {
			break
		}
		for range i + 1 {
			_, _ = c.lines.take() // peeked above
		}
		return i + 2, nil
	}
	c.joined = c.joined[:first]
	return 1, errOpenQuote
}

// empty reports whether the row holds nothing but separators and blanks.
func (c *csvRows) empty() bool { return len(bytes.TrimSpace(c.fields.buf)) == 0 }

func (c *csvRows) reject(row Row, column, reason string) Row {
	row.Reject = &Reject{Row: row.Line, Column: column, Reason: reason, Raw: readable(c.lines.current)}
	return row
}

func tooLong() string { return fmt.Sprintf("is longer than %d bytes", MaxRowBytes) }

// job makes a job of the fields.
func (c *csvRows) job() (queue.Job, *queue.JobError) {
	var j queue.Job
	for i, column := range c.columns {
		field := c.fields.at(i)
		if !utf8.Valid(field) {
			return j, &queue.JobError{Member: column, Problem: "is not UTF-8 (perhaps Latin-1): save the file as UTF-8"}
		}
		if err := setCell(&j, column, string(bytes.TrimSpace(field))); err != nil {
			return j, err
		}
	}
	j.ID = JobID(j.CustomerRef)
	j = j.WithDefaults()
	return j, refusal(j.Validate())
}

// setCell sets the member of j that the column is for.
func setCell(j *queue.Job, column, cell string) *queue.JobError {
	switch column {
	case "customer_ref":
		j.CustomerRef = cell
	case "first_name":
		j.FirstName = personal.Text(cell)
	case "last_name":
		j.LastName = personal.Text(cell)
	case "date_of_birth":
		j.DateOfBirth = personal.Text(cell)
	case "ssn":
		j.SSN = personal.Text(cell)
	case "ssn_country":
		j.SSNCountry = nationalid.Country(strings.ToUpper(cell))
	case "country":
		j.Country = strings.ToLower(cell)
	case "language":
		j.Language = strings.ToLower(cell)
	case "expands":
		j.Expands = strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(" \t\r\n|", r) })
	case "report":
		switch strings.ToLower(cell) {
		case "true", "yes", "1":
			j.Report = true
		case "", "false", "no", "0":
		default:
			return &queue.JobError{Member: column, Problem: "is none of true, false, yes, no, 1, 0"}
		}
	}
	return nil
}

// refusal returns what a job says is wrong with it.
func refusal(err error) *queue.JobError {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*queue.JobError](err); ok {
		return e
	}
	return &queue.JobError{Problem: "is no valid job"}
}
