package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// poisonName is the last name that some processes cannot bear, poisonJob the job
// that has it.
const (
	poisonName = "Giftpille"
	poisonJob  = "job-poison"
)

// maxDeaths is how many processes a job may take with it: the first delivery and
// five that find the record unchanged.
const maxDeaths = 6

// poisoned is a worker that dies at a place, named by the environment, each time
// it comes there with the poison.
func poisoned() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runPoisoned(ctx, os.Getenv("POISON_PLACE"), os.Getenv("POISON_NATS"), os.Getenv("POISON_ISSUER")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
}

func runPoisoned(ctx context.Context, place, url, issuer string) error {
	log := logSettings{LogFormat: "json"}.logger(os.Stderr)
	link, err := natsTarget{url: url, shown: url, options: []nats.Option{nats.UserInfo(workerUser, "w")}}.connect(ctx, "poisoned", log)
	if err != nil {
		return err
	}
	defer link.Close()
	settings, err := demoSettings(issuer)
	if err != nil {
		return err
	}
	st, err := newStation(ctx, time.Now, link, settings, nil, log, nil)
	if err != nil {
		return err
	}
	config := settings.workerConfig(int(link.Conn.MaxPayload()))
	if place == "post" {
		config.OnUnknown = worker.FailUnknown // the calls after it would come after a minute, and a quarter of an hour
	}
	if st.worker, err = worker.New(config, poisonDeps(st.deps(), place)); err != nil {
		return err
	}
	return st.run(ctx)
}

func poisonDeps(d worker.Deps, place string) worker.Deps {
	switch place {
	case "intent":
		d.Ledger = poisonLedger{d.Ledger, `"state":"creating"`}
	case "created":
		d.Ledger = poisonLedger{d.Ledger, `"state":"waiting"`}
	case "post":
		d.Sessions = poisonSessions{d.Sessions}
	case "view":
		d.Entities = poisonEntities{d.Entities}
	case "publish":
		d.Outcomes = poisonOutcomes{d.Outcomes}
	}
	return d
}

type poisonLedger struct {
	worker.Ledger
	state string
}

func (l poisonLedger) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	if key.Job == poisonJob && bytes.Contains(value, []byte(l.state)) {
		panic("poison in a commit")
	}
	return l.Ledger.Commit(ctx, key, value, after, final)
}

type poisonSessions struct{ worker.Sessions }

func (s poisonSessions) CreateSession(ctx context.Context, admit apiclient.Admit, q apiclient.Query) (apiclient.SessionID, error) {
	if q.LastName.Reveal() == poisonName {
		panic("poison in a creation")
	}
	return s.Sessions.CreateSession(ctx, admit, q)
}

type poisonEntities struct{ worker.Entities }

func (e poisonEntities) View(document []byte) (apiclient.View, error) {
	if bytes.Contains(bytes.ToLower(document), []byte(strings.ToLower(poisonName))) {
		panic("poison in a document")
	}
	return e.Entities.View(document)
}

type poisonOutcomes struct{ worker.Outcomes }

func (o poisonOutcomes) Publish(ctx context.Context, out store.Outcome) (bool, error) {
	if out.Key.Job == poisonJob && bytes.Contains(bytes.ToLower(out.Value), []byte(strings.ToLower(poisonName))) {
		panic("poison in a result")
	}
	return o.Outcomes.Publish(ctx, out)
}

// TestCampaignPoison has one job among others kill every process that comes to a
// certain place with it; each time another one is started, as Kubernetes would.
// It must end after a few deaths, and its neighbours must not notice.
func TestCampaignPoison(t *testing.T) {
	besideOthers(t)
	for _, c := range []struct {
		place  string
		reason queue.Reason // "": it ends with a result
		deaths int          // at most
		failed int          // jobs at most, the poison included
		long   bool
	}{
		// A delivery that gets no permit in time ends in order, and the wake-up that
		// it parks is counted anew.
		{"intent", queue.InternalError, 2 * maxDeaths, 1, true},
		// By its setting the worker gives up whatever call was cut short by a death.
		{"post", queue.CreateUnknown, 1, 1 + troubleJobs, true},
		{"view", queue.InternalError, maxDeaths, 1, false},
		{"publish", "", maxDeaths, 0, true},
	} {
		if c.long && !fullCampaign() {
			continue
		}
		t.Run(c.place, func(t *testing.T) {
			t.Parallel()
			s := newTroubleSite(t)
			s.quickRedelivery()
			s.submitPoison()
			outcome, deaths := s.superviseUntilDone(c.place)
			t.Logf("%d deaths", deaths)
			if deaths < 1 || deaths > c.deaths {
				t.Errorf("%d processes died, at most %d may", deaths, c.deaths)
			}
			s.awaitOutcomes(troubleJobs+1, c.failed)
			f, err := outcome.Failure()
			if got := reasonOf(f, err); got != c.reason {
				t.Errorf("the poison ends with %q, want %q", got, c.reason)
			}
		})
	}
}

func reasonOf(f queue.Failure, err error) queue.Reason {
	if err != nil {
		return "" // a result
	}
	return f.Reason
}

// quickRedelivery shortens the ack waits, after which what a dead process held
// comes again.
func (s *troubleSite) quickRedelivery() {
	s.Helper()
	jobs, err := queue.OpenJobs(s.Context(), s.admin)
	must(s, err)
	must(s, jobs.EnsureConsumer(s.Context(), troubleBatch))
	for stream, consumer := range map[string]string{store.WakesStream: store.DueConsumerName, queue.JobsStream: queue.JobsConsumer(troubleBatch).Durable} {
		have, err := s.admin.Consumer(s.Context(), stream, consumer)
		must(s, err)
		config := have.CachedInfo().Config
		config.AckWait = 4 * time.Second
		_, err = s.admin.UpdateConsumer(s.Context(), stream, config)
		must(s, err)
	}
}

// submitPoison submits the poison among others.
func (s *troubleSite) submitPoison() {
	s.Helper()
	jobs, err := queue.OpenJobs(s.Context(), s.admin)
	must(s, err)
	batch := []queue.Job{}
	for i := range troubleJobs {
		if i == troubleJobs/4 {
			poison := troublePerson(999)
			poison.ID, poison.CustomerRef, poison.LastName = poisonJob, "T-poison", poisonName
			batch = append(batch, poison)
		}
		batch = append(batch, troublePerson(i))
	}
	_, err = jobs.Publish(s.Context(), troubleBatch, batch)
	must(s, err)
}

// superviseUntilDone keeps a process running, as Kubernetes would, until the poison
// has its outcome, and returns how many died.
func (s *troubleSite) superviseUntilDone(place string) (outcome queue.Event, deaths int) {
	s.Helper()
	exe, err := os.Executable()
	must(s, err)
	ctx, stop := context.WithTimeout(s.Context(), 2*time.Minute)
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	done := make(chan struct{})
	running.Go(func() {
		defer close(done)
		outcome = s.poisonOutcome(ctx)
	})
	for {
		log := &syncBuffer{}
		cmd := exec.Command(exe)
		cmd.Args = []string{"rescreen-poisoned"}
		cmd.Env = append(os.Environ(), "POISON_PLACE="+place, "POISON_NATS="+s.server.ClientURL(), "POISON_ISSUER="+s.api.URL+amlsim.RealmPath)
		cmd.Stderr = log
		must(s, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if deaths++; !strings.Contains(log.String(), "panic: poison in") {
				s.Fatalf("a process ends with %v\n%s", err, log.String())
			}
			if deaths > 3*maxDeaths {
				s.Fatalf("%d processes have died", deaths)
			}
		case <-done:
			if outcome.JobID == "" {
				s.Errorf("no outcome of the poison after %d deaths\n%s", deaths, log.String())
			}
			// The last process lives on, and does what is left.
			s.Cleanup(func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				if err := <-ended; err != nil {
					s.Errorf("the last process ends with %v\n%s", err, log.String())
				}
			})
			return outcome, deaths
		}
	}
}

// poisonOutcome waits for the outcome of the poison.
func (s *troubleSite) poisonOutcome(ctx context.Context) queue.Event {
	consumer, err := s.admin.OrderedConsumer(ctx, store.ResultsStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"screening.result.*." + poisonJob + ".>", "screening.failure.*." + poisonJob + ".>"},
	})
	if err != nil {
		return queue.Event{}
	}
	m, err := consumer.Next(jetstream.FetchContext(ctx))
	if err != nil {
		return queue.Event{}
	}
	e, err := queue.DecodeEvent(m.Data())
	if err != nil {
		s.Error(err)
	}
	return e
}
