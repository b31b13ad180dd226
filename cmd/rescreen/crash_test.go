package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
	"rescreen/queue"
)

// fullCampaign reports whether the campaigns run in full, which takes about
// twenty minutes. Short forms of most are part of every test run.
//
//	RESCREEN_CAMPAIGN=full go test ./cmd/rescreen -run Campaign -v -timeout 60m
func fullCampaign() bool { return os.Getenv("RESCREEN_CAMPAIGN") == "full" }

// onlyInFull skips a test that is part of a full campaign alone.
func onlyInFull(t *testing.T, why string) {
	t.Helper()
	if !fullCampaign() {
		t.Skip(why + ": part of RESCREEN_CAMPAIGN=full")
	}
}

// besideOthers lets a test run beside others in its short form. In full the
// campaigns run one by one: they measure times.
func besideOthers(t *testing.T) {
	if !fullCampaign() {
		t.Parallel()
	}
}

// crashBatch is the batch of all jobs.
const crashBatch = "crash"

// crashSite is NATS servers and workers in processes of their own, and the
// simulator in this one, which survives them all.
type crashSite struct {
	*testing.T
	servers []*natsProcess
	link    *natsLink
	jobs    *queue.Jobs
	sim     *amlsim.Simulator
	api     *httptest.Server
	witness *witness
	rate    int // sessions per second

	submitted int
	processes []*process
	falls     []fall
}

// newCrashSite starts NATS servers, one or three, and the simulator.
func newCrashSite(t *testing.T, servers, rate int, config amlsim.Config) *crashSite {
	t.Helper()
	s := &crashSite{T: t, rate: rate, sim: amlsim.New(config)}
	s.api = httptest.NewServer(s.sim)
	t.Cleanup(s.api.Close)
	ports := freePorts(t, 2*servers)
	for i := range servers {
		s.servers = append(s.servers, s.newNATS(i, ports))
	}
	for _, n := range s.servers {
		n.start()
	}
	for _, n := range s.servers {
		n.up()
	}
	s.link = s.connect()
	for deadline := time.Now().Add(longEnough); ; time.Sleep(100 * time.Millisecond) {
		_, err := setup(t.Context(), s.link.JS, setupOptions{Replicas: servers})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("set up after %v: %v", longEnough, err)
		}
	}
	var err error
	s.jobs, err = queue.OpenJobs(t.Context(), s.link.JS)
	must(t, err)
	must(t, s.jobs.EnsureConsumer(t.Context(), crashBatch))
	s.witness = newWitness(t, s.link.Conn)
	return s
}

// quick is an API that has everything ready within a second or so. A creation
// that has arrived is done, whether its caller lives to hear of it or not.
func quick() amlsim.Config {
	return amlsim.Config{
		ReadyAfter: amlsim.LogNormal(time.Second, 0.2, 500*time.Millisecond, 2*time.Second),
		Shape:      amlsim.ShapeMixed,
		Faults: []amlsim.Fault{
			{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: 20 * time.Millisecond, Applied: true}},
			{Do: amlsim.Action{Kind: amlsim.ActHang, Wait: 20 * time.Millisecond}},
		},
	}
}

// connect connects to the servers, as soon as one of them answers.
func (s *crashSite) connect() *natsLink {
	s.Helper()
	for deadline := time.Now().Add(longEnough); ; time.Sleep(50 * time.Millisecond) {
		link, err := natsTarget{url: s.urls(), shown: s.urls()}.connect(s.Context(), "test", zap.NewNop())
		if err == nil {
			s.Cleanup(link.Close)
			return link
		}
		if time.Now().After(deadline) {
			s.Fatalf("after %v: %v\n%s", longEnough, err, s.servers[0].log)
		}
	}
}

func (s *crashSite) urls() string {
	var urls []string
	for _, n := range s.servers {
		urls = append(urls, n.url)
	}
	return strings.Join(urls, ",")
}

// crashMarker stands in the names of all people and nowhere else.
const crashMarker, crashBorn = "Kanarifugl", "1970-05-17"

func crashPerson(ref string) queue.Job {
	return queue.Job{
		ID: queue.JobID("job-" + ref), CustomerRef: ref, FirstName: "Kari", LastName: personal.Text(crashMarker + ref), DateOfBirth: crashBorn,
		Report: strings.ContainsAny(ref[len(ref)-1:], "02468"),
	}.WithDefaults()
}

func crashRef(i int) string { return fmt.Sprintf("C-%06d", i) }

func (s *crashSite) sessionsOf(ref string) int {
	j := crashPerson(ref)
	return s.sim.SessionsOf(j.FirstName.Reveal(), j.LastName.Reveal(), j.DateOfBirth.Reveal(), "")
}

// submit publishes n more jobs.
func (s *crashSite) submit(n int) {
	s.Helper()
	batch := make([]queue.Job, n)
	for i := range batch {
		batch[i] = crashPerson(crashRef(s.submitted + i))
	}
	// A cluster that is electing refuses some: a job that is published twice is one job.
	s.await(fmt.Sprintf("%d jobs are published", n), longEnough, func() bool {
		_, err := s.jobs.Publish(s.Context(), crashBatch, batch)
		return err == nil
	})
	s.submitted += n
}

// feed sees to it that jobs are waiting.
func (s *crashSite) feed() {
	s.Helper()
	if missing := s.sim.Stats().Sessions + 5*s.rate - s.submitted; missing > 0 {
		s.submit(missing)
	}
}

// await waits until the condition holds.
func (s *crashSite) await(what string, patience time.Duration, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// awaitSessions returns when the API has created n sessions.
func (s *crashSite) awaitSessions(n int) {
	s.Helper()
	s.await(fmt.Sprintf("%d sessions", n), longEnough, func() bool { return s.sim.Stats().Sessions >= n })
}

// worker starts a worker.
func (s *crashSite) worker(flags ...string) *process {
	s.Helper()
	exe, err := os.Executable()
	must(s.T, err)
	return s.workerOf(exe, "rescreen", nil, flags...)
}

// failing starts a worker that ends, or stops, at a point.
func (s *crashSite) failing(p point, action string, hit int) *process {
	s.Helper()
	exe, err := os.Executable()
	must(s.T, err)
	return s.workerOf(exe, "rescreen-failing", []string{fmt.Sprintf("FAILPOINT=%s %s %d", p, action, hit)}, "--slots", "4")
}

// workerOf starts a worker of a program, called by a name: the test binary is
// the program when it is called by its name.
func (s *crashSite) workerOf(path, name string, env []string, flags ...string) *process {
	s.Helper()
	cmd := exec.Command(path)
	cmd.Args = append([]string{
		name, "worker", "--server", s.urls(),
		"--api-env", "local", "--api-issuer", s.api.URL + amlsim.RealmPath,
		"--create-rate", strconv.Itoa(s.rate) + "/s", "--create-burst", "10",
		"--request-rate", strconv.Itoa(10*s.rate) + "/s", "--request-burst", "100",
		"--poll-first", "500ms", "--log-level", "debug",
	}, flags...)
	cmd.Env = append(os.Environ(), env...)
	return s.run(cmd)
}

func (s *crashSite) run(cmd *exec.Cmd) *process {
	s.Helper()
	log := newProcessLog()
	p := &process{t: s.T, cmd: cmd, log: log, said: log.said}
	cmd.Stderr = log
	must(s.T, cmd.Start())
	s.Cleanup(func() { p.end(os.Kill) })
	s.processes = append(s.processes, p)
	return p
}
