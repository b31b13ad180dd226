package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
)

// natsDoctor looks at NATS over one connection.
type natsDoctor struct {
	*doctor
	target natsTarget
	link   *natsLink

	mu      sync.Mutex
	denials []string // what the server did not allow
	waiting []asked  // for answers

	streams   map[string]streamSeen
	consumers map[string]consumerSeen
}

// streamSeen is what a stream's leader says about it.
type streamSeen struct {
	info          *jetstream.StreamInfo
	err           error
	before, after time.Time // when it was asked and answered, by the local clock
}

type consumerSeen struct {
	info *jetstream.ConsumerInfo
	err  error
}

// examineServers looks at NATS by a connection and, at the same time, by the monitoring.
func (d *doctor) examineServers(ctx context.Context) []finding {
	var m *monitorDoctor
	var all sync.WaitGroup
	all.Go(func() { m = d.askMonitors(ctx) })
	found, holders := d.examineNATS(ctx)
	all.Wait()
	m.holders = holders
	return append(found, m.examine(ctx)...)
}

// examineNATS connects and makes all checks that need a connection. It also returns the
// servers that hold our streams, as far as these say.
func (d *doctor) examineNATS(ctx context.Context) ([]finding, []string) {
	n := &natsDoctor{doctor: d}
	name := probe{name: "nats-connection"}
	if len(d.settings.NATS.problems()) > 0 {
		return notTried(append([]probe{name}, n.probes()...), "the settings of NATS are wrong, see configuration"), nil
	}
	connected, version := n.connect(ctx)
	connected.Name = name.name
	if n.link == nil {
		found := append([]finding{connected}, notTried(n.probes(), "NATS is not reachable")...)
		if version.Found != "" {
			version.Name = found[1].Name
			found[1] = version
		}
		return found, nil
	}
	defer n.link.Close()
	n.survey(ctx)
	return append([]finding{connected}, look(ctx, probeTime, n.probes())...), n.holders()
}

// probes are the checks that need a connection; the first is about the version.
func (n *natsDoctor) probes() []probe {
	return []probe{
		{"nats-version", n.version},
		{"nats-servers", n.servers},
		{"nats-round-trip", n.roundTrip},
		{"nats-clock", n.clock},
		{"jetstream", n.jetStream},
		{"streams", n.allThere},
		{"stream-settings", n.drift},
		{"replicas", n.replicas},
		{"permissions", n.permissions},
		{"stream-space", n.streamSpace},
		{"account-space", n.accountSpace},
		{"limits", n.limits},
		{"open-sessions", n.openSessions},
		{"due-wakeups", n.dueWakeups},
		{"dead-wakeups", n.deadWakeups},
	}
}

// connectTime is what all servers together get to answer.
const connectTime = 9 * time.Second

// connect opens the connection. Without one it says why in the one finding or, if it
// is the server's version, in the other.
func (n *natsDoctor) connect(ctx context.Context) (connection, version finding) {
	t, err := n.settings.NATS.target()
	if err == nil {
		each := connectTime / time.Duration(max(len(splitServers(t.url)), 2))
		t.options = append(t.options, nats.Timeout(min(each, connectTimeout)))
		if n.settings.NATS.InboxPrefix == "" {
			t.options = append(t.options, nats.CustomInboxPrefix(roleInbox(n.role)))
		}
		n.target = t
		n.link, err = t.connect(ctx, "rescreen doctor", n.log)
	}
	var exit *exitError
	var old *oldServerError
	switch {
	case errors.As(err, &old) && errors.As(err, &exit):
		return fine("%s answers", t.shown), failure(exit.hint, "%v", err)
	case errors.As(err, &exit):
		return failure(exit.hint, "%v", err), finding{}
	case err != nil:
		return failure("", "%v", err), finding{}
	}
	n.link.Conn.SetErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
		n.link.denied.note(nc, err)
		n.note(err)
	})
	server := n.link.Conn.ConnectedServerName()
	if cluster := n.link.Conn.ConnectedClusterName(); cluster != "" {
		server += " of cluster " + cluster
	}
	return fine("connected to %s at %s", server, redactURL(n.link.Conn.ConnectedUrl())), finding{}
}

// survey asks for everything that is set up, once for all checks.
func (n *natsDoctor) survey(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	n.streams, n.consumers = map[string]streamSeen{}, map[string]consumerSeen{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, want := range wantedStreams(1) {
		all.Go(func() {
			seen := streamSeen{before: n.now()}
			ctx, cancel := n.asking(ctx, want.Name)
			defer cancel()
			stream, err := n.link.JS.Stream(ctx, want.Name)
			if seen.after = n.now(); err == nil {
				seen.info = stream.CachedInfo()
			}
			seen.err = err
			mu.Lock()
			defer mu.Unlock()
			n.streams[want.Name] = seen
		})
	}
	for _, want := range wantedConsumers() {
		all.Go(func() {
			var seen consumerSeen
			ctx, cancel := n.asking(ctx, want.config.Durable)
			defer cancel()
			consumer, err := n.link.JS.Consumer(ctx, want.stream, want.config.Durable)
			if seen.err = err; err == nil {
				seen.info = consumer.CachedInfo()
			}
			mu.Lock()
			defer mu.Unlock()
			n.consumers[want.name()] = seen
		})
	}
	all.Wait()
}

// trouble is the finding for what could not be asked.
func (n *natsDoctor) trouble(what string, err error) finding {
	if denied := n.denied(what); denied != "" {
		return notKnown("%s: this user may not ask: %s", what, denied)
	}
	switch diagnosis := n.link.diagnose(err); diagnosis.Kind {
	case kindMissing:
		return failure("Make what is missing: rescreen setup", "%s does not exist", what)
	case kindTimeout, kindAbsent:
		return failure("See which NATS servers are up (nats server list, with a user of the system account): without the majority of its servers a stream has no leader and answers nothing.",
			"%s: no answer", what)
	default:
		do := diagnosis.Do
		if do != "" {
			do = strings.ToUpper(do[:1]) + do[1:] + "."
		}
		return failure(do, "%s: %v", what, err)
	}
}

// asking bounds a request that names something, and ends it as soon as the server says that
// it is not allowed: there will be no answer.
func (n *natsDoctor) asking(ctx context.Context, name string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = append(n.waiting, asked{name, cancel})
	if slices.ContainsFunc(n.denials, func(denial string) bool { return about(denial, name) }) {
		cancel()
	}
	return ctx, cancel
}

// asked is a request under way, or one that has ended.
type asked struct {
	name string
	end  context.CancelFunc
}

// note takes in an error of the connection.
func (n *natsDoctor) note(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.denials = append(n.denials, err.Error())
	for _, a := range n.waiting {
		if about(err.Error(), a.name) {
			a.end()
		}
	}
}

// about reports whether a denial is about a subject that names something, or about answers,
// and so about everything.
func about(denial, name string) bool {
	return strings.Contains(denial, "."+name+`"`) || strings.Contains(denial, "."+name+".") || strings.Contains(denial, `Violation for Subscription to "_INBOX`)
}

// denied is what the server said about a request that names something.
func (n *natsDoctor) denied(what string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := what[strings.LastIndexByte(what, ' ')+1:]
	for _, text := range n.denials {
		if about(text, name) {
			return strings.TrimPrefix(text, "nats: ")
		}
	}
	return ""
}

// version looks at the server that answers; connect has refused older ones.
func (n *natsDoctor) version(context.Context) finding {
	return fine("nats-server %s; %s or newer is needed", n.link.Conn.ConnectedServerVersion(), serverFloor)
}

// servers connects to each server that is named, for the connection tells only of one.
func (n *natsDoctor) servers(context.Context) finding {
	named := n.link.Conn.Opts.Servers // those of a context, too
	if len(named) < 2 {
		return fine("one is named, and it answers")
	}
	found := make([]finding, len(named))
	var all sync.WaitGroup
	for i, server := range named {
		all.Go(func() { found[i] = n.oneServer(server) })
	}
	all.Wait()
	return together(found, fine("all %d that are named answer", len(named)))
}

func (n *natsDoctor) oneServer(address string) finding {
	shown := redactURL(address)
	o := n.link.Conn.Opts // with the credentials of a context
	o.Url, o.Servers, o.Timeout = "", []string{address}, probeTime/2
	o.IgnoreDiscoveredServers, o.AllowReconnect = true, false
	o.AsyncErrorCB, o.DisconnectedErrCB, o.ReconnectedCB, o.ClosedCB = nil, nil, nil, nil
	conn, err := o.Connect()
	if err != nil {
		return warning("Start this server again, or take it out of --server. Until then the others have to do, and one more that stops may stop everything.",
			"%s does not let us in: %v", shown, err)
	}
	defer conn.Close()
	if err := checkServerVersion(conn.ConnectedServerVersion()); err != nil {
		return failure("Update that server too: after a change of leader it decides for the others.", "%s: %v", shown, err)
	}
	return fine("%s answers", shown)
}

// slowTrip: departure times of calls are leased 50 ms ahead, so that answers slower
// than that come when the time has passed.
const slowTrip = 50 * time.Millisecond

// roundTrip measures how long the server takes to answer; the best of five counts.
func (n *natsDoctor) roundTrip(ctx context.Context) finding {
	best := time.Duration(0)
	for range 5 {
		began := time.Now()
		if err := n.link.Conn.FlushWithContext(ctx); err != nil {
			return failure("See whether the server is overloaded or the network between is.", "no answer to a ping: %v", err)
		}
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
	}
	if best > slowTrip {
		return warning("Run the workers near the NATS servers: permits for calls are leased 50 ms ahead, and with slower answers many are missed.", "a ping takes %s", tripText(best))
	}
	return fine("a ping takes %s", tripText(best))
}

func tripText(d time.Duration) string {
	if d < time.Millisecond {
		return "less than 1 ms"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// accountName is what the request for the account is known by.
const accountName = "API.INFO"

// jetStream asks for the account. Streams that answer prove as much.
func (n *natsDoctor) jetStream(ctx context.Context) finding {
	for _, s := range n.streams {
		if s.err == nil {
			return fine("enabled: streams answer")
		}
	}
	ctx, cancel := n.asking(ctx, accountName)
	defer cancel()
	err := checkJetStream(ctx, n.link.JS)
	if err == nil {
		return fine("enabled for our account")
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return failure(exit.hint, "%v", err)
	}
	if n.denied(accountName) != "" {
		return notKnown("this user may not ask for the account, and no stream answers")
	}
	return failure("Ask the server's operator whether JetStream runs and has a leader: nats server report jetstream", "%v", err)
}

// allThere looks whether all streams, buckets and standing consumers exist.
func (n *natsDoctor) allThere(context.Context) finding {
	var found []finding
	for _, want := range wantedStreams(1) {
		if seen := n.streams[want.Name]; seen.err != nil {
			found = append(found, n.trouble("stream "+want.Name, seen.err))
		}
	}
	for _, want := range wantedConsumers() {
		if seen := n.consumers[want.name()]; seen.err != nil && n.streams[want.stream].err == nil {
			found = append(found, n.trouble("consumer "+want.name(), seen.err))
		}
	}
	return together(found, fine("all %d streams and %d consumers exist", len(wantedStreams(1)), len(wantedConsumers())))
}

// harmless are settings that may differ without a job being in danger.
func harmless(field string) bool {
	return field == "description" || field == "num_replicas" || strings.HasPrefix(field, "metadata ")
}

// What the nats tool needs where users have the permissions of a role.
const (
	asSetup = " Where users have the permissions of roles, nats needs setup's credentials and its --inbox-prefix (_INBOX_rescreen.setup)."
	noRole  = " Where users have the permissions of roles, that takes one who may do more: no role makes snapshots or deletes."
)

// drift compares the settings of what exists with what they should be.
func (n *natsDoctor) drift(ctx context.Context) finding {
	if n.blind() {
		return notKnown("not tried: this user may not look at all streams, see streams")
	}
	plan, err := makePlan(ctx, n.link.JS, setupOptions{})
	if err != nil {
		return n.trouble("a stream", err)
	}
	var found []finding
	for _, c := range plan {
		if c.Action != actionChange && c.Action != actionRefused {
			continue
		}
		var fields []string
		mild := true
		for _, f := range c.Fields {
			fields = append(fields, fmt.Sprintf("%s is %s and should be %s", f.Field, f.Old, f.New))
			mild = mild && harmless(f.Field)
		}
		text := c.Kind + " " + c.Name + ": " + strings.Join(fields, ", ")
		switch {
		case c.Action == actionRefused && c.Kind == "consumer":
			found = append(found, failure("What cannot be changed in place has to be made anew: let its work end, remove it (nats consumer rm "+c.Name+"), and run rescreen setup."+noRole, "%s", text))
		case c.Action == actionRefused:
			found = append(found, failure("What cannot be changed in place has to be made anew: let its work end, keep a copy (nats backup stream "+c.Name+" …), remove it and run rescreen setup."+noRole, "%s", text))
		case mild:
			found = append(found, warning("Put it right: rescreen setup (with --dry-run it shows what would change).", "%s", text))
		default:
			found = append(found, failure("Put it right: rescreen setup (with --dry-run it shows what would change).", "%s", text))
		}
	}
	return together(found, fine("as rescreen setup makes them"))
}

// blind reports whether something could not be looked at, for another reason than that
// it does not exist.
func (n *natsDoctor) blind() bool {
	for _, s := range n.streams {
		if s.err != nil && !isNotFound(s.err) {
			return true
		}
	}
	for _, c := range n.consumers {
		if c.err != nil && !isNotFound(c.err) {
			return true
		}
	}
	return false
}

// jobs is the state of the stream of jobs.
func (n *natsDoctor) jobs() (jetstream.StreamState, bool) {
	seen := n.streams[queue.JobsStream]
	if seen.err != nil {
		return jetstream.StreamState{}, false
	}
	return seen.info.State, true
}
