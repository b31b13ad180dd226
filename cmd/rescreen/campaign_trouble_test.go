package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

const (
	// troubleJobs are under way when the trouble begins.
	troubleJobs = 40
	// noticed is how long a worker may take to say that it is in trouble, or that
	// it is over: a request without an answer takes three seconds, and a message
	// given back comes again after five.
	noticed = 20 * time.Second
	// calm is for how long it is counted what a worker in trouble does, and
	// calmRate and calmLines how many messages it may send and warnings it may
	// log per second meanwhile. The repair of the test, ten times as quick as a
	// real one, has nearly half of the messages, and steps that have just begun try
	// more often than those that have tried for long.
	calm      = 3 * time.Second
	calmRate  = 150
	calmLines = 5
)

// aTrouble is something that goes wrong with JetStream while a worker is at
// work, and is put right again.
type aTrouble struct {
	name string
	do   func(*troubleSite)
	undo func(*troubleSite)
	// reason is what /readyz must say, kind what the metric counts.
	reason, kind string
	// lost reports how many of the jobs may end without an outcome in the results
	// stream, and failed how many as failures; nil: none.
	lost, failed func(*troubleSite) int
	long         bool // in the full campaign only
}

// TestCampaignTrouble breaks each part of JetStream under a worker: it has to say
// so (readiness, log, metric), must not spin, and has to go on by itself when
// the cause is gone, with one outcome for every job.
func TestCampaignTrouble(t *testing.T) {
	besideOthers(t)
	for _, trouble := range troubles() {
		if trouble.long && !fullCampaign() {
			continue
		}
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			newTroubleSite(t).survives(trouble)
		})
	}
}

// A connection that is closed for good ends the worker, and another one goes on.
func TestCampaignTroubleConnectionClosed(t *testing.T) {
	onlyInFull(t, "takes half a minute")
	besideOthers(t)
	s := newTroubleSite(t)
	s.ends = errConnectionLost
	s.quickRedelivery()
	s.submit(troubleJobs)
	s.start()
	s.await("the first results", noticed, func() bool { return s.station.worker.Stats().Done >= 3 })
	s.station.link.Conn.Close()
	select {
	case err := <-s.ended:
		if !errors.Is(err, errConnectionLost) || exitCode(err) != exitFailed {
			t.Errorf("the worker ends with %v", err)
		}
	case <-time.After(noticed):
		t.Fatalf("the worker still runs\n%s", s.log())
	}
	s.ends = nil
	s.start()
	s.awaitOutcomes(troubleJobs, 0)
}

// The consumer of a batch is made again by the repair, without anybody's help: it
// is missed by no worker for long, so that there is nothing to be noticed.
func TestCampaignTroubleBatchConsumerDeleted(t *testing.T) {
	onlyInFull(t, "takes half a minute")
	besideOthers(t)
	s := newTroubleSite(t)
	s.submit(troubleJobs)
	s.start()
	s.await("the first results", noticed, func() bool { return s.station.worker.Stats().Done >= 3 })
	must(t, s.admin.DeleteConsumer(t.Context(), queue.JobsStream, queue.JobsConsumer(troubleBatch).Durable))
	s.awaitOutcomes(troubleJobs, 0)
}

// troubleMarker stands in the names of all people but the poison, troubleBorn is when
// they were born; neither stands anywhere else.
const troubleMarker, troubleBorn = "Trøbbel", "1970-05-17"

// logTexts returns what was logged, fields included.
func logTexts(logs *observer.ObservedLogs) (texts []string) {
	for _, e := range logs.All() {
		texts = append(texts, fmt.Sprint(e.Message, e.ContextMap()))
	}
	return texts
}

// survives runs the campaign of one trouble.
func (s *troubleSite) survives(trouble aTrouble) {
	s.submit(troubleJobs)
	s.start()
	s.await("the first results", noticed, func() bool { return s.station.worker.Stats().Done >= 3 })
	began := time.Now()
	trouble.do(s)
	reason := regexp.MustCompile(trouble.reason)
	s.await("/readyz with "+trouble.reason, noticed, func() bool {
		code, body := s.get("/readyz")
		return code == 503 && reason.MatchString(body)
	})
	s.Logf("noticed after %.1f s: %s", time.Since(began).Seconds(), s.page("/readyz"))
	s.calm()
	if code, body := s.get("/livez"); code != 200 {
		s.Errorf("/livez in trouble: %d %s", code, body)
	}
	if metrics := s.page("/metrics"); !regexp.MustCompile(`rescreen_trouble_total\{kind="`+trouble.kind+`",with="[^"]+"\} [1-9]`).MatchString(metrics) ||
		!strings.Contains(metrics, "\nrescreen_ready 0\n") {
		s.Errorf("/metrics tells of no trouble of kind %s:\n%s", trouble.kind, grepLines(metrics, "trouble|ready"))
	}
	if s.logs.FilterMessage("trouble").Len()+s.logs.FilterMessage("connection to NATS lost, reconnecting").Len() == 0 {
		s.Error("nothing in the log")
	}
	ended := time.Now()
	trouble.undo(s)
	s.await("/readyz", 3*noticed, func() bool { code, _ := s.get("/readyz"); return code == 200 })
	s.Logf("ready again after %.1f s", time.Since(ended).Seconds())
	lost, failed := 0, 0
	if trouble.lost != nil {
		lost = trouble.lost(s)
	}
	if trouble.failed != nil {
		failed = trouble.failed(s)
	}
	s.awaitOutcomes(troubleJobs-lost, failed)
	for _, text := range append(logTexts(s.logs), s.page("/metrics"), s.page("/readyz")) {
		if strings.Contains(text, troubleMarker) || strings.Contains(text, troubleBorn) {
			s.Errorf("somebody is named: %s", text)
		}
	}
	s.Logf("everything ended after %.1f s, %d sessions for %d jobs", time.Since(ended).Seconds(), s.sim.Stats().Sessions, troubleJobs)
}

// troubleSite is a NATS server that can be broken, a worker, and the simulator,
// all in this process.
type troubleSite struct {
	*testing.T
	options server.Options
	server  *server.Server
	admin   jetstream.JetStream // as somebody who may do everything
	sim     *amlsim.Simulator
	api     *httptest.Server
	station *station
	handler *httptest.Server
	logs    *observer.ObservedLogs
	ends    error      // that the worker is expected to end with
	ended   chan error // what it ended with
}

const (
	troubleBatch = "trouble"
	adminUser    = "admin"
	workerUser   = "worker"
)

func newTroubleSite(t *testing.T) *troubleSite { return newTroubleSiteIn(t, t.TempDir()) }

// newTroubleSiteIn has the server keep its files in a directory.
func newTroubleSiteIn(t *testing.T, dir string) *troubleSite {
	t.Helper()
	s := &troubleSite{T: t, options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		JetStreamMaxStore: 1 << 40, // else what the disk has room for
		Users:             []*server.User{{Username: adminUser, Password: "a"}, {Username: workerUser, Password: "w"}},
	}}
	s.startServer()
	t.Cleanup(func() { s.server.Shutdown(); s.server.WaitForShutdown() })
	nc, err := nats.Connect(s.server.ClientURL(), nats.UserInfo(adminUser, "a"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	must(t, err)
	t.Cleanup(nc.Close)
	s.admin, err = jetstream.New(nc)
	must(t, err)
	s.setup()
	s.sim = amlsim.New(amlsim.Config{
		ReadyAfter: amlsim.LogNormal(1500*time.Millisecond, 0.5, 200*time.Millisecond, 4*time.Second),
		Latency:    amlsim.LogNormal(20*time.Millisecond, 0.5, 5*time.Millisecond, 100*time.Millisecond),
	})
	s.api = httptest.NewServer(s.sim)
	t.Cleanup(s.api.Close)
	return s
}

// startServer starts the server, at the same place if it ran before.
func (s *troubleSite) startServer() {
	s.Helper()
	options := s.options
	running, err := server.NewServer(&options)
	must(s, err)
	running.Start()
	if !running.ReadyForConnections(20 * time.Second) {
		s.Fatal("nats-server is not ready after 20 s")
	}
	s.server, s.options.Port = running, options.Port
}

func (s *troubleSite) stopServer() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// setup is rescreen setup.
func (s *troubleSite) setup() {
	s.Helper()
	_, err := setup(s.Context(), s.admin, setupOptions{})
	must(s, err)
}

func troublePerson(n int) queue.Job {
	ref := fmt.Sprintf("T-%03d", n)
	return queue.Job{
		ID: queue.JobID("job-" + ref), CustomerRef: ref, FirstName: "Kari", LastName: personal.Text(fmt.Sprintf("%s%03d", troubleMarker, n)),
		DateOfBirth: troubleBorn, Report: n%10 == 0,
	}.WithDefaults()
}

func (s *troubleSite) submit(n int) {
	s.Helper()
	jobs, err := queue.OpenJobs(s.Context(), s.admin)
	must(s, err)
	must(s, jobs.EnsureConsumer(s.Context(), troubleBatch))
	batch := make([]queue.Job, n)
	for i := range batch {
		batch[i] = troublePerson(i)
	}
	_, err = jobs.Publish(s.Context(), troubleBatch, batch)
	must(s, err)
}

// start runs the worker, with a repair that is quicker than a real one.
func (s *troubleSite) start() { s.startWith(func(*workerSettings) {}) }

// startWith changes the worker's settings.
func (s *troubleSite) startWith(change func(*workerSettings)) {
	s.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	s.logs = logs
	log := zap.New(core)
	target := natsTarget{url: s.server.ClientURL(), shown: "the server", options: []nats.Option{nats.UserInfo(workerUser, "w")}}
	link, err := target.connect(s.Context(), "rescreen worker", log)
	must(s, err)
	s.Cleanup(link.Close)
	settings, err := demoSettings(s.api.URL + amlsim.RealmPath)
	must(s, err)
	change(&settings)
	s.station, err = newStation(s.Context(), time.Now, link, settings, nil, log, nil)
	must(s, err)
	for _, l := range s.station.loops {
		l.every /= 50
	}
	config := settings.workerConfig(int(link.Conn.MaxPayload()))
	config.RepairEvery, config.RepairAge = 3*time.Second, 3*time.Second
	config.Plan.First = 500 * time.Millisecond
	config.Create = worker.Budget{Rate: 10, Burst: 5} // so that jobs of all states meet the trouble
	s.station.worker, err = worker.New(config, s.station.deps())
	must(s, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(s.Context()))
	s.handler = httptest.NewServer(s.station.handler(ctx))
	s.Cleanup(s.handler.Close)
	var running sync.WaitGroup
	station, want, ended := s.station, s.ends, make(chan error, 1)
	s.ended = ended
	running.Go(func() {
		err := station.run(ctx)
		if !errors.Is(err, want) {
			s.Errorf("the worker ends with %v", err)
		}
		ended <- err
	})
	s.Cleanup(func() { stop(); running.Wait() })
}

// get asks the worker's HTTP server.
func (s *troubleSite) get(path string) (code int, body string) {
	s.Helper()
	answer, err := http.Get(s.handler.URL + path)
	must(s, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	must(s, err)
	return answer.StatusCode, string(text)
}

func (s *troubleSite) page(path string) string {
	s.Helper()
	_, body := s.get(path)
	return strings.TrimSpace(body)
}

// await waits for something that can only be asked for.
func (s *troubleSite) await(what string, patience time.Duration, is func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			if s.handler == nil { // no worker in this process
				s.Fatalf("no %s after %v", what, patience)
			}
			s.Fatalf("no %s after %v; ready: %s\n%s", what, patience, s.page("/readyz"), s.log())
		}
	}
}

func (s *troubleSite) log() string {
	var lines []string
	for _, e := range s.logs.All() {
		lines = append(lines, fmt.Sprint(e.Time.Format("05.000 "), e.Level, " ", e.Message, " ", e.ContextMap()))
	}
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// calm counts for some seconds what the worker does while nothing can be done.
func (s *troubleSite) calm() {
	s.Helper()
	// A step that gets as far as the API sends some ten messages.
	spent := func() float64 {
		return float64(s.station.link.Conn.Stats().OutMsgs) - 10*float64(s.sim.Stats().Sessions) - 10*float64(s.station.worker.Stats().Polls)
	}
	warnings := func() int {
		return s.logs.Filter(func(e observer.LoggedEntry) bool { return e.Level >= zapcore.WarnLevel }).Len()
	}
	before, lines := spent(), warnings()
	time.Sleep(calm)
	rate, wrote := (spent()-before)/calm.Seconds(), float64(warnings()-lines)/calm.Seconds()
	s.Logf("%.0f messages and %.1f warnings per second in trouble", rate, wrote)
	if rate > calmRate {
		s.Errorf("%.0f messages per second to a server that cannot do what is asked", rate)
	}
	if wrote > calmLines {
		s.Errorf("%.1f warnings per second:\n%s", wrote, s.log())
	}
}

// awaitOutcomes waits until n jobs have an outcome, of which up to failed may be
// failures, and checks that none has two and none a second session in silence.
func (s *troubleSite) awaitOutcomes(n, failed int) {
	s.Helper()
	results, err := s.admin.Stream(s.Context(), store.ResultsStream)
	must(s, err)
	var subjects map[string]uint64
	s.await(fmt.Sprintf("outcomes of %d jobs", n), 3*noticed, func() bool {
		info, err := results.Info(s.Context(), jetstream.WithSubjectFilter(">"))
		must(s, err)
		subjects = info.State.Subjects
		return len(subjects) >= n
	})
	outcomes := make(map[queue.JobID]string)
	failures := 0
	for subject := range subjects {
		m, err := results.GetLastMsgForSubject(s.Context(), subject)
		must(s, err)
		e, err := queue.DecodeEvent(m.Data)
		must(s, err)
		if other, twice := outcomes[e.JobID]; twice {
			s.Errorf("two outcomes: %s and %s", other, subject)
		}
		outcomes[e.JobID] = subject
		sessions := s.sim.SessionsOf("Kari", troubleMarker+strings.TrimPrefix(e.Subject, "T-"), troubleBorn, "")
		if e.JobID == poisonJob {
			sessions = s.sim.SessionsOf("Kari", poisonName, troubleBorn, "")
		}
		flagged := false
		if r, err := e.Result(); err == nil {
			flagged = r.PossibleDuplicate || r.SessionsCreated > 1
		} else {
			f, err := e.Failure()
			must(s, err)
			failures++
			flagged = f.PossibleDuplicate || f.SessionsCreated > 1
			s.Logf("job %s failed: %s, %v", e.JobID, f.Reason, *f.Message)
		}
		if sessions > 1 && !flagged {
			s.Errorf("job %s has %d sessions and no flag", e.JobID, sessions)
		}
	}
	if failures > failed {
		s.Errorf("%d jobs failed", failures)
	}
}

func grepLines(text, pattern string) string {
	re := regexp.MustCompile(pattern)
	var found []string
	for _, line := range strings.Split(text, "\n") {
		if re.MatchString(line) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "\n")
}
