package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/synadia-io/orbit.go/natscontext"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"rescreen/queue/natsembed"
)

const (
	// connectTimeout is the longest wait for one server to answer.
	connectTimeout = 5 * time.Second
	// pingInterval finds a dead peer within two intervals, as no more than one
	// ping may be without an answer; the client's own 2 minutes and two pings
	// would leave a worker deaf for six.
	pingInterval     = 10 * time.Second
	pingsOutstanding = 1
)

// natsLink is a connection to NATS and its JetStream.
type natsLink struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	// Lost is closed when the connection has ended for good without having
	// been asked to; a long-running command should end then.
	Lost <-chan struct{}

	closing *atomic.Bool
	denied  *denial
}

// Close ends the connection. Every publish of ours waits for its answer, so
// nothing is left to be flushed.
func (l *natsLink) Close() {
	l.closing.Store(true)
	l.Conn.Close()
}

// natsTarget is where to connect to and as whom.
type natsTarget struct {
	url     string
	context string // of the nats tool; overrides url
	shown   string // for messages: no credentials
	options []nats.Option
	hint    string // what to do when nobody answers there
}

// target turns settings that have passed their checks into a place to connect
// to.
func (s natsSettings) target() (natsTarget, error) {
	t := natsTarget{hint: "Start a server there, or name another with --server (NATS_URL)."}
	if s.InboxPrefix != "" {
		t.options = append(t.options, nats.CustomInboxPrefix(s.InboxPrefix))
	}
	switch {
	case s.Context != "":
		t.context, t.shown = s.Context, "context "+s.Context
		t.hint = "See what the context holds: nats context info " + s.Context
		return t, nil
	case s.Server == "":
		return s.embeddedTarget(t)
	}
	t.url, t.shown = s.Server, redactURLs(s.Server)
	who, err := s.credentials()
	if err != nil {
		return natsTarget{}, usageError(err, "")
	}
	t.options = append(t.options, who...)
	if s.TLSCert != "" {
		t.options = append(t.options, nats.ClientCert(s.TLSCert, s.TLSKey))
	}
	if s.TLSCA != "" {
		t.options = append(t.options, nats.RootCAs(s.TLSCA))
	}
	return t, nil
}

func (s natsSettings) credentials() ([]nats.Option, error) {
	switch {
	case s.Creds != "":
		return []nats.Option{nats.UserCredentials(s.Creds)}, nil // reads the file at each connection: rotation works
	case s.Nkey != "":
		option, err := nats.NkeyOptionFromSeed(s.Nkey)
		if err != nil {
			return nil, fmt.Errorf("--nkey %s: %w", s.Nkey, err)
		}
		return []nats.Option{option}, nil
	case s.User != "":
		password, err := secretValue("--password", s.Password, s.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("--password %w", err)
		}
		return []nats.Option{nats.UserInfo(s.User, password.Reveal())}, nil
	}
	return nil, nil
}

// embeddedTarget finds the server that a worker on this machine has embedded.
func (s natsSettings) embeddedTarget(t natsTarget) (natsTarget, error) {
	const hint = "Name a server with --server (NATS_URL) or --context (NATS_CONTEXT), or start one: rescreen worker --embedded"
	access, err := natsembed.ReadAccess(s.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return natsTarget{}, usageError(fmt.Errorf("no NATS server is named, and none has been embedded under %s", s.DataDir), hint)
	}
	if errors.Is(err, natsembed.ErrNoListener) {
		return natsTarget{}, usageError(fmt.Errorf("the NATS server embedded under %s listens to nobody outside its process", s.DataDir),
			"Start its worker with --embedded-listen 127.0.0.1:4222.")
	}
	if err != nil {
		return natsTarget{}, usageError(fmt.Errorf("access file of the embedded NATS server: %w", err), hint)
	}
	t.url, t.shown = access.URL, access.URL+", embedded under "+s.DataDir
	t.hint = "Is the worker that embeds it still running? Start it again: rescreen worker --embedded --data-dir " + s.DataDir
	t.options = append(t.options, nats.UserInfo(access.User, access.Password))
	return t, nil
}

// inProcess is the way to a server embedded in this very process, which needs
// no socket.
func inProcess(s *natsembed.Server) natsTarget {
	return natsTarget{
		shown: "this process", options: []nats.Option{s.InProcess()},
		hint: "This is a defect of rescreen: please report it.",
	}
}

// connect opens the connection that the settings describe. name tells the
// server's operator who we are.
func (s natsSettings) connect(ctx context.Context, name string, log *zap.Logger) (*natsLink, error) {
	t, err := s.target()
	if err != nil {
		return nil, err
	}
	return t.connect(ctx, name, log)
}

// connect opens the connection, or says why not and what to do. It does not
// try again: at the start a wrong address is likelier than a server that is
// about to come, and whoever starts a service restarts it.
func (t natsTarget) connect(ctx context.Context, name string, log *zap.Logger) (*natsLink, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lost := make(chan struct{})
	link := &natsLink{Lost: lost, closing: &atomic.Bool{}, denied: &denial{}}
	options := append(handlers(log, link.closing, link.denied, lost), baseOptions(name)...)
	options = append(options, t.options...)
	options = append(options, ownInbox(name)) // last: only where nobody else has said which
	settings, err := link.dial(t, options)
	if err != nil {
		return nil, connectError(t, err)
	}
	if err := link.openJetStream(settings); err != nil {
		link.Close()
		return nil, err
	}
	log.Debug("connected to NATS", zap.String("server", t.shown), zap.String("version", link.Conn.ConnectedServerVersion()))
	return link, nil
}

func (l *natsLink) dial(t natsTarget, options []nats.Option) (settings natscontext.Settings, err error) {
	if t.context != "" {
		l.Conn, settings, err = natscontext.Connect(t.context, options...)
		return settings, err
	}
	l.Conn, err = nats.Connect(t.url, options...)
	return settings, err
}

// openJetStream checks the server's version and opens its JetStream, under the
// domain or prefix that a context may hold.
func (l *natsLink) openJetStream(settings natscontext.Settings) (err error) {
	if err := checkServerVersion(l.Conn.ConnectedServerVersion()); err != nil {
		return err
	}
	switch {
	case settings.JSDomain != "":
		l.JS, err = jetstream.NewWithDomain(l.Conn, settings.JSDomain)
	case settings.JSAPIPrefix != "":
		l.JS, err = jetstream.NewWithAPIPrefix(l.Conn, settings.JSAPIPrefix)
	default:
		l.JS, err = jetstream.New(l.Conn)
	}
	return err
}

func baseOptions(name string) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1), // the default gives up after two minutes, and for good
		// Without a buffer a write during an outage fails at once. With it, a
		// publish that was given up could still be stored later (measured).
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOutstanding),
		nats.IgnoreAuthErrorAbort(), // credentials may be rotated under us; two refusals in a row would end the connection
	}
}

// inboxOf is the beginning of the subjects on which a command, or another
// program of a role, gets its answers.
func inboxOf(name string) string {
	return "_INBOX_rescreen." + strings.ReplaceAll(strings.TrimPrefix(name, "rescreen "), " ", "-")
}

// ownInbox gives the connection of a command a prefix of its own for answers, so
// that a server can keep other users from reading them: see [role].
func ownInbox(name string) nats.Option {
	return func(o *nats.Options) error {
		if o.InboxPrefix == "" {
			o.InboxPrefix = inboxOf(name) + "." + nuid.Next()
		}
		return nil
	}
}

// handlers log what happens to the connection. The client's errors name
// subjects and addresses, never credentials or payloads. Of its errors one per
// second is logged: a permission withdrawn makes one for every request.
func handlers(log *zap.Logger, closing *atomic.Bool, denied *denial, lost chan<- struct{}) []nats.Option {
	seldom := log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 1, 0)
	}))
	return []nats.Option{
		nats.ErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if isUserInfoDenied(err) {
				log.Debug("NATS does not let us ask for our rights", zap.Error(err))
				return // nor does anything depend on it
			}
			denied.note(nc, err)
			fields := []zap.Field{zap.Error(err)}
			if sub != nil {
				fields = append(fields, zap.String("subject", sub.Subject))
			}
			seldom.Warn("NATS error", fields...)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if !closing.Load() {
				log.Warn("connection to NATS lost, reconnecting", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("reconnected to NATS", zap.String("server", redactURL(nc.ConnectedUrl())),
				zap.String("version", nc.ConnectedServerVersion()))
		}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if !closing.Load() {
				log.Error("connection to NATS closed for good", zap.Error(nc.LastError()))
				close(lost)
			}
		}),
	}
}

// connectError says where nobody answered, or who refused us, and what to do.
func connectError(t natsTarget, err error) error {
	hint := t.hint
	switch {
	case errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout):
		err = fmt.Errorf("no NATS server answers at %s", t.shown)
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked):
		err = fmt.Errorf("NATS server %s refuses us: %w", t.shown, err)
		hint = "Check --creds, --nkey or --user and --password, and what they may do there."
	case errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted):
		err = fmt.Errorf("NATS server %s: %w", t.shown, err)
		hint = "Use tls://… as the address exactly when the server offers TLS."
	default:
		err = fmt.Errorf("connect to NATS at %s: %w", t.shown, err)
	}
	return failedError(err, hint)
}
