package store_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/store"
	"rescreen/store/storetest"
)

// startCluster runs three servers in the process; they talk over loopback.
func startCluster(t testing.TB, adjust ...func(*server.Options)) []*server.Server {
	t.Helper()
	ports := freePorts(t, 3)
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	}
	var servers []*server.Server
	for i, port := range ports {
		servers = append(servers, startServer(t, append(adjust, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("s%d", i)
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}
			o.Routes = routes
			// A cluster does not form without a listener for clients.
			o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
		})...))
	}
	return servers
}

// freePorts are free now. Routes have to be known before the servers start.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// waitForLeader tries the API until the cluster answers.
func waitForLeader(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, err := js.CreateStream(try, jetstream.StreamConfig{Name: "probe", Replicas: 3, Storage: jetstream.MemoryStorage})
		cancel()
		if err == nil {
			_ = js.DeleteStream(ctx, "probe")
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("no cluster: %v", err)
		}
	}
}

// conflicts counts the answers to publishes that a client receives, by error code.
type conflicts struct {
	net.Conn
	c10071, c10164 *atomic.Int64
}

func (c conflicts) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.c10071.Add(occurrences(p[:n], `"err_code":10071`))
	c.c10164.Add(occurrences(p[:n], `"err_code":10164`))
	return n, err
}

// TestCluster: eight writers on three servers count one record up, first in peace, then
// under leaders that step down. Most conflicts come as 10164: another write is in flight.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	var c10071, c10164 atomic.Int64
	wrap := func(c net.Conn) net.Conn { return conflicts{c, &c10071, &c10164} }
	js := connect(t, faultyConn{servers[0], wrap})
	waitForLeader(t, js)
	s := setup(t, js, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	if unheard := storetest.CountUp(ctx, t, s.Ledger, store.Key{Batch: "peace", Job: "1"}, 8, 15); unheard != 0 {
		t.Errorf("%d writes were stored and not told", unheard)
	}
	if c10164.Load() == 0 {
		t.Error("no conflict came as 10164: this test shows nothing")
	}
	t.Logf("conflicts: %d of 10071, %d of 10164", c10071.Load(), c10164.Load())

	store.SetTryTimeout(s, 300*time.Millisecond) // a leader that stepped down does not answer what it had taken
	calm := disturb(ctx, js, store.RecordsStream)
	unheard := storetest.CountUp(ctx, t, s.Ledger, store.Key{Batch: "unrest", Job: "1"}, 8, 8)
	t.Logf("the leader stepped down %d times, and %d writes were stored and not told", calm(), unheard)
}

// disturb makes the leader of a stream step down, three times or until the
// function it returns is called, which tells how often it did.
func disturb(ctx context.Context, js jetstream.JetStream, stream string) func() int {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan int)
	go func() {
		times := 0
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for times < 3 && ctx.Err() == nil {
			select {
			case <-ctx.Done():
				continue
			case <-ticker.C:
			}
			// Between two leaders nobody answers.
			try, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			_, err := js.Conn().RequestWithContext(try, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
			cancel()
			if err == nil {
				times++
			}
		}
		done <- times
	}()
	return func() int { cancel(); return <-done }
}
