package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest/observer"
)

// roleServer is a nats-server with the permissions that setup prints, a user for
// each role, and an admin who may do everything. The password is the user's name.
type roleServer struct {
	*testing.T
	nats  *server.Server // not embedded: its Errorf would hide the test's
	roles []role
	log   *roleLog
	logs  *observer.ObservedLogs
	admin jetstream.JetStream
}

// newRoleServer starts one. more is configuration.
func newRoleServer(t *testing.T, all []role, more string) *roleServer {
	t.Helper()
	dir := t.TempDir()
	var printed bytes.Buffer
	must(t, printPermissions(&printed, all))
	must(t, os.WriteFile(filepath.Join(dir, "rescreen-permissions.conf"), printed.Bytes(), 0o600))
	var users strings.Builder
	for _, r := range all {
		fmt.Fprintf(&users, "  { user: %s, password: %s, permissions: $%s }\n", r.name, r.name, r.variable())
	}
	config := filepath.Join(dir, "nats.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `include "rescreen-permissions.conf"
listen: "127.0.0.1:-1"
jetstream { store_dir: %q }
accounts {
  SCREENING { jetstream: enabled, users: [
  { user: admin, password: admin }
%s  ] }
}
%s
`, dir, users.String(), more), 0o600))
	options, err := server.ProcessConfigFile(config)
	must(t, err)
	options.NoSigs, options.Trace = true, true
	s := &roleServer{T: t, roles: all, log: &roleLog{}}
	s.nats, err = server.NewServer(options)
	must(t, err)
	s.nats.SetLoggerV2(s.log, false, true, false)
	s.nats.Start()
	t.Cleanup(func() { s.nats.Shutdown(); s.nats.WaitForShutdown() })
	if !s.nats.ReadyForConnections(longEnough) {
		t.Fatal("nats-server is not ready")
	}
	nc, err := nats.Connect(s.nats.ClientURL(), nats.UserInfo("admin", "admin"), nats.Name("admin"))
	must(t, err)
	t.Cleanup(nc.Close)
	s.admin, err = jetstream.New(nc)
	must(t, err)
	return s
}

// roleLog is what a server tells of its users: what they sent, and what it did not
// let them.
type roleLog struct {
	mu         sync.Mutex
	violations []string
	sent       map[string][]string // of a user: "PUB subject", "SUB subject"
}

var (
	// cid:7 - "v1.55.0:go:rescreen worker" - "SCREENING/worker" - <<- [PUB a.b 0]
	tracedLine    = regexp.MustCompile(`"SCREENING/(?:user:)?(\w+)".* - <<- \[(H?PUB|SUB) (\S+)`)
	violationLine = regexp.MustCompile(`"SCREENING/(?:user:)?(\w+)".* - (\w+ Violation.*)`)
)

func (l *roleLog) Tracef(format string, v ...any) {
	if strings.Contains(format, "PAYLOAD") {
		return
	}
	if m := tracedLine.FindStringSubmatch(fmt.Sprintf(format, v...)); m != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.sent == nil {
			l.sent = make(map[string][]string)
		}
		what := strings.TrimPrefix(m[2], "H") + " " + m[3]
		if !slices.Contains(l.sent[m[1]], what) {
			l.sent[m[1]] = append(l.sent[m[1]], what)
		}
	}
}

func (l *roleLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	if strings.Contains(line, "Violation") {
		l.mu.Lock()
		defer l.mu.Unlock()
		if m := violationLine.FindStringSubmatch(line); m != nil {
			line = m[1] + ": " + m[2]
		}
		l.violations = append(l.violations, line)
	}
}

func (l *roleLog) Noticef(string, ...any) {}
func (l *roleLog) Warnf(string, ...any)   {}
func (l *roleLog) Fatalf(string, ...any)  {}
func (l *roleLog) Debugf(string, ...any)  {}

// denied returns what the server did not let anybody do.
func (l *roleLog) denied() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.violations)
}

// of returns what a user has sent.
func (l *roleLog) of(user string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sent[user])
}
