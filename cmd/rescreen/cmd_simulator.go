package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
)

// simulatorCmd serves the simulated API.
type simulatorCmd struct {
	simulatorSettings
}

func (c *simulatorCmd) problems() problems { return c.check("--") }

// simulatorStop is how long calls in flight may take to end; with --latency a
// call may well be waiting.
const simulatorStop = 3 * time.Second

// Run implements the command. It ends without an error when it is asked to.
func (c *simulatorCmd) Run(ctx context.Context, a *app) error {
	config, err := c.config()
	if err != nil {
		return usageError(err, "")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return failedError(err, "Choose another place with --listen.")
	}
	address := listener.Addr().String()
	if _, err := fmt.Fprint(a.stderr, simulatorGreeting(address)); err != nil {
		return errors.Join(err, listener.Close())
	}
	log := a.grammar.logger(a.stderr)
	return serve(ctx, listener, &http.Server{Handler: amlsim.New(config)}, log, simulatorStop)
}

// simulatorGreeting says how to use a simulator that listens at an address.
func simulatorGreeting(address string) string {
	text := "simulated AML API at http://" + address + "\n"
	use := "--api-env local"
	if address != amlsim.DefaultAddr {
		use += " --api-issuer http://" + address + amlsim.RealmPath
	}
	return text + "  use it:   rescreen worker " + use + "\n" +
		"  look in:  http://" + address + "/stats\n" +
		"  stop it:  Ctrl-C\n"
}

// serve answers on a listener until ctx ends, then lets calls in flight end.
// The server's own complaints (a client that breaks TLS, say) go to the log.
func serve(ctx context.Context, listener net.Listener, server *http.Server, log *zap.Logger, grace time.Duration) error {
	complaints, err := zap.NewStdLogAt(log, zap.DebugLevel)
	if err != nil {
		return err
	}
	server.ErrorLog = complaints
	server.ReadHeaderTimeout = 10 * time.Second // a client that says nothing must not hold a connection for ever
	server.IdleTimeout = 2 * time.Minute
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // grace is over: connections are cut, which is what was announced
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
