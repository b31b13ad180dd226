package natsembed_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/queue/natsembed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg natsembed.Config) *natsembed.Server {
	t.Helper()
	s, err := natsembed.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, url string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
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

func TestDataAndCredentialsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	first := start(t, natsembed.Config{Dir: dir, SyncAlways: true})
	js := connect(t, "", first.InProcess())
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}, MaxBytes: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "keep", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	js.Conn().Close()
	first.Shutdown()

	second := start(t, natsembed.Config{Dir: dir, Listen: "127.0.0.1:0"})
	if second.Access().Password != first.Access().Password {
		t.Error("the restart made new credentials")
	}
	access, err := natsembed.ReadAccess(dir)
	if err != nil {
		t.Fatal(err)
	}
	js = connect(t, access.URL, nats.UserInfo(access.User, access.Password))
	stream, err := js.Stream(ctx, "KEEP")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := stream.GetMsg(ctx, 1); err != nil || string(msg.Data) != "kept" {
		t.Errorf("after the restart: %v, %v", msg, err)
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, natsembed.Config{Dir: dir})
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "nats-access.json"): 0o600, filepath.Join(dir, "nats.lock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(path), info.Mode().Perm(), want)
		}
	}
}

func TestConnectionsNeedThePassword(t *testing.T) {
	s := start(t, natsembed.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if nc, err := nats.Connect(s.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Errorf("without credentials: %v", err)
	}
	connect(t, s.ClientURL(), nats.UserInfo(s.Access().User, s.Access().Password))
	if printed := fmt.Sprintf("%v %+v %#v %s", s.Access(), s.Access(), s.Access(), s.Access()); strings.Contains(printed, s.Access().Password) {
		t.Error("printing the access shows the password")
	}
}

func TestSecondProcessOnTheDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := start(t, natsembed.Config{Dir: dir})
	if _, err := natsembed.Start(natsembed.Config{Dir: dir}); !errors.Is(err, natsembed.ErrInUse) {
		t.Errorf("while the first runs: %v", err)
	}
	first.Shutdown()
	start(t, natsembed.Config{Dir: dir})
}

func TestAddressesThatAreRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, c := range []struct {
		listen string
		want   error
	}{
		{"0.0.0.0:4222", natsembed.ErrNotLoopback},
		{":4222", natsembed.ErrNotLoopback},
		{"[::]:0", natsembed.ErrNotLoopback},
		{"192.0.2.1:4222", natsembed.ErrNotLoopback},
		{"nats.example:4222", natsembed.ErrNotLoopback},
		{taken.Addr().String(), syscall.EADDRINUSE},
	} {
		if _, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Listen: c.listen}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.listen, err, c.want)
		}
	}
	for _, listen := range []string{"127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"} {
		if _, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Listen: listen}); err == nil {
			t.Errorf("%s is taken", listen)
		}
	}
}

func TestDirectoryIsFreeAfterARefusal(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	dir := t.TempDir()
	if _, err := natsembed.Start(natsembed.Config{Dir: dir, Listen: taken.Addr().String()}); err == nil {
		t.Fatal("two listeners on one address")
	}
	start(t, natsembed.Config{Dir: dir})
}

func TestServerWithoutListenerCannotBeReached(t *testing.T) {
	dir := t.TempDir()
	s := start(t, natsembed.Config{Dir: dir})
	if s.ClientURL() != "" {
		t.Errorf("address %s", s.ClientURL())
	}
	if _, err := natsembed.ReadAccess(dir); !errors.Is(err, natsembed.ErrNoListener) {
		t.Errorf("access: %v", err)
	}
	if _, err := natsembed.ReadAccess(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("access of a directory without server: %v", err)
	}
}

func TestDamagedCredentialsAreReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nats-access.json"), []byte(`{"user":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := natsembed.Start(natsembed.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("error %v", err)
	}
}

func TestAnUneventfulRunLogsNothing(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	s := start(t, natsembed.Config{Dir: t.TempDir(), Log: zap.New(core)})
	s.Shutdown()
	s.Shutdown()
	for _, entry := range logs.All() {
		t.Errorf("at %s: %s", entry.Level, entry.Message)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := natsembed.Start(natsembed.Config{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		s.Shutdown()
	}
}
