package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"rescreen":             main,
		"rescreen-profiled":    profiled,
		"rescreen-poisoned":    poisoned,
		"rescreen-clock-jumps": clockJumps,
		"rescreen-failing":     failing,
		"nats-server":          natsServer,
		// A worker on a machine whose clock is wrong.
		"rescreen-5m-ahead": func() { os.Exit(program(func() time.Time { return time.Now().Add(5 * time.Minute) })) },
	})
}

// profiled is main with a profile of the processor, in the file that the
// environment names.
func profiled() {
	file, err := os.Create(os.Getenv("CPU_PROFILE"))
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	code := program(time.Now)
	pprof.StopCPUProfile()
	os.Exit(code)
}

// TestScripts runs the scripts of testdata/script: the command as its users
// see it. Besides what testscript offers they have
//
//	nats                       start a NATS server with JetStream and set NATS_URL
//	daemon NAME rescreen ARGS  start the command and go on
//	await NAME VAR REGEXP      wait until a line it writes matches, and keep the first group in VAR
//	exits CODE rescreen ARGS   run the command and check the exit code
//	get URL [REGEXP]           fetch a page to stdout, once it answers 200 and matches; with !, once it answers otherwise
//	world WHAT BATCH ARGS      do what workers or operators do, see scriptWorld
//	writecontext               write a context "bank" of the nats tool for NATS_URL
//	signal NAME SIG CODE       send INT, TERM or KILL and check the exit code (-1: killed)
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "../../testdata/script",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Values["daemons"] = map[string]*daemon{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"world": scriptWorld,
			"nats":  scriptNATS, "daemon": scriptDaemon, "await": scriptAwait, "signal": scriptSignal,
			"exits": scriptExits, "get": scriptGet, "writecontext": scriptContext,
		},
	})
}

func scriptNATS(ts *testscript.TestScript, _ bool, _ []string) {
	s, err := startNATS(&server.Options{StoreDir: ts.MkAbs("nats")})
	ts.Check(err)
	ts.Defer(func() { s.Shutdown(); s.WaitForShutdown() })
	ts.Setenv("NATS_URL", s.ClientURL())
}

// startNATS starts a server with JetStream on a free port of this machine.
func startNATS(o *server.Options) (*server.Server, error) {
	o.Host, o.Port, o.JetStream, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true, true
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return nil, fmt.Errorf("nats-server is not ready after 20 s")
	}
	return s, nil
}

// longEnough is how long a script waits for something that takes milliseconds
// on an idle machine.
const longEnough = 30 * time.Second

// daemon is a process that a script has started, and what it has written.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when both outputs have ended

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

func scriptDaemon(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: daemon NAME COMMAND [ARGS]")
	}
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	d := &daemon{cmd: exec.Command(path, args[2:]...), done: make(chan struct{}), more: make(chan struct{})}
	d.cmd.Dir = ts.MkAbs(".")
	d.cmd.Env = scriptEnv(ts)
	read, write, err := os.Pipe()
	ts.Check(err)
	d.cmd.Stdout, d.cmd.Stderr = write, write
	ts.Check(d.cmd.Start())
	ts.Check(write.Close())
	go d.read(read)
	daemons(ts)[args[0]] = d
	ts.Defer(func() {
		_ = d.cmd.Process.Kill() // it may have ended as the script wanted
		<-d.done
		_ = d.cmd.Wait()
	})
}

// scriptEnv is the environment of the script for a process it does not start
// itself.
func scriptEnv(ts *testscript.TestScript) []string {
	var out []string
	for _, key := range []string{"PATH", "HOME", "NATS_URL", "WORK", "TMPDIR", "GOCOVERDIR", "OTEL_TRACES_EXPORTER"} {
		if v := ts.Getenv(key); v != "" {
			out = append(out, key+"="+v)
		}
	}
	return out
}

func daemons(ts *testscript.TestScript) map[string]*daemon {
	return ts.Value("daemons").(map[string]*daemon)
}

func (d *daemon) read(r io.ReadCloser) {
	defer close(d.done)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		d.mu.Lock()
		d.lines = append(d.lines, lines.Text())
		close(d.more)
		d.more = make(chan struct{})
		d.mu.Unlock()
	}
	_ = r.Close()
}

func (d *daemon) written() ([]string, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines, d.more
}

func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: await NAME VAR REGEXP")
	}
	d, want := daemons(ts)[args[0]], regexp.MustCompile(args[2])
	timeout := time.After(longEnough)
	for {
		lines, more := d.written()
		for _, line := range lines {
			if m := want.FindStringSubmatch(line); m != nil {
				ts.Setenv(args[1], m[len(m)-1])
				return
			}
		}
		select {
		case <-more:
		case <-d.done:
			ts.Fatalf("%s ended without %q:\n%s", args[0], args[2], strings.Join(lines, "\n"))
		case <-timeout:
			ts.Fatalf("%s did not write %q in %v:\n%s", args[0], args[2], longEnough, strings.Join(lines, "\n"))
		}
	}
}

func scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: signal NAME INT|TERM|KILL CODE")
	}
	d := daemons(ts)[args[0]]
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	ts.Check(d.cmd.Process.Signal(signals[args[1]]))
	select {
	case <-d.done:
	case <-time.After(longEnough):
		ts.Fatalf("%s still runs %v after SIG%s", args[0], longEnough, args[1])
	}
	_ = d.cmd.Wait() // its error is the exit code, looked at below
	lines, _ := d.written()
	if got := d.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("%s ended with %d, want %d:\n%s", args[0], got, want, strings.Join(lines, "\n"))
	}
}

// scriptExits runs a command like exec, but knows which failure it wants.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGS]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	ts.Logf("[exit %d]", got)
	if got != want {
		ts.Fatalf("%v ended with %d, want %d\n%s%s", args[1:], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func scriptGet(ts *testscript.TestScript, not bool, args []string) {
	want := regexp.MustCompile("")
	if len(args) > 1 {
		want = regexp.MustCompile("(?m)" + args[1])
	}
	for deadline := time.Now().Add(longEnough); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(args[0])
		ts.Check(err)
		page, err := io.ReadAll(response.Body)
		ts.Check(errors.Join(err, response.Body.Close()))
		matches := want.Match(page) && (response.StatusCode == http.StatusOK) != not
		if !matches && time.Now().After(deadline) {
			ts.Fatalf("%s answers %s:\n%s", args[0], response.Status, page)
		}
		if matches {
			_, err := ts.Stdout().Write(page)
			ts.Check(err)
			return
		}
	}
}

func scriptContext(ts *testscript.TestScript, _ bool, _ []string) {
	content, err := json.Marshal(map[string]string{"url": ts.Getenv("NATS_URL")})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("config/nats/context/bank.json"), content, 0o600))
	ts.Setenv("XDG_CONFIG_HOME", ts.MkAbs("config"))
}
