package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A fleet is workers that share their streams, and an API of their own, in the run
// with a real Prometheus. Its name is its job there.
type fleet struct {
	*testing.T
	prom      *prom
	name      string
	exe, dir  string
	issuer    string
	began     time.Time // when its API was started, which is what its faults are timed by
	addresses map[string]string
	workers   map[string]*program
}

// newFleet starts an API with a script of faults, and no workers yet.
func newFleet(t *testing.T, p *prom, name, faults string) *fleet {
	t.Helper()
	f := &fleet{T: t, prom: p, name: name, exe: buildRescreen(t), dir: t.TempDir(), addresses: map[string]string{}, workers: map[string]*program{}}
	args := []string{"simulator", "--listen", "127.0.0.1:0", "--ready-after", "3s", "--report-after", "1s"}
	if faults != "" {
		script := filepath.Join(f.dir, "faults.yaml")
		if err := os.WriteFile(script, []byte(faults), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--faults", script)
	}
	f.began = time.Now()
	f.issuer = start(t, f.dir, f.exe, args...).await(t, `simulated AML API at (http://\S+)`) + "/auth/realms/local"
	return f
}

// worker starts a worker, or starts it again at the address it had.
func (f *fleet) worker(name string, flags ...string) {
	f.Helper()
	if f.addresses[name] == "" {
		f.addresses[name] = freeAddress(f.T)
	}
	w := start(f.T, f.dir, f.exe, append([]string{"worker", "--api-env", "local", "--api-issuer", f.issuer, "--http-addr", f.addresses[name],
		"--batch-metrics", "--log-format", "json", "--create-rate", "1/s", "--request-rate", "20/s"}, flags...)...)
	w.await(f.T, `"worker started"`)
	f.workers[name] = w
	f.prom.scrape(f.T, f.name, name, f.addresses[name])
}

// embedded starts a first worker with NATS in it, and submits what keeps the
// fleet busy to the end.
func (f *fleet) embedded(flags ...string) {
	f.Helper()
	f.worker("a", append([]string{"--embedded", "--embedded-listen", "127.0.0.1:0"}, flags...)...)
	f.submit()
}

func (f *fleet) submit(flags ...string) {
	f.Helper()
	portfolio(f.T, filepath.Join(f.dir, "portfolio.csv"), 3000)
	f.command(append([]string{"batch", "submit", "portfolio.csv"}, flags...)...)
}

// command runs a command of the program to its end.
func (f *fleet) command(args ...string) {
	f.Helper()
	c := start(f.T, f.dir, f.exe, args...)
	<-c.done
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		f.Fatalf("%q ends with %d\n%s", args, code, c)
	}
}

// calm waits until so long after the beginning, and sees that no alert fires
// meanwhile but those that are expected.
func (f *fleet) calm(until time.Duration, expected ...string) {
	f.Helper()
	for time.Since(f.began) < until {
		firing, err := f.prom.firing(f.name)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range expected {
			delete(firing, name)
		}
		if len(firing) > 0 {
			f.Fatalf("nothing is wrong yet, and these fire: %v", firing)
		}
		time.Sleep(2 * time.Second)
	}
}

// until waits until each of the alerts fires, or none does, and returns how long
// after since that was.
func (f *fleet) until(alerts []string, fires bool, since time.Time, patience time.Duration) []time.Duration {
	f.Helper()
	after := make([]time.Duration, len(alerts))
	for missing := len(alerts); missing > 0; time.Sleep(time.Second) {
		firing, err := f.prom.firing(f.name)
		if err != nil {
			f.Fatal(err)
		}
		for i, alert := range alerts {
			if after[i] == 0 && firing[alert] == fires {
				after[i] = max(1, time.Since(since).Round(time.Second))
				missing--
			}
		}
		if missing > 0 && time.Since(since) > patience {
			for name, w := range f.workers {
				f.Logf("worker %s of %s\n%s", name, f.name, tail(w.String()))
			}
			f.Fatalf("%q: not all have become firing=%v: %v after %s", alerts, fires, after, patience)
		}
	}
	return after
}

func tail(text string) string {
	return text[max(0, len(text)-4000):]
}

// limitEvidence limits the stream of evidence to that part of its size now, or to
// nothing with 0.
func (f *fleet) limitEvidence(part float64) {
	f.Helper()
	var access struct{ URL, User, Password string }
	data, err := os.ReadFile(filepath.Join(f.dir, "rescreen-data", "nats-access.json"))
	if err == nil {
		err = json.Unmarshal(data, &access)
	}
	if err != nil {
		f.Fatal(err)
	}
	nc, err := nats.Connect(access.URL, nats.UserInfo(access.User, access.Password))
	if err != nil {
		f.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, "SCREENING_EVIDENCE")
	if err != nil {
		f.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = -1
	if part > 0 {
		config.MaxBytes = int64(part * float64(stream.CachedInfo().State.Bytes))
	}
	if _, err := js.UpdateStream(ctx, config); err != nil {
		f.Fatal(err)
	}
}

// natsSite is a nats-server of its own, with an account that has a limit.
type natsSite struct {
	url, monitor string
	dir          string
	server       *server.Server
}

func newNATS(t *testing.T) *natsSite {
	t.Helper()
	n := &natsSite{dir: t.TempDir()}
	n.url, n.monitor = "nats://user:secret@"+freeAddress(t), "http://"+freeAddress(t)
	t.Cleanup(n.stop)
	return n
}

// start starts the server; every write is synced if always, else every two minutes.
func (n *natsSite) start(t *testing.T, always bool) {
	t.Helper()
	sync := "2m"
	if always {
		sync = "always"
	}
	port := func(url string) int {
		_, text, err := net.SplitHostPort(url)
		if err != nil {
			t.Fatal(err)
		}
		p, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	config := fmt.Sprintf(`
		listen: 127.0.0.1:%d
		http: 127.0.0.1:%d
		jetstream { store_dir: %q, sync_interval: %s }
		accounts { A { jetstream { max_file: 8G }, users: [{user: user, password: secret}] } }
	`, port(n.url[len("nats://user:secret@"):]), port(n.monitor[len("http://"):]), n.dir, sync)
	file := filepath.Join(n.dir, "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs = true
	if n.server, err = server.NewServer(options); err != nil {
		t.Fatal(err)
	}
	n.server.Start()
	if !n.server.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not start")
	}
}

func (n *natsSite) stop() {
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.server = nil
	}
}
