package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// Each role does all of its work with its own credentials: with no word from the
// server that something was not allowed, and without leaving out anything that it
// is allowed.
func TestRolesDoTheirWork(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	var mu sync.Mutex
	used := make(map[string][]string)
	t.Run("with", func(t *testing.T) {
		for name, config := range map[string]string{"acks": "", "acks of version 2": "feature_flags { js_ack_fc_v2: true }"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newRoleServer(t, all, config)
				s.work()
				for _, violation := range s.log.denied() {
					t.Errorf("not allowed: %s", violation)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, r := range all {
					used[r.name] = append(used[r.name], s.log.of(r.name)...)
				}
			})
		}
	})
	if t.Failed() {
		return // what was not done used nothing
	}
	for _, r := range all {
		p := r.permissions()
		for verb, list := range map[string][]string{"PUB": p.Publish.Allow, "SUB": p.Subscribe.Allow} {
			for _, allowed := range list {
				if !slices.ContainsFunc(used[r.name], func(sent string) bool {
					kind, subject, _ := strings.Cut(sent, " ")
					return kind == verb && server.SubjectMatchesFilter(subject, allowed)
				}) && !slices.Contains(beyondTheTest, allowed) {
					t.Errorf("%s may %s %s, and never did", r.name, verb, allowed)
				}
			}
		}
	}
}

// Who looks after the fleet can use doctor, and finds out everything.
func TestRolesOfTheDoctor(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	s := newRoleServer(t, all, "")
	s.command("setup", "setup")
	issuer := s.api()
	for _, role := range []string{"worker", "operator"} {
		out, _, err := runIn(t, nil, "doctor", "--role", role, "--api-env", "local", "--api-issuer", issuer,
			"--server", s.nats.ClientURL(), "--user", role, "--password", role)
		if code := exitCode(err); code != exitWarning { // a single server
			t.Errorf("%s: exit code %d\n%s", role, code, out)
		}
	}
	for _, violation := range s.log.denied() {
		t.Errorf("not allowed: %s", violation)
	}
}

// beyondTheTest is allowed, and not used by the work of this test.
var beyondTheTest = []string{
	userInfoSubject,                                         // whoever wants to know what he may do
	accountSubject,                                          // limits of the account, for the metrics of a worker
	inboxOf("submitter") + ".>", inboxOf("operator") + ".>", // doctor, and programs that are not rescreen
}

// work is what the roles do, one after the other.
func (s *roleServer) work() {
	s.Helper()
	s.command("setup", "setup")
	s.setupAgain()

	api := s.api()
	portfolio := filepath.Join(s.TempDir(), "portfolio.csv")
	must(s.T, os.WriteFile(portfolio, []byte(rolePortfolio()), 0o600))
	stop := s.worker(api)
	s.command("submitter", "batch", "submit", portfolio, "--batch", "roles")
	s.stray("stray")
	s.command("submitter", "batch", "status", "roles")
	s.command("submitter", "batch", "watch", "roles")
	s.command("submitter", "batch", "list")
	s.operate()
	s.count()

	s.read()
	dir := filepath.Join(s.TempDir(), "export")
	s.command("consumer", "batch", "export", "roles", "--to", dir)
	files, err := filepath.Glob(filepath.Join(dir, evidenceDir, "*.pdf"))
	must(s.T, err)
	if len(files) != 1 {
		s.Errorf("%d reports exported", len(files))
	}
	s.mend()
	stop()
}

// command runs a command with the credentials of a role.
func (s *roleServer) command(role string, args ...string) string {
	s.Helper()
	args = append(args, "--server", s.nats.ClientURL(), "--user", role, "--password", role)
	ctx, cancel := context.WithTimeout(s.Context(), 2*longEnough)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err := run(ctx, time.Now, args, nil, strings.NewReader(""), &stdout, &stderr)
	if err != nil || strings.Contains(stderr.String(), "NATS error") {
		s.Fatalf("%s: %v: %v\n%s%s\nnot allowed: %q", role, args, err, stdout.String(), stderr.String(), s.log.denied())
	}
	return stdout.String()
}

// link connects a program of a role that is not rescreen.
func (s *roleServer) link(role string) jetstream.JetStream {
	s.Helper()
	nc, err := nats.Connect(s.nats.ClientURL(), nats.UserInfo(role, role), nats.CustomInboxPrefix(inboxOf(role)+".x"), nats.Name(role))
	must(s.T, err)
	s.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(s.T, err)
	return js
}

// setupAgain changes everything and has it put right, with a stream missing.
func (s *roleServer) setupAgain() {
	s.Helper()
	for _, want := range wantedStreams(1) {
		drift(s.T, s.admin, want.Name, func(c *jetstream.StreamConfig) { c.Description = "drifted" })
	}
	for _, want := range wantedConsumers() {
		c := want.config
		c.AckWait = time.Hour
		_, err := s.admin.UpdateConsumer(s.Context(), want.stream, c)
		must(s.T, err)
	}
	s.command("setup", "setup")
	must(s.T, s.admin.DeleteStream(s.Context(), store.ResultsStream))
	s.command("setup", "setup")
	for _, role := range []string{"operator", "setup"} {
		if out := s.command(role, "setup", "--dry-run"); strings.ContainsAny(out, "+~!") {
			s.Errorf("setup left\n%s", out)
		}
	}
}

// rolePeople are in the portfolio, the first with a report.
const rolePeople = 4

func rolePortfolio() string {
	var b strings.Builder
	b.WriteString("customer_ref,first_name,last_name,date_of_birth,report\n")
	for i := range rolePeople {
		fmt.Fprintf(&b, "R-%03d,Kari,Nordmann%03d,1970-01-01,%t\n", i, i, i == 0)
	}
	return b.String()
}

// api is the simulator with reports too large for a message, that once has enough
// of us.
func (s *roleServer) api() string {
	sim := amlsim.New(amlsim.Config{
		ReadyAfter: amlsim.LogNormal(500*time.Millisecond, 0.2, 100*time.Millisecond, time.Second),
		Faults: []amlsim.Fault{{
			Call: amlsim.CallCreate, When: amlsim.When{Nth: 2}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: http.StatusTooManyRequests, RetryAfter: time.Second},
		}},
	})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		sim.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if bytes.HasPrefix(body, []byte("%PDF")) {
			body = append(body, bytes.Repeat([]byte(" "), 8*store.MaxMessageBytes)...)
			answer.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	}))
	s.Cleanup(api.Close)
	return api.URL + amlsim.RealmPath
}

// worker runs one, with a repair that is quicker than a real one, until the
// returned function is called.
func (s *roleServer) worker(issuer string) (stop func()) {
	s.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	s.logs = logs
	log := zap.New(core)
	target := natsTarget{url: s.nats.ClientURL(), shown: "the server", options: []nats.Option{nats.UserInfo("worker", "worker")}}
	link, err := target.connect(s.Context(), "rescreen worker", log)
	must(s.T, err)
	settings, err := demoSettings(issuer)
	must(s.T, err)
	settings.BatchMetrics = true
	st, err := newStation(s.Context(), time.Now, link, settings, nil, log, nil)
	must(s.T, err)
	config := settings.workerConfig(int(link.Conn.MaxPayload()))
	config.RepairEvery, config.RepairAge, config.Plan.First = time.Second, time.Second, 200*time.Millisecond
	st.worker, err = worker.New(config, st.deps())
	must(s.T, err)
	silence, err := st.serveHTTP(s.Context(), "127.0.0.1:0")
	must(s.T, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := st.run(ctx); err != nil {
			s.Errorf("the worker ends with %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		silence()
		link.Close()
		for _, line := range logs.FilterMessage("NATS error").All() {
			s.Errorf("the worker logs %v", line.ContextMap())
		}
	})
	s.Cleanup(stop)
	return stop
}

// stray publishes to a batch that nobody has registered, a job and something that
// is none, and waits for its end.
func (s *roleServer) stray(batch queue.BatchID) {
	s.Helper()
	job := crashPerson("S-000001")
	data, err := job.Encode()
	must(s.T, err)
	_, err = s.admin.Publish(s.Context(), queue.JobSubject(batch), data)
	must(s.T, err)
	_, err = s.admin.Publish(s.Context(), queue.JobSubject(batch), []byte(`{"id":"none","customer_ref":"S-000002"}`))
	must(s.T, err)
	s.outcome("screening.result." + string(batch) + "." + string(job.ID) + ".1")
	s.outcome("screening.failure." + string(batch) + ".>")
}

// outcome waits for a message in the stream of outcomes.
func (s *roleServer) outcome(subject string) {
	s.Helper()
	results, err := s.admin.Stream(s.Context(), store.ResultsStream)
	must(s.T, err)
	for deadline := time.Now().Add(longEnough); ; time.Sleep(50 * time.Millisecond) {
		_, err := results.GetMsg(s.Context(), 1, jetstream.WithGetMsgSubject(subject))
		if err == nil {
			return
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) || time.Now().After(deadline) {
			s.Fatalf("no %s: %v", subject, err)
		}
	}
}

// operate is the operator's work.
func (s *roleServer) operate() {
	s.Helper()
	for _, env := range []apiEnv{envLocal, envCurrent, envProd} {
		s.command("operator", "limits", "set", "--api-env", string(env), "--create-rate", "50/s", "--request-rate", "200/s")
	}
	s.command("operator", "limits", "show")
	s.command("operator", "batch", "list")
	s.command("operator", "batch", "status", "roles")
	s.command("operator", "batch", "watch", "roles")
	nc := s.link("operator")
	_, err := nc.AccountInfo(s.Context())
	must(s.T, err)
	for _, want := range wantedStreams(1) {
		stream, err := nc.Stream(s.Context(), want.Name)
		must(s.T, err)
		list := stream.ListConsumers(s.Context())
		for info := range list.Info() {
			_, err := stream.Consumer(s.Context(), info.Name)
			must(s.T, err)
		}
		must(s.T, list.Err())
		_, err = stream.Consumer(s.Context(), "none")
		if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			s.Errorf("consumers of %s: %v", want.Name, err)
		}
	}
	wakes, err := nc.Stream(s.Context(), store.WakesStream)
	must(s.T, err)
	if _, err := wakes.GetMsg(s.Context(), 1); !errors.Is(err, jetstream.ErrMsgNotFound) {
		s.Errorf("the first wake-up: %v", err)
	}
}

// count counts as a worker does for the metrics of batches, which its loop may not
// have come to.
func (s *roleServer) count() {
	s.Helper()
	js := s.link("worker")
	t := newTallier(js, "roles")
	for range 2 { // with a consumer that is new, and one that is there
		counted, err := t.tally(s.Context())
		if err != nil || counted.outcomes() != rolePeople {
			s.Errorf("counted %+v, %v", counted, err)
		}
	}
	t.close(s.Context())
	n, err := countRecords(s.Context(), js, rights{}, "roles")
	if err != nil || n != rolePeople {
		s.Errorf("counted %d records, %v", n, err)
	}
}

// read is what a risk engine does, with a client of its own.
func (s *roleServer) read() {
	s.Helper()
	js := s.link("consumer")
	results, err := js.CreateOrUpdateConsumer(s.Context(), store.ResultsStream, jetstream.ConsumerConfig{
		Durable: "risk", FilterSubject: "screening.result.roles.>", AckPolicy: jetstream.AckExplicitPolicy,
	})
	must(s.T, err)
	batch, err := results.Fetch(rolePeople, jetstream.FetchMaxWait(longEnough))
	must(s.T, err)
	evidence := s.evidence(js)
	objects, err := js.ObjectStore(s.Context(), store.EvidenceBucket)
	must(s.T, err)
	ctx, cancel := context.WithTimeout(s.Context(), longEnough) // the object store's own patience is 5 s
	defer cancel()
	n, large := 0, 0
	var reports []queue.Report
	for m := range batch.Messages() {
		n++
		event, err := queue.DecodeEvent(m.Data())
		must(s.T, err)
		result, err := event.Result()
		must(s.T, err)
		reports = append(reports, result.Report)
		for _, e := range result.Evidence {
			data, err := evidence.Get(s.Context(), e.SHA256)
			must(s.T, err)
			if len(data) <= store.MaxMessageBytes {
				continue
			}
			large++
			object, err := objects.Get(ctx, e.SHA256)
			must(s.T, err)
			same, err := io.ReadAll(object)
			if err != nil || !bytes.Equal(same, data) {
				s.Errorf("by the object store: %d bytes, %v", len(same), err)
			}
		}
		must(s.T, m.DoubleAck(s.Context()))
	}
	if n != rolePeople || large == 0 {
		s.Errorf("%d results, %d pieces of large evidence: %v; reports %+v", n, large, batch.Error(), reports)
	}
	_, err = results.Info(s.Context())
	must(s.T, err)
	must(s.T, js.DeleteConsumer(s.Context(), store.ResultsStream, "risk"))
}

func (s *roleServer) evidence(js jetstream.JetStream) *store.Evidence {
	s.Helper()
	opened, err := store.Open(s.Context(), js, time.Now)
	must(s.T, err)
	return opened.Evidence
}

// mend breaks what the repair of a worker has to put right: an outcome is gone,
// and the consumer of a batch that has ended is there again.
func (s *roleServer) mend() {
	s.Helper()
	results, err := s.admin.Stream(s.Context(), store.ResultsStream)
	must(s.T, err)
	const gone = "screening.result.stray.job-S-000001.1"
	must(s.T, results.Purge(s.Context(), jetstream.WithPurgeSubject(gone)))
	// The repair looks at an ended record once; as setup does, have it begin anew.
	registers, err := s.admin.Stream(s.Context(), store.LimitsStream)
	must(s.T, err)
	claim, err := store.RegisterSubject(worker.RepairRegister)
	must(s.T, err)
	must(s.T, registers.Purge(s.Context(), jetstream.WithPurgeSubject(claim)))
	s.outcome(gone)
	for deadline := time.Now().Add(longEnough); ; time.Sleep(50 * time.Millisecond) {
		_, err := s.admin.Consumer(s.Context(), queue.JobsStream, queue.JobsConsumer("roles").Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("the consumer of a batch that has ended is still there: %v", err)
		}
	}
}
