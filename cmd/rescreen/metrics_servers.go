package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

const (
	// serversEvery is how often the monitoring of the NATS servers is asked: a disk
	// fills in hours.
	serversEvery = time.Minute
	// storageAge is how old a reading of the storage may be to be told: a server may
	// be restarted or overloaded meanwhile without an alert about it starting anew.
	storageAge = 5 * time.Minute
)

// serversCollector tells what the NATS servers say of their disks: how often they
// sync, of the slowest of those that can be seen, and how full each is. Of what
// cannot be seen it tells nothing.
type serversCollector struct {
	monitors []string // addresses
	dataDir  string   // of the embedded server, "" if there is none

	mu      sync.Mutex
	known   bool
	every   time.Duration // between two syncs, if known
	storage map[string]*fact[storageFact]
}

// storageFact is what a server holds and may hold on disk, in bytes.
type storageFact struct {
	used  int64
	limit int64 // none unless above 0
}

// embeddedName is the label of the embedded server.
const embeddedName = "embedded"

var (
	syncDesc = prometheus.NewDesc("rescreen_nats_sync_interval_seconds",
		"Time between two syncs of JetStream to the disk, of the slowest server; 0: every write is synced before it counts.", nil, nil)
	storageDesc = prometheus.NewDesc("rescreen_nats_storage_bytes",
		"Bytes that JetStream holds on the disk of a NATS server, those of other accounts included; for the embedded server all that is used on its disk.", []string{"server"}, nil)
	storageLimitDesc = prometheus.NewDesc("rescreen_nats_storage_limit_bytes",
		"Most bytes that JetStream may hold on the disk of a NATS server (max_file_store); for the embedded server the size of its disk.", []string{"server"}, nil)
)

// newServersCollector knows of an embedded server by itself: it syncs every write.
func newServersCollector(s natsSettings) *serversCollector {
	c := &serversCollector{storage: make(map[string]*fact[storageFact])}
	if s.remote() {
		c.monitors = splitServers(s.Monitor)
	} else {
		c.dataDir, c.known = s.DataDir, true
	}
	return c
}

// run reads now and then, until ctx ends.
func (c *serversCollector) run(ctx context.Context, log *zap.Logger) {
	for c.dataDir != "" || len(c.monitors) > 0 {
		c.read(ctx, log)
		timer := time.NewTimer(serversEvery*9/10 + rand.N(serversEvery/5))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// read looks at all servers once.
func (c *serversCollector) read(ctx context.Context, log *zap.Logger) {
	if c.dataDir != "" {
		c.readDisk()
		return
	}
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
		if stats := facts.JetStream.Stats; stats != nil {
			c.stored(monitoredServer{address: address, facts: facts}.name(), storageFact{stats.Used, facts.JetStream.Config.Max})
		}
	}
	if !known {
		return // what was known stays
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.every = true, slowest
}

// readDisk looks at the disk under the embedded server, which has no limit of its
// own. Where the system does not say how full that is, nothing is told.
func (c *serversCollector) readDisk() {
	if free, total, err := diskSpace(c.dataDir); err == nil {
		c.stored(embeddedName, storageFact{int64(total - free), int64(total)})
	}
}

func (c *serversCollector) stored(server string, s storageFact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage[server] = &fact[storageFact]{s, time.Now()}
}

// Describe implements prometheus.Collector.
func (c *serversCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- syncDesc
	ch <- storageDesc
	ch <- storageLimitDesc
}

// Collect implements prometheus.Collector.
func (c *serversCollector) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		tell(syncDesc, c.every.Seconds())
	}
	for server, f := range c.storage {
		s, ok := f.fresh(time.Now(), storageAge)
		if !ok {
			delete(c.storage, server) // a server without a name has another one after each start
			continue
		}
		tell(storageDesc, float64(s.used), server)
		if s.limit > 0 {
			tell(storageLimitDesc, float64(s.limit), server)
		}
	}
}
