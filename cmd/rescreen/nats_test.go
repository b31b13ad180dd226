package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/queue/natsembed"
)

// guardedServer starts a server that wants a user and a password.
func guardedServer(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Username, o.Password = "anna", "s3cret"
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := startNATS(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func TestConnectAsAUser(t *testing.T) {
	s := guardedServer(t, &server.Options{})
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]natsSettings{
		"password": {User: "anna", Password: "s3cret"},
		"file":     {User: "anna", PasswordFile: password},
		"URL":      {},
	} {
		settings.Server = s.ClientURL()
		if name == "URL" {
			settings.Server = strings.Replace(s.ClientURL(), "nats://", "nats://anna:s3cret@", 1)
		}
		link, err := settings.connect(t.Context(), "test", zap.NewNop())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := link.JS.AccountInfo(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if inbox := link.Conn.NewInbox(); !strings.HasPrefix(inbox, "_INBOX_rescreen.test.") {
			t.Errorf("%s: answers come on %s", name, inbox)
		}
		link.Close()
		select {
		case <-link.Lost:
			t.Errorf("%s: a connection that was closed counts as lost", name)
		default:
		}
	}
}

// The server that a worker of this machine embeds is found by its data
// directory alone.
func TestConnectToTheEmbeddedServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := natsembed.Start(natsembed.Config{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	settings := natsSettings{DataDir: dir}
	link, err := settings.connect(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := setup(t.Context(), link.JS, setupOptions{}); err != nil {
		t.Error(err)
	}
	link.Close()
	password := s.Access().Password
	s.Shutdown()
	_, err = settings.connect(t.Context(), "test", zap.NewNop())
	var exit *exitError
	if !errors.As(err, &exit) || !strings.Contains(exit.hint, "rescreen worker --embedded") || strings.Contains(err.Error()+exit.hint, password) {
		t.Errorf("after its end: %v", err)
	}
}

// A worker connects within its own process, without a listener.
func TestConnectInProcess(t *testing.T) {
	s, err := natsembed.Start(natsembed.Config{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	link, err := inProcess(s).connect(t.Context(), "test", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if _, err := setup(t.Context(), link.JS, setupOptions{}); err != nil {
		t.Error(err)
	}
}

func TestConnectionOptions(t *testing.T) {
	var o nats.Options
	for _, option := range append(baseOptions("n"), nats.CustomInboxPrefix("_INBOX_mine"), ownInbox("n")) {
		if err := option(&o); err != nil {
			t.Fatal(err)
		}
	}
	if o.MaxReconnect != -1 || o.ReconnectBufSize != -1 || o.PingInterval != 10*time.Second || o.MaxPingsOut != 1 || !o.IgnoreAuthErrorAbort || o.InboxPrefix != "_INBOX_mine" {
		t.Errorf("%+v", o)
	}
}

func TestConnectErrorsSayWhatToDo(t *testing.T) {
	s := guardedServer(t, &server.Options{})
	for name, c := range map[string]struct {
		settings   natsSettings
		text, hint string
	}{
		"nobody":    {natsSettings{Server: "nats://x:s3cret@127.0.0.1:1"}, "no NATS server answers at nats://[redacted]@127.0.0.1:1", "--server"},
		"wrong":     {natsSettings{Server: s.ClientURL(), User: "anna", Password: "wr0ng"}, "refuses us", "--password"},
		"no nkey":   {natsSettings{Server: s.ClientURL(), Nkey: "none"}, "--nkey none", ""},
		"no server": {natsSettings{DataDir: "nowhere"}, "no NATS server is named", "--embedded"},
	} {
		_, err := c.settings.connect(t.Context(), "test", zap.NewNop())
		var exit *exitError
		if !errors.As(err, &exit) || !strings.Contains(err.Error(), c.text) || !strings.Contains(exit.hint, c.hint) {
			t.Errorf("%s: %v, %+v", name, err, exit)
			continue
		}
		if all := err.Error() + exit.hint; strings.Contains(all, "s3cret") || strings.Contains(all, "wr0ng") {
			t.Errorf("%s: shows a secret: %s", name, all)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (natsSettings{Server: s.ClientURL()}).connect(ctx, "test", zap.NewNop()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// A connection outlives its server, says so in the log, and shows no secret.
func TestReconnection(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	dir := t.TempDir()
	s := guardedServer(t, &server.Options{StoreDir: dir})
	address := strings.Replace(s.ClientURL(), "nats://", "nats://anna:s3cret@", 1)
	back := make(chan struct{})
	closeBack := sync.OnceFunc(func() { close(back) })
	target := natsTarget{url: address, shown: redactURLs(address), options: []nats.Option{nats.ReconnectWait(10 * time.Millisecond)}}
	link, err := target.connect(t.Context(), "test", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	logged := link.Conn.Opts.ReconnectedCB
	link.Conn.SetReconnectHandler(func(nc *nats.Conn) { logged(nc); closeBack() })
	gone := make(chan struct{})
	closeGone := sync.OnceFunc(func() { close(gone) }) // a try to reconnect that fails half-way is noted too
	noted := link.Conn.Opts.DisconnectedErrCB
	link.Conn.SetDisconnectErrHandler(func(nc *nats.Conn, err error) { noted(nc, err); closeGone() })
	port := s.Addr().String()
	s.Shutdown()
	s.WaitForShutdown()
	select {
	case <-gone:
	case <-time.After(longEnough):
		t.Fatal("the end of the server is not noticed")
	}
	// Fails at once instead of being stored by somebody who has given up.
	if _, err := link.JS.Publish(t.Context(), "x", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("a publish without a server: %v", err)
	}
	again, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: portOf(t, port), Username: "anna", Password: "s3cret", JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	again.Start()
	defer func() { again.Shutdown(); again.WaitForShutdown() }()
	select {
	case <-back:
	case <-time.After(longEnough):
		t.Fatal("no reconnection")
	}
	for _, want := range []string{"connected to NATS", "connection to NATS lost, reconnecting", "reconnected to NATS"} {
		if logs.FilterMessage(want).Len() == 0 {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, line := range logs.All() {
		for _, f := range line.Context {
			if strings.Contains(f.String, "s3cret") || (f.Interface != nil && strings.Contains(textOf(f.Interface), "s3cret")) {
				t.Errorf("%q shows the password in %s", line.Message, f.Key)
			}
		}
	}
}

func textOf(v any) string {
	if err, ok := v.(error); ok {
		return err.Error()
	}
	return ""
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
