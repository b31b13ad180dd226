package main

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// replicas looks whether every stream has its copies, and a leader.
func (n *natsDoctor) replicas(context.Context) finding {
	var found []finding
	known, single := 0, 0
	for _, want := range wantedStreams(1) {
		seen := n.streams[want.Name]
		if seen.err != nil {
			continue
		}
		known++
		if seen.info.Config.Replicas < 3 {
			single++
		}
		found = append(found, replicaFindings(want.Name, seen.info)...)
	}
	embedded := !n.settings.NATS.remote()
	clustered := n.link.Conn.ConnectedClusterName() != ""
	switch {
	case known == 0:
		return notKnown("not tried: see streams")
	case single > 0 && clustered:
		found = append(found, warning("Give them three: rescreen setup", "%d of %d streams have fewer than three copies: what a server holds alone is lost with its disk", single, known))
	case single > 0 && !embedded:
		found = append(found, warning("For production run three NATS servers as a cluster, in three zones, and then rescreen setup.",
			"one server, one copy: when it is down nothing goes on, and what its disk loses is lost"))
	case single > 0:
		return together(found, fine("embedded server: one copy, on this machine's disk"))
	}
	return together(found, fine("all %d streams have their copies, up to date", known))
}

// A copy that writes arrive at is behind by some operations at any moment. Followers
// hear of their leader every second.
const (
	lagging = 1000 // operations
	unheard = 10 * time.Second
)

func replicaFindings(name string, info *jetstream.StreamInfo) []finding {
	if info.Cluster == nil || info.Config.Replicas < 2 {
		return nil
	}
	if info.Cluster.Leader == "" {
		return []finding{failure("Bring the NATS servers back that are down: most of a stream's servers have to be up.", "stream %s has no leader", name)}
	}
	var found []finding
	if others := len(info.Cluster.Replicas); others < info.Config.Replicas-1 {
		found = append(found, warning("Bring the NATS servers back that are gone for good, or put others in their place: until then one more that stops may stop everything.",
			"stream %s: its leader knows of %d of its %d copies", name, others+1, info.Config.Replicas))
	}
	for _, r := range info.Cluster.Replicas {
		switch {
		case r.Offline:
			found = append(found, warning("Bring that NATS server back: until then one more that stops may stop everything.", "stream %s: server %s is offline", name, r.Name))
		case !r.Current && (r.Lag >= lagging || r.Active >= unheard):
			found = append(found, warning("Wait until it has caught up; if it does not, look at that server's log and disk.", "stream %s: server %s is %d operations behind", name, r.Name, r.Lag))
		}
	}
	return found
}

// holders are the servers that hold our streams, in order.
func (n *natsDoctor) holders() []string {
	var all []string
	for _, seen := range n.streams {
		if seen.err != nil || seen.info.Cluster == nil {
			continue
		}
		all = append(all, seen.info.Cluster.Leader)
		for _, r := range seen.info.Cluster.Replicas {
			all = append(all, r.Name)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" })
}
