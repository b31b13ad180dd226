package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/queue/natsembed"
)

// metric is what is known about a metric without any sample of it.
type metric struct {
	name, kind, help string
	labels           []string
}

// describedMetrics lists all metrics of a worker, the runtime's left out, and what
// a linter says to those of which there are samples.
func describedMetrics(t *testing.T) ([]metric, []promlint.Problem) {
	t.Helper()
	link, stop, err := embed(t.Context(), natsembed.Config{Dir: t.TempDir()}, "test", zap.NewNop())
	must(t, err)
	t.Cleanup(stop)
	settings, err := demoSettings("http://127.0.0.1:1" + amlsim.RealmPath)
	must(t, err)
	settings.HTTPAddr = "127.0.0.1:0"
	st, err := newStation(t.Context(), time.Now, link, settings, nil, zap.NewNop(), nil)
	must(t, err)
	st.loops[0].turn(t.Context())
	registry := st.registry(func() bool { return true })
	families, err := registry.Gather()
	must(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	must(t, err)
	kinds := make(map[string]string)
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	var all []metric
	for d := range descs {
		m := parseDesc(t, d)
		if !strings.HasPrefix(m.name, "rescreen_") {
			continue
		}
		switch kind, sampled := kinds[m.name]; {
		case sampled:
			m.kind = kind
		case strings.HasSuffix(m.name, "_total"):
			m.kind = "counter"
		default:
			m.kind = "gauge"
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return all, problems
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: (".*"), (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// parseDesc reads a description by its text: it has no other way to tell.
func parseDesc(t *testing.T, d *prometheus.Desc) metric {
	t.Helper()
	m := descText.FindStringSubmatch(d.String())
	if m == nil {
		t.Fatalf("a description of another form: %s", d)
	}
	found := metric{name: m[1]}
	if _, err := fmt.Sscanf(m[2], "%q", &found.help); err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	for _, label := range strings.Split(m[3], ",") {
		name, _, _ := strings.Cut(label, "=")
		found.labels = append(found.labels, name)
	}
	found.labels = append(found.labels, strings.Split(m[4], ",")...)
	found.labels = slices.DeleteFunc(found.labels, func(l string) bool { return l == "" })
	return found
}

// Each metric is named and explained as is usual, and no label holds what would be
// somebody's: a customer, a job, a session.
func TestMetricsAreWellNamed(t *testing.T) {
	all, problems := describedMetrics(t)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "rescreen_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	allowed := strings.Fields("version commit goversion with kind call status outcome budget stream batch state reason class server")
	seen := make(map[string]bool)
	for _, m := range all {
		if seen[m.name] {
			t.Errorf("%s is described twice", m.name)
		}
		seen[m.name] = true
		if (m.kind == "counter") != strings.HasSuffix(m.name, "_total") {
			t.Errorf("%s is a %s", m.name, m.kind)
		}
		if !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s: %q is not a sentence", m.name, m.help)
		}
		for _, l := range m.labels {
			if !slices.Contains(allowed, l) {
				t.Errorf("%s has a label %s", m.name, l)
			}
		}
	}
	// Names that alerts, dashboards and scalers go by. What there is besides may change.
	for _, name := range strings.Fields(`build_info ready nats_connected trouble_total
		api_calls_total api_call_duration_seconds token_refreshes_total
		sessions_created_total creations_refused_total creations_unknown_total recreations_total sessions_orphaned_total polls_total fetches_total
		evidence_bytes_total commits_total conflicts_total leases_total lease_tries_total departures_missed_total
		facts_timestamp_seconds backlog_jobs due_wakeups oldest_due_seconds open_sessions open_sessions_limit
		limit_rate limit_burst effective_rate gate_closed_until_timestamp_seconds desired_workers
		stream_bytes stream_messages stream_limit_bytes jetstream_bytes jetstream_limit_bytes batch_jobs
		nats_sync_interval_seconds nats_storage_bytes nats_storage_limit_bytes`) {
		if !seen["rescreen_"+name] {
			t.Errorf("there is no rescreen_%s", name)
		}
	}
}

const (
	metricsBegin = "<!-- metrics:begin -->"
	metricsEnd   = "<!-- metrics:end -->"
)

// TestReadmeMetrics holds the README's table of metrics and the code together. After
// a change of a metric:
//
//	go test ./cmd/rescreen -run TestReadmeMetrics -update
func TestReadmeMetrics(t *testing.T) {
	all, _ := describedMetrics(t)
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | |\n|---|---|---|---|\n")
	for _, m := range all {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "` `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, readmeText(m.help))
	}
	holdReadme(t, metricsBegin, metricsEnd, b.String())
}
