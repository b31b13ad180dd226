package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// askMonitors asks the monitoring endpoints that are named.
func (d *doctor) askMonitors(ctx context.Context) *monitorDoctor {
	m := &monitorDoctor{doctor: d}
	for _, address := range splitServers(d.settings.NATS.Monitor) {
		m.servers = append(m.servers, monitoredServer{address: address})
	}
	var all sync.WaitGroup
	for i := range m.servers {
		s := &m.servers[i]
		all.Go(func() { s.facts, s.err = readServerFacts(ctx, s.address) })
		all.Go(func() { s.unwell = readServerHealth(ctx, s.address) })
	}
	all.Wait()
	return m
}

// examine judges what they said.
func (m *monitorDoctor) examine(ctx context.Context) []finding {
	return look(ctx, probeTime, []probe{
		{"sync-interval", m.syncInterval},
		{"nats-health", m.health},
		{"nats-storage", m.storage},
	})
}

// monitorDoctor looks at what the servers say about themselves.
type monitorDoctor struct {
	*doctor
	servers []monitoredServer
	holders []string // the servers that hold our streams; none if that is not known
}

type monitoredServer struct {
	address string
	facts   serverFacts
	err     error // of asking for them
	unwell  error
}

func (s monitoredServer) name() string {
	if s.facts.Name != "" {
		return s.facts.Name
	}
	return redactURL(s.address)
}

// unseen says why nothing is known of the servers.
func (m *monitorDoctor) unseen() finding {
	if !m.settings.NATS.remote() {
		return notKnown("the embedded server has no monitoring")
	}
	return notKnown(noMonitor)
}

const noMonitor = "not to be seen without --nats-monitor, the address of nats-server's monitoring (http://host:8222)"

// silent are the findings for those that could not be asked.
func (m *monitorDoctor) silent() []finding {
	var found []finding
	for _, s := range m.servers {
		if s.err != nil {
			found = append(found, warning("See whether --nats-monitor is right, and http_port (or monitor_port) set in that server's configuration.", "%s: %v", s.name(), s.err))
		}
	}
	return found
}

// syncInterval looks whether acknowledged writes are on the disk.
func (m *monitorDoctor) syncInterval(context.Context) finding {
	if !m.settings.NATS.remote() {
		return fine("the embedded server syncs every write to the disk before it counts")
	}
	if len(m.servers) == 0 {
		return m.unseen()
	}
	found := m.silent()
	for _, s := range m.servers {
		switch {
		case s.err != nil:
		case s.facts.JetStream.Config == nil:
			found = append(found, warning("Name the monitoring of servers that hold streams.", "%s: %v", s.name(), errNoJetStream))
		case s.facts.JetStream.Config.interval() > 0:
			found = append(found, warning("Set sync_interval: always in the jetstream block of that server's configuration and restart it. Until then a power failure can take back what was acknowledged: jobs can be lost, and sessions bought twice.",
				"%s syncs to the disk every %s only", s.name(), durationText(s.facts.JetStream.Config.interval())))
		}
	}
	return together(found, m.each("every write is synced to the disk before it counts,"))
}

// health asks each server whether its streams and consumers are well.
func (m *monitorDoctor) health(context.Context) finding {
	if len(m.servers) == 0 {
		return m.unseen()
	}
	var found []finding
	for _, s := range m.servers {
		if s.err == nil {
			if err := checkServerVersion(s.facts.Version); err != nil {
				found = append(found, failure("Update that server too: after a change of leader it decides for the others.", "%s: %v", s.name(), err))
			}
		}
		if s.unwell != nil && s.err == nil {
			found = append(found, failure("Read the log of that server. After an error of its disk it has to be restarted.", "%s says that it is not well: %v", s.name(), s.unwell))
		} else if s.unwell != nil {
			found = append(found, warning("See whether that server runs, and whether --nats-monitor is right.", "%s: %v", s.name(), s.unwell))
		}
	}
	return together(found, m.each("all is well"))
}

// storage looks how much of what JetStream may use on each server is used.
func (m *monitorDoctor) storage(context.Context) finding {
	if len(m.servers) == 0 {
		return m.unseen()
	}
	found := m.silent()
	text := ""
	for _, s := range m.servers {
		config, stats := s.facts.JetStream.Config, s.facts.JetStream.Stats
		if s.err != nil || config == nil || stats == nil || config.Max <= 0 {
			continue
		}
		used := float64(stats.Used) / float64(config.Max)
		f := filling(used, "Give that server more room: raise max_file_store (max_file) in its jetstream block, or its disk. When it is full it takes no more writes, and jobs wait.",
			"%s holds %s of the %s it may, %s are reserved", s.name(), sizeText(stats.Used), sizeText(config.Max), sizeText(stats.Reserved))
		found = append(found, f)
		if text == "" || used > 0 {
			text = fmt.Sprintf("%s holds %s of %s", s.name(), sizeText(stats.Used), sizeText(config.Max))
		}
	}
	if text == "" && len(found) == 0 {
		return notKnown("no server says how much it may hold")
	}
	return together(found, m.all(text))
}

// each is the finding when the same is true of every server that was asked.
func (m *monitorDoctor) each(what string) finding {
	var names []string
	for _, s := range m.servers {
		names = append(names, s.name())
	}
	return m.all(what + " at " + strings.Join(names, ", "))
}

// all is the finding when those that were asked are well; others may not be.
func (m *monitorDoctor) all(text string) finding {
	others := slices.DeleteFunc(slices.Clone(m.holders), m.asked)
	if len(others) == 0 {
		return fine("%s", text)
	}
	f := notKnown("%s; not asked: %s", text, strings.Join(others, ", "))
	f.Do = "Name the monitoring of every server: --nats-monitor URL,URL,…"
	return f
}

// asked reports whether a server was asked.
func (m *monitorDoctor) asked(name string) bool {
	return slices.ContainsFunc(m.servers, func(s monitoredServer) bool { return s.facts.Name == name })
}
