package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"rescreen/worker"
)

// registry holds the worker's metrics: a registry of its own, which holds what
// is listed here and nothing else.
func (st *station) registry(ready func() bool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(),
		gauge("rescreen_ready", "1 if /readyz says that the worker is ready, else 0.", ready),
		gauge("rescreen_nats_connected", "1 if there is a connection to NATS, else 0.", st.link.Conn.IsConnected),
		troubleCollector{st.health},
		statsCollector{st.worker.Stats},
		st.calls,
		st.facts,
		st.servers,
		st.metrics,
	)
	return r
}

func gauge(name, help string, is func() bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		if is() {
			return 1
		}
		return 0
	})
}

func buildInfo() prometheus.Collector {
	v := buildVersion()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "rescreen_build_info", Help: "1; what is running.",
		ConstLabels: prometheus.Labels{"version": v.Version, "commit": v.Commit, "goversion": v.Go},
	})
	info.Set(1)
	return info
}

// troubleCollector tells what the worker has met.
type troubleCollector struct{ health *worker.Health }

var troubleDesc = prometheus.NewDesc("rescreen_trouble_total",
	"Requests to NATS, and for tokens, that were not done: with what, and the kind of trouble.", []string{"with", "kind"}, nil)

// Describe implements prometheus.Collector.
func (c troubleCollector) Describe(ch chan<- *prometheus.Desc) { ch <- troubleDesc }

// Collect implements prometheus.Collector.
func (c troubleCollector) Collect(ch chan<- prometheus.Metric) {
	for t, n := range c.health.Counts() {
		ch <- prometheus.MustNewConstMetric(troubleDesc, prometheus.CounterValue, float64(n), t.With, t.Kind)
	}
}

// statsCollector tells what the worker has done.
type statsCollector struct{ stats func() worker.Stats }

// A statsCounter is one reading of a worker's statistics.
type statsCounter struct {
	desc *prometheus.Desc
	of   func(worker.Stats) int64
}

// counters are in the order of worker.Stats.
var counters = []statsCounter{
	{total("sessions_created", "Sessions the API has created."), func(s worker.Stats) int64 { return s.Created }},
	{total("creations_refused", "Calls that provably created no session, and are made again."), func(s worker.Stats) int64 { return s.NotCreated }},
	{total("creations_unknown", "Calls whose outcome is unknown: a session may exist, and be billed."), func(s worker.Stats) int64 { return s.Unknowns }},
	{total("recreations", "Calls repeated after an unknown outcome: possible duplicates."), func(s worker.Stats) int64 { return s.Recreations }},
	{total("sessions_orphaned", "Sessions created for a job that had gone on without them."), func(s worker.Stats) int64 { return s.Orphans }},
	{total("polls", "Polls of sessions."), func(s worker.Stats) int64 { return s.Polls }},
	{total("fetches", "Fetches of documents and reports."), func(s worker.Stats) int64 { return s.Fetches }},
	{total("evidence_bytes", "Bytes of evidence stored."), func(s worker.Stats) int64 { return s.Evidence }},
	{total("commits", "Changes of records."), func(s worker.Stats) int64 { return s.Commits }},
	{total("conflicts", "Changes of records that lost against another worker's."), func(s worker.Stats) int64 { return s.Conflicts }},
	{total("leases", "Leases of departure times from the fleet's limits."), func(s worker.Stats) int64 { return s.Leases }},
	{total("lease_tries", "Writes tried for leases of departure times."), func(s worker.Stats) int64 { return s.LeaseTries }},
	{total("departures_missed", "Departure times that were missed, and asked for again."), func(s worker.Stats) int64 { return s.Late }},
}

func total(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("rescreen_"+name+"_total", help, nil, nil)
}

// Describe implements prometheus.Collector.
func (statsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range counters {
		ch <- c.desc
	}
}

// Collect implements prometheus.Collector.
func (c statsCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	for _, c := range counters {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.of(s)))
	}
}
