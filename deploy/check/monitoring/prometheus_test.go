package monitoring

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// hurry is how many times faster the rules are in the run with a real Prometheus.
const hurry = 10

// hastened are the numbers of seconds in expressions that are lengths of time to
// wait for. The 120 of the facts is not: they are read every ten seconds.
var hastened = map[float64]bool{7200: true, 3600: true, 900: true, 43200: true}

// hasten returns the rule file with everything that is waited for made shorter.
func hasten(t *testing.T) []byte {
	t.Helper()
	var file map[string]any
	if err := yaml.Unmarshal([]byte(read(t, alertsFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file["groups"].([]any) {
		for _, r := range g.(map[string]any)["rules"].([]any) {
			r := r.(map[string]any)
			r["expr"] = hastenExpr(t, r["expr"].(string))
			if wait, ok := r["for"].(string); ok {
				d, err := model.ParseDuration(wait)
				if err != nil {
					t.Fatal(err)
				}
				r["for"] = model.Duration(time.Duration(d) / hurry).String()
			}
		}
	}
	out, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func hastenExpr(t *testing.T, text string) string {
	t.Helper()
	expr, err := promQL.ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			n.OriginalOffset /= hurry
		case *parser.MatrixSelector:
			n.Range /= hurry
		case *parser.SubqueryExpr:
			n.Range /= hurry
			n.Step /= hurry
		case *parser.NumberLiteral:
			if hastened[n.Val] {
				n.Val /= hurry
			}
		}
		return nil
	})
	return expr.String()
}

// TestHasten: what is waited for is shorter, and nothing else changes.
func TestHasten(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{`max by (job) (rescreen_oldest_due_seconds) > 900`, `max by (job) (rescreen_oldest_due_seconds) > 90`},
		{`sum(increase(x[10m])) > 5`, `sum(increase(x[1m])) > 5`},
		{`avg_over_time((max(x) > bool 0)[15m:1m]) > 0.5`, `avg_over_time((max(x) > bool 0)[1m30s:6s]) > 0.5`},
		{`max(x offset 6h) > 0`, `max(x offset 36m) > 0`},
		{`time() - max(x) > 120`, `time() - max(x) > 120`},
	} {
		if got := hastenExpr(t, c.in); got != c.out {
			t.Errorf("%s: %s, want %s", c.in, got, c.out)
		}
	}
}

// A prom is a Prometheus that runs.
type prom struct {
	url, dir string
	mu       sync.Mutex
	targets  map[string]string // worker to address; its fleet is before the slash
}

// startPrometheus starts one with the hastened rules. It scrapes and evaluates
// every two seconds.
func startPrometheus(t *testing.T, exe string) *prom {
	t.Helper()
	p := &prom{dir: t.TempDir(), targets: map[string]string{}}
	config := "global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}\n" +
		"rule_files: [alerts.yaml]\n" +
		"scrape_configs:\n- {job_name: unnamed, file_sd_configs: [{files: [targets.json]}]}\n"
	p.write(t, "prometheus.yml", []byte(config))
	p.write(t, "alerts.yaml", hasten(t))
	p.write(t, "targets.json", []byte("[]"))
	address := freeAddress(t)
	p.url = "http://" + address
	server := start(t, p.dir, exe, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	server.await(t, `Server is ready to receive web requests`)
	return p
}

func (p *prom) write(t *testing.T, file string, data []byte) {
	t.Helper()
	// Renamed into place: it is watched.
	if err := os.WriteFile(filepath.Join(p.dir, file+".new"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(p.dir, file+".new"), filepath.Join(p.dir, file)); err != nil {
		t.Fatal(err)
	}
}

// scrape makes Prometheus scrape a worker of a fleet from now on.
func (p *prom) scrape(t *testing.T, job, instance, address string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets[job+"/"+instance] = address
	var groups []any
	for name, address := range p.targets {
		job, instance, _ := strings.Cut(name, "/")
		groups = append(groups, map[string]any{"targets": []string{address}, "labels": map[string]string{"job": job, "instance": instance}})
	}
	data, err := json.Marshal(groups)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "targets.json", data)
}

// A reading is one series of an answer.
type reading struct {
	labels map[string]string
	value  float64
}

// ask evaluates an expression now.
func (p *prom) ask(expr string) ([]reading, error) {
	answer, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var body struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return nil, err
	}
	if body.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, body.Error)
	}
	var found []reading
	for _, r := range body.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(value) {
			found = append(found, reading{r.Metric, value})
		}
	}
	return found, nil
}

// firing returns the alerts that fire for a fleet, by name and severity.
func (p *prom) firing(job string) (map[string]bool, error) {
	found, err := p.ask(fmt.Sprintf(`ALERTS{alertstate="firing", job=%q}`, job))
	names := map[string]bool{}
	for _, r := range found {
		names[r.labels["alertname"]+" "+r.labels["severity"]] = true
	}
	return names, err
}

// freeAddress is one that nobody listened at a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
