package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// testJetStream starts a server and connects to it.
func testJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	s, err := startNATS(&server.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return dialJetStream(t, s.ClientURL())
}

func dialJetStream(t *testing.T, address string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// summary prints changes compactly: "~ stream X: max_age 1h → 2h".
func summary(changes []change) []string {
	var out []string
	for _, c := range changes {
		line := c.Action.sign() + " " + c.Kind + " " + c.Name
		for _, f := range c.Fields {
			line += fmt.Sprintf(": %s %s → %s", f.Field, f.Old, f.New)
		}
		out = append(out, line)
	}
	return out
}

// notUnchanged drops the lines of what is as it should be.
func notUnchanged(changes []change) []string {
	return slices.DeleteFunc(summary(changes), func(s string) bool { return strings.HasPrefix(s, "= ") })
}

func TestSetupCanBeRepeated(t *testing.T) {
	js := testJetStream(t)
	plan, err := setup(t.Context(), js, setupOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), store.RecordsStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("after a dry run: %v", err)
	}
	done, err := setup(t.Context(), js, setupOptions{})
	if err != nil || !slices.Equal(summary(done), summary(plan)) {
		t.Errorf("planned %q, did %q, %v", summary(plan), summary(done), err)
	}
	for _, c := range done {
		if c.Action != actionCreate {
			t.Errorf("%s %s: %s, want create", c.Kind, c.Name, c.Action)
		}
	}
	again, err := setup(t.Context(), js, setupOptions{})
	if changed := notUnchanged(again); err != nil || len(changed) > 0 || len(again) != len(done) {
		t.Errorf("the second time: %q, %v", changed, err)
	}
}

// What a client makes for a bucket is what setup would make, but for roll-ups.
func TestBucketStreamIsTheClients(t *testing.T) {
	js := testJetStream(t)
	for _, b := range []jetstream.KeyValueConfig{
		queue.BatchesBucketConfig(queue.Options{Replicas: 1}),
		{Bucket: "a", History: 5, TTL: time.Minute, MaxBytes: 1 << 20, MaxValueSize: 100, Description: "d", LimitMarkerTTL: time.Hour, Compression: true},
	} {
		kv, err := js.CreateKeyValue(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), "KV_"+kv.Bucket())
		if err != nil {
			t.Fatal(err)
		}
		have := s.CachedInfo().Config
		have.AllowRollup = false
		diff, err := diffConfigs(monitored(have), respectStream(bucketStream(b), have), fixedStreamField)
		if err != nil || diff != nil {
			t.Errorf("%s: %v, %v", b.Bucket, diff, err)
		}
	}
}

// drift changes a stream behind setup's back.
func drift(t *testing.T, js jetstream.JetStream, name string, edit func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	edit(&config)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

func TestSetupPutsRightWhatMatters(t *testing.T) {
	js := testJetStream(t)
	if _, err := setup(t.Context(), js, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{queue.BatchesBucket, store.LimitsBucket} { // as a client makes them, and earlier versions did
		drift(t, js, "KV_"+bucket, func(c *jetstream.StreamConfig) { c.AllowRollup = true })
	}
	drift(t, js, store.RecordsStream, func(c *jetstream.StreamConfig) { c.AllowDirect = true; c.MaxMsgsPerSubject = 5 })
	drift(t, js, store.WakesStream, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 30 }) // drops wake-ups when full
	drift(t, js, store.ResultsStream, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	due := store.DueConsumer()
	due.AckWait = time.Hour
	if _, err := js.UpdateConsumer(t.Context(), store.WakesStream, due); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"~ stream KV_screening_batches: allow_rollup_hdrs true → unset",
		"~ stream SCREENING_RECORDS: allow_direct true → false: max_msgs_per_subject 5 → 1",
		"~ stream SCREENING_WAKES: max_bytes 1073741824 → -1",
		"~ stream SCREENING_RESULTS: max_age 1h → " + durationText(store.ResultsAge),
		"~ stream KV_screening_limits: allow_rollup_hdrs true → unset",
		"~ consumer SCREENING_WAKES due: ack_wait 1h → 20s",
	}
	for _, o := range []setupOptions{{DryRun: true}, {}} {
		changes, err := setup(t.Context(), js, o)
		if got := notUnchanged(changes); err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %q, %v", o, got, err)
		}
	}
	changes, err := setup(t.Context(), js, setupOptions{})
	if got := notUnchanged(changes); err != nil || len(got) > 0 {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestSetupLeavesTheOperatorsChoices(t *testing.T) {
	js := testJetStream(t)
	if _, err := setup(t.Context(), js, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	drift(t, js, store.ResultsStream, func(c *jetstream.StreamConfig) {
		c.MaxAge = 5 * 365 * 24 * time.Hour // a bank keeps what it has to
		c.Compression = jetstream.S2Compression
		c.Metadata["io.nats.monitor.enabled"] = "1"
	})
	drift(t, js, store.EvidenceStream, func(c *jetstream.StreamConfig) { c.MaxAge = 0; c.Duplicates = time.Minute })
	drift(t, js, queue.JobsStream, func(c *jetstream.StreamConfig) { c.MaxBytes = 7 << 30 })
	due := store.DueConsumer()
	due.MaxAckPending *= 2
	if _, err := js.UpdateConsumer(t.Context(), store.WakesStream, due); err != nil {
		t.Fatal(err)
	}
	changes, err := setup(t.Context(), js, setupOptions{})
	if got := notUnchanged(changes); err != nil || len(got) > 0 {
		t.Errorf("changed %q, %v", got, err)
	}
}

func TestSetupRefusesWhatCannotChangeInPlace(t *testing.T) {
	js := testJetStream(t)
	wakes := monitored(store.Streams(store.Options{})[1])
	wakes.Storage = jetstream.MemoryStorage
	if _, err := js.CreateStream(t.Context(), wakes); err != nil {
		t.Fatal(err)
	}
	due := store.DueConsumer()
	due.DeliverPolicy, due.AckPolicy, due.MaxWaiting = jetstream.DeliverAllPolicy, jetstream.AckExplicitPolicy, 7
	if _, err := js.CreateConsumer(t.Context(), wakes.Name, due); err != nil {
		t.Fatal(err)
	}
	changes, err := setup(t.Context(), js, setupOptions{})
	if !errors.Is(err, errFixedField) || exitCode(err) != exitFailed || err.Error() != "stream SCREENING_WAKES: a setting cannot be changed in place" {
		t.Errorf("code %d, %v", exitCode(err), err)
	}
	if got := notUnchanged(changes); !slices.Contains(got, "! stream SCREENING_WAKES: storage memory → file") {
		t.Errorf("plan %q", got)
	}
	if _, err := js.Stream(t.Context(), store.RecordsStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("something was made although the plan is refused: %v", err)
	}
}

func TestFixedFields(t *testing.T) {
	for _, c := range []struct {
		fixed           func(field, from, to string) bool
		field, from, to string
		want            bool
	}{
		{fixedStreamField, "storage", "memory", "file", true},
		{fixedStreamField, "retention", "limits", "workqueue", true},
		{fixedStreamField, "retention", "workqueue", "limits", true},
		{fixedStreamField, "retention", "interest", "limits", false},
		{fixedStreamField, "allow_msg_ttl", "true", "unset", true},
		{fixedStreamField, "allow_msg_ttl", "unset", "true", false},
		{fixedStreamField, "max_age", "1h", "2h", false},
		{fixedConsumerField, "ack_policy", "none", "explicit", true},
		{fixedConsumerField, "max_waiting", "512", "7", true},
		{fixedConsumerField, "ack_wait", "1s", "2s", false},
		{fixedConsumerField, "filter_subject", "a", "b", false},
	} {
		if got := c.fixed(c.field, c.from, c.to); got != c.want {
			t.Errorf("%s %s → %s: %v", c.field, c.from, c.to, got)
		}
	}
}

func TestSetupWithoutJetStream(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(longEnough) {
		t.Fatal("nats-server is not ready")
	}
	_, err = setup(t.Context(), dialJetStream(t, s.ClientURL()), setupOptions{})
	if err == nil || err.Error() != "the NATS server runs without JetStream" || exitCode(err) != exitFailed {
		t.Errorf("code %d, %v", exitCode(err), err)
	}
}

// On a cluster streams get three copies by themselves, and keep more.
func TestSetupOnACluster(t *testing.T) {
	js := dialJetStream(t, startCluster(t))
	if _, err := setup(t.Context(), js, setupOptions{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	replicas := func() int {
		s, err := js.Stream(t.Context(), store.RecordsStream)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config.Replicas
	}
	if got := replicas(); got != 1 {
		t.Errorf("asked for 1 replica: %d", got)
	}
	changes, err := setup(t.Context(), js, setupOptions{})
	if err != nil || replicas() != 3 || !slices.ContainsFunc(notUnchanged(changes), func(s string) bool {
		return strings.HasPrefix(s, "~ stream SCREENING_RECORDS: metadata io.nats.monitor.peer-expect unset → 3: ") && strings.HasSuffix(s, ": num_replicas 1 → 3")
	}) {
		t.Errorf("by itself: %d replicas, %q, %v", replicas(), notUnchanged(changes), err)
	}
	_, err = setup(t.Context(), js, setupOptions{Replicas: 5})
	var exit *exitError
	if !errors.As(err, &exit) || !strings.Contains(exit.hint, "--replicas 1") {
		t.Errorf("5 replicas on 3 servers: %v", err)
	}
}

// startCluster starts three servers that form a JetStream cluster and returns
// the address of one of them.
func startCluster(t *testing.T) string {
	t.Helper()
	var routes []*url.URL
	var listeners []net.Listener
	for range 3 { // three free ports, held until all are known
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
	}
	var servers []*server.Server
	for i, l := range listeners {
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := startNATS(&server.Options{
			ServerName: fmt.Sprintf("s%d", i), StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	for deadline := time.Now().Add(longEnough); ; {
		ready := !slices.ContainsFunc(servers, func(s *server.Server) bool { return !s.JetStreamIsCurrent() }) &&
			slices.ContainsFunc(servers, func(s *server.Server) bool { return s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == 3 })
		if ready {
			return servers[0].ClientURL()
		}
		if time.Now().After(deadline) {
			t.Fatalf("no JetStream leader with three peers after %v", longEnough)
		}
		<-time.After(10 * time.Millisecond) // the server offers nothing to wait on
	}
}

// The repair's place in the records is worth nothing once one of the streams it
// is about has been made anew.
func TestSetupLetsTheRepairBeginAnew(t *testing.T) {
	js := testJetStream(t)
	if _, err := setup(t.Context(), js, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), js, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		deleted string
		anew    bool
	}{{"", false}, {queue.JobsStream, false}, {store.ResultsStream, true}, {store.WakesStream, true}, {store.RecordsStream, true}} {
		_, seq, err := s.Registers.Load(t.Context(), worker.RepairRegister)
		if err != nil {
			seq = 0
		}
		if _, err := s.Registers.Commit(t.Context(), worker.RepairRegister, []byte("{}"), seq); err != nil {
			t.Fatal(err)
		}
		if c.deleted != "" {
			if err := js.DeleteStream(t.Context(), c.deleted); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := setup(t.Context(), js, setupOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Registers.Load(t.Context(), worker.RepairRegister); errors.Is(err, store.ErrNotFound) != c.anew {
			t.Errorf("after %q was deleted: %v", c.deleted, err)
		}
	}
}
