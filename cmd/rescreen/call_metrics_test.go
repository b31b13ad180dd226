package main

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rescreen/apiclient"
)

// gathered returns the value of each series by its name and labels, as /metrics writes them:
// name{label="value"}. Of a histogram it is the count.
func gathered(t testing.TB, collectors ...prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collectors...)
	families, err := r.Gather()
	must(t, err)
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			name := strings.TrimPrefix(family.GetName(), "rescreen_")
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				values[name] = m.Counter.GetValue()
			case m.Gauge != nil:
				values[name] = m.Gauge.GetValue()
			case m.Histogram != nil:
				values[name] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return values
}

func TestStatusLabel(t *testing.T) {
	for status, want := range map[int]string{
		0: "none", -1: "other", 99: "other", 100: "100", 200: "200", 429: "429", 599: "599", 600: "other", 999: "other", 123456: "other",
	} {
		if got := statusLabel(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

// All that an alert may ask for is there before it happens, and calls are counted
// from many goroutines.
func TestCallMetrics(t *testing.T) {
	m := newCallMetrics()
	before := gathered(t, m)
	for _, name := range []string{
		`api_calls_total{call="create",status="403"}`, `api_calls_total{call="token",status="401"}`, `api_calls_total{call="poll",status="none"}`,
		`api_call_duration_seconds{call="report"}`, `token_refreshes_total{outcome="ok"}`, `token_refreshes_total{outcome="failed"}`,
	} {
		if v, there := before[name]; !there || v != 0 {
			t.Errorf("%s is %v at the beginning, there: %v", name, v, there)
		}
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for status := range 700 { // whatever a server sends
				m.called(apiclient.Call{Name: apiclient.CallPoll, Status: status, Took: time.Second})
			}
			m.called(apiclient.Call{Name: apiclient.CallCreate, Took: time.Hour})
			m.called(apiclient.Call{Name: apiclient.CallToken, Status: 200, Took: time.Hour})
			m.token(nil)
			m.token(errors.New("x"))
		})
	}
	all.Wait()
	after := gathered(t, m)
	for name, want := range map[string]float64{
		`api_calls_total{call="poll",status="200"}`:    10,
		`api_calls_total{call="poll",status="none"}`:   10,
		`api_calls_total{call="poll",status="other"}`:  10 * (99 + 100),
		`api_calls_total{call="create",status="none"}`: 10,
		`api_call_duration_seconds{call="poll"}`:       7000,
		`token_refreshes_total{outcome="ok"}`:          10,
		`token_refreshes_total{outcome="failed"}`:      10,
	} {
		if after[name] != want {
			t.Errorf("%s is %v, want %v", name, after[name], want)
		}
	}
	polls := 0
	for name := range after {
		if strings.HasPrefix(name, `api_calls_total{call="poll"`) {
			polls++
		}
	}
	if polls > 502 {
		t.Errorf("%d series of polls", polls)
	}
	// Calls without an answer, and those for tokens, do not count as what the API takes.
	if got := m.mean.get(); got != time.Second {
		t.Errorf("calls take %v in the mean", got)
	}
}

// calls adds n calls, two a second.
func (m *meanTime) calls(n int, took time.Duration) {
	for range n {
		time.Sleep(500 * time.Millisecond)
		m.add(took)
	}
}

// The mean is told when enough calls were seen, and follows what they take.
func TestMeanTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meanTime
		if got := m.get(); got != 0 {
			t.Errorf("%v of nothing", got)
		}
		m.calls(1, 3*time.Second) // connects
		m.calls(meanLeast-2, 100*time.Millisecond)
		if got := m.get(); got != 0 {
			t.Errorf("%v of %d calls", got, meanLeast-1)
		}
		m.calls(1, 100*time.Millisecond)
		if got := m.get().Round(time.Millisecond); got != 158*time.Millisecond {
			t.Errorf("%v of one of 3 s and 49 of 100 ms", got)
		}
		for _, took := range []time.Duration{3 * time.Second, 100 * time.Millisecond} {
			m.calls(1000, took)
			if got := m.get(); (got - took).Abs() > 30*time.Millisecond {
				t.Errorf("%v after a thousand of %v", got, took)
			}
		}
		m.calls(1, time.Minute) // one that was slow
		if got := m.get(); got > 500*time.Millisecond {
			t.Errorf("%v after one of a minute", got)
		}
	})
}

// What was long ago is forgotten, whether calls are made again or not.
func TestMeanTimeIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meanTime
		m.calls(1000, 3*time.Second)
		time.Sleep(meanAge)
		if got := m.get(); got != 3*time.Second {
			t.Errorf("%v after a pause", got)
		}
		time.Sleep(time.Second)
		if got := m.get(); got != 0 {
			t.Errorf("%v after a long pause", got)
		}
		m.calls(1, 100*time.Millisecond)
		if got := m.get(); got != 0 {
			t.Errorf("%v of a first call", got)
		}
		m.calls(meanLeast-1, 100*time.Millisecond)
		if got := m.get(); got != 100*time.Millisecond {
			t.Errorf("%v of calls of 100 ms", got)
		}
	})
}
