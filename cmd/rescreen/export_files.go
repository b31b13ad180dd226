package main

import (
	"encoding/csv"
	"errors"
	"path/filepath"
)

// outcomeFiles are the two files of one kind of outcome: every event, and the
// table of them.
type outcomeFiles struct {
	name    string
	events  *pendingFile // <name>.ndjson
	cells   *pendingFile // <name>.csv
	table   *csv.Writer
	records int
}

func createOutcomeFiles(dir, name string, columns []string) (*outcomeFiles, error) {
	events, err := createPending(filepath.Join(dir, name+".ndjson"))
	if err != nil {
		return nil, err
	}
	cells, err := createPending(filepath.Join(dir, name+".csv"))
	if err != nil {
		events.discard()
		return nil, err
	}
	f := &outcomeFiles{name: name, events: events, cells: cells, table: csv.NewWriter(cells)}
	if err := f.table.Write(columns); err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

// add writes an event, which is one line, and its cells.
func (f *outcomeFiles) add(event []byte, cells []string) error {
	f.records++
	_, err := f.events.Write(event)
	_, endErr := f.events.Write([]byte{'\n'})
	return errors.Join(err, endErr, f.table.Write(cells))
}

func (f *outcomeFiles) commit() ([]exportedFile, error) {
	f.table.Flush()
	if err := errors.Join(f.table.Error(), f.events.commit(), f.cells.commit()); err != nil {
		return nil, err
	}
	var written []exportedFile
	for _, p := range []*pendingFile{f.events, f.cells} {
		written = append(written, exportedFile{Name: filepath.Base(p.path), SHA256: p.sha256(), Bytes: p.size, Records: f.records})
	}
	return written, nil
}

func (f *outcomeFiles) discard() {
	f.events.discard()
	f.cells.discard()
}
