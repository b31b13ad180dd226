package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// monitorOf starts a server with monitoring and returns the address of that.
func monitorOf(t *testing.T, o *server.Options) string {
	t.Helper()
	o.HTTPHost, o.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := startNATS(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return "http://" + s.MonitorAddr().String()
}

func TestSyncMetric(t *testing.T) {
	t.Parallel()
	always := monitorOf(t, &server.Options{SyncAlways: true, SyncInterval: 2 * time.Minute})
	seldom := monitorOf(t, &server.Options{SyncInterval: 90 * time.Second})
	none := "http://127.0.0.1:1"
	for name, c := range map[string]struct {
		settings natsSettings
		want     string // "" is no sample
	}{
		"embedded":           {natsSettings{DataDir: t.TempDir()}, "0"},
		"nothing named":      {natsSettings{Server: "x"}, ""},
		"nobody answers":     {natsSettings{Server: "x", Monitor: none}, ""},
		"always":             {natsSettings{Server: "x", Monitor: always}, "0"},
		"the slowest":        {natsSettings{Server: "x", Monitor: always + "," + seldom}, "90"},
		"the slowest first":  {natsSettings{Server: "x", Monitor: seldom + "," + always}, "90"},
		"one that is silent": {natsSettings{Server: "x", Monitor: none + "," + seldom}, "90"},
	} {
		collector := newServersCollector(c.settings)
		collector.read(t.Context(), zap.NewNop())
		if got := sampled(t, collector)["rescreen_nats_sync_interval_seconds"]; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestStorageMetric(t *testing.T) {
	t.Parallel()
	limited := &server.Options{ServerName: "n1", JetStreamMaxStore: 64 << 20}
	monitor := monitorOf(t, limited)
	named := func(name string) string { return "rescreen_nats_storage_" + name }
	collector := newServersCollector(natsSettings{Server: "x", Monitor: "http://127.0.0.1:1," + monitor + "," + monitor + "/"})
	if got := sampled(t, collector); len(got) != 0 {
		t.Errorf("before anything was read: %v", got)
	}
	collector.read(t.Context(), zap.NewNop())
	got := sampled(t, collector)
	if got[named("bytes{n1}")] != "0" || got[named("limit_bytes{n1}")] != fmt.Sprint(float64(64<<20)) || len(got) != 3 {
		t.Errorf("an empty server: %v", got)
	}
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", limited.Port))
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	must(t, err)
	_, err = js.Publish(t.Context(), "s", make([]byte, 5000))
	must(t, err)
	collector.read(t.Context(), zap.NewNop())
	if got := sampled(t, collector); len(got[named("bytes{n1}")]) != 4 { // 5,000 and what the file adds
		t.Errorf("a server that holds 5,000 bytes: %v", got)
	}
	collector.storage["n1"].at = time.Now().Add(-2 * storageAge)
	if got := sampled(t, collector); len(got) != 1 || len(collector.storage) != 0 {
		t.Errorf("what was read long ago: %v", got)
	}
}

// Of an embedded server the disk is the limit.
func TestStorageMetricOfEmbeddedServer(t *testing.T) {
	t.Parallel()
	collector := newServersCollector(natsSettings{DataDir: t.TempDir()})
	collector.read(t.Context(), zap.NewNop())
	free, total, err := diskSpace(collector.dataDir)
	s := collector.storage[embeddedName]
	if err != nil && s != nil { // some systems do not say
		t.Errorf("%v, and yet %+v", err, s.is)
	}
	// Others write to that disk, too, if not a tenth of it.
	if err == nil && (s == nil || s.is.limit != int64(total) || max(s.is.used, int64(total-free))-min(s.is.used, int64(total-free)) > int64(total/10)) {
		t.Errorf("%+v of %d, %d free", s, total, free)
	}
}

// sampled are the samples of a collector by name and value of the label.
func sampled(t *testing.T, c prometheus.Collector) map[string]string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetValue() + "}"
			}
			all[name] = fmt.Sprint(m.GetGauge().GetValue())
		}
	}
	return all
}
