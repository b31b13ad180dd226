package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// pendingFile is a file for its owner alone (mode 0600) that appears under its
// name when it is complete; one of that name is replaced then. Its errors name
// the file.
type pendingFile struct {
	path string
	file *os.File // temporary, in the same directory
	out  *bufio.Writer
	hash hash.Hash
	size int64
	done bool
}

func createPending(path string) (*pendingFile, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return nil, err
	}
	return &pendingFile{path: path, file: file, out: bufio.NewWriterSize(file, 64<<10), hash: sha256.New()}, nil
}

// Write implements io.Writer, buffered.
func (f *pendingFile) Write(b []byte) (int, error) {
	f.size += int64(len(b))
	_, _ = f.hash.Write(b) // a hash never fails
	return f.out.Write(b)
}

// sha256 is of what was written.
func (f *pendingFile) sha256() string { return hex.EncodeToString(f.hash.Sum(nil)) }

// commit brings the content to the disk and gives the file its name.
func (f *pendingFile) commit() error {
	err := errors.Join(f.out.Flush(), f.file.Sync(), f.file.Close())
	if err == nil {
		err = os.Rename(f.file.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	f.done = true
	return nil
}

// discard removes a file that was not committed, and does nothing after a
// commit.
func (f *pendingFile) discard() {
	if f == nil || f.done {
		return
	}
	_ = f.file.Close() // it may be closed already, and is of no use any more
	_ = os.Remove(f.file.Name())
}

// hashFile returns the SHA-256 of a file of about the given size, in hex.
func hashFile(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	// Small files are many, and the usual 32 KiB of buffer for each were most
	// of the work.
	_, err = io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, min(max(size, 512), 64<<10)))
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}
