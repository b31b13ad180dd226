package monitoring

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The faults begin when a fleet has run for so long without any.
const calm = time.Minute

// A firing is what became of an alert in the run.
type firing struct {
	alert, fault string
	fired        time.Duration // after the fault began
	cleared      time.Duration // after it ended
}

// report collects what became of the alerts.
type report struct {
	mu  sync.Mutex
	all []firing
}

// watch waits until the alerts fire because of a fault that began, calls end, which
// ends it and says when, and waits until they clear.
func (r *report) watch(f *fleet, began time.Time, fault string, end func() time.Time, alerts ...string) {
	f.Helper()
	fired := f.until(alerts, true, began, 12*time.Minute)
	cleared := f.until(alerts, false, end(), 14*time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, alert := range alerts {
		r.all = append(r.all, firing{alert, fault, fired[i], cleared[i]})
		f.Logf("%s: fired after %s, cleared after %s", alert, fired[i], cleared[i])
	}
}

// TestRealPrometheus makes every alert fire by a real fault and clear after it, and
// sees that every query of the dashboard and every metric of the alerts has
// data, with a real Prometheus and rules that are ten times as fast. It takes
// twenty minutes, so it has to be asked for:
//
//	RESCREEN_PROMETHEUS=$(which prometheus) go test ./monitoring -run RealPrometheus -v -parallel 16 -timeout 1h
func TestRealPrometheus(t *testing.T) {
	exe := os.Getenv("RESCREEN_PROMETHEUS")
	if exe == "" {
		t.Skip("NOT RUN: set RESCREEN_PROMETHEUS to the path of prometheus; takes twenty minutes")
	}
	if n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String()); err != nil || n < 9 {
		t.Fatal("the fleets run beside each other: give -parallel 16")
	}
	if promtool := filepath.Join(filepath.Dir(exe), "promtool"); exec.Command(promtool, "--version").Run() == nil {
		for _, args := range [][]string{{"check", "rules", alertsFile}, {"test", "rules", alertsTestFile}, {"check", "config", "--syntax-only", "../../monitoring/prometheus.yml"}} {
			if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
				t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	p, r := startPrometheus(t, exe), &report{}
	seen := watchData(t, p)
	t.Run("fleets", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T, *prom, *report){
			"quiet": quiet, "gate": gateClosed, "unknown": unknownOutcomes, "stalled": stalled, "denied": denied,
			"overdue": overdue, "store": storeFull, "nats": natsAway, "gone": gone,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); run(t, p, r) })
		}
	})
	seen.end(t)
	r.print(t)
}

func (r *report) print(t *testing.T) {
	var text strings.Builder
	text.WriteString("| Alert | Fault | Fired after | Cleared after |\n|---|---|---|---|\n")
	slices.SortFunc(r.all, func(a, b firing) int { return strings.Compare(a.alert, b.alert) })
	fired := map[string]bool{}
	for _, f := range r.all {
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", f.alert, f.fault, f.fired, f.cleared)
		fired[f.alert] = true
	}
	t.Logf("\n%s", text.String())
	for _, rule := range loadRules(t) {
		if name := rule.Alert + " " + rule.Labels["severity"]; !fired[name] {
			t.Errorf("%s has not fired", name)
		}
	}
}

// quiet: nothing is wrong from the beginning to the end of the others' faults.
func quiet(t *testing.T, p *prom, _ *report) {
	f := newFleet(t, p, "quiet", "")
	f.embedded()
	f.calm(10 * time.Minute)
}

// ended returns what waits for the end of a fault in the API's script.
func (f *fleet) ended(after time.Duration) func() time.Time {
	return func() time.Time {
		time.Sleep(time.Until(f.began.Add(after)))
		return f.began.Add(after)
	}
}

func gateClosed(t *testing.T, p *prom, r *report) {
	const end = calm + 3*time.Minute
	f := newFleet(t, p, "gate", fmt.Sprintf(`{faults: [{call: any, when: {from: %s, until: %s}, do: {kind: status, status: 429, retry_after: 15s}}]}`, calm, end))
	f.embedded()
	f.calm(calm)
	r.watch(f, f.began.Add(calm), "the API answers every call with 429", f.ended(end), "RescreenGateClosedLong ticket")
}

func unknownOutcomes(t *testing.T, p *prom, r *report) {
	f := newFleet(t, p, "unknown", fmt.Sprintf(`{faults: [{call: create, when: {from: %s, times: 2}, do: {kind: lose-answer}}]}`, calm))
	f.embedded()
	f.calm(calm)
	r.watch(f, f.began.Add(calm), "the connection breaks after two creations", time.Now, "RescreenUnknownOutcomes ticket")
}

func stalled(t *testing.T, p *prom, r *report) {
	const end = calm + 6*time.Minute
	f := newFleet(t, p, "stalled", fmt.Sprintf(`{faults: [{call: session, when: {from: %s, until: %s}, do: {kind: literal, literal: IN_PROGRESS}}]}`, calm, end))
	f.embedded()
	f.calm(calm)
	r.watch(f, f.began.Add(calm), "no session becomes ready", f.ended(end), "RescreenBatchStalled ticket")
}

func denied(t *testing.T, p *prom, r *report) {
	const end = calm + 150*time.Second
	f := newFleet(t, p, "denied", fmt.Sprintf(`{faults: [
		{call: session, when: {from: %[1]s, times: 1}, do: {kind: revoke-token}},
		{call: token, when: {from: %[1]s, until: %[2]s}, do: {kind: status, status: 401}}]}`, calm, end))
	f.embedded()
	f.worker("b")
	f.calm(calm)
	r.watch(f, f.began.Add(calm), "the token endpoint refuses the secret of two workers", f.ended(end), "RescreenCredentialsRejected page")
}

// overdue: a limit under which nothing is asked for any more, with results that
// are kept for twelve minutes, as the rules have it in this run.
func overdue(t *testing.T, p *prom, r *report) {
	f := newFleet(t, p, "overdue", "")
	f.embedded("--result-lifetime", (2 * time.Hour / hurry).String())
	f.calm(calm)
	began := time.Now()
	f.command("limits", "set", "--create-rate", "5/h", "--request-rate", "5/h")
	r.watch(f, began, "limits of five calls an hour", func() time.Time {
		f.command("limits", "set", "--create-rate", "1/s", "--request-rate", "20/s")
		return time.Now()
	}, "RescreenWakeupsOverdue ticket", "RescreenTimeToExpiryShort page")
}

func storeFull(t *testing.T, p *prom, r *report) {
	f := newFleet(t, p, "store", "")
	f.embedded()
	f.calm(calm)
	began := time.Now()
	f.limitEvidence(1.02)
	r.watch(f, began, "a limit of the stream of evidence just above its size", func() time.Time {
		f.limitEvidence(0)
		return time.Now()
	}, "RescreenStoreFilling ticket", "RescreenStoreFilling page")
}

// natsAway: a server that does not sync, and is then away for a while.
func natsAway(t *testing.T, p *prom, r *report) {
	f, n := newFleet(t, p, "nats", ""), newNATS(t)
	n.start(t, false)
	began := time.Now()
	f.command("setup", "--server", n.url)
	f.worker("a", "--server", n.url, "--nats-monitor", n.monitor)
	f.worker("b", "--server", n.url, "--nats-monitor", n.monitor)
	f.submit("--server", n.url)
	f.calm(calm, "RescreenNoFsync ticket")
	r.watch(f, began, "a nats-server with its default settings", func() time.Time {
		n.stop()
		n.start(t, true)
		return time.Now()
	}, "RescreenNoFsync ticket")
	n.stop()
	r.watch(f, time.Now(), "the nats-server is stopped", func() time.Time {
		n.start(t, true)
		return time.Now()
	}, "RescreenWorkerNotReady page", "RescreenWorkerNotReady ticket", "RescreenFactsStale ticket")
}

func gone(t *testing.T, p *prom, r *report) {
	f := newFleet(t, p, "gone", "")
	f.embedded()
	f.calm(calm)
	began := time.Now()
	f.workers["a"].kill()
	r.watch(f, began, "the only worker is killed", func() time.Time {
		f.worker("a", "--embedded", "--embedded-listen", "127.0.0.1:0")
		return time.Now()
	}, "RescreenWorkerAbsent page")
}

// A dataWatch asks every query again and again until it has returned data.
type dataWatch struct {
	stop    chan struct{}
	stopped chan struct{}
	mu      sync.Mutex
	missing map[string]string // what has not returned data yet, and the query
	err     error
}

// troubled is what has no data while nothing is wrong.
var troubled = []string{"Trouble, per minute"}

// watchData begins with all queries of the dashboard, for all fleets and for the
// quiet one alone, and all selectors of the alerts.
func watchData(t *testing.T, p *prom) *dataWatch {
	t.Helper()
	w := &dataWatch{stop: make(chan struct{}), stopped: make(chan struct{}), missing: map[string]string{}}
	for i, q := range boardQueries(t) {
		w.missing[fmt.Sprintf("panel %q, query %d", q.panel, i)] = q.expr(".+")
		// Alerts have labels of their own; limits of an account only the other has.
		if !slices.Contains(troubled, q.panel) {
			w.missing[fmt.Sprintf("panel %q, query %d, quiet fleet", q.panel, i)] = q.expr("quiet|nats")
		}
	}
	for _, r := range loadRules(t) {
		expr, err := promQL.ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range selectors(expr) {
			bare := *s.VectorSelector
			bare.OriginalOffset, bare.Offset = 0, 0
			w.missing[fmt.Sprintf("alert %s, %s", r.Alert, bare.String())] = bare.String()
		}
	}
	go func() {
		defer close(w.stopped)
		for {
			w.look(p)
			select {
			case <-w.stop:
				return
			case <-time.After(10 * time.Second):
			}
		}
	}()
	return w
}

func (w *dataWatch) look(p *prom) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, query := range w.missing {
		found, err := p.ask(query)
		if err != nil {
			w.err = err
		} else if len(found) > 0 {
			delete(w.missing, what)
		}
	}
}

// end reports what has never returned data.
func (w *dataWatch) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	<-w.stopped
	if w.err != nil {
		t.Error(w.err)
	}
	for _, what := range slices.Sorted(maps.Keys(w.missing)) {
		t.Errorf("no data for %s: %s", what, w.missing[what])
	}
}
