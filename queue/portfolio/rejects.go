package portfolio

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// RejectWriter writes rejects as CSV: row, column, reason, raw. The rows hold
// personal data: whoever opens the file keeps it to its user (mode 0600).
//
// The file starts with a byte order mark, without which Excel takes UTF-8 for
// Windows-1252. A file without rejects stays empty.
type RejectWriter struct {
	out    io.Writer
	csv    *csv.Writer
	begun  bool
	record [4]string
}

// NewRejectWriter returns a writer to out. Call Flush at the end.
func NewRejectWriter(out io.Writer) *RejectWriter {
	return &RejectWriter{out: out, csv: csv.NewWriter(out)}
}

// Write writes one reject, buffered.
func (w *RejectWriter) Write(r Reject) error {
	if !w.begun {
		if _, err := io.WriteString(w.out, "\ufeff"); err != nil {
			return fmt.Errorf("rejects: %w", err)
		}
		w.begun = true
		w.record = [4]string{"row", "column", "reason", "raw"}
		if err := w.csv.Write(w.record[:]); err != nil {
			return fmt.Errorf("rejects: %w", err)
		}
	}
	w.record = [4]string{strconv.Itoa(r.Row), r.Column, r.Reason, r.Raw.Reveal()}
	if err := w.csv.Write(w.record[:]); err != nil {
		return fmt.Errorf("rejects: %w", err)
	}
	return nil
}

// Flush writes what is buffered and returns the first error of writing.
func (w *RejectWriter) Flush() error {
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return fmt.Errorf("rejects: %w", err)
	}
	return nil
}
