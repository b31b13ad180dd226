package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// factsCollector tells the facts about the fleet that were read of late. It asks
// nobody, so that a scrape takes no time and works while NATS is away.
type factsCollector struct {
	facts    *facts
	slots    int                  // of this worker
	callTime func() time.Duration // mean of this worker's calls; 0: not known
}

var (
	factsAtDesc      = factDesc("facts_timestamp_seconds", "Unix time, by the server's clock, of the last complete reading of the facts about the fleet. What was not read for a minute is not told.")
	backlogDesc      = factDesc("backlog_jobs", "Jobs in SCREENING_JOBS: nobody has begun them, or somebody is about to.")
	dueDesc          = factDesc("due_wakeups", "Wake-ups that are due and not settled: they wait for a worker or are in the hands of one.")
	oldestDueDesc    = factDesc("oldest_due_seconds", "Age of the oldest due wake-up; 0 if there is none.")
	openDesc         = factDesc("open_sessions", "Sessions open at the API, in the whole fleet.")
	openLimitDesc    = factDesc("open_sessions_limit", "Sessions that may be open at a time.")
	rateDesc         = factDesc("limit_rate", "Configured limit of the fleet, per second.", "budget")
	burstDesc        = factDesc("limit_burst", "Configured burst of the fleet: calls beyond the rate.", "budget")
	effectiveDesc    = factDesc("effective_rate", "Limit per second after what the API's answers have taught.", "budget")
	closedDesc       = factDesc("gate_closed_until_timestamp_seconds", "Unix time until which calls are kept back, or creations alone; 0 if they go out. A time that has passed: the next creation is to find out.", "budget")
	desiredDesc      = factDesc("desired_workers", "Workers that are enough for due work and backlog, never more than the limits can feed, at least 1.")
	streamBytesDesc  = factDesc("stream_bytes", "Bytes in a stream.", "stream")
	streamMsgsDesc   = factDesc("stream_messages", "Messages in a stream.", "stream")
	streamLimitDesc  = factDesc("stream_limit_bytes", "Most bytes that a stream may hold, where there is a limit.", "stream")
	accountBytesDesc = factDesc("jetstream_bytes", "Bytes on disk of our NATS account.")
	accountLimitDesc = factDesc("jetstream_limit_bytes", "Most bytes on disk that our NATS account may have, where there is a limit.")
	batchDesc        = factDesc("batch_jobs", "Jobs of a batch: expected in all, and those that are done or failed. One worker at a time tells them, of those with --batch-metrics.", "batch", "state")
)

func factDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rescreen_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c factsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		factsAtDesc, backlogDesc, dueDesc, oldestDueDesc, openDesc, openLimitDesc, rateDesc, burstDesc, effectiveDesc, closedDesc,
		desiredDesc, streamBytesDesc, streamMsgsDesc, streamLimitDesc, accountBytesDesc, accountLimitDesc, batchDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c factsCollector) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	f, now := c.facts, time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.complete.IsZero() {
		tell(factsAtDesc, unixSeconds(f.complete))
	}
	for name, stream := range f.streams {
		if s, ok := stream.fresh(now, factsAge); ok {
			tell(streamBytesDesc, float64(s.bytes), name)
			tell(streamMsgsDesc, float64(s.messages), name)
			if s.limit > 0 {
				tell(streamLimitDesc, float64(s.limit), name)
			}
		}
	}
	if s, ok := f.streams[queue.JobsStream].fresh(now, factsAge); ok {
		tell(backlogDesc, float64(s.messages))
	}
	if s, ok := f.streams[store.WakesStream].fresh(now, factsAge); ok {
		tell(openDesc, float64(s.subjects))
	}
	if due, ok := f.due.fresh(now, factsAge); ok {
		tell(dueDesc, float64(due.count))
		tell(oldestDueDesc, due.oldest.Seconds())
	}
	if l, ok := f.limits.fresh(now, factsAge); ok {
		tell(openLimitDesc, float64(l.Open.Max))
		for _, b := range []struct {
			name   string
			budget worker.Budget
			limit  limitFact
		}{{"create", l.Create.Budget, l.create}, {"requests", l.Requests.Budget, l.requests}} {
			tell(rateDesc, b.budget.Rate, b.name)
			tell(burstDesc, float64(b.budget.Burst), b.name)
			tell(effectiveDesc, b.limit.effective, b.name)
			tell(closedDesc, unixSeconds(b.limit.closed), b.name)
		}
	}
	if a, ok := f.account.fresh(now, factsAge); ok {
		tell(accountBytesDesc, float64(a.bytes))
		if a.limit > 0 {
			tell(accountLimitDesc, float64(a.limit))
		}
	}
	if demand, ok := f.demand(now); ok {
		demand.Slots, demand.CallTime = c.slots, c.callTime()
		tell(desiredDesc, float64(demand.DesiredWorkers()))
	}
	if batches, ok := f.batches.fresh(now, batchFactsAge); ok {
		for _, b := range batches {
			tell(batchDesc, float64(b.total()), string(b.Name), "expected")
			tell(batchDesc, float64(b.Results), string(b.Name), "done")
			tell(batchDesc, float64(b.Failures), string(b.Name), "failed")
		}
	}
}

// unixSeconds is 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
