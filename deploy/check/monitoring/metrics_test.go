package monitoring

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// absent are metrics that a healthy worker with an embedded server does not have:
// nothing is wrong, nothing is limited.
var absent = []string{
	"rescreen_trouble_total",         // no trouble
	"rescreen_jetstream_limit_bytes", // the account has no limit
}

// TestMetricsExist: a worker that works has every metric that the alerts and the
// dashboard ask for, with the labels that they ask for.
func TestMetricsExist(t *testing.T) {
	asked := map[string]map[string]bool{} // metric to labels
	add := func(expr, where string) []string {
		var known []string
		parsed, err := promQL.ParseExpr(expr)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		for _, s := range selectors(parsed) {
			if s.Name == "ALERTS" {
				continue // Prometheus's own
			}
			if asked[base(s.Name)] == nil {
				asked[base(s.Name)] = map[string]bool{}
			}
			for _, name := range s.labels {
				asked[base(s.Name)][name] = true
			}
			known = append(known, s.labels...)
		}
		return known
	}
	for _, r := range loadRules(t) {
		add(r.Expr, r.Alert)
	}
	for _, q := range boardQueries(t) {
		known := add(q.expr("rescreen"), q.panel)
		for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(q.legend, -1) {
			if m[1] != "instance" && !slices.Contains(known, m[1]) {
				t.Errorf("%s: the legend shows %s, which the query does not keep", q.panel, m[1])
			}
		}
	}
	told := scrapeWorkers(t)
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		has, there := told[name]
		if !there && !slices.Contains(absent, name) {
			t.Errorf("no worker tells %s", name)
		}
		for label := range asked[name] {
			switch label {
			case model.MetricNameLabel, "namespace", "job", "instance": // given by Prometheus
				continue
			}
			if there && !has[label] {
				t.Errorf("%s has no label %s", name, label)
			}
		}
	}
}

// scrapeWorkers runs a worker until it has finished some jobs, and one beside it
// that finds a batch when it starts, and returns their metrics with their labels.
func scrapeWorkers(t *testing.T) map[string]map[string]bool {
	t.Helper()
	exe, dir := buildRescreen(t), t.TempDir()
	simulator := start(t, dir, exe, "simulator", "--listen", "127.0.0.1:0", "--ready-after", "100ms", "--report-after", "100ms")
	issuer := simulator.await(t, `simulated AML API at (http://\S+)`) + "/auth/realms/local"
	worker := func(flags ...string) (metrics string) {
		w := start(t, dir, exe, append([]string{"worker", "--api-env", "local", "--api-issuer", issuer,
			"--http-addr", "127.0.0.1:0", "--poll-first", "200ms", "--log-format", "json"}, flags...)...)
		return "http://" + w.await(t, `serving /livez, /readyz and /metrics","address":"([^"]+)"`) + "/metrics"
	}
	first := worker("--embedded", "--embedded-listen", "127.0.0.1:0")
	portfolio(t, filepath.Join(dir, "some.csv"), 3)
	<-start(t, dir, exe, "batch", "submit", "some.csv").done
	second := worker("--batch-metrics")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		all := get(t, first) + get(t, second)
		has := parseMetrics(all)
		done := regexp.MustCompile(`rescreen_jobs_total\{reason="",state="done"\} [1-9]`).MatchString(all)
		if done && has["rescreen_batch_jobs"] != nil && has["rescreen_time_to_expiry_seconds"] != nil && has["rescreen_desired_workers"] != nil {
			return has
		}
		if time.Now().After(deadline) {
			t.Fatalf("no job ends, or its facts are not told\n%s", all)
		}
	}
}

// portfolio writes so many rows of people who do not exist.
func portfolio(t *testing.T, file string, n int) {
	t.Helper()
	rows := []string{"customer_ref,first_name,last_name,date_of_birth,report"}
	for i := range n {
		rows = append(rows, fmt.Sprintf("C-%06d,Kari,Prøve%06d,1901-02-03,%v", i, i, i%5 == 0))
	}
	if err := os.WriteFile(file, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", url, answer.Status, err, body)
	}
	return string(body)
}

// parseMetrics returns the metrics of a scrape and the labels that each has.
func parseMetrics(text string) map[string]map[string]bool {
	has := map[string]map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		series, err := promQL.ParseMetric(line[:at])
		if err != nil {
			continue
		}
		name := base(series.Get(model.MetricNameLabel))
		if has[name] == nil {
			has[name] = map[string]bool{}
		}
		series.Range(func(l labels.Label) { has[name][l.Name] = true })
	}
	return has
}
