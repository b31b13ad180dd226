package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
	"rescreen/queue"
	"rescreen/queue/natsembed"
	"rescreen/store"
)

// TestKilledWorkersLoseNothing runs real worker processes against a real
// listener of NATS and a real one of the simulator, and kills them with
// SIGKILL while they are at work. Whatever moment that hits: every job gets one
// outcome, and no person has a second session that no result owns up to.
func TestKilledWorkersLoseNothing(t *testing.T) {
	t.Parallel()
	site := newCrashSite(t, amlsim.Config{
		ReadyAfter: amlsim.LogNormal(1500*time.Millisecond, 0.5, 200*time.Millisecond, 5*time.Second),
		Latency:    amlsim.LogNormal(30*time.Millisecond, 0.5, 5*time.Millisecond, 300*time.Millisecond),
		Shape:      amlsim.ShapeMixed,
	})
	const jobs = 400
	site.submit(jobs)
	first, second := site.worker(), site.worker()
	site.awaitSessions(jobs / 5)
	first.kill()
	third := site.worker()
	site.awaitSessions(jobs / 2)
	second.kill()
	fourth := site.worker()
	site.awaitSessions(jobs * 4 / 5)
	third.kill()
	killed := time.Now()
	events := site.awaitOutcomes(jobs, 60*time.Second)
	t.Logf("the last outcome came %.1f s after the last kill", time.Since(killed).Seconds())
	fourth.stop()

	flagged, sessions := 0, 0
	for _, e := range events {
		r, err := e.Result()
		if err != nil {
			f, _ := e.Failure()
			t.Errorf("job %s failed: %s", e.JobID, f.Reason)
			continue
		}
		if r.PossibleDuplicate {
			flagged++
		}
		at := site.sessionsOf(e.Subject)
		sessions += at
		if at > 1 && !r.PossibleDuplicate {
			t.Errorf("job %s has %d sessions and no flag", e.JobID, at)
		}
		if at > 1+r.Recreations {
			t.Errorf("job %s has %d sessions after %d re-creations", e.JobID, at, r.Recreations)
		}
	}
	if total := site.sim.Stats().Sessions; total != sessions {
		t.Errorf("%d sessions at the simulator, %d accounted for", total, sessions)
	}
	t.Logf("%d sessions for %d jobs, %d flagged as possible duplicates", sessions, jobs, flagged)
}

// crashSite is NATS and the simulator in this process, and workers in others.
type crashSite struct {
	t      *testing.T
	server *natsembed.Server
	link   *natsLink
	sim    *amlsim.Simulator
	api    *httptest.Server
}

func newCrashSite(t *testing.T, config amlsim.Config) *crashSite {
	t.Helper()
	server, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	link, err := inProcess(server).connect(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	if _, err := setup(t.Context(), link.JS, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	site := &crashSite{t: t, server: server, link: link, sim: amlsim.New(config)}
	site.api = httptest.NewServer(site.sim)
	t.Cleanup(site.api.Close)
	return site
}

func crashPerson(ref string) queue.Job {
	return queue.Job{
		ID: queue.JobID("job-" + ref), CustomerRef: ref, FirstName: "Kari", LastName: personal.Text("Krasj" + ref), DateOfBirth: "1970-05-17",
		Report: strings.HasSuffix(ref, "0"),
	}.WithDefaults()
}

func (s *crashSite) sessionsOf(ref string) int {
	j := crashPerson(ref)
	return s.sim.SessionsOf(j.FirstName.Reveal(), j.LastName.Reveal(), j.DateOfBirth.Reveal(), "")
}

func (s *crashSite) submit(n int) {
	s.t.Helper()
	jobs, err := queue.OpenJobs(s.t.Context(), s.link.JS)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := jobs.EnsureConsumer(s.t.Context(), "crash"); err != nil {
		s.t.Fatal(err)
	}
	batch := make([]queue.Job, n)
	for i := range batch {
		batch[i] = crashPerson(fmt.Sprintf("C-%05d", i))
	}
	if _, err := jobs.Publish(s.t.Context(), "crash", batch); err != nil {
		s.t.Fatal(err)
	}
}

// awaitSessions returns when the API has created n sessions.
func (s *crashSite) awaitSessions(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); s.sim.Stats().Sessions < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d sessions after 30 s", s.sim.Stats().Sessions, n)
		}
	}
}

// awaitOutcomes reads the results stream until every job has an outcome, and
// fails when one has two.
func (s *crashSite) awaitOutcomes(n int, patience time.Duration) map[queue.JobID]queue.Event {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	consumer, err := s.link.JS.OrderedConsumer(ctx, store.ResultsStream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		s.t.Fatal(err)
	}
	defer messages.Stop()
	context.AfterFunc(ctx, messages.Stop)
	events := make(map[queue.JobID]queue.Event)
	for len(events) < n {
		m, err := messages.Next()
		if err != nil {
			s.t.Fatalf("after %v %d of %d jobs have an outcome: %v", patience, len(events), n, err)
		}
		e, err := queue.DecodeEvent(m.Data())
		if err != nil {
			s.t.Fatal(err)
		}
		if _, twice := events[e.JobID]; twice {
			s.t.Errorf("job %s has two outcomes", e.JobID)
		}
		events[e.JobID] = e
	}
	return events
}

// process is a worker in a process of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *syncBuffer
	once sync.Once
}

func (s *crashSite) worker(flags ...string) *process {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	access := s.server.Access()
	cmd := exec.Command(exe)
	// The test binary is the program when it is called by its name.
	cmd.Args = append([]string{
		"rescreen", "worker", "--server", access.URL, "--user", access.User, "--password", access.Password,
		"--api-env", "local", "--api-issuer", s.api.URL + amlsim.RealmPath,
		"--create-rate", "60/s", "--create-burst", "10", "--request-rate", "600/s", "--request-burst", "100",
		"--poll-first", "500ms", "--log-level", "debug",
	}, flags...)
	p := &process{t: s.t, cmd: cmd, log: &syncBuffer{}}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.end(os.Kill) })
	return p
}

// kill is kill -9.
func (p *process) kill() { p.end(os.Kill) }

// stop is an orderly stop; anything but exit code 0 fails the test.
func (p *process) stop() {
	p.t.Helper()
	began := time.Now()
	if err := p.end(os.Interrupt); err != nil {
		p.t.Errorf("a stopped worker ends with %v\n%s", err, p.log.String())
	}
	if took := time.Since(began); took > 45*time.Second {
		p.t.Errorf("a worker took %v to stop", took)
	}
}

func (p *process) end(sig os.Signal) (err error) {
	p.once.Do(func() {
		if err = p.cmd.Process.Signal(sig); err == nil {
			err = p.cmd.Wait()
		}
	})
	return err
}

// syncBuffer is a bytes.Buffer for a process and a test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
