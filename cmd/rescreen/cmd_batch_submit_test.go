package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whatever the input is, it can be read twice, and no copy has a name.
func TestOpenInput(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("people"), 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(pipe, []byte("people"), 0o600) }()
	for _, name := range []string{file, pipe, "-"} {
		in, err := openInput(t.Context(), strings.NewReader("people"), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 2 {
			text, err := io.ReadAll(in)
			if err != nil || string(text) != "people" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
			if _, err := in.Seek(0, io.SeekStart); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("%s leaves %v, %v", name, left, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openInput(ctx, strings.NewReader("people"), "-"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSubmitter(t *testing.T) {
	account := "unknown"
	if who, err := user.Current(); err == nil {
		account = who.Username
	}
	for _, c := range []struct {
		flag    string
		environ []string
		want    string
	}{
		{"", nil, account},
		{"", []string{"LOGNAME=berit", "USER=anna"}, "anna"},
		{"", []string{"USER=", "LOGNAME=berit"}, "berit"},
		{"night job", []string{"USER=anna"}, "night job"},
		{"", []string{"USER=01837433777"}, account}, // an account named after somebody's number
	} {
		if got := (&app{environ: c.environ}).person(c.flag); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
