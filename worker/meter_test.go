package worker

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// meter holds departures against calls: no call goes out without one.
type meter struct {
	next  http.RoundTripper
	calls atomic.Int64

	mu       sync.Mutex
	limiters []*limiter
}

func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/person/") {
		m.calls.Add(1)
	}
	return m.next.RoundTrip(r)
}

func (m *meter) add(l *limiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limiters = append(m.limiters, l)
}

// departures is how many calls were let out.
func (m *meter) departures() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := int64(0)
	for _, l := range m.limiters {
		sum += l.counts.used.Load()
	}
	return sum
}
