package portfolio

import (
	"bytes"
	"unicode/utf8"

	"rescreen/queue"
)

// jsonRows reads rows of NDJSON: one object a line.
type jsonRows struct {
	lines  *lines
	filled []byte // a line with the members that rows do not have
}

// next implements rows.
func (r *jsonRows) next() (Row, error) {
	l, err := r.lines.take()
	if err != nil {
		return Row{}, err
	}
	text := bytes.TrimSpace(l.text)
	row := Row{Line: l.no, span: 1}
	r.lines.current = l.text
	switch {
	case len(text) == 0:
		return Row{span: 1}, nil
	case l.long:
		return r.reject(row, &queue.JobError{Problem: tooLong()}), nil
	case !utf8.Valid(text):
		return r.reject(row, &queue.JobError{Problem: "is not UTF-8 (perhaps Latin-1): save the file as UTF-8"}), nil
	}
	job, err := queue.DecodeJob(r.fill(text))
	if e := refusal(err); e != nil {
		if e.Member == "id" || e.Member == "attempt" {
			e = &queue.JobError{Member: e.Member, Problem: "does not belong in a portfolio: it is derived"}
		}
		return r.reject(row, e), nil
	}
	job.ID = JobID(job.CustomerRef)
	row.Job = job
	return row, nil
}

// fill puts id and attempt at the end of the object, so that a row is read by
// the one strict reader of jobs: a row that has them itself then has them
// twice and is refused for that. A text that is not an object is refused with
// or without them.
func (r *jsonRows) fill(text []byte) []byte {
	const members = `"id":"row","attempt":1}`
	inside, object := bytes.CutSuffix(text, []byte("}"))
	if !object {
		return text
	}
	r.filled = append(r.filled[:0], inside...)
	if len(bytes.TrimSpace(inside)) > 1 { // not just "{"
		r.filled = append(r.filled, ',')
	}
	r.filled = append(r.filled, members...)
	return r.filled
}

func (r *jsonRows) reject(row Row, e *queue.JobError) Row {
	row.Reject = &Reject{Row: row.Line, Column: e.Member, Reason: e.Problem, Raw: readable(r.lines.current)}
	return row
}
