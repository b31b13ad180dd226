package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
	"rescreen/queue"
)

// fullCampaign reports whether the campaigns run in full, which takes about an
// hour. Their short forms are part of every test run.
//
//	RESCREEN_CAMPAIGN=full go test ./cmd/rescreen -run Campaign -v -timeout 90m
func fullCampaign() bool { return os.Getenv("RESCREEN_CAMPAIGN") == "full" }

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

	mu        sync.Mutex
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p
}

// process is a worker, or a server, in a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	log interface {
		io.Writer
		String() string
	}
	said <-chan fallen // what a worker with a failpoint says of itself
	once sync.Once
}

// kill is kill -9.
func (p *process) kill() { p.end(os.Kill) }

// stop is an orderly stop; anything but exit code 0 fails the test. It returns
// how long it took.
func (p *process) stop() time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.end(os.Interrupt); err != nil {
		p.t.Errorf("a stopped worker ends with %v\n%s", err, p.log)
	}
	took := time.Since(began)
	if took > 45*time.Second {
		p.t.Errorf("a worker took %v to stop", took)
	}
	return took
}

func (p *process) end(sig os.Signal) (err error) {
	p.once.Do(func() {
		// One that has ended by itself is still to be waited for.
		if err = p.cmd.Process.Signal(sig); err == nil || errors.Is(err, os.ErrProcessDone) {
			err = p.cmd.Wait()
		}
	})
	return err
}

// fell waits for a worker with a failpoint to reach it.
func (p *process) fell(patience time.Duration) (fallen, bool) {
	select {
	case f := <-p.said:
		return f, true
	case <-time.After(patience):
		return fallen{}, false
	}
}

// resume is SIGCONT.
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// natsProcess is a nats-server that can be killed and started again.
type natsProcess struct {
	*process
	site *crashSite
	url  string
	args []string
}

// newNATS describes the i-th server. The first half of the ports is for clients,
// the other for the cluster.
func (s *crashSite) newNATS(i int, ports []int) *natsProcess {
	n := len(ports) / 2
	address := func(scheme string, port int) string {
		return scheme + "://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	args := []string{
		"nats-server", "--name", fmt.Sprintf("n%d", i), "--addr", "127.0.0.1", "--port", strconv.Itoa(ports[i]),
		"--jetstream", "--store_dir", s.TempDir(),
	}
	if n > 1 {
		var routes []string
		for _, port := range ports[n:] {
			routes = append(routes, address("nats-route", port))
		}
		args = append(args, "--cluster_name", "crash", "--cluster", address("nats", ports[n+i]), "--routes", strings.Join(routes, ","))
	}
	return &natsProcess{site: s, url: address("nats", ports[i]), args: args}
}

// start starts the server and does not wait for it.
func (n *natsProcess) start() {
	n.site.Helper()
	exe, err := os.Executable()
	must(n.site.T, err)
	cmd := exec.Command(exe)
	cmd.Args = n.args
	n.process = n.site.run(cmd)
}

// up waits until the server answers. Its port may have been taken for a moment,
// by a connection of somebody else's: then it is started again.
func (n *natsProcess) up() {
	n.site.Helper()
	began := time.Now()
	n.site.await("the server answers", longEnough, func() bool {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(n.url, "nats://"), time.Second)
		if err == nil {
			_ = conn.Close()
			return true
		}
		if time.Since(began) > 5*time.Second {
			n.kill()
			n.start()
			began = time.Now()
		}
		return false
	})
}

// natsServer is the nats-server program.
func natsServer() {
	none := func() {}
	options, err := server.ConfigureOptions(flag.NewFlagSet("nats-server", flag.ExitOnError), os.Args[1:], none, none, none)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s, err := server.NewServer(options)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		server.PrintAndDie(err.Error())
	}
	s.WaitForShutdown()
}

// freePorts are free now. Those of servers that are killed and started again
// have to be known before they start.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// processLog reads what a process writes: it looks for people, takes out what a
// failpoint says, and keeps the end.
type processLog struct {
	said chan fallen

	mu    sync.Mutex
	kept  []byte
	line  []byte // not ended yet
	leaks int
}

// keptLog is how much of a log is kept, in bytes.
const keptLog = 64 << 10

func newProcessLog() *processLog { return &processLog{said: make(chan fallen, 4)} }

func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = append(l.kept, p...); len(l.kept) > 2*keptLog {
		l.kept = bytes.Clone(l.kept[len(l.kept)-keptLog:])
	}
	rest := append(l.line, p...)
	for {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		if !ended {
			break
		}
		l.read(line)
		rest = after
	}
	l.line = bytes.Clone(rest)
	return len(p), nil
}

func (l *processLog) read(line []byte) {
	if namesSomebody(string(line)) {
		l.leaks++
	}
	var f fallen
	if text, ok := bytes.CutPrefix(line, []byte(failpointLine)); ok && json.Unmarshal(text, &f) == nil {
		l.said <- f
	}
}

func (l *processLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}

// leaked is how many lines named a person.
func (l *processLog) leaked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaks
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
