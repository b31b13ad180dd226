// Package natsembed runs JetStream within the process, for installations of
// one machine: files under a data directory, a listener on loopback for the
// other commands, and a password that they find in the data directory.
package natsembed

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Config describes an embedded server.
type Config struct {
	// Dir is the data directory; it is made with mode 0700. Streams lie in
	// Dir/jetstream, credentials in Dir/nats-access.json.
	Dir string
	// Listen is a loopback address such as 127.0.0.1:4222, port 0 for any free
	// one. Empty means no listener: connections come from this process only.
	Listen string
	// SyncAlways makes every acknowledged write survive a power failure. Without
	// it, one within the last two minutes survives the process, not the machine.
	// With it a publish takes 0.26 ms instead of 0.02.
	SyncAlways bool
	// Log takes the server's own log; nil for none. Notices come at debug level.
	Log *zap.Logger
}

// Errors of Start.
var (
	// ErrInUse: another process runs on the data directory.
	ErrInUse = errors.New("data directory is in use by another process")
	// ErrNotLoopback: the listener would be reachable from other machines, for
	// which the embedded server has neither TLS nor users.
	ErrNotLoopback = errors.New("not a loopback address")
)

// Files in the data directory, and the rights on them.
const (
	lockFile = "nats.lock"
	dirMode  = 0o700
	fileMode = 0o600
)

// maxStore is what JetStream believes it may fill. The server would take 75 %
// of what is free at its start and refuse a stream whose limit exceeds it; the
// disk is the bound, and the job stream has one of its own.
const maxStore = math.MaxInt64 / 4

// Server is JetStream in this process.
type Server struct {
	nats   *server.Server
	access Access
	lock   *flock.Flock
	stop   sync.Once
}

// Start starts the server and returns when it takes connections, with the
// streams of earlier runs recovered. Whoever started it calls Shutdown.
//
// Errors: ErrInUse, ErrNotLoopback, an address that is taken
// (syscall.EADDRINUSE), or those of the file system.
func Start(cfg Config) (*Server, error) {
	s, err := start(cfg)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	return s, nil
}

func start(cfg Config) (*Server, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no data directory")
	}
	host, port, err := loopback(cfg.Listen)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, dirMode); err != nil {
		return nil, err
	}
	s := &Server{lock: flock.New(filepath.Join(cfg.Dir, lockFile), flock.SetPermissions(fileMode))}
	locked, err := s.lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, fmt.Errorf("%s: %w", cfg.Dir, ErrInUse)
	}
	if err := s.run(cfg, host, port); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

// run starts the server on the locked data directory.
func (s *Server) run(cfg Config, host string, port int) error {
	access, err := loadAccess(cfg.Dir)
	if err != nil {
		return err
	}
	if cfg.Listen != "" {
		// The server would only log that the address is taken.
		if err := free(host, port); err != nil {
			return err
		}
	}
	log := &natsLog{log: cfg.Log}
	if log.log == nil {
		log.log = zap.NewNop()
	}
	nats, err := server.NewServer(options(cfg, access, host, port))
	if err != nil {
		return err
	}
	s.nats = nats
	// Neither debug nor trace: traces hold the payloads.
	nats.SetLoggerV2(log, false, false, false)
	nats.Start() // returns when ready, or after something fatal was logged
	if err := log.fatal(); err != nil {
		return err
	}
	access.URL = ""
	if cfg.Listen != "" {
		access.URL = nats.ClientURL()
	}
	s.access = access
	return access.save(cfg.Dir)
}

func options(cfg Config, access Access, host string, port int) *server.Options {
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return &server.Options{
		ServerName:             "rescreen-embedded",
		Host:                   host,
		Port:                   port,
		DontListen:             cfg.Listen == "",
		JetStream:              true,
		StoreDir:               cfg.Dir, // the server adds "jetstream"
		JetStreamMaxStore:      maxStore,
		SyncAlways:             cfg.SyncAlways,
		NoSigs:                 true, // signals are the program's
		DisableJetStreamBanner: true,
		// The server's own check of a password warns of one in plain text. This
		// one is random and as long as a key.
		CustomClientAuthentication: access,
	}
}

// loopback splits a listen address and refuses one that other machines reach.
func loopback(listen string) (host string, port int, err error) {
	if listen == "" {
		return "", 0, nil
	}
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address: %w", err)
	}
	port, err = strconv.Atoi(portText)
	if err != nil || port < 0 || port > math.MaxUint16 {
		return "", 0, fmt.Errorf("listen address %s: port is not a number from 0 to 65535", listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, fmt.Errorf("listen address %s: %w", listen, ErrNotLoopback)
	}
	return host, port, nil
}

func free(host string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// InProcess returns the option for connections from this process, which need
// no listener and no other credentials.
func (s *Server) InProcess() nats.Option {
	return func(o *nats.Options) error {
		o.User, o.Password = s.access.User, s.access.Password
		return nats.InProcessServer(s.nats)(o)
	}
}

// ClientURL returns the address for connections from other processes, "" if
// there is no listener. They need the credentials of Access.
func (s *Server) ClientURL() string { return s.access.URL }

// Access returns what other processes of this machine connect with.
func (s *Server) Access() Access { return s.access }

// Shutdown stops the server, waits until its files are closed and gives the
// data directory free. Connections see the server go. It may be called again.
func (s *Server) Shutdown() {
	s.stop.Do(func() {
		if s.nats != nil {
			s.nats.Shutdown()
			s.nats.WaitForShutdown()
		}
		_ = s.lock.Close() // the lock ends with the file, whatever it says
	})
}
