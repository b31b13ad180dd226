package worker

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rescreen/queue"
)

// Metrics is what a worker measures of its steps, as Prometheus collects it. It is
// counted from the start of the process, by this worker alone. What is counted
// without a measure or a label stands in [Stats].
type Metrics struct {
	jobs         *prometheus.CounterVec
	steps        *prometheus.CounterVec
	duplicates   prometheus.Counter
	perished     prometheus.Counter
	stepDuration *prometheus.HistogramVec
	permitWait   *prometheus.HistogramVec
	inQueue      prometheus.Histogram
	toReady      prometheus.Histogram
	toFetched    prometheus.Histogram
	polls        prometheus.Histogram
	lifeLeft     recentLeast
}

// The bounds of the histograms, in seconds but for the polls.
var (
	// A step that only parks or publishes takes milliseconds, a poll what the API
	// takes, a creation up to 9 s for its permit and 15 s for its call, and a step
	// that fetches makes three calls of 30 s at most.
	stepBuckets = []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 60}
	// Permits come at once while there are enough; else those who wait do so for
	// seconds, and polls for minutes where fetches take all there is.
	permitBuckets = []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}
	// A million jobs at the default of 5 sessions per second wait for days; what
	// one wants to know of is whether a batch is through by the morning.
	queueBuckets = []float64{1, 5, 30, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 12 * 3600, 24 * 3600}
	// Sessions take seconds, where somebody has to look at them hours, and are
	// given up after a day.
	readyBuckets = []float64{1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600}
	// Fetched in the step that finds it ready, if nothing is wrong. Up to the two
	// hours for which it can be fetched.
	fetchBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 900, 1800, 3600, 5400, 7200}
	// The default plan makes 8 polls in the first two minutes, then one a minute.
	pollBuckets = []float64{1, 2, 3, 4, 6, 8, 12, 20, 40, 80, 200, 500, 1500}
)

var expiryDesc = prometheus.NewDesc("rescreen_time_to_expiry_seconds",
	"Least time that was left of the life of any result that was found ready, fetched or lost in the last 10 minutes; none if there were none.", nil, nil)

// NewMetrics returns metrics of nothing yet. All series whose labels are known are
// there from the start, so that the first event counts in a rate.
func NewMetrics() *Metrics {
	m := &Metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rescreen_jobs_total",
			Help: "Outcomes published, each once: by state, and of a failed job the reason."}, []string{"state", "reason"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rescreen_steps_total",
			Help: "Steps that have ended: what they did, and how they ended."}, []string{"kind", "outcome"}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: "rescreen_possible_duplicates_total",
			Help: "Outcomes published of jobs for which a session may have been created, and billed, once more than is known."}),
		perished: prometheus.NewCounter(prometheus.CounterOpts{Name: "rescreen_sessions_perished_total",
			Help: "Sessions whose results perished before they were fetched; they are bought again, twice a job at most."}),
		stepDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rescreen_step_duration_seconds",
			Help: "From taking a message to settling it.", Buckets: stepBuckets}, []string{"kind"}),
		permitWait: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rescreen_permit_wait_seconds",
			Help: "How long a step has waited until its call was let out.", Buckets: permitBuckets}, []string{"class"}),
		inQueue:   histogram("time_in_queue_seconds", "From when the job stream took a job to the intent of its first creation.", queueBuckets),
		toReady:   histogram("time_to_ready_seconds", "From a session's creation to the poll that found it ready, by a step that could store what it fetched.", readyBuckets),
		toFetched: histogram("ready_to_fetched_seconds", "From the poll that found a session ready to its document having been fetched.", fetchBuckets),
		polls:     histogram("session_polls", "Polls of a session until it was ready or had failed.", pollBuckets),
	}
	for kind := range stepKinds {
		m.stepDuration.WithLabelValues(kind.String())
		for _, outcome := range stepOutcomes {
			m.steps.WithLabelValues(kind.String(), outcome)
		}
	}
	for _, c := range []Class{Fetch, Poll, Create} {
		m.permitWait.WithLabelValues(c.String())
	}
	m.jobs.WithLabelValues(string(Done), "")
	for _, reason := range queue.Reasons() {
		m.jobs.WithLabelValues(string(Failed), string(reason))
	}
	return m
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rescreen_" + name, Help: help, Buckets: buckets})
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.jobs, m.steps, m.duplicates, m.perished, m.stepDuration, m.permitWait, m.inQueue, m.toReady, m.toFetched, m.polls}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	ch <- expiryDesc
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
	if left, ok := m.lifeLeft.get(time.Now()); ok {
		ch <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, left.Seconds())
	}
}

// step counts a step that has ended.
func (m *Metrics) step(kind stepKind, outcome string, took time.Duration) {
	m.steps.WithLabelValues(kind.String(), outcome).Inc()
	m.stepDuration.WithLabelValues(kind.String()).Observe(took.Seconds())
}

// published counts an outcome.
func (m *Metrics) published(rec Record) {
	reason := ""
	if rec.Failure != nil {
		reason = string(rec.Failure.Reason)
	}
	m.jobs.WithLabelValues(string(rec.State), reason).Inc()
	if rec.PossibleDuplicate {
		m.duplicates.Inc()
	}
}

// changed measures what the change of a record, committed now, tells: each of it
// once, because each change is committed once.
func (m *Metrics) changed(from, to Record) {
	if to.Expiries > from.Expiries {
		m.perished.Inc()
		m.lifeLeft.add(time.Now(), 0)
	}
	switch {
	// Only the first creation: an earlier version keeps the time for longer.
	case to.State == Creating && !from.Stored.IsZero() && from.SessionsCreated+to.Recreations == 0:
		m.inQueue.Observe(to.Since.Sub(from.Stored).Seconds())
	case from.State == Waiting && from.Document == nil && to.Document != nil:
		m.toReady.Observe(to.Document.ReadyAt.Sub(from.CreatedAt).Seconds())
		m.toFetched.Observe(to.Document.FetchedAt.Sub(to.Document.ReadyAt).Seconds())
		m.polls.Observe(float64(to.Polls))
	case from.State == Waiting && from.Document == nil && to.State == Failed:
		m.polls.Observe(float64(to.Polls))
	}
}

// letOut measures the wait of a call for its permit.
func (m *Metrics) letOut(c Class, waited time.Duration) {
	m.permitWait.WithLabelValues(c.String()).Observe(waited.Seconds())
}

// recentLeast is the least of the last ten minutes, to the minute.
type recentLeast struct {
	mu    sync.Mutex
	slots [10]struct {
		minute int64
		least  time.Duration
	}
}

func (r *recentLeast) add(now time.Time, d time.Duration) {
	minute := now.Unix() / 60
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.slots[minute%int64(len(r.slots))]
	if s.minute != minute || d < s.least {
		s.minute, s.least = minute, d
	}
}

// get returns the least, if there is any.
func (r *recentLeast) get(now time.Time) (least time.Duration, ok bool) {
	oldest := now.Unix()/60 - int64(len(r.slots))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.minute > oldest && (!ok || s.least < least) {
			least, ok = s.least, true
		}
	}
	return least, ok
}
