package main

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rescreen/apiclient"
)

// callMetrics counts and times the calls of the API.
type callMetrics struct {
	calls  *prometheus.CounterVec
	took   *prometheus.HistogramVec
	tokens *prometheus.CounterVec
	mean   meanTime // of those that keep a slot busy
}

// The outcomes of a try to get a token.
const tokenOK, tokenFailed = "ok", "failed"

// callBuckets are seconds. They end with the usual timeouts, 15 s of a creation and
// 30 s of the others.
var callBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}

// newCallMetrics returns them with all that an alert may ask for at 0: an increase
// is seen only from a value that was there before.
func newCallMetrics() *callMetrics {
	m := &callMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rescreen_api_calls_total", Help: "Requests made to the API, by the status of their answer; none if there was no answer.",
		}, []string{"call", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rescreen_api_call_duration_seconds", Help: "Time from sending a request to the end of its answer, without the wait for a permit.",
			Buckets: callBuckets,
		}, []string{"call"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rescreen_token_refreshes_total", Help: "Tries to get a token.",
		}, []string{"outcome"}),
	}
	for _, name := range apiclient.CallNames() {
		if name == apiclient.CallAccessRights {
			continue // no call of a worker
		}
		m.took.WithLabelValues(string(name))
		for _, status := range []int{0, 401, 403, 429, 503} {
			m.calls.WithLabelValues(string(name), statusLabel(status))
		}
	}
	m.tokens.WithLabelValues(tokenOK)
	m.tokens.WithLabelValues(tokenFailed)
	return m
}

// called is apiclient's OnCall.
func (m *callMetrics) called(c apiclient.Call) {
	m.calls.WithLabelValues(string(c.Name), statusLabel(c.Status)).Inc()
	m.took.WithLabelValues(string(c.Name)).Observe(c.Took.Seconds())
	switch c.Name {
	case apiclient.CallCreate, apiclient.CallPoll, apiclient.CallDocument, apiclient.CallReport:
		// One without an answer tells how long we wait, not what the API takes: no
		// number of workers makes up for an API that hangs.
		if c.Status != 0 {
			m.mean.add(c.Took)
		}
	}
}

// token takes in the end of a try to get a token.
func (m *callMetrics) token(err error) {
	outcome := tokenOK
	if err != nil {
		outcome = tokenFailed
	}
	m.tokens.WithLabelValues(outcome).Inc()
}

// statusLabel is a status as a label: three digits, or one of two words for what is
// none. What a server sends must not decide how many series there are.
func statusLabel(status int) string {
	switch {
	case status == 0:
		return "none"
	case status < 100 || status > 599:
		return "other"
	}
	return strconv.Itoa(status)
}

// Describe implements prometheus.Collector.
func (m *callMetrics) Describe(ch chan<- *prometheus.Desc) {
	m.calls.Describe(ch)
	m.took.Describe(ch)
	m.tokens.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *callMetrics) Collect(ch chan<- prometheus.Metric) {
	m.calls.Collect(ch)
	m.took.Collect(ch)
	m.tokens.Collect(ch)
}

// meanTime is a running mean: plain over the first meanOver values, from then on
// each new one counts as one of so many.
//
// The largest of a fleet's means decides how many workers are desired, so one that
// rests on a few calls, or on calls of long ago, is not told: a worker that has just
// come connects with its first call, and an idle one makes none that would change
// what a slow night has left.
type meanTime struct {
	mu   sync.Mutex
	n    int // values that it rests on, meanOver at most
	mean time.Duration
	last time.Time // when the last value came
}

const (
	meanOver  = 200
	meanLeast = 50              // values that it takes
	meanAge   = 3 * time.Minute // after the last value it is forgotten
)

func (m *meanTime) add(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if now.Sub(m.last) > meanAge {
		m.n, m.mean = 0, 0
	}
	m.last = now
	m.n = min(m.n+1, meanOver)
	m.mean += (d - m.mean) / time.Duration(m.n)
}

// get returns the mean; 0 if it is not known.
func (m *meanTime) get() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n < meanLeast || time.Since(m.last) > meanAge {
		return 0
	}
	return m.mean
}
