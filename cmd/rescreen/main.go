// Command rescreen takes a portfolio of people to an asynchronous AML API and
// brings back one result for each of them, evidence included.
//
// This package only wires: it reads settings, opens connections, starts what
// the other packages offer and turns errors into exit codes. One file holds
// one command (cmd_*.go) or one group of settings (settings_*.go).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(program(time.Now)) }

// program is what main does, by a clock, and returns the exit code.
func program(now func() time.Time) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; whoever sends a second one
	// does not want to wait for it.
	context.AfterFunc(ctx, stop)
	err := run(ctx, now, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	printError(os.Stderr, err)
	return exitCode(err)
}
