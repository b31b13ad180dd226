package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// A broken is something that is wrong with an installation, and what the doctor has to
// say about it.
type broken struct {
	name    string
	check   string // that has to notice
	status  status
	found   string // a part of what it says
	do      string // a part of what is to be done
	options server.Options
	sim     amlsim.Config
	wreck   func(*doctorSite)
}

// Every check is made to fail by breaking the thing it checks. What each then says stands
// in testdata/doctor.txt, to be read as somebody reads it at three in the morning.
func TestDoctorNoticesWhatIsBroken(t *testing.T) {
	t.Parallel()
	cases := brokens()
	said := make([]string, len(cases))
	t.Run("all", func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				o := c.options
				site := newDoctorSite(t, &o, c.sim)
				if c.wreck != nil {
					c.wreck(site)
				}
				f := named(t, site.look(), c.check)
				said[i] = fmt.Sprintf("# %s\n%s  %s  %s\n", c.name, f.Status, f.Name, f.Found)
				if f.Do != "" {
					said[i] += "  " + f.Do + "\n"
				}
				if f.Status != c.status || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Do, c.do) {
					t.Errorf("want %s, %q, %q:\n%s", c.status, c.found, c.do, said[i])
				}
				if f.Status == statusFail && f.Do == "" {
					t.Errorf("does not say what to do:\n%s", said[i])
				}
			})
		}
	})
	golden := "../../testdata/doctor.txt"
	text := strings.Join(said, "\n")
	if *update {
		must(t, os.WriteFile(golden, []byte(text), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !t.Failed() && text != string(want) {
		t.Errorf("the texts are not those of %s; read them, and run: go test ./cmd/rescreen -run TestDoctorNotices -update\n%s", golden, text)
	}
	// Those two take minutes to break: TestDoctorJudgements.
	noticed := map[string]bool{"due-wakeups": true, "dead-wakeups": true}
	for _, c := range cases {
		if c.status == statusWarn || c.status == statusFail {
			noticed[c.check] = true
		}
	}
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	for _, f := range site.look() {
		if !noticed[f.Name] {
			t.Errorf("nothing breaks what %s checks", f.Name)
		}
	}
}

func brokens() []broken {
	all := []broken{
		{name: "a setting that is out of bounds", check: "configuration", status: statusFail, found: "--slots 0 must be at least 3", do: "rescreen config print",
			wreck: func(s *doctorSite) { s.args = []string{"--slots", "0"} }},
		{name: "a value that cannot be read", check: "configuration", status: statusFail, found: "--poll-first",
			wreck: func(s *doctorSite) { s.environ = []string{"RESCREEN_POLL_FIRST=soon"} }},
		{name: "a variable that nothing reads", check: "configuration", status: statusWarn, found: `did you mean "RESCREEN_SLOTS"`,
			wreck: func(s *doctorSite) { s.environ = []string{"RESCREEN_SLOT=5"} }},
		{name: "a secret that everybody can read", check: "secret-files", status: statusWarn, found: "mode 0644", do: "chmod 600",
			wreck: func(s *doctorSite) {
				file := filepath.Join(s.t.TempDir(), "secret")
				must(s.t, os.WriteFile(file, []byte("simulator"), 0o600))
				must(s.t, os.Chmod(file, 0o644)) // whatever the umask is
				s.hide(file, "FILE")
				s.args = []string{"--api-client-secret-file", file}
			}},
		{name: "a disk that is nearly full", check: "disk", status: statusFail, found: "3.0 GiB of 100.0 GiB free", do: "Make room",
			wreck: func(s *doctorSite) {
				s.bare = true
				s.edit = func(d *doctor) {
					d.space = func(string) (uint64, uint64, error) { return 3 << 30, 100 << 30, nil }
				}
			}},
		{name: "nobody where NATS should be", check: "nats-connection", status: statusFail, found: "no NATS server answers", do: "--server",
			wreck: func(s *doctorSite) { s.bare = true; s.args = []string{"--server", "nats://127.0.0.1:1"} }},
		{name: "a wrong password", check: "nats-connection", status: statusFail, found: "refuses us", do: "--password",
			options: server.Options{Users: []*server.User{{Username: "anna", Password: "s3cret"}}},
			wreck:   func(s *doctorSite) { s.args = []string{"--user", "anna", "--password", "wr0ng"} }},
		{name: "nothing embedded, nothing named", check: "nats-connection", status: statusFail, found: "no NATS server is named", do: "rescreen worker --embedded",
			wreck: func(s *doctorSite) { s.bare = true; s.args = []string{"--data-dir", "nowhere"} }},
		{name: "a server that is too old", check: "nats-version", status: statusFail, found: "2.10.4", do: "Update the server",
			wreck: func(s *doctorSite) { s.bare = true; s.args = []string{"--server", oldServer(s.t)} }},
		{name: "one of two servers down", check: "nats-servers", status: statusWarn, found: "127.0.0.1:1 does not let us in", do: "Start this server again",
			wreck: func(s *doctorSite) { s.args = []string{"--server", s.nats.ClientURL() + ",nats://127.0.0.1:1"} }},
		{name: "one of the two servers of a context down", check: "nats-servers", status: statusWarn, found: "127.0.0.1:1 does not let us in", do: "Start this server again",
			options: server.Options{Users: []*server.User{{Username: "anna", Password: "s3cret"}}},
			wreck: func(s *doctorSite) {
				s.bare = true
				s.args = []string{"--context", s.context(s.nats.ClientURL()+",nats://127.0.0.1:1", "anna", "s3cret")}
			}},
		{name: "a server far away", check: "nats-round-trip", status: statusWarn, found: "a ping takes TIME", do: "near the NATS servers",
			wreck: func(s *doctorSite) {
				s.args = []string{"--server", distant(s.t, s.nats.Addr().String(), 30*time.Millisecond)}
				s.hideAll(`takes \d+ ms`, "takes TIME")
			}},
		{name: "a clock that is five minutes behind", check: "nats-clock", status: statusWarn, found: "300.0 s ahead of ours", do: "NTP",
			wreck: func(s *doctorSite) { s.edit = clockOff(-5 * time.Minute) }},
		{name: "a server without JetStream", check: "jetstream", status: statusFail, found: "without JetStream", do: "--jetstream",
			wreck: func(s *doctorSite) { s.bare = true; s.args = []string{"--server", plainServer(s.t)} }},
		{name: "a stream that is gone", check: "streams", status: statusFail, found: "stream SCREENING_RESULTS does not exist", do: "rescreen setup",
			wreck: func(s *doctorSite) { must(s.t, s.js.DeleteStream(s.t.Context(), store.ResultsStream)) }},
		{name: "a consumer that is gone", check: "streams", status: statusFail, found: "consumer SCREENING_WAKES due does not exist", do: "rescreen setup",
			wreck: func(s *doctorSite) {
				must(s.t, s.js.DeleteConsumer(s.t.Context(), store.WakesStream, store.DueConsumerName))
			}},
		{name: "a stream that answers from replicas", check: "stream-settings", status: statusFail, found: "allow_direct is true and should be false", do: "rescreen setup",
			wreck: func(s *doctorSite) {
				drift(s.t, s.js, store.RecordsStream, func(c *jetstream.StreamConfig) { c.AllowDirect = true })
			}},
		{name: "a stream from before monitoring", check: "stream-settings", status: statusWarn, found: "metadata io.nats.monitor.enabled is unset", do: "rescreen setup",
			wreck: func(s *doctorSite) {
				drift(s.t, s.js, store.ResultsStream, func(c *jetstream.StreamConfig) { c.Metadata = nil })
			}},
		{name: "a consumer that cannot be put right", check: "stream-settings", status: statusFail, found: "mem_storage is true", do: "made anew",
			wreck: func(s *doctorSite) {
				must(s.t, s.js.DeleteConsumer(s.t.Context(), store.WakesStream, store.DueConsumerName))
				due := store.DueConsumer()
				due.MemoryStorage = true
				_, err := s.js.CreateConsumer(s.t.Context(), store.WakesStream, due)
				must(s.t, err)
			}},
		{name: "one server alone", check: "replicas", status: statusWarn, found: "one server, one copy", do: "three NATS servers"},
		{name: "a permission that was withdrawn", check: "permissions", status: statusFail, found: "publish to screening.record", do: "rescreen setup --print-permissions",
			wreck: func(s *doctorSite) {
				s.as(&server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"screening.record.>"}}})
			}},
		{name: "announcements that may not be heard", check: "permissions", status: statusFail, found: "subscribe to screening.limits", do: "rescreen setup --print-permissions",
			wreck: func(s *doctorSite) {
				s.as(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"screening.limits.>"}}})
			}},
		{name: "a stream that is full", check: "stream-space", status: statusFail, found: "SCREENING_RESULTS is 100 % full", do: "nats stream edit SCREENING_RESULTS",
			wreck: func(s *doctorSite) {
				drift(s.t, s.js, store.ResultsStream, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
				s.publish("screening.result.b.j.1", "{}")
			}},
		{name: "more jobs than the workers finish", check: "stream-space", status: statusWarn, found: "SCREENING_JOBS", do: "Until there is room, submissions wait",
			wreck: func(s *doctorSite) {
				drift(s.t, s.js, queue.JobsStream, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
				s.publish("screening.jobs.b", "{}")
			}},
		{name: "an account that is full", check: "account-space", status: statusFail, found: "the account holds", do: "limit raised",
			wreck: func(s *doctorSite) {
				s.publish("screening.result.b.j.1", strings.Repeat("x", 100_000))
				must(s.t, s.nats.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{
					"": {MaxMemory: -1, MaxStore: 101 << 10, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1},
				}))
			}},
		{name: "a gate that is closed", check: "limits", status: statusWarn, found: "no calls until 2040-01-01", do: "rescreen limits show",
			wreck: func(s *doctorSite) {
				s.limits(func(l *worker.Limits) {
					l.Gate = worker.Gate{Until: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), Why: worker.Verdict("throttled"), By: "w"}
				})
			}},
		{name: "creations of unknown outcome", check: "limits", status: statusWarn, found: "3 in a row had an unknown outcome", do: "rescreen limits show",
			wreck: func(s *doctorSite) {
				s.limits(func(l *worker.Limits) {
					l.Doubt = worker.Doubt{Unknowns: 3, ClosedAt: time.Now(), Until: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}
				})
			}},
		{name: "a rate far below the one that is set", check: "limits", status: statusWarn, found: "all calls go out at", do: "--request-rate",
			wreck: func(s *doctorSite) { s.limits(func(l *worker.Limits) { l.Requests.Share = 0.1 }) }},
		{name: "limits that cannot be read", check: "limits", status: statusFail, found: "limits cannot be read", do: "--reset",
			wreck: func(s *doctorSite) { s.publish("$KV.screening_limits.upstream-local", "{") }},
		{name: "as many sessions as may be", check: "open-sessions", status: statusWarn, found: "2 of 2 sessions", do: "--max-open",
			wreck: func(s *doctorSite) {
				s.limits(func(l *worker.Limits) { l.Open.Max = 2 })
				s.park("one")
				s.park("two")
			}},
		{name: "no power failure may come", check: "sync-interval", status: statusWarn, found: "every 2m only", do: "sync_interval: always",
			options: server.Options{HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT},
			wreck:   func(s *doctorSite) { s.args = []string{"--nats-monitor", "http://" + s.nats.MonitorAddr().String()} }},
		{name: "a monitoring that does not answer", check: "sync-interval", status: statusWarn, found: "connection refused", do: "http_port",
			wreck: func(s *doctorSite) { s.args = []string{"--nats-monitor", "http://127.0.0.1:1"} }},
		{name: "not every server monitored", check: "sync-interval", status: statusUnknown, found: "not asked: SERVER", do: "Name the monitoring of every server",
			wreck: func(s *doctorSite) { s.args = []string{"--nats-monitor", wellMonitor(s.t)} }},
		{name: "a server whose disk failed", check: "nats-health", status: statusFail, found: "stream '$G > SCREENING_RECORDS' is not current", do: "Read the log",
			wreck: func(s *doctorSite) { s.args = []string{"--nats-monitor", unwellMonitor(s.t)} }},
		{name: "a server that is nearly full", check: "nats-storage", status: statusFail, found: "n1 holds 9.6 GiB of the 10.0 GiB", do: "max_file_store",
			wreck: func(s *doctorSite) { s.args = []string{"--nats-monitor", unwellMonitor(s.t)} }},
	}
	return append(all, brokenAPIs()...)
}

// as has somebody look who is allowed everything but what the permissions deny.
func (s *doctorSite) as(p *server.Permissions) {
	s.t.Helper()
	o := &server.Options{Users: []*server.User{{Username: "admin", Password: "a"}, {Username: "worker", Password: "w", Permissions: p}}}
	o.StoreDir = s.t.TempDir()
	restricted, err := startNATS(o)
	must(s.t, err)
	s.t.Cleanup(func() { restricted.Shutdown(); restricted.WaitForShutdown() })
	js := dialJetStream(s.t, strings.Replace(restricted.ClientURL(), "nats://", "nats://admin:a@", 1))
	_, err = setup(s.t.Context(), js, setupOptions{})
	must(s.t, err)
	s.args = []string{"--server", restricted.ClientURL(), "--user", "worker", "--password", "w"}
	s.hide(restricted.ClientURL(), "nats://NATS")
}

func (s *doctorSite) publish(subject, value string) {
	s.t.Helper()
	_, err := s.js.Publish(s.t.Context(), subject, []byte(value))
	must(s.t, err)
}

// limits writes the fleet's limits.
func (s *doctorSite) limits(edit func(*worker.Limits)) {
	s.t.Helper()
	c := worker.DefaultConfig()
	l := worker.NewLimits(c.Create, c.Requests, c.MaxOpen, "test", time.Now())
	edit(&l)
	value, err := l.Encode()
	must(s.t, err)
	s.publish("$KV.screening_limits."+worker.LimitsRegister("local"), string(value))
}

// park parks a wake-up in an hour.
func (s *doctorSite) park(job string) {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), s.js, time.Now)
	must(s.t, err)
	must(s.t, st.Wakes.Park(s.t.Context(), store.Wake{Key: store.Key{Batch: "b", Job: job}, Attempt: 1, At: time.Now().Add(time.Hour)}))
}

// clockOff has the doctor look on a machine whose clock is ahead.
func clockOff(ahead time.Duration) func(*doctor) {
	return func(d *doctor) { d.now = func() time.Time { return time.Now().Add(ahead) } }
}

// A healthy installation of one server: nothing but that is to be said.
func TestDoctorOfAHealthyInstallation(t *testing.T) {
	t.Parallel()
	site := newDoctorSite(t, &server.Options{SyncAlways: true, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT}, amlsim.Config{})
	got := statuses(site.look("--nats-monitor", "http://"+site.nats.MonitorAddr().String()))
	if want := map[string]status{"replicas": statusWarn, "disk": statusUnknown}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Without anything that answers the doctor is done in time, and says so in each line.
func TestDoctorWhenNothingAnswers(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	must(t, err)
	defer func() { _ = hole.Close() }()
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	site.bare = true
	address := hole.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), examineTime+time.Minute) // generous: the machine may be busy
	defer cancel()
	d, _ := site.doctor("--server", "nats://"+address, "--api-env", "local", "--api-issuer", "http://"+address, "--nats-monitor", "http://"+address)
	found := d.examine(ctx)
	if ctx.Err() != nil {
		t.Fatal("it takes too long")
	}
	if f := named(t, found, "nats-connection"); f.Status != statusFail {
		t.Errorf("%+v", f)
	}
	if f := named(t, found, "permissions"); f.Status != statusUnknown || f.Found != "not tried: NATS is not reachable" {
		t.Errorf("%+v", f)
	}
	if f := named(t, found, "api-scopes"); f.Status != statusUnknown || f.Found != "not tried: there is no token" {
		t.Errorf("%+v", f)
	}
}

// The JSON is an array of objects of four texts, whatever was found.
func TestDoctorOutput(t *testing.T) {
	t.Parallel()
	found := []finding{
		{"a", statusOK, "well", ""},
		{"b", statusWarn, "so | so", "Look after it."},
		{"c", statusUnknown, "not tried", ""},
		{"d", statusFail, "bad", "Repair it."},
	}
	var out strings.Builder
	c := doctorCmd{Output: "json"}
	must(t, c.print(&app{stdout: &out}, found))
	var back []map[string]string
	must(t, json.Unmarshal([]byte(out.String()), &back))
	if len(back) != 4 || len(back[0]) != 4 || back[1]["name"] != "b" || back[1]["status"] != "warn" || back[1]["found"] != "so | so" || back[1]["do"] != "Look after it." {
		t.Errorf("%v", back)
	}
	for _, o := range []struct {
		found []finding
		first string
		code  int // with --fail-on warn
		mild  int // with --fail-on fail
	}{
		{found, "CRITICAL: d: bad | ok=1 warn=1 fail=1 unknown=1", exitCritical, exitCritical},
		{found[:3], "WARNING: b: so / so | ok=1 warn=1 fail=0 unknown=1", exitWarning, exitDone},
		{[]finding{found[0], found[2]}, "OK: nothing wrong; 1 of 2 checks could not be made | ok=1 warn=0 fail=0 unknown=1", exitDone, exitDone},
		{found[:1], "OK: all checks are well | ok=1 warn=0 fail=0 unknown=0", exitDone, exitDone},
	} {
		out.Reset()
		c.Output = "nagios"
		must(t, c.print(&app{stdout: &out}, o.found))
		if first, rest, _ := strings.Cut(out.String(), "\n"); first != o.first || strings.Contains(rest, "|") {
			t.Errorf("%q, want %q", first, o.first)
		}
		if code, mild := exitCode(doctorExit(o.found, statusWarn)), exitCode(doctorExit(o.found, statusFail)); code != o.code || mild != o.mild {
			t.Errorf("%q: codes %d and %d, want %d and %d", o.first, code, mild, o.code, o.mild)
		}
	}
	out.Reset()
	c.Output = "table"
	must(t, c.print(&app{stdout: &out}, found))
	want := "ok       a  well\nwarn     b  so | so\nunknown  c  not tried\nfail     d  bad\n\nWhat to do\n  d: Repair it.\n  b: Look after it.\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if painted := paintStatus("ok       a  well\n", found[:1], true); painted != "\x1b[32mok\x1b[0m       a  well\n" {
		t.Errorf("%q", painted)
	}
}

// What cannot be broken in a test in a reasonable time is judged here.
func TestDoctorJudgements(t *testing.T) {
	t.Parallel()
	n := &natsDoctor{doctor: &doctor{}, streams: map[string]streamSeen{}}
	now := time.Now()
	for i, want := range wantedStreams(1) {
		n.streams[want.Name] = streamSeen{before: now, after: now, info: &jetstream.StreamInfo{
			TimeStamp: now.Add(time.Duration(i) * time.Second), Cluster: &jetstream.ClusterInfo{Leader: fmt.Sprintf("n%d", i)},
		}}
	}
	info := func(leader string, replicas ...*jetstream.PeerInfo) []finding {
		return replicaFindings("S", &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: 3}, Cluster: &jetstream.ClusterInfo{Leader: leader, Replicas: replicas}})
	}
	current := &jetstream.PeerInfo{Name: "n2", Current: true}
	for name, c := range map[string]struct {
		got   finding
		want  status
		found string
	}{
		"clocks of servers apart": {n.clock(t.Context()), statusFail, "servers n0 and n7 are 7.0 s apart"},
		"in time":                 {judgeDue(3, time.Second), statusOK, "3 due, the oldest for 1s"},
		"late":                    {judgeDue(3, 10*time.Minute), statusWarn, "the oldest for 10m"},
		"too late":                {judgeDue(3, time.Hour), statusFail, "the oldest for 1h"},
		"dead":                    {judgeDead(200, 7), statusWarn, "7 of the 200"},
		"alive":                   {judgeDead(0, 0), statusOK, ""},
		"no leader":               {together(info(""), finding{}), statusFail, "no leader"},
		"offline":                 {together(info("n1", current, &jetstream.PeerInfo{Name: "n3", Offline: true}), finding{}), statusWarn, "server n3 is offline"},
		"behind":                  {together(info("n1", current, &jetstream.PeerInfo{Name: "n3", Lag: 1200}), finding{}), statusWarn, "1200 operations behind"},
		"behind by a write":       {together(info("n1", current, &jetstream.PeerInfo{Name: "n3", Lag: 1, Active: time.Second}), fine("well")), statusOK, "well"},
		"silent":                  {together(info("n1", current, &jetstream.PeerInfo{Name: "n3", Active: time.Minute}), finding{}), statusWarn, "0 operations behind"},
		"well":                    {together(info("n1", current, current), fine("well")), statusOK, "well"},
		"no other copy known":     {together(info("n1"), finding{}), statusWarn, "its leader knows of 1 of its 3 copies"},
		"one copy not known":      {together(info("n1", current), finding{}), statusWarn, "its leader knows of 2 of its 3 copies"},
		"failed":                  {fine("%s", failedText(apiclient.Session{Status: "FAILED"})), statusOK, "failed, by its status FAILED"},
		"failed, all of it":       {fine("%s", failedText(apiclient.Session{Status: "FAILED", Document: apiclient.Entity{Status: "ERROR"}})), statusOK, "failed, by its status FAILED and its document's status ERROR"},
		"half full":               {filling(0.5, "", ""), statusOK, ""},
		"filling":                 {filling(0.8, "", ""), statusWarn, ""},
		"full":                    {filling(0.95, "", ""), statusFail, ""},
		"the worst counts":        {together([]finding{fine("a"), warning("W.", "b"), failure("F.", "c"), notKnown("d")}, fine("")), statusFail, "b; c"},
	} {
		if c.got.Status != c.want || !strings.Contains(c.got.Found, c.found) {
			t.Errorf("%s: %+v, want %s, %q", name, c.got, c.want, c.found)
		}
	}
}
