package chart

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// accounts are those of deploy/nats, but that who says nothing is let in, too.
const accounts = `
accounts { SCREENING { jetstream: enabled, users: [{user: worker, password: worker}] } }
no_auth_user: worker`

// startNATS runs that many nats-servers as one cluster, with JetStream in the account SCREENING and the monitoring
// endpoint.
func startNATS(t *testing.T, count int) (servers []*server.Server) {
	t.Helper()
	routes := freeRoutes(t, count)
	for i, route := range routes {
		options := &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: -1, HTTPHost: "127.0.0.1", HTTPPort: -1,
			JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		}
		if count > 1 {
			port, err := strconv.Atoi(route.Port())
			if err != nil {
				t.Fatal(err)
			}
			options.Cluster = server.ClusterOpts{Name: "check", Host: "127.0.0.1", Port: port}
			options.Routes = routes
		}
		if err := options.ProcessConfigString(accounts); err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(options)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	await(t, func() error { return ready(servers) })
	return servers
}

// await tries until something is so.
func await(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("not after a minute: %v", err)
		}
	}
}

// freeRoutes are addresses free now: routes have to be known before the servers start.
func freeRoutes(t *testing.T, count int) (routes []*url.URL) {
	t.Helper()
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
	}
	return routes
}

// ready says what is missing until all take connections, and one leads all of them.
func ready(servers []*server.Server) error {
	led := len(servers) == 1
	for _, s := range servers {
		if !s.ReadyForConnections(time.Second) {
			return errors.New("a server does not take connections")
		}
		led = led || s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(servers)
	}
	if !led {
		return errors.New("no server leads all of them")
	}
	return nil
}

func connect(t *testing.T, s *server.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// configs is all that is in a JetStream, as the server tells it.
type configs struct {
	streams   map[string]jetstream.StreamConfig
	consumers map[string]jetstream.ConsumerConfig // by stream and name
}

func readConfigs(ctx context.Context, t *testing.T, js jetstream.JetStream) configs {
	t.Helper()
	c := configs{map[string]jetstream.StreamConfig{}, map[string]jetstream.ConsumerConfig{}}
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		info.Config.Metadata = ownMetadata(info.Config.Metadata)
		c.streams[info.Config.Name] = info.Config
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	for name := range c.streams {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		consumers := stream.ListConsumers(ctx)
		for info := range consumers.Info() {
			info.Config.Metadata = ownMetadata(info.Config.Metadata)
			info.Config.Name = "" // a client's own, the same as the durable's
			c.consumers[name+" "+info.Config.Durable] = info.Config
		}
		if err := consumers.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// ownMetadata is what is not the server's.
func ownMetadata(all map[string]string) map[string]string {
	own := maps.Clone(all)
	maps.DeleteFunc(own, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") })
	if len(own) == 0 {
		return nil
	}
	return own
}
