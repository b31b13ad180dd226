package main

import (
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Metadata by which `nats server check stream` and other monitoring tools know
// what to expect of a stream without being told.
const (
	monitorPrefix        = "io.nats.monitor."
	monitorEnabled       = monitorPrefix + "enabled"
	monitorPeers         = monitorPrefix + "peer-expect"
	monitorPeersLag      = monitorPrefix + "peer-lag-critical"  // operations
	monitorPeersLastSeen = monitorPrefix + "peer-seen-critical" // duration
)

const (
	// peerLag is what a replica writes in a few seconds at the highest rate
	// measured: one that is further behind does not catch up.
	peerLag = "10000"
	// peerLastSeen is beyond any election and restart of a healthy server.
	peerLastSeen = "1m"
)

// monitored adds what to expect of a stream of that many replicas. One with a
// single replica has no peers, and to expect any is an error.
func monitored(config jetstream.StreamConfig) jetstream.StreamConfig {
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[monitorEnabled] = "true"
	if config.Replicas > 1 {
		config.Metadata[monitorPeers] = strconv.Itoa(config.Replicas)
		config.Metadata[monitorPeersLag] = peerLag
		config.Metadata[monitorPeersLastSeen] = peerLastSeen
	}
	return config
}

// monitoredAsNow is the metadata to aim at for a stream that has some already.
// How many peers to expect is no matter of taste: it follows the replicas.
func monitoredAsNow(want jetstream.StreamConfig, have map[string]string) map[string]string {
	have = maps.Clone(have)
	delete(have, monitorPeers)
	return mergeMetadata(monitored(want).Metadata, have)
}

// mergeMetadata adds ours to what is there, the server's own entries included.
// What is to be watched is the operator's to decide: such entries are added and
// never changed.
func mergeMetadata(want, have map[string]string) map[string]string {
	if len(want) == 0 {
		return have
	}
	merged := maps.Clone(have)
	if merged == nil {
		merged = map[string]string{}
	}
	for key, value := range want {
		if _, there := merged[key]; !there || !strings.HasPrefix(key, monitorPrefix) {
			merged[key] = value
		}
	}
	return merged
}
