package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"rescreen/queue/portfolio"
)

// maxReasons bounds the reasons counted apart: they are phrases of a closed
// set, but for the numbers in some.
const maxReasons = 50

// rejectCount is how often a column was rejected for a reason.
type rejectCount struct {
	Column string `json:"column"` // empty: the row as a whole
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// text is the reason as it is said: "ssn is impossible".
func (r rejectCount) text() string { return strings.TrimSpace(r.Column + " " + r.Reason) }

// rejectsFile takes the rows that cannot be screened. It is made with the
// first of them.
type rejectsFile struct {
	path   string
	file   *pendingFile
	writer *portfolio.RejectWriter
	tally  map[rejectCount]int
}

func (f *rejectsFile) add(r portfolio.Reject) error {
	if f.file == nil {
		file, err := createPending(f.path)
		if err != nil {
			return failedError(fmt.Errorf("file for rejects: %w", err), "Name another with --rejects.")
		}
		f.file, f.writer, f.tally = file, portfolio.NewRejectWriter(file), map[rejectCount]int{}
	}
	reason := rejectCount{Column: r.Column, Reason: r.Reason}
	if _, counted := f.tally[reason]; !counted && len(f.tally) >= maxReasons {
		reason = rejectCount{Reason: "other reasons"}
	}
	f.tally[reason]++
	return f.writer.Write(r)
}

// errNotRejects: a file of somebody's is where the rejects would go.
var errNotRejects = errors.New("exists and is no file of rejects")

// mayReplace refuses a place where something lies that a submission did not
// write: it may be the portfolio itself.
func (f *rejectsFile) mayReplace() error {
	refused := usageError(fmt.Errorf("%s %w", f.path, errNotRejects), "Name another file with --rejects.")
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return usageError(err, "Name another file with --rejects.")
	case !info.Mode().IsRegular():
		return refused
	}
	file, err := os.Open(f.path)
	if err != nil {
		return usageError(err, "Name another file with --rejects.")
	}
	defer func() { _ = file.Close() }() // opened for reading: nothing can be lost
	head := make([]byte, 64)
	n, _ := io.ReadFull(file, head)
	if n > 0 && !strings.HasPrefix(strings.TrimPrefix(string(head[:n]), "\ufeff"), "row,column,reason,raw") {
		return refused
	}
	return nil
}

// commit gives the file its name.
func (f *rejectsFile) commit() error {
	if f.file == nil {
		return nil
	}
	if err := f.writer.Flush(); err != nil {
		return err
	}
	return f.file.commit()
}

// discard removes what was not committed.
func (f *rejectsFile) discard() { f.file.discard() }

// written is the name of the file, empty if there is none.
func (f *rejectsFile) written() string {
	if f.file == nil || !f.file.done {
		return ""
	}
	return f.path
}

func (f *rejectsFile) hint() string {
	if f.written() == "" {
		return ""
	}
	return "See " + f.path
}

// counts returns the reasons, most frequent first.
func (f *rejectsFile) counts() []rejectCount {
	counts := []rejectCount{}
	for r, n := range f.tally {
		r.Count = n
		counts = append(counts, r)
	}
	slices.SortFunc(counts, func(a, b rejectCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.text(), b.text()))
	})
	return counts
}
