package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/queue/natsembed"
)

// workerCmd screens what is queued until it is told to stop.
type workerCmd struct {
	workerSettings
}

// collectAt lets a worker's heap grow by half, not to twice its size, before it is
// collected: it is small, and what it holds of one answer may be 32 MiB. $GOGC has
// its usual meaning.
const collectAt = 50

// Run implements the command. It ends without an error when it is asked to.
func (c *workerCmd) Run(ctx context.Context, a *app) error {
	if _, set := a.getenv("GOGC"); !set {
		debug.SetGCPercent(collectAt)
	}
	log := a.grammar.logger(a.stderr)
	link, stop, err := c.connect(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	c.id = workerID()
	spans, err := a.tracing(ctx, a.stderr, c.id, log)
	if err != nil {
		return err
	}
	defer spans.end(log)
	st, err := newStation(ctx, a.now, link, c.workerSettings, spans.Tracer, log, a.faults)
	if err != nil {
		return err
	}
	silence, err := st.serveHTTP(ctx, c.HTTPAddr)
	if err != nil {
		return err
	}
	defer silence()
	endProfiles, err := serveProfiles(ctx, c.PprofAddr, log)
	if err != nil {
		return err
	}
	defer endProfiles()
	log.Info("worker started", zap.String("api_env", string(c.API.APIEnv)),
		zap.Int("slots", c.Lifecycle.Slots), zap.Bool("embedded", c.Embedded))
	err = st.run(ctx)
	log.Info("worker stopped")
	return err
}

// connect connects to the server that is named, or starts one in this process
// and sets it up. stop ends what connect began.
func (c *workerCmd) connect(ctx context.Context, log *zap.Logger) (link *natsLink, stop func(), err error) {
	if !c.Embedded {
		link, err = c.NATS.connect(ctx, "rescreen worker", log)
		if err != nil {
			return nil, nil, err
		}
		return link, link.Close, nil
	}
	// Alone on one machine nobody else has a copy: every write is synced to
	// the disk before it counts.
	link, stop, err = embed(ctx, natsembed.Config{Dir: c.NATS.DataDir, Listen: c.EmbeddedListen, SyncAlways: true, Log: log}, "rescreen worker", log)
	if err != nil {
		return nil, nil, err
	}
	access, err := natsembed.ReadAccess(c.NATS.DataDir)
	if err != nil {
		stop()
		return nil, nil, failedError(fmt.Errorf("access file of the embedded NATS server: %w", err), "")
	}
	log.Info("NATS server embedded", zap.String("url", access.URL), zap.String("data_dir", c.NATS.DataDir))
	return link, stop, nil
}

// embed starts JetStream in this process, connects to it and sets it up.
func embed(ctx context.Context, config natsembed.Config, name string, log *zap.Logger) (link *natsLink, stop func(), err error) {
	server, err := natsembed.Start(config)
	if err != nil {
		return nil, nil, failedError(fmt.Errorf("embedded NATS server: %w", err),
			"If the address or the directory is taken, choose others with --embedded-listen and --data-dir.")
	}
	link, err = inProcess(server).connect(ctx, name, log)
	if err != nil {
		server.Shutdown()
		return nil, nil, err
	}
	stop = func() { link.Close(); server.Shutdown() }
	if _, err := setup(ctx, link.JS, setupOptions{}); err != nil {
		stop()
		return nil, nil, fmt.Errorf("set up the embedded NATS server: %w", err)
	}
	return link, stop, nil
}

// isNotFound reports whether err says that something in JetStream does not
// exist.
func isNotFound(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound)
}
