package store_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"rescreen/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer runs JetStream in the process, without a listener.
func startServer(t testing.TB, adjust ...func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{
		DontListen: true, JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true,
	}
	for _, f := range adjust {
		f(options)
	}
	return run(t, options)
}

func run(t testing.TB, options *server.Options) *server.Server {
	t.Helper()
	srv, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	return srv
}

// connect opens a connection with the options of the product.
func connect(t testing.TB, conn nats.InProcessConnProvider, more ...nats.Option) jetstream.JetStream {
	t.Helper()
	options := append([]nats.Option{
		nats.InProcessServer(conn), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.CustomInboxPrefix("_INBOX_test"), nats.RetryOnFailedConnect(true),
	}, more...)
	nc, err := nats.Connect("", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
		nc.Close()
		<-closed
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// setup makes the streams, the due consumer, and opens the store.
func setup(t testing.TB, js jetstream.JetStream, replicas int) *store.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, config := range store.Streams(store.Options{Replicas: replicas}) {
		if _, err := js.CreateOrUpdateStream(ctx, config); err != nil {
			t.Fatalf("stream %s: %v", config.Name, err)
		}
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, store.WakesStream, store.DueConsumer()); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(ctx, js, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// faultyConn is an in-process connection whose answers a test can tamper with.
type faultyConn struct {
	nats.InProcessConnProvider
	wrap func(net.Conn) net.Conn
}

func (f faultyConn) InProcessConn() (net.Conn, error) {
	conn, err := f.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	return f.wrap(conn), nil
}

func occurrences(b []byte, s string) int64 { return int64(bytes.Count(b, []byte(s))) }
