package monitoring

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

var built struct {
	sync.Once
	exe string
	err error
}

// buildRescreen builds the program, once for all tests.
func buildRescreen(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "rescreen-check-") // outlives the test that comes first
		if err != nil {
			built.err = err
			return
		}
		built.exe = filepath.Join(dir, "rescreen")
		build := exec.Command("go", "build", "-o", built.exe, "./cmd/rescreen")
		build.Dir = "../../.."
		if out, err := build.CombinedOutput(); err != nil {
			built.err = err
			built.exe = string(out)
		}
	})
	if built.err != nil {
		t.Fatalf("build: %v\n%s", built.err, built.exe)
	}
	return built.exe
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.err == nil && built.exe != "" {
		_ = os.RemoveAll(filepath.Dir(built.exe)) // what is left is in the way of nobody
	}
	os.Exit(code)
}

// A program is one that runs.
type program struct {
	cmd  *exec.Cmd
	name string
	mu   sync.Mutex
	log  bytes.Buffer
	done chan struct{}
}

// Write implements io.Writer for the program's log.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *program) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start starts a program in a directory, with no environment of ours; it is killed
// when the test ends, at the latest.
func start(t *testing.T, dir, exe string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(exe, args...), name: filepath.Base(exe), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the log says more
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.done
}

// await waits until the program has logged what the pattern matches, and returns
// its first group.
func (p *program) await(t *testing.T, pattern string) string {
	t.Helper()
	find := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if m := find.FindStringSubmatch(p.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-p.done:
			t.Fatalf("%s has ended without saying %q\n%s", p.name, pattern, p)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not say %q\n%s", p.name, pattern, p)
		}
	}
}
