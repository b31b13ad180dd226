package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient/amlsim"
)

// doctorSite is an installation to look at: a NATS server that is set up, and the
// simulated API. A test breaks something and has a look.
type doctorSite struct {
	t    *testing.T
	nats *server.Server
	js   jetstream.JetStream
	api  *httptest.Server

	args    []string // beside those that the site gives
	environ []string
	bare    bool          // give no arguments but those
	edit    func(*doctor) // changes what looks
	conceal []concealed   // what differs from run to run, in the texts
}

// newDoctorSite starts NATS with the options and the simulator with its settings.
func newDoctorSite(t *testing.T, o *server.Options, sim amlsim.Config) *doctorSite {
	t.Helper()
	o.StoreDir = t.TempDir()
	s, err := startNATS(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	site := &doctorSite{t: t, nats: s}
	if o.Users == nil {
		site.js = dialJetStream(t, s.ClientURL())
		if _, err := setup(t.Context(), site.js, setupOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	site.api = httptest.NewServer(amlsim.New(sim))
	t.Cleanup(site.api.Close)
	site.hide(s.ClientURL(), "nats://NATS")
	site.hide(strings.TrimPrefix(site.api.URL, "http://"), "API")
	site.hide(s.Name(), "SERVER")
	site.hideAll(`of the \d+ subjects`, "of the N subjects")
	return site
}

type concealed struct {
	pattern *regexp.Regexp
	as      string
}

func (s *doctorSite) hide(text, as string) { s.hideAll(regexp.QuoteMeta(text), as) }

func (s *doctorSite) hideAll(pattern, as string) {
	s.conceal = append(s.conceal, concealed{regexp.MustCompile(pattern), as})
}

// look makes all checks, as rescreen doctor with the arguments would.
func (s *doctorSite) look(more ...string) []finding {
	s.t.Helper()
	d, _ := s.doctor(more...)
	return s.shown(d.examine(s.t.Context()))
}

// live makes them and runs a session.
func (s *doctorSite) live(more ...string) []finding {
	s.t.Helper()
	d, c := s.doctor(append(more, "--live")...)
	l, err := c.live(d)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.shown(l.examine(s.t.Context(), nil))
}

func (s *doctorSite) doctor(more ...string) (*doctor, *doctorCmd) {
	s.t.Helper()
	args := []string{"doctor"}
	if !s.bare {
		args = append(args, "--server", s.nats.ClientURL(), "--api-env", "local", "--api-issuer", s.api.URL+amlsim.RealmPath)
	}
	a := &app{now: time.Now, environ: s.environ, stdout: &strings.Builder{}, stderr: &strings.Builder{}, grammar: &grammar{}}
	selected, err := a.parse(append(append(args, s.args...), more...))
	if err != nil {
		s.t.Fatal(err)
	}
	c := selected.Selected().Target.Addr().Interface().(*doctorCmd)
	d := c.doctor(a)
	if s.edit != nil {
		s.edit(d)
	}
	return d, c
}

// shown are the findings with what differs from run to run concealed.
func (s *doctorSite) shown(found []finding) []finding {
	for i := range found {
		for _, c := range s.conceal {
			found[i].Found = c.pattern.ReplaceAllLiteralString(found[i].Found, c.as)
			found[i].Do = c.pattern.ReplaceAllLiteralString(found[i].Do, c.as)
		}
	}
	return found
}

// named returns the finding of a check.
func named(t *testing.T, found []finding, name string) finding {
	t.Helper()
	for _, f := range found {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("there is no check %s", name)
	return finding{}
}

// statuses are the statuses of all checks, those that are well left out.
func statuses(found []finding) map[string]status {
	out := map[string]status{}
	for _, f := range found {
		if f.Status != statusOK {
			out[f.Name] = f.Status
		}
	}
	return out
}

// plainServer is a NATS server without JetStream.
func plainServer(t *testing.T) string {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(longEnough) {
		t.Fatal("nats-server is not ready")
	}
	return s.ClientURL()
}

// oldServer says that it is one, and answers pings.
func oldServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = fmt.Fprint(conn, `INFO {"server_id":"X","server_name":"old","version":"2.10.4","proto":1,"headers":true,"max_payload":1048576}`+"\r\n")
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					if strings.HasPrefix(lines.Text(), "PING") {
						_, _ = fmt.Fprint(conn, "PONG\r\n")
					}
				}
			}()
		}
	}()
	return "nats://" + l.Addr().String()
}

// distant is the address of a relay to another, which takes its time in each direction.
func distant(t *testing.T, target string, each time.Duration) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	carry := func(to, from net.Conn) {
		defer func() { _ = to.Close() }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			time.Sleep(each)
			if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if there, err := net.Dial("tcp", target); err == nil {
				go carry(there, client)
				go carry(client, there)
			}
		}
	}()
	return "nats://" + l.Addr().String()
}

// context is the file of a context of the nats tool.
func (s *doctorSite) context(url, user, password string) string {
	s.t.Helper()
	text, err := json.Marshal(map[string]string{"url": url, "user": user, "password": password})
	must(s.t, err)
	file := filepath.Join(s.t.TempDir(), "site.json")
	must(s.t, os.WriteFile(file, text, 0o600))
	return file
}

// wellMonitor is the monitoring of another server, which is well.
func wellMonitor(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/varz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"server_name":"n1","version":"2.15.2","jetstream":{"config":{"sync_always":true}}}`)
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"status":"ok"}`) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// unwellMonitor is the monitoring of a server that is in trouble.
func unwellMonitor(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/varz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"server_name":"n1","version":"2.15.2","jetstream":{"config":{"max_storage":%d,"sync_interval":120000000000,"sync_always":true},"stats":{"storage":%d,"reserved_storage":0}}}`,
			10<<30, 10<<30*96/100)
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, `{"status":"unavailable","status_code":503,"error":"JetStream stream '$G > SCREENING_RECORDS' is not current"}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}
