package main

import (
	"net"
	"strconv"
	"time"

	"rescreen/worker"
)

// budgetSettings are the first limits of a fleet that has none yet: what is
// stored wins. They are gentle on purpose: the API publishes no limits.
type budgetSettings struct {
	CreateRate   frequency `group:"budget" default:"5/s" placeholder:"N/s|m|h" help:"Sessions created per unit of time by the whole fleet: 5/s, 300/m, 0.2/s. This and the four below are the limits of a fleet that has none yet; later they are changed with rescreen limits set."`
	CreateBurst  int       `group:"budget" default:"5" placeholder:"N" help:"How many creations more than the rate allows may reach the API in any time. It is what calls may be late, not calls at once after a pause."`
	RequestRate  frequency `group:"budget" default:"20/s" placeholder:"N/s|m|h" help:"All calls of the API per unit of time."`
	RequestBurst int       `group:"budget" default:"10" placeholder:"N" help:"The same as --create-burst, of all calls."`
	MaxOpen      int       `group:"budget" default:"10000" placeholder:"N" help:"Sessions open at a time."`
}

func (s budgetSettings) problems() problems {
	var found problems
	atLeast(&found, "--create-burst", s.CreateBurst, 1)
	atLeast(&found, "--request-burst", s.RequestBurst, 1)
	atLeast(&found, "--max-open", s.MaxOpen, 1)
	if s.CreateRate.PerSecond() > s.RequestRate.PerSecond() && s.RequestRate.PerSecond() > 0 {
		found.addf("--create-rate", "%s can never be reached: each creation is a call too, and --request-rate allows %s", s.CreateRate, s.RequestRate)
	}
	return found
}

// lifecycleSettings say how long things may take and how often to ask.
type lifecycleSettings struct {
	Slots           int           `group:"life" default:"64" placeholder:"N" help:"Steps at a time in this worker."`
	PostTimeout     time.Duration `group:"life" default:"15s" placeholder:"TIME" help:"Longest wait for the answer to a creation; below 20s."`
	GetTimeout      time.Duration `group:"life" default:"30s" placeholder:"TIME" help:"Longest wait for the answer to any other call."`
	PollFirst       time.Duration `group:"life" default:"2s" placeholder:"TIME" help:"Time from creation to the first poll."`
	PollFactor      float64       `group:"life" default:"1.6" placeholder:"X" help:"Each pause between polls is this many times the one before; at least 1."`
	PollMax         time.Duration `group:"life" default:"60s" placeholder:"TIME" help:"Longest pause between polls."`
	SessionDeadline time.Duration `group:"life" default:"24h" placeholder:"TIME" help:"Age at which a session that is still not ready is given up."`
	ResultLifetime  time.Duration `group:"life" default:"2h" placeholder:"TIME" help:"How long the API keeps a result that is ready."`
	OnUnknown       string        `group:"life" enum:"recreate,fail" default:"recreate" placeholder:"recreate|fail" help:"When it is unknown whether a creation succeeded: create again, flagged as a possible duplicate that may be billed twice, or fail the job."`
}

func (s lifecycleSettings) problems() problems {
	var found problems
	atLeast(&found, "--slots", s.Slots, 3)
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"--post-timeout", s.PostTimeout}, {"--get-timeout", s.GetTimeout}, {"--poll-first", s.PollFirst},
		{"--poll-max", s.PollMax}, {"--session-deadline", s.SessionDeadline}, {"--result-lifetime", s.ResultLifetime},
	} {
		if d.value <= 0 {
			found.addf(d.flag, "%s must be above zero", durationText(d.value))
		}
	}
	if s.PostTimeout >= worker.CreateClaim {
		found.addf("--post-timeout", "%s must be below the %s after which a creation counts as unknown", durationText(s.PostTimeout), durationText(worker.CreateClaim))
	}
	if !(s.PollFactor >= 1) { // also refuses NaN
		found.addf("--poll-factor", "%v must be at least 1", s.PollFactor)
	}
	if s.PollFactor > maxPollFactor {
		found.addf("--poll-factor", "%v must be at most %v", s.PollFactor, maxPollFactor)
	}
	if s.PollFirst > s.PollMax {
		found.addf("--poll-first", "%s must not be above --poll-max, which is %s", durationText(s.PollFirst), durationText(s.PollMax))
	}
	if s.PollMax >= s.ResultLifetime && s.ResultLifetime > 0 {
		found.addf("--poll-max", "%s must be below --result-lifetime, which is %s: a result would expire between two polls", durationText(s.PollMax), durationText(s.ResultLifetime))
	}
	if s.PollFirst >= s.SessionDeadline && s.SessionDeadline > 0 {
		found.addf("--session-deadline", "%s must be above --poll-first, which is %s", durationText(s.SessionDeadline), durationText(s.PollFirst))
	}
	return found
}

// maxPollFactor is far beyond use; above it a slip of the finger is likelier,
// and the product of interval and factor stays a finite number.
const maxPollFactor = 100.0

// workerSettings are all settings of the worker.
type workerSettings struct {
	id string // of the worker, if it has one already

	NATS      natsSettings      `embed:""`
	API       apiSettings       `embed:""`
	Budgets   budgetSettings    `embed:""`
	Lifecycle lifecycleSettings `embed:""`

	HTTPAddr       string `group:"run" placeholder:"HOST:PORT" help:"Where to serve /livez (also as /healthz), /readyz and /metrics; port 0 for any free one. Default: nowhere."`
	BatchMetrics   bool   `group:"run" help:"Count the jobs of each batch in /metrics, with its name as a label: of batches that are under way or ended in the last hour, the youngest 100."`
	PprofAddr      string `group:"run" placeholder:"HOST:PORT" help:"Where to serve profiles of this process under /debug/pprof/; an address of this machine alone. Default: nowhere."`
	Embedded       bool   `group:"run" help:"Start a NATS server in this process, with its files under --data-dir."`
	EmbeddedListen string `group:"run" default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Where the embedded server listens for other workers and commands of this machine; port 0 for any free one. Keep the port: they come back to it after a restart."`
}

func (s workerSettings) problems() problems { return s.check(true) }

// check reports what is wrong; calling says whether the API will be called, so
// that its identity is required.
func (s workerSettings) check(calling bool) problems {
	found := s.NATS.problems()
	found = append(found, s.API.problems(calling)...)
	found = append(found, s.Budgets.problems()...)
	found = append(found, s.Lifecycle.problems()...)
	checkListen(&found, "--http-addr", s.HTTPAddr)
	checkListen(&found, "--pprof-addr", s.PprofAddr)
	if host, _, err := net.SplitHostPort(s.PprofAddr); err == nil && !loopback(host) {
		found.addf("--pprof-addr", "%q is not an address of this machine alone: profiles tell everybody what goes on in the process, use 127.0.0.1:6060", s.PprofAddr)
	}
	if s.BatchMetrics && s.HTTPAddr == "" {
		found.addf("--batch-metrics", "needs --http-addr: there is no /metrics without it")
	}
	checkListen(&found, "--embedded-listen", s.EmbeddedListen)
	if host, _, err := net.SplitHostPort(s.EmbeddedListen); err == nil && !loopback(host) {
		found.addf("--embedded-listen", "%q is not an address of this machine alone: the embedded server has no TLS, run a nats-server for other machines", s.EmbeddedListen)
	}
	if s.Embedded && s.NATS.remote() {
		found.addf("--embedded", "starts a NATS server in this process, and %s names another: give one of them",
			given("--server", s.NATS.Server, "--context", s.NATS.Context)[0])
	}
	return found
}

func atLeast(found *problems, flag string, value, least int) {
	if value < least {
		found.addf(flag, "%d must be at least %d", value, least)
	}
}

// checkListen accepts host:port with a number as the port; port 0 means any
// free one.
func checkListen(found *problems, flag, value string) {
	if value == "" {
		return
	}
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		found.addf(flag, "%q is not a place to listen: write host:port, like 127.0.0.1:8118", value)
	}
}
