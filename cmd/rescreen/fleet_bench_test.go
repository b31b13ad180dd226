package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// BenchmarkFleet starts a simulator, a NATS server, N worker processes and a
// backlog that is always full, and reports what the simulator counted: what
// share of the limit was used, how large a burst the calls needed (no window
// ever held more than rate × w + that), the highest excess over rate × w + burst
// in any window of 1, 10 and 60 s, 429 answers, and how even the workers' shares are.
//
//	go test ./cmd/rescreen -run '^$' -bench Fleet -benchtime 1x -timeout 1h
//
// Each run takes RESCREEN_FLEET_SECONDS, 60 if that is not set.
func BenchmarkFleet(b *testing.B) {
	seconds := 60
	if given := os.Getenv("RESCREEN_FLEET_SECONDS"); given != "" {
		var err error
		seconds, err = strconv.Atoi(given)
		must(b, err)
	}
	length := time.Duration(seconds) * time.Second
	usual := fleetPlan{
		create: worker.Budget{Rate: 50, Burst: 10}, requests: worker.Budget{Rate: 200, Burst: 20},
		readyAfter: "1s", latency: "20ms", length: length, least: 0.97,
	}
	for _, n := range []int{1, 4, 16} {
		plan := usual
		plan.workers = n
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) { runFleet(b, plan) })
	}
	churn := usual
	churn.workers, churn.churn = 16, true
	b.Run("churn", func(b *testing.B) { runFleet(b, churn) })

	for _, lower := range []struct {
		name             string
		create, requests worker.Budget
	}{
		{"lower-create-limit", worker.Budget{Rate: 25, Burst: 5}, usual.requests},
		{"lower-request-limit", usual.create, worker.Budget{Rate: 90, Burst: 10}},
	} {
		plan := usual
		plan.workers, plan.apiCreate, plan.apiRequests = 4, lower.create, lower.requests
		plan.settle, plan.length = time.Minute, 2*length
		plan.least, plan.calls = 0.9, lower.requests != usual.requests
		b.Run(lower.name, func(b *testing.B) { runFleet(b, plan) })
	}
	// A minute of trouble; measured from half a minute after its end on.
	for _, storm := range []struct{ name, fault string }{
		{"429-storm", "{kind: status, status: 429}"},
		{"429-storm-with-time", "{kind: status, status: 429, retry_after: 2s}"},
		{"503-storm", "{kind: status, status: 503}"}, // of creations: unknown outcomes
		{"503-storm-with-time", "{kind: status, status: 503, retry_after: 2s}"},
	} {
		plan := usual
		plan.workers, plan.settle = 4, 105*time.Second
		plan.faults = fmt.Sprintf("faults:\n- {call: any, when: {from: 15s, until: 75s}, do: %s}\n", storm.fault)
		b.Run(storm.name, func(b *testing.B) { runFleet(b, plan) })
	}
	outage := usual
	outage.workers, outage.settle = 4, 105*time.Second
	outage.faults = "faults:\n- {call: session, when: {from: 15s, until: 16s, times: 1}, do: {kind: revoke-token}}\n" +
		"- {call: token, when: {from: 15s, until: 75s}, do: {kind: status, status: 503}}\n"
	b.Run("token-outage", func(b *testing.B) { runFleet(b, outage) })

	busy := usual
	busy.workers, busy.create, busy.requests = 1, worker.Budget{Rate: 165, Burst: 30}, worker.Budget{Rate: 600, Burst: 60}
	busy.profile = true
	b.Run("500-calls", func(b *testing.B) { runFleet(b, busy) })
	fast := usual
	fast.workers, fast.create, fast.requests = 4, worker.Budget{Rate: 400, Burst: 100}, worker.Budget{Rate: 5000, Burst: 300}
	b.Run("fast", func(b *testing.B) { runFleet(b, fast) })
	slow := usual
	slow.workers, slow.create, slow.requests = 4, worker.Budget{Rate: 0.2, Burst: 2}, worker.Budget{Rate: 1, Burst: 2}
	slow.settle, slow.least = 10*time.Second, 0.8 // twelve in a minute: one is eight percent
	b.Run("slow", func(b *testing.B) { runFleet(b, slow) })
}

// fleetPlan is what one run does.
type fleetPlan struct {
	workers          int
	create, requests worker.Budget
	// apiCreate and apiRequests are the API's own limits; zero: the same.
	apiCreate, apiRequests worker.Budget
	readyAfter, latency    string
	length                 time.Duration
	settle                 time.Duration // not measured at the beginning; 0: 5 s
	least                  float64       // of the limit that must be used, 0 to 1
	calls                  bool          // the limit that counts is that of all calls
	churn                  bool          // workers join, leave and are killed, one has a wrong clock
	profile                bool          // tell what part of a worker's processor time the limits take
	faults                 string        // script of the simulator
}

// fleet is everything that runs.
type fleet struct {
	testing.TB
	plan   fleetPlan
	server *server.Server
	link   *natsLink
	sim    *process
	simURL string
	dir    string

	mu      sync.Mutex
	workers []*process
}

func runFleet(b *testing.B, plan fleetPlan) {
	for b.Loop() {
		b.StopTimer()
		f := newFleet(b, plan)
		b.StartTimer()
		f.run(b)
		b.StopTimer()
		f.end()
		b.StartTimer()
	}
}

func newFleet(tb testing.TB, plan fleetPlan) *fleet {
	tb.Helper()
	if plan.apiCreate == (worker.Budget{}) {
		plan.apiCreate = plan.create
	}
	if plan.apiRequests == (worker.Budget{}) {
		plan.apiRequests = plan.requests
	}
	if plan.settle == 0 {
		plan.settle = 5 * time.Second
	}
	f := &fleet{TB: tb, plan: plan, dir: tb.TempDir()}
	s, err := startNATS(&server.Options{StoreDir: f.dir})
	must(tb, err)
	f.server = s
	f.link, err = natsTarget{url: s.ClientURL(), shown: s.ClientURL()}.connect(tb.Context(), "fleet", zap.NewNop())
	must(tb, err)
	_, err = setup(tb.Context(), f.link.JS, setupOptions{})
	must(tb, err)
	f.startSimulator()
	f.submit(int(plan.create.Rate*(plan.length+plan.settle).Seconds()*1.3) + 200)
	return f
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (f *fleet) end() {
	for _, w := range f.workers {
		_ = w.end(os.Kill)
	}
	_ = f.sim.end(os.Kill)
	f.link.Close()
	f.server.Shutdown()
	f.server.WaitForShutdown()
}

// command starts the program, or one of its like whose clock is wrong.
func (f *fleet) command(name string, args ...string) *process {
	f.Helper()
	exe, err := os.Executable()
	must(f, err)
	cmd := exec.Command(exe)
	cmd.Args = append([]string{name}, args...)
	p := &process{cmd: cmd, log: &syncBuffer{}}
	cmd.Env = append(os.Environ(), "CPU_PROFILE="+f.profile())
	cmd.Stderr = p.log
	must(f, cmd.Start())
	f.Cleanup(func() { _ = p.end(os.Kill) })
	return p
}

func (f *fleet) startSimulator() {
	f.Helper()
	rate := func(r float64) string { return strconv.FormatFloat(r, 'f', -1, 64) + "/s" }
	args := []string{
		"simulator", "--listen", "127.0.0.1:0", "--ready-after", f.plan.readyAfter, "--latency", f.plan.latency,
		"--create-rate", rate(f.plan.apiCreate.Rate), "--create-burst", strconv.Itoa(f.plan.apiCreate.Burst),
		"--request-rate", rate(f.plan.apiRequests.Rate), "--request-burst", strconv.Itoa(f.plan.apiRequests.Burst),
	}
	if f.plan.faults != "" {
		script := filepath.Join(f.dir, "faults.yaml")
		must(f, os.WriteFile(script, []byte(f.plan.faults), 0o600))
		args = append(args, "--faults", script)
	}
	f.sim = f.command("rescreen", args...)
	address := regexp.MustCompile(`simulated AML API at (http://\S+)`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if m := address.FindStringSubmatch(f.sim.log.String()); m != nil {
			f.simURL = m[1]
			return
		}
		if time.Now().After(deadline) {
			f.Fatalf("the simulator does not start\n%s", f.sim.log.String())
		}
	}
}

func (f *fleet) stats() amlsim.Stats {
	f.Helper()
	resp, err := http.Get(f.simURL + "/stats")
	must(f, err)
	defer func() { _ = resp.Body.Close() }()
	var st amlsim.Stats
	must(f, json.NewDecoder(resp.Body).Decode(&st))
	return st
}

func (f *fleet) submit(n int) {
	f.Helper()
	jobs, err := queue.OpenJobs(f.Context(), f.link.JS)
	must(f, err)
	must(f, jobs.EnsureConsumer(f.Context(), "fleet"))
	for from := 0; from < n; from += 500 {
		var some []queue.Job
		for i := from; i < min(from+500, n); i++ {
			j := crashPerson(fmt.Sprintf("F-%06d", i))
			j.Report = false
			some = append(some, j)
		}
		_, err := jobs.Publish(f.Context(), "fleet", some)
		must(f, err)
	}
}

// worker starts a worker; name is the program, whose clock may be wrong.
func (f *fleet) worker(name string, flags ...string) *process {
	f.Helper()
	rate := func(r float64) string { return strconv.FormatFloat(r, 'f', -1, 64) + "/s" }
	p := f.command(name, append([]string{
		"worker", "--server", f.server.ClientURL(),
		"--api-env", "local", "--api-issuer", f.simURL + amlsim.RealmPath,
		"--create-rate", rate(f.plan.create.Rate), "--create-burst", strconv.Itoa(f.plan.create.Burst),
		"--request-rate", rate(f.plan.requests.Rate), "--request-burst", strconv.Itoa(f.plan.requests.Burst),
		"--max-open", "100000",
	}, flags...)...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers = append(f.workers, p)
	return p
}

// run measures, and reports.
func (f *fleet) run(b *testing.B) {
	for i := range f.plan.workers {
		name := "rescreen"
		if f.plan.churn && i == 0 {
			name = "rescreen-5m-ahead"
		}
		if f.plan.profile {
			name = "rescreen-profiled"
		}
		f.worker(name)
	}
	for deadline := time.Now().Add(30 * time.Second); f.stats().Sessions == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("no session after 30 s\n%s", f.workers[0].log.String())
		}
	}
	time.Sleep(f.plan.settle)
	first, writesBefore, cpuBefore := f.stats(), f.writes(), f.cpu()
	ctx, cancel := context.WithTimeout(b.Context(), f.plan.length)
	defer cancel()
	if f.plan.churn {
		f.churn(ctx)
	}
	<-ctx.Done()
	last, writes := f.stats(), f.writes()
	f.report(b, first, last, writes-writesBefore, f.cpu()-cpuBefore)
	if f.plan.profile {
		b.ReportMetric(f.limiterShare(), "%limiter")
	}
}

// churn makes workers join, leave and die.
func (f *fleet) churn(ctx context.Context) {
	tick := time.NewTicker(2500 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		leaving := f.workers[1] // the first keeps its wrong clock
		f.workers = slices.Delete(f.workers, 1, 2)
		f.mu.Unlock()
		if i%2 == 0 {
			_ = leaving.end(os.Kill)
		} else {
			_ = leaving.end(os.Interrupt)
		}
		f.worker("rescreen")
	}
}

// limits reads the fleet's record.
func (f *fleet) limits() worker.Limits {
	f.Helper()
	st, err := store.Open(f.Context(), f.link.JS, time.Now)
	must(f, err)
	value, _, err := st.Registers.Load(f.Context(), worker.LimitsRegister("local"))
	must(f, err)
	limits, err := worker.DecodeLimits(value)
	must(f, err)
	return limits
}

// writes is the sequence of the limits' stream: one for each write of the record.
func (f *fleet) writes() uint64 {
	f.Helper()
	stream, err := f.link.JS.Stream(f.Context(), store.LimitsStream)
	must(f, err)
	info, err := stream.Info(f.Context())
	must(f, err)
	return info.State.LastSeq
}

// tries is how often workers have tried to write the record in the last minute.
func (f *fleet) tries() int {
	f.Helper()
	l, sum := f.limits(), 0
	for _, u := range l.Workers {
		sum += u.LastMinute(time.Now()).Tries
	}
	return sum
}

// cpu is the processor time of the workers that run, in seconds.
func (f *fleet) cpu() float64 {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := 0.0
	for _, w := range f.workers {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
		must(f, err)
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest) // from the state on, see proc_pid_stat(5)
		for _, ticks := range fields[11:13] {
			n, err := strconv.ParseFloat(ticks, 64)
			must(f, err)
			sum += n / 100
		}
	}
	return sum
}

// limiterShare is what part of the first worker's processor time went into its
// limiter, in percent. It ends the worker.
func (f *fleet) limiterShare() float64 {
	f.Helper()
	must(f, f.workers[0].end(os.Interrupt))
	out, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=100000", "-nodefraction=0", "-edgefraction=0", `-focus=worker\.\(\*limiter\)`, f.profile()).CombinedOutput()
	must(f, err)
	m := regexp.MustCompile(`accounting for \S+, (\S+)% of`).FindSubmatch(out)
	if m == nil {
		f.Fatalf("%s", out)
	}
	share, err := strconv.ParseFloat(string(m[1]), 64)
	must(f, err)
	return share
}

func (f *fleet) profile() string { return filepath.Join(f.dir, "cpu.pprof") }

// failures is how many jobs have failed.
func (f *fleet) failures() int {
	f.Helper()
	stream, err := f.link.JS.Stream(f.Context(), store.ResultsStream)
	must(f, err)
	info, err := stream.Info(f.Context(), jetstream.WithSubjectFilter("screening.failure.>"))
	must(f, err)
	return len(info.State.Subjects)
}

func (f *fleet) report(b *testing.B, first, last amlsim.Stats, leases uint64, cpu float64) {
	seconds := last.Now.Sub(first.Now).Seconds()
	created := last.Sessions - first.Sessions
	calls := 0
	for call, c := range last.Calls {
		if call != amlsim.CallToken && call != amlsim.CallDiscovery {
			calls += c.Total - first.Calls[call].Total
		}
	}
	limit := f.plan.apiCreate.Rate
	b.ReportMetric(100*float64(created)/(limit*seconds), "%create")
	b.ReportMetric(100*float64(calls)/(f.plan.apiRequests.Rate*seconds), "%requests")
	b.ReportMetric(last.NeededCreateBurst, "createburst")
	b.ReportMetric(last.NeededRequestBurst, "requestburst")
	b.ReportMetric(float64(last.Throttled), "429s")
	b.ReportMetric(float64(f.tries())/60, "tries/s")
	if !f.plan.churn { // else of processes that are no more
		b.ReportMetric(100*cpu/seconds, "%cpu")
	}
	b.ReportMetric(float64(last.Throttled-first.Throttled), "429s-late")
	b.ReportMetric(float64(leases)/seconds, "leases/s")
	b.ReportMetric(float64(f.failures()), "failures")
	b.ReportMetric(float64(last.RepeatedPeople), "twice")
	b.ReportMetric(float64(last.Early.Latest.Milliseconds()), "earlyms")
	b.ReportMetric(0, "ns/op")
	share := 100 * float64(created) / (limit * seconds)
	if f.plan.calls {
		share = 100 * float64(calls) / (f.plan.apiRequests.Rate * seconds)
	}
	if least := 100 * f.plan.least; share < least {
		b.Errorf("%.1f %% of the limit used, want at least %.0f", share, least)
	}
	if n := f.failures(); n > 0 {
		b.Errorf("%d jobs failed", n)
	}
	if f.plan.apiCreate == f.plan.create && f.plan.apiRequests == f.plan.requests && f.plan.faults == "" && last.Throttled > 0 {
		b.Errorf("the API said 429 %d times", last.Throttled)
	}
	var shares []string
	for _, l := range last.Logins {
		if l.Creates > 0 {
			shares = append(shares, strconv.Itoa(l.Creates))
		}
	}
	b.Logf("%.0f s, %d sessions, %d calls; creations by login: %s", seconds, created, calls, strings.Join(shares, " "))
	for _, w := range []struct {
		name  string
		peaks amlsim.Peaks
		worker.Budget
	}{{"creations", last.PeakCreate, f.plan.create}, {"calls", last.PeakRequests, f.plan.requests}} {
		var text []string
		for _, p := range []struct{ length, most int }{{1, w.peaks.Second}, {10, w.peaks.TenSeconds}, {60, w.peaks.Minute}} {
			allowed := w.Rate*float64(p.length) + float64(w.Burst)
			text = append(text, fmt.Sprintf("%d of %.0f in %d s", p.most, allowed, p.length))
			if float64(p.most) > allowed {
				b.Errorf("%s: %d in a window of %d s, allowed are %.0f", w.name, p.most, p.length, allowed)
			}
		}
		b.Logf("most %s: %s", w.name, strings.Join(text, ", "))
	}
}
