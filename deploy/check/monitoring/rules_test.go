package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
	"go.yaml.in/yaml/v3"
)

const (
	alertsFile     = "../../helm/rescreen/files/alerts.yaml"
	alertsTestFile = "../../monitoring/alerts_test.yaml"
)

// A ruleTest is the file of rule tests, as far as ours uses promtool's format.
type ruleTest struct {
	RuleFiles []string       `yaml:"rule_files"`
	Interval  model.Duration `yaml:"evaluation_interval"`
	Tests     []struct {
		Name     string         `yaml:"name"`
		Interval model.Duration `yaml:"interval"`
		Series   []struct {
			Series string `yaml:"series"`
			Values string `yaml:"values"`
		} `yaml:"input_series"`
		Alerts []alertTest `yaml:"alert_rule_test"`
	} `yaml:"tests"`
}

type alertTest struct {
	At    model.Duration `yaml:"eval_time"`
	Alert string         `yaml:"alertname"`
	Want  []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

// TestAlerts runs the rule tests as `promtool test rules` does.
func TestAlerts(t *testing.T) {
	file := readRuleTest(t)
	engine := newEngine(t)
	for _, test := range file.Tests {
		t.Run(test.Name, func(t *testing.T) {
			var m memory
			for _, s := range test.Series {
				if err := m.add(s.Series, s.Values, time.Duration(test.Interval)); err != nil {
					t.Fatal(err)
				}
			}
			end := slices.MaxFunc(test.Alerts, func(a, b alertTest) int { return int(a.At - b.At) }).At
			rules := loadRules(t)
			for now := time.Duration(0); now <= time.Duration(end); now += time.Duration(file.Interval) {
				for _, r := range rules {
					if err := r.eval(t.Context(), engine, m, now); err != nil {
						t.Fatalf("%s after %s: %v", r.Alert, now, err)
					}
				}
				for _, a := range test.Alerts {
					if time.Duration(a.At) == now {
						compare(t, a, rules)
					}
				}
			}
		})
	}
}

// TestAlertsAreTested: every rule is seen firing, and each alert is seen not
// firing in the test in which it fires.
func TestAlertsAreTested(t *testing.T) {
	file := readRuleTest(t)
	fires := map[string]bool{} // by name and severity
	for _, test := range file.Tests {
		quiet, loud := map[string]bool{}, map[string]bool{}
		for _, a := range test.Alerts {
			if time.Duration(a.At)%time.Duration(file.Interval) != 0 {
				t.Errorf("%s: %s is between two evaluations", test.Name, time.Duration(a.At))
			}
			if len(a.Want) == 0 {
				quiet[a.Alert] = true
			}
			for _, w := range a.Want {
				loud[a.Alert] = true
				fires[a.Alert+" "+w.Labels["severity"]] = true
			}
		}
		for name := range loud {
			if !quiet[name] {
				t.Errorf("%s: %s is never seen not firing", test.Name, name)
			}
		}
	}
	for _, r := range loadRules(t) {
		if !fires[r.Alert+" "+r.Labels["severity"]] {
			t.Errorf("%s (%s) is never seen firing", r.Alert, r.Labels["severity"])
		}
	}
}

// TestAlertsAreComplete: each has what the runbook and a router of alerts need.
func TestAlertsAreComplete(t *testing.T) {
	for _, r := range loadRules(t) {
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		want := []string{"description", "runbook", "summary"}
		if got := slices.Sorted(maps.Keys(r.Annotations)); !slices.Equal(got, want) {
			t.Errorf("%s: annotations %q, want %q", r.Alert, got, want)
		}
		if want := "deploy/RUNBOOK.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: runbook %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
	}
}

// rule is an alert and what of it is active.
type rule struct {
	rulefmt.Rule
	active map[string]*active // by labels
}

type active struct {
	since       time.Duration
	firing      bool
	labels      map[string]string
	annotations map[string]string
}

// loadRules reads the alerts, anew for each test.
func loadRules(t *testing.T) []*rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alertsFile, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Fatal(err)
	}
	var rules []*rule
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.KeepFiringFor != 0 {
				t.Fatalf("%s%s: this runner knows alerts without keep_firing_for only", r.Alert, r.Record)
			}
			rules = append(rules, &rule{Rule: r, active: map[string]*active{}})
		}
	}
	if len(rules) == 0 {
		t.Fatal("no rules")
	}
	return rules
}

func readRuleTest(t *testing.T) ruleTest {
	t.Helper()
	data, err := os.ReadFile(alertsTestFile)
	if err != nil {
		t.Fatal(err)
	}
	strict := yaml.NewDecoder(bytes.NewReader(data))
	strict.KnownFields(true)
	var file ruleTest
	if err := strict.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.RuleFiles) != 1 || filepath.Join(filepath.Dir(alertsTestFile), file.RuleFiles[0]) != filepath.Clean(alertsFile) {
		t.Fatalf("rule_files %q, want %s alone", file.RuleFiles, alertsFile)
	}
	if len(file.Tests) == 0 {
		t.Fatal("no tests")
	}
	return file
}

// eval is one evaluation of the rule: what the expression gives is active, and
// fires when it has been for long enough.
func (r *rule) eval(ctx context.Context, engine *promql.Engine, m memory, now time.Duration) error {
	vector, err := m.ask(ctx, engine, r.Expr, now)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, s := range vector {
		b := labels.NewBuilder(s.Metric).Del(model.MetricNameLabel)
		for name, value := range r.Labels {
			b.Set(name, value)
		}
		key := b.Labels().String()
		if seen[key] {
			return fmt.Errorf("twice the labels %s", key)
		}
		seen[key] = true
		a, was := r.active[key]
		if !was {
			a = &active{since: now, labels: b.Labels().Map()}
			r.active[key] = a
		}
		if a.annotations, err = r.annotate(ctx, s, now); err != nil {
			return err
		}
		a.firing = now-a.since >= time.Duration(r.For)
	}
	maps.DeleteFunc(r.active, func(key string, _ *active) bool { return !seen[key] })
	return nil
}

// annotate fills the annotations in.
func (r *rule) annotate(ctx context.Context, s promql.Sample, now time.Duration) (map[string]string, error) {
	data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
	filled := map[string]string{}
	for name, text := range r.Annotations {
		text = "{{$labels := .Labels}}{{$value := .Value}}" + text
		out, err := template.NewTemplateExpander(ctx, text, r.Alert, data, model.Time(now.Milliseconds()), nil, nil, nil).Expand()
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", name, err)
		}
		filled[name] = out
	}
	return filled, nil
}

func compare(t *testing.T, a alertTest, rules []*rule) {
	t.Helper()
	var got, want []string
	for _, r := range rules {
		for _, is := range r.active {
			if r.Alert == a.Alert && is.firing {
				got = append(got, alertText(is.labels, is.annotations))
			}
		}
	}
	for _, w := range a.Want {
		want = append(want, alertText(w.Labels, w.Annotations))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s after %s:\ngot  %s\nwant %s", a.Alert, time.Duration(a.At), strings.Join(got, "     "), strings.Join(want, "     "))
	}
}

func alertText(labels, annotations map[string]string) string {
	return fmt.Sprintf("%v\n       %v\n", labels, annotations) // maps print in the order of keys
}
