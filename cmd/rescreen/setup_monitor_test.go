package main

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/store"
)

// The keys are those of github.com/nats-io/jsm.go, package monitor, which reads
// values as these parsers do. What is not here it would ignore in silence.
var monitorParsers = map[string]func(string) error{
	"io.nats.monitor.enabled":                  func(s string) error { _, err := strconv.ParseBool(s); return err },
	"io.nats.monitor.peer-expect":              parseInt,
	"io.nats.monitor.peer-lag-critical":        parseInt,
	"io.nats.monitor.peer-seen-critical":       func(s string) error { _, err := time.ParseDuration(s); return err },
	"io.nats.monitor.outstanding-ack-critical": parseInt,
	"io.nats.monitor.waiting-critical":         parseInt,
	"io.nats.monitor.unprocessed-critical":     parseInt,
}

func parseInt(s string) error { _, err := strconv.Atoi(s); return err }

func TestMonitoringMetadataCanBeRead(t *testing.T) {
	read := func(name string, metadata map[string]string) {
		for key, value := range metadata {
			parse, known := monitorParsers[key]
			if !known {
				t.Errorf("%s: %s is no key of jsm.go", name, key)
			} else if err := parse(value); err != nil {
				t.Errorf("%s: %s: %v", name, key, err)
			}
		}
		if metadata[monitorEnabled] != "true" {
			t.Errorf("%s is not monitored: %v", name, metadata)
		}
	}
	for _, replicas := range []int{1, 3, 5} {
		for _, s := range wantedStreams(replicas) {
			metadata := monitored(s).Metadata
			read(s.Name, metadata)
			want := ""
			if replicas > 1 {
				want = strconv.Itoa(replicas)
			}
			if metadata[monitorPeers] != want {
				t.Errorf("%s with %d replicas expects %q peers", s.Name, replicas, metadata[monitorPeers])
			}
		}
	}
	for _, c := range wantedConsumers() {
		read(c.name(), c.config.Metadata)
	}
	few := queue.JobsConsumer("b", queue.WithMaxAckPending(1000)).Metadata["io.nats.monitor.outstanding-ack-critical"]
	if few != "900" {
		t.Errorf("1000 may be pending, %s are critical", few)
	}
}

// Streams and consumers from before they were monitored get what is missing; what
// somebody has set otherwise stays; the peers follow the replicas.
func TestSetupMonitorsWhatExists(t *testing.T) {
	js := testJetStream(t)
	for _, s := range wantedStreams(1) {
		if _, err := js.CreateStream(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	due := store.DueConsumer()
	due.Metadata = map[string]string{"owner": "team"}
	if _, err := js.CreateConsumer(t.Context(), store.WakesStream, due); err != nil {
		t.Fatal(err)
	}
	drift(t, js, store.WakesStream, func(c *jetstream.StreamConfig) {
		c.Metadata[monitorEnabled], c.Metadata[monitorPeers], c.Metadata["owner"] = "false", "3", "team"
	})
	if _, err := setup(t.Context(), js, setupOptions{}); err != nil {
		t.Fatal(err)
	}
	stream := func(name string) map[string]string {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config.Metadata
	}
	if m := stream(store.RecordsStream); m[monitorEnabled] != "true" {
		t.Errorf("an old stream has %v", m)
	}
	if m := stream(store.WakesStream); m[monitorEnabled] != "false" || m["owner"] != "team" || m[monitorPeers] != "" {
		t.Errorf("a stream that somebody has changed has %v", m)
	}
	c, err := js.Consumer(t.Context(), store.WakesStream, store.DueConsumerName)
	if err != nil {
		t.Fatal(err)
	}
	if m := c.CachedInfo().Config.Metadata; m["io.nats.monitor.waiting-critical"] != "500" || m["owner"] != "team" {
		t.Errorf("an old consumer has %v", m)
	}
	changes, err := setup(t.Context(), js, setupOptions{})
	if got := notUnchanged(changes); err != nil || len(got) > 0 {
		t.Errorf("the second time: %q, %v", got, err)
	}
}
