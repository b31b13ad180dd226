package main

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// respectStream returns the configuration to aim at for a stream that exists:
// ours, with what the server fills in by itself and what an operator may
// decide taken from what is there.
func respectStream(want, have jetstream.StreamConfig) jetstream.StreamConfig {
	want.MaxConsumers = have.MaxConsumers
	want.Placement, want.RePublish = have.Placement, have.RePublish
	want.Mirror, want.Sources, want.SubjectTransform = have.Mirror, have.Sources, have.SubjectTransform
	want.MirrorDirect, want.Sealed, want.FirstSeq = have.MirrorDirect, have.Sealed, have.FirstSeq
	want.ConsumerLimits, want.Template = have.ConsumerLimits, have.Template
	want.Metadata = monitoredAsNow(want, have.Metadata)
	want.Subjects = sameOrder(want.Subjects, have.Subjects)
	if want.Compression == jetstream.NoCompression {
		want.Compression = have.Compression
	}
	if want.Duplicates == 0 {
		want.Duplicates = have.Duplicates
	}
	want.MaxAge = longerAge(want.MaxAge, have.MaxAge)
	want.MaxMsgs, want.MaxBytes = unlimited(want.MaxMsgs), unlimited(want.MaxBytes)
	want.MaxMsgSize, want.MaxMsgsPerSubject = unlimited(want.MaxMsgSize), unlimited(want.MaxMsgsPerSubject)
	// A limit of a stream that refuses new messages loses nothing and is the
	// operator's. One of a stream that drops old messages would lose some.
	if want.Discard == jetstream.DiscardNew && have.Discard == jetstream.DiscardNew {
		want.MaxMsgs, want.MaxBytes, want.MaxMsgSize = have.MaxMsgs, have.MaxBytes, have.MaxMsgSize
	}
	return want
}

// longerAge keeps what somebody has decided to keep for longer: to shorten the
// age of a stream deletes what it holds. 0 is for ever.
func longerAge(want, have time.Duration) time.Duration {
	if want == 0 || have == 0 {
		return 0
	}
	return max(want, have)
}

// unlimited is the server's spelling of no limit.
func unlimited[T int32 | int64](limit T) T {
	if limit == 0 {
		return -1
	}
	return limit
}

// sameOrder returns have if it holds the same subjects: their order means
// nothing.
func sameOrder(want, have []string) []string {
	if slices.Equal(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(have))) {
		return have
	}
	return want
}

// respectConsumer does the same for a consumer.
func respectConsumer(want, have jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	want.Name = have.Name // the server repeats the durable name there
	want.Replicas = have.Replicas
	want.PauseUntil = have.PauseUntil // nats consumer pause
	want.RateLimit, want.SampleFrequency = have.RateLimit, have.SampleFrequency
	want.MaxRequestBatch, want.MaxRequestExpires = have.MaxRequestBatch, have.MaxRequestExpires
	want.MaxRequestMaxBytes = have.MaxRequestMaxBytes
	want.Metadata = mergeMetadata(want.Metadata, have.Metadata)
	if want.AckWait == 0 {
		want.AckWait = have.AckWait
	}
	if want.MaxWaiting == 0 {
		want.MaxWaiting = have.MaxWaiting
	}
	if want.MaxDeliver == 0 {
		want.MaxDeliver = -1
	}
	if have.MaxAckPending == -1 || have.MaxAckPending > want.MaxAckPending { // raised for a larger fleet; -1 is no limit
		want.MaxAckPending = have.MaxAckPending
	}
	return want
}

// fixedStreamField reports whether a server refuses this change of an
// existing stream.
func fixedStreamField(field, from, to string) bool {
	switch field {
	case "storage", "persist_mode", "allow_msg_counter":
		return true
	case "retention":
		const workQueue = "workqueue"
		return from == workQueue || to == workQueue
	case "deny_delete", "deny_purge", "allow_msg_ttl", "allow_msg_schedules":
		return from == "true" // can be switched on, not off
	}
	return false
}

// fixedConsumerField reports whether a server refuses this change of an
// existing consumer. The check must be ours: a refused update has been seen
// to destroy the state of the consumer on a single server.
func fixedConsumerField(field, _, _ string) bool {
	switch field {
	case "deliver_policy", "ack_policy", "replay_policy", "max_waiting", "mem_storage", "durable_name",
		"opt_start_seq", "opt_start_time", "idle_heartbeat", "flow_control", "deliver_subject", "deliver_group":
		return true
	}
	return strings.HasPrefix(field, "priority_")
}
