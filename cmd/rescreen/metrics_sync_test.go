package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
		"embedded":           {natsSettings{}, "0"},
		"nothing named":      {natsSettings{Server: "x"}, ""},
		"nobody answers":     {natsSettings{Server: "x", Monitor: none}, ""},
		"always":             {natsSettings{Server: "x", Monitor: always}, "0"},
		"the slowest":        {natsSettings{Server: "x", Monitor: always + "," + seldom}, "90"},
		"the slowest first":  {natsSettings{Server: "x", Monitor: seldom + "," + always}, "90"},
		"one that is silent": {natsSettings{Server: "x", Monitor: none + "," + seldom}, "90"},
	} {
		collector := newSyncCollector(c.settings)
		if !collector.known {
			collector.read(t.Context(), zap.NewNop())
		}
		if got := sampled(t, collector); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// sampled is the value of a collector's one sample, "" if there is none.
func sampled(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) == 0 {
		return ""
	}
	return fmt.Sprint(families[0].GetMetric()[0].GetGauge().GetValue())
}
