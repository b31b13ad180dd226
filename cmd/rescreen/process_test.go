package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

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

// stop is an orderly stop, by SIGTERM; anything but exit code 0 fails the test. It returns
// how long it took.
func (p *process) stop() time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.end(syscall.SIGTERM); err != nil {
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
