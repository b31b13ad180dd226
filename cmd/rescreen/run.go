package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"rescreen/apiclient"
	"rescreen/worker"
)

// app is what every command gets: the process around it, handed in so that a
// test needs none.
type app struct {
	now            func() time.Time // the local clock
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // "KEY=value"
	grammar        *grammar
	settings       []effective // of the selected command, in the order of its help
	warnings       problems    // with settings that work but should not stay so
	found          problems    // with settings, for an examiner
	faults         faults      // nil but in tests of crashes
	link           *natsLink   // of a command that asks NATS and ends; nil before, and for others
}

// faults stands between a worker and all that it works with.
type faults interface {
	// api changes how the API is called, before the client is made.
	api(*apiclient.Config)
	// deps changes what the worker gets.
	deps(*worker.Deps)
}

// getenv looks an environment variable up. One that is set to the empty
// string counts as not set: compose files and charts write KEY= for "default".
func (a *app) getenv(key string) (string, bool) {
	for i := len(a.environ) - 1; i >= 0; i-- { // like the kernel's heirs: the last one wins
		if k, v, _ := strings.Cut(a.environ[i], "="); k == key {
			return v, v != ""
		}
	}
	return "", false
}

// run is the whole program. It returns what printError prints and exitCode
// understands; data has been written to stdout by then.
func run(ctx context.Context, now func() time.Time, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	a := &app{now: now, stdin: stdin, stdout: stdout, stderr: stderr, environ: environ}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) error {
	a.grammar = &grammar{}
	selected, err := a.parse(args)
	if err != nil || selected == nil { // nil: help was asked for and printed
		return err
	}
	selected.BindTo(ctx, (*context.Context)(nil))
	err = selected.Run(a)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return failedError(fmt.Errorf("interrupted: %w", context.Cause(ctx)), "")
	}
	if err != nil && a.link != nil {
		return a.link.explain(err)
	}
	return err
}

// warn tells the user about something that works but should not stay so.
func (a *app) warn(p problem) {
	_, _ = fmt.Fprintf(a.stderr, "rescreen: warning: %s\n", p)
}
