package monitoring

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
)

const boardFile = "../../helm/rescreen/files/dashboard.json"

// A board is what the tests look at; TestDashboardIsGrafanas looks at the rest.
type board struct {
	ID            *int    `json:"id"`
	UID           string  `json:"uid"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name, Type        string
			Query             any
			Multi, IncludeAll bool
			Datasource        *source
		}
	} `json:"templating"`
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *source
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                *source
	}
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []struct{ Color string } }
		}
	}
}

type source struct{ Type, UID string }

func loadBoard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal([]byte(read(t, boardFile)), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDashboardIsGrafanas decodes the board strictly into Grafana's own types, the
// options of each kind of panel included: no unknown member, none of those
// missing that Grafana requires.
func TestDashboardIsGrafanas(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	raw := []byte(read(t, boardFile))
	//lint:ignore SA1019 files and sidecars take version 1, in every Grafana
	var d dashboard.Dashboard
	if err := d.UnmarshalJSONStrict(raw); err != nil && err.Error() != "" { // no errors are an empty list of them
		t.Error(err)
	}
	if err := d.Validate(); err != nil && err.Error() != "" {
		t.Error(err)
	}
	// The test can fail.
	wrong := strings.Replace(string(raw), `"wideLayout"`, `"widelayout"`, 1)
	//lint:ignore SA1019 the same
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict([]byte(wrong)); err == nil || err.Error() == "" {
		t.Error("a wrong option is not noticed")
	}
}

// TestDashboard: it fits any Grafana, and a tired person.
func TestDashboard(t *testing.T) {
	b := loadBoard(t)
	if b.ID != nil || b.UID != "rescreen" || b.SchemaVersion < 40 {
		t.Errorf("id %v, uid %q, schema version %d: the id is one of an instance, the uid is not to change", b.ID, b.UID, b.SchemaVersion)
	}
	if v := b.Templating.List[0]; v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus" {
		t.Errorf("the first variable is %v, want the data source", v)
	}
	for _, v := range b.Templating.List {
		if v.Multi || v.IncludeAll {
			t.Errorf("the variable %s is a choice of several: panels are about one fleet", v.Name)
		}
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	taken := map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q: id or title twice, or none", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q: description %q, unit %q, %d queries", p.Title, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
		}
		if p.Type == "stat" && p.Title != "Versions that run" && len(p.FieldConfig.Defaults.Thresholds.Steps) < 2 {
			t.Errorf("panel %q has one colour", p.Title)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.RefID] || q.LegendFormat == "" {
				t.Errorf("panel %q: query %s twice, or without a legend", p.Title, q.RefID)
			}
			refs[q.RefID] = true
			for _, s := range []*source{p.Datasource, q.Datasource} {
				if s == nil || *s != (source{"prometheus", "${datasource}"}) {
					t.Errorf("panel %q: data source %v", p.Title, s)
				}
			}
		}
	}
	if len(b.Panels) > 36 {
		t.Errorf("%d panels: nobody looks at so many", len(b.Panels))
	}
}

// TestDashboardQueries: each parses, and looks at the chosen fleet alone.
func TestDashboardQueries(t *testing.T) {
	for _, q := range boardQueries(t) {
		expr, err := promQL.ParseExpr(q.expr("rescreen"))
		if err != nil {
			t.Errorf("%s: %v\n%s", q.panel, err, q.text)
			continue
		}
		if strings.Contains(q.expr("rescreen"), "$") {
			t.Errorf("%s: a variable is left, or not compared by =: %s", q.panel, q.text)
		}
		for _, s := range selectors(expr) {
			for _, name := range []string{"namespace", "job"} {
				if !slices.Contains(s.labels, name) {
					t.Errorf("%s: %s is asked for of every %s", q.panel, s.Name, name)
				}
			}
		}
	}
}

// TestDashboardCountsUnknownOutcomes: what one counter says hides no other.
func TestDashboardCountsUnknownOutcomes(t *testing.T) {
	counters := []string{"rescreen_creations_unknown_total", "rescreen_recreations_total", `rescreen_jobs_total{reason="create_unknown"}`}
	engine := newEngine(t)
	for _, q := range boardQueries(t) {
		if q.panel != "Creations of unknown outcome, last hour" {
			continue
		}
		for _, counts := range counters {
			var m memory
			for _, c := range counters {
				name, labels, _ := strings.Cut(c, "{")
				values := "0x60"
				if c == counts {
					values = "0x30 3x30"
				}
				if err := m.add(name+`{job="rescreen",`+strings.TrimSuffix(labels, "}")+"}", values, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			got, err := m.ask(t.Context(), engine, q.expr("rescreen"), time.Hour)
			if err != nil || len(got) != 1 || got[0].F < 2.9 || got[0].F > 3.2 {
				t.Errorf("three of %s: %v, %v", counts, got, err)
			}
		}
		return
	}
	t.Error("there is no such panel")
}

// A boardQuery is a query of a panel.
type boardQuery struct{ panel, text, legend string }

// boardQueries are all queries of the board.
func boardQueries(t *testing.T) []boardQuery {
	t.Helper()
	var all []boardQuery
	for _, p := range loadBoard(t).Panels {
		for _, q := range p.Targets {
			all = append(all, boardQuery{p.Title, q.Expr, q.LegendFormat})
		}
	}
	return all
}

// expr is the query with its variables filled in, for jobs by a pattern where
// Grafana gives a single one.
func (q boardQuery) expr(jobs string) string {
	return strings.NewReplacer(`="$namespace"`, `=~".*"`, `="$job"`, `=~"`+jobs+`"`, "$__rate_interval", "1m").Replace(q.text)
}

// A selector is what an expression takes series from, and the labels that they
// are chosen by or grouped by.
type selector struct {
	*parser.VectorSelector
	labels []string
}

func selectors(expr parser.Expr) []selector {
	var found []selector
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		s, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		one := selector{VectorSelector: s}
		for _, m := range s.LabelMatchers {
			one.labels = append(one.labels, m.Name)
		}
		for _, above := range path {
			if by, ok := above.(*parser.AggregateExpr); ok && !by.Without {
				one.labels = append(one.labels, by.Grouping...)
			}
		}
		found = append(found, one)
		return nil
	})
	return found
}

// base is the metric that a series belongs to: a histogram has three series.
func base(name string) string {
	return regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
}
