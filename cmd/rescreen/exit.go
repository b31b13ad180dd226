package main

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes, the same for every command.
const (
	exitDone     = 0 // what was asked for is done
	exitFailed   = 1 // it could not be done, or was interrupted
	exitUsage    = 2 // the command line or the configuration is wrong: repeating changes nothing
	exitFailures = 3 // a batch is finished and holds failures
)

// exitError is an error that knows the exit code of the process and what the
// user can do about it.
type exitError struct {
	code int
	hint string // a sentence, printed on its own line; may be empty
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageError says that the command line or the configuration is wrong.
func usageError(err error, hint string) error {
	return &exitError{code: exitUsage, hint: hint, err: err}
}

// failedError says that something outside this process has to change, and
// what.
func failedError(err error, hint string) error {
	return &exitError{code: exitFailed, hint: hint, err: err}
}

// finishedWithFailures says that a batch has come to its end with failures.
func finishedWithFailures(err error) error {
	return &exitError{code: exitFailures, err: err}
}

// exitCode maps what run returned to the code of the process.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}

// printError writes an error and its hint once, for a person to read.
func printError(w io.Writer, err error) {
	if err == nil {
		return
	}
	_, _ = fmt.Fprintf(w, "rescreen: %v\n", err)
	var exit *exitError
	if errors.As(err, &exit) && exit.hint != "" {
		_, _ = fmt.Fprintf(w, "  %s\n", exit.hint)
	}
}
