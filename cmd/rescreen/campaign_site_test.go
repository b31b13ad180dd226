package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
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

// faultSite is NATS and the simulator in this process, for workers in others
// that reach them by addresses of the test's choice.
type faultSite struct {
	t      *testing.T
	server *natsembed.Server
	link   *natsLink
	sim    *amlsim.Simulator
	api    *httptest.Server
	jobs   []queue.Job
}

func newFaultSite(t *testing.T, config amlsim.Config) *faultSite {
	t.Helper()
	s := &faultSite{t: t, sim: amlsim.New(config)}
	var err error
	s.server, err = natsembed.Start(natsembed.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(s.server.Shutdown)
	s.link, err = inProcess(s.server).connect(t.Context(), "test", zap.NewNop())
	must(t, err)
	t.Cleanup(s.link.Close)
	_, err = setup(t.Context(), s.link.JS, setupOptions{})
	must(t, err)
	s.api = httptest.NewServer(s.sim)
	t.Cleanup(s.api.Close)
	return s
}

// customer is an invented person whose last name begins with a mark, by which
// faults find them.
func customer(mark string, n int, report bool) queue.Job {
	return queue.Job{
		ID: queue.JobID(fmt.Sprintf("%s-%04d", strings.ToLower(mark), n)), CustomerRef: fmt.Sprintf("%s %d", mark, n),
		FirstName: "Kari", LastName: personal.Text(fmt.Sprintf("%sKanarifugl%d", mark, n)), DateOfBirth: "1969-12-24", Report: report,
	}.WithDefaults()
}

// submit queues jobs in the batch "b".
func (s *faultSite) submit(jobs ...queue.Job) {
	s.t.Helper()
	stream, err := queue.OpenJobs(s.t.Context(), s.link.JS)
	must(s.t, err)
	must(s.t, stream.EnsureConsumer(s.t.Context(), "b"))
	_, err = stream.Publish(s.t.Context(), "b", jobs)
	must(s.t, err)
	s.jobs = append(s.jobs, jobs...)
}

// worker starts a worker; name is the program, or one of its like whose clock
// is wrong. Polls are quick.
func (s *faultSite) worker(name, natsURL, apiURL string, flags ...string) *faultWorker {
	s.t.Helper()
	exe, err := os.Executable()
	must(s.t, err)
	access := s.server.Access()
	cmd := exec.Command(exe)
	cmd.Args = append([]string{
		name, "worker", "--server", natsURL, "--user", access.User, "--password", access.Password,
		"--api-env", "local", "--api-issuer", apiURL + amlsim.RealmPath,
		"--create-rate", "200/s", "--create-burst", "50", "--request-rate", "2000/s", "--request-burst", "300",
		"--poll-first", "100ms", "--poll-max", "1s", "--log-level", "debug",
	}, flags...)
	w := &faultWorker{t: s.t, cmd: cmd, log: &syncBuffer{}}
	cmd.Stderr = w.log
	must(s.t, cmd.Start())
	s.t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			_ = w.cmd.Process.Kill()
			_ = w.cmd.Wait()
		}
		for _, personal := range []string{"Kanarifugl", "1969-12-24"} {
			if n := strings.Count(w.log.String(), personal); n > 0 {
				s.t.Errorf("%d times in the log: %s", n, personal)
			}
		}
	})
	return w
}

// faultWorker is a worker in a process of its own.
type faultWorker struct {
	t   *testing.T
	cmd *exec.Cmd
	log *syncBuffer
}

// stop is an orderly stop; anything but exit code 0 fails the test.
func (w *faultWorker) stop() {
	w.t.Helper()
	must(w.t, w.cmd.Process.Signal(os.Interrupt))
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("a stopped worker ends with %v\n%s", err, w.tail())
	}
}

func (w *faultWorker) tail() string {
	all := w.log.String()
	return all[max(0, len(all)-4000):]
}

// outcomes waits until every job has an outcome, at most so long, and fails
// when one has two.
func (s *faultSite) outcomes(patience time.Duration, jobs ...queue.Job) map[queue.JobID]queue.Event {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	consumer, err := s.link.JS.OrderedConsumer(ctx, store.ResultsStream, jetstream.OrderedConsumerConfig{})
	must(s.t, err)
	messages, err := consumer.Messages()
	must(s.t, err)
	defer messages.Stop()
	context.AfterFunc(ctx, messages.Stop)
	missing := make(map[queue.JobID]bool)
	for _, j := range jobs {
		missing[j.ID] = true
	}
	events := make(map[queue.JobID]queue.Event)
	for len(missing) > 0 {
		m, err := messages.Next()
		if err != nil {
			s.t.Fatalf("after %v %d of %d jobs have no outcome: %v", patience, len(missing), len(jobs), err)
		}
		e, err := queue.DecodeEvent(m.Data())
		must(s.t, err)
		if _, twice := events[e.JobID]; twice {
			s.t.Errorf("job %s has two outcomes", e.JobID)
		}
		events[e.JobID] = e
		delete(missing, e.JobID)
	}
	return events
}

// sessionsOf is how many sessions the API has created for a job's person.
func (s *faultSite) sessionsOf(j queue.Job) int {
	return s.sim.SessionsOf(j.FirstName.Reveal(), j.LastName.Reveal(), j.DateOfBirth.Reveal(), "")
}

// unharmed checks that jobs have a result, and sessions beyond one only with a
// flag.
func (s *faultSite) unharmed(events map[queue.JobID]queue.Event, jobs ...queue.Job) (flagged int) {
	s.t.Helper()
	for _, j := range jobs {
		r, err := events[j.ID].Result()
		if err != nil {
			f, _ := events[j.ID].Failure()
			s.t.Errorf("job %s failed: %s", j.ID, f.Reason)
			continue
		}
		if r.PossibleDuplicate {
			flagged++
		}
		if n := s.sessionsOf(j); n == 0 || n > 1 && !r.PossibleDuplicate || n > 1+r.Recreations {
			s.t.Errorf("job %s has %d sessions after %d re-creations, flagged: %t", j.ID, n, r.Recreations, r.PossibleDuplicate)
		}
	}
	return flagged
}
