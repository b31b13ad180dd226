package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// syncEvery is how often the monitoring is asked: the setting changes only with a
// restart of the server.
const syncEvery = 5 * time.Minute

// syncCollector tells how often the NATS servers sync to the disk: of the slowest of
// those that can be seen, and nothing where none can.
type syncCollector struct {
	monitors []string // addresses

	mu    sync.Mutex
	known bool
	every time.Duration
}

var syncDesc = prometheus.NewDesc("rescreen_nats_sync_interval_seconds",
	"Time between two syncs of JetStream to the disk, of the slowest server; 0: every write is synced before it counts.", nil, nil)

// newSyncCollector knows of an embedded server by itself: it syncs every write.
func newSyncCollector(s natsSettings) *syncCollector {
	return &syncCollector{monitors: splitServers(s.Monitor), known: !s.remote()}
}

// run asks the monitoring, now and then, until ctx ends.
func (c *syncCollector) run(ctx context.Context, log *zap.Logger) {
	if c.known || len(c.monitors) == 0 {
		return
	}
	for {
		c.read(ctx, log)
		timer := time.NewTimer(syncEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// read asks all servers. What was known stays while none answers.
func (c *syncCollector) read(ctx context.Context, log *zap.Logger) {
	slowest, known := time.Duration(0), false
	for _, address := range c.monitors {
		facts, err := readServerFacts(ctx, address)
		if err == nil && facts.JetStream.Config == nil {
			err = errNoJetStream
		}
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("NATS monitoring does not answer", zap.String("address", redactURL(address)), zap.Error(err))
			}
			continue
		}
		known = true
		slowest = max(slowest, facts.JetStream.Config.interval())
	}
	if !known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.every = true, slowest
}

// Describe implements prometheus.Collector.
func (c *syncCollector) Describe(ch chan<- *prometheus.Desc) { ch <- syncDesc }

// Collect implements prometheus.Collector.
func (c *syncCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		ch <- prometheus.MustNewConstMetric(syncDesc, prometheus.GaugeValue, c.every.Seconds())
	}
}
