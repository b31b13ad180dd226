package main

import (
	"context"
	"math"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/worker"
)

// scraped returns the value of each series of /metrics without its prefix.
func (s *troubleSite) scraped() map[string]float64 {
	s.Helper()
	code, page := s.get("/metrics")
	if code != 200 {
		s.Fatalf("/metrics answers %d: %s", code, page)
	}
	values := make(map[string]float64)
	for _, m := range regexp.MustCompile(`(?m)^rescreen_(\S+) (\S+)$`).FindAllStringSubmatch(page, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		must(s, err)
		values[m[1]] = v
	}
	return values
}

// awaitScraped waits until all the series have these values.
func (s *troubleSite) awaitScraped(want map[string]float64) map[string]float64 {
	s.Helper()
	var got map[string]float64
	differs := func() string {
		got = s.scraped()
		for name, value := range want {
			// The spacing of departures is whole nanoseconds.
			if v, there := got[name]; !there || math.Abs(v-value) > value*1e-6 {
				return name
			}
		}
		return ""
	}
	for deadline := time.Now().Add(longEnough); ; time.Sleep(50 * time.Millisecond) {
		name := differs()
		if name == "" {
			return got
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s is %v, want %v\n%s", name, got[name], want[name], s.log())
		}
	}
}

// A fleet whose sessions take an hour, at its limits, with its gate closed, and with
// NATS gone: the gauges say so.
func TestFactsOfAFleet(t *testing.T) {
	besideOthers(t)
	s := newTroubleSite(t)
	s.sim = amlsim.New(amlsim.Config{
		ReadyAfter: amlsim.LogNormal(time.Hour, 0, time.Hour, time.Hour),
		Faults: []amlsim.Fault{{
			Call: amlsim.CallCreate, When: amlsim.When{Nth: 5, Times: 1}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: 5 * time.Minute},
		}},
	})
	api := httptest.NewServer(s.sim)
	t.Cleanup(api.Close)
	s.submit(20)
	batches, err := queue.OpenBatches(t.Context(), s.admin)
	must(t, err)
	_, err = batches.Register(t.Context(), queue.Batch{Name: troubleBatch, State: queue.Submitted, Accepted: 20})
	must(t, err)
	s.startWith(func(c *workerSettings) {
		c.API.APIIssuer = api.URL + amlsim.RealmPath
		c.HTTPAddr, c.BatchMetrics = "127.0.0.1:0", true // what reads the facts; the handler is served by the site
		c.Budgets.MaxOpen = 4
	})

	// The limits of the site: ten creations, and 300 calls with a burst of 30.
	got := s.awaitScraped(map[string]float64{
		"backlog_jobs": 16, "open_sessions": 4, "open_sessions_limit": 4, "desired_workers": 1,
		`limit_rate{budget="create"}`: 10, `limit_burst{budget="create"}`: 5, `effective_rate{budget="create"}`: 10,
		`limit_rate{budget="requests"}`: 300, `limit_burst{budget="requests"}`: 30, `effective_rate{budget="requests"}`: 300,
		`gate_closed_until_timestamp_seconds{budget="create"}`: 0, `gate_closed_until_timestamp_seconds{budget="requests"}`: 0,
		`stream_messages{stream="SCREENING_JOBS"}`: 16, `stream_messages{stream="SCREENING_RECORDS"}`: 4, `stream_messages{stream="SCREENING_RESULTS"}`: 0,
		`api_calls_total{call="create",status="201"}`: 4, `token_refreshes_total{outcome="ok"}`: 1,
		`stream_limit_bytes{stream="SCREENING_JOBS"}`: 2 << 30,
		`batch_jobs{batch="trouble",state="done"}`:    0, `batch_jobs{batch="trouble",state="failed"}`: 0, `batch_jobs{batch="trouble",state="expected"}`: 20,
	})
	if at := got["facts_timestamp_seconds"]; time.Since(time.Unix(int64(at), 0)).Abs() > longEnough {
		t.Errorf("facts of %v", at)
	}
	if sum := got[`stream_bytes{stream="SCREENING_JOBS"}`] + got[`stream_bytes{stream="SCREENING_RECORDS"}`]; sum == 0 || got["jetstream_bytes"] < sum {
		t.Errorf("%v bytes in two streams, %v in the account", sum, got["jetstream_bytes"])
	}

	// A person allows one session more, and the API says 429 to it, for five minutes.
	desk, five := limitsDesk{s.station.store}, 5
	_, err = desk.change(t.Context(), envLocal, false, func(worker.Limits) worker.Change { return worker.Change{MaxOpen: &five} }, "test")
	must(t, err)
	s.await("a closed gate, and wake-ups that wait for it", longEnough, func() bool {
		got = s.scraped()
		until := time.Unix(int64(got[`gate_closed_until_timestamp_seconds{budget="requests"}`]), 0)
		return time.Until(until) > time.Minute && got["due_wakeups"] > 0 && got["oldest_due_seconds"] > 0
	})
	if got["open_sessions_limit"] != 5 || got[`api_calls_total{call="create",status="429"}`] != 1 ||
		got[`gate_closed_until_timestamp_seconds{budget="create"}`] != got[`gate_closed_until_timestamp_seconds{budget="requests"}`] {
		t.Errorf("after a 429: %v", got)
	}

	// A scrape asks nobody.
	s.stopServer()
	s.await("no connection", longEnough, func() bool { return !s.station.link.Conn.IsConnected() })
	began := time.Now()
	got = s.scraped()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a scrape took %v", took)
	}
	if got["nats_connected"] != 0 || got["ready"] != 0 || got["open_sessions_limit"] != 5 || got["backlog_jobs"] == 0 {
		t.Errorf("without NATS: %v", got)
	}
	s.startServer()
}

// What one reading costs, and that it does not grow with what there is.
func TestFactsAskForLittle(t *testing.T) {
	besideOthers(t)
	s := newTroubleSite(t)
	st := quietStation(t, s.server.ClientURL(), workerUser, "w")
	cost := func() (requests, bytes uint64) {
		before := st.link.Conn.Stats()
		st.loops[0].turn(t.Context())
		after := st.link.Conn.Stats()
		return after.OutMsgs - before.OutMsgs, after.InBytes - before.InBytes
	}
	cost() // subscribes to the answers
	requests, bytes := cost()
	if requests != 11 {
		t.Errorf("a reading takes %d requests", requests)
	}
	s.submit(500)
	again, more := cost()
	if again != requests || more > bytes+200 {
		t.Errorf("with 500 jobs a reading takes %d requests and %d bytes of answers, with none %d and %d", again, more, requests, bytes)
	}
	t.Logf("%d requests, %d bytes of answers", again, more)
}

// quietStation is a worker's station that does not run.
func quietStation(t *testing.T, url, user, password string) *station {
	t.Helper()
	target := natsTarget{url: url, shown: "the server", options: []nats.Option{nats.UserInfo(user, password)}}
	link, err := target.connect(t.Context(), "test", zap.NewNop())
	must(t, err)
	t.Cleanup(link.Close)
	settings, err := demoSettings("http://127.0.0.1:1" + amlsim.RealmPath)
	must(t, err)
	settings.HTTPAddr = "127.0.0.1:0"
	st, err := newStation(t.Context(), time.Now, link, settings, nil, zap.NewNop(), nil)
	must(t, err)
	return st
}

// A worker that may not ask about its account tells all else, and is ready: what it
// is for it can do.
func TestFactsThatAreDenied(t *testing.T) {
	besideOthers(t)
	s, err := startNATS(&server.Options{StoreDir: t.TempDir(), Users: []*server.User{
		{Username: adminUser, Password: "a"},
		{Username: workerUser, Password: "w", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.INFO"}}}},
	}})
	must(t, err)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	admin, err := natsTarget{url: s.ClientURL(), options: []nats.Option{nats.UserInfo(adminUser, "a")}}.connect(t.Context(), "test", zap.NewNop())
	must(t, err)
	defer admin.Close()
	_, err = setup(t.Context(), admin.JS, setupOptions{})
	must(t, err)

	st := quietStation(t, s.ClientURL(), workerUser, "w")
	st.loops[0].timeout = time.Second // nobody answers what is not allowed
	st.loops[0].turn(t.Context())
	got := gathered(t, st.facts)
	for _, name := range []string{"facts_timestamp_seconds", "jetstream_bytes"} {
		if v, there := got[name]; there {
			t.Errorf("%s is told: %v", name, v)
		}
	}
	for _, name := range []string{"backlog_jobs", "due_wakeups", "oldest_due_seconds", "desired_workers", `effective_rate{budget="create"}`, `stream_bytes{stream="KV_screening_batches"}`} {
		if _, there := got[name]; !there {
			t.Errorf("%s is not told", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if reasons := st.unready(ctx); len(reasons) != 1 || !strings.HasPrefix(reasons[0], "token: none yet: not tried yet") {
		t.Errorf("a worker without a token is not ready: %s", strings.Join(reasons, "; "))
	}
	st.login.heard(nil)
	if reasons := st.unready(ctx); len(reasons) > 0 {
		t.Errorf("not ready: %s", strings.Join(reasons, "; "))
	}
}
