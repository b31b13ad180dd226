package store

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Streams and buckets, as `rescreen setup` makes them from [Streams].
const (
	RecordsStream  = "SCREENING_RECORDS"
	WakesStream    = "SCREENING_WAKES"
	EvidenceStream = "SCREENING_EVIDENCE"
	ResultsStream  = "SCREENING_RESULTS"

	// LimitsBucket is a key-value bucket with leader-only reads. Never call
	// CreateOrUpdateKeyValue on it: the client would allow direct reads again.
	LimitsBucket = "screening_limits"
	LimitsStream = "KV_" + LimitsBucket

	// EvidenceBucket is an object store for evidence too large for a message.
	EvidenceBucket       = "screening_evidence"
	EvidenceBucketStream = "OBJ_" + EvidenceBucket

	// DueConsumerName is the durable consumer of the due wake-ups.
	DueConsumerName = "due"
)

const (
	recordPrefix   = "screening.record."
	wakePrefix     = "screening.wake."
	duePrefix      = "screening.due."
	resultPrefix   = "screening.result."
	failurePrefix  = "screening.failure."
	evidencePrefix = "screening.evidence."
	registerPrefix = "$KV." + LimitsBucket + "."
	chunkPrefix    = "$O." + EvidenceBucket + ".C."
	metaPrefix     = "$O." + EvidenceBucket + ".M."
)

// How long things are kept. Each outlives what depends on it, by a day: the
// repair publishes the outcome of a terminal record that has none, so an
// outcome that expired before its record would be published a second time; and
// it does so from the evidence.
const (
	// TerminalAge is how long a final record is kept.
	TerminalAge = 30 * 24 * time.Hour
	// ResultsAge is how long an outcome is kept.
	ResultsAge = TerminalAge + 24*time.Hour
	// EvidenceAge is how long evidence is kept after it was last put. One more
	// day because large evidence is not rewritten within a day of its first writing.
	EvidenceAge = ResultsAge + evidenceFresh
	// evidenceFresh: large evidence found younger than this is not written again.
	evidenceFresh = 24 * time.Hour
)

const (
	// AckWait is how long a delivered due message stays with a worker that says
	// nothing. Steps in flight extend it, so it only has to be longer than the
	// pause between two such signs of life.
	AckWait = 20 * time.Second

	// MaxAckPending bounds the due messages in flight in the whole fleet, and
	// must not be below workers × slots. 65,536 is a thousand workers with
	// the default of 64 slots. Only steps in flight are ever pending, so the number costs
	// nothing; the server's own default of 1,000 would stop 16 workers.
	MaxAckPending = 65_536
)

// Options of the streams.
type Options struct {
	// Replicas of every stream: 1 (also for 0) or 3 or 5.
	Replicas int
}

// Streams returns the streams this package lives in, buckets included, for
// `setup` to create or update. All are on file. Where reads decide what is done
// next, AllowDirect is off: a direct get may be answered by a replica that lags
// (6.9 % of reads of one's own acknowledged write were older, measured on three servers).
//
// Where a stream may discard new messages it does, so that a limit set by an
// operator is an error to the writer and never a loss. DenyDelete keeps a
// single message from being removed by mistake: a deleted record could be created
// anew and its session bought again. Erasing is done by overwriting.
// Purging stays possible, it is an operator's deliberate act.
func Streams(o Options) []jetstream.StreamConfig {
	replicas := max(o.Replicas, 1)
	return []jetstream.StreamConfig{
		{
			Name:        RecordsStream,
			Description: "rescreen: the state of each job; the one authority",
			Subjects:    []string{recordPrefix + ">"},
			Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
			Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1,
			AllowMsgTTL: true, DenyDelete: true,
		},
		{
			// Schedules force roll-ups and purging and forbid DiscardNew. Never set a
			// byte limit here: it would drop wake-ups. No age: a due message must
			// outlive a long outage. What no consumer asks for (screening.wake) stays.
			Name:        WakesStream,
			Description: "rescreen: scheduled wake-ups, and those that are due",
			Subjects:    []string{wakePrefix + ">", duePrefix + ">"},
			Retention:   jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: replicas,
			Discard: jetstream.DiscardOld, MaxMsgsPerSubject: 1,
			AllowMsgSchedules: true, AllowRollup: true,
		},
		{
			// Content-addressed. A second write of the same bytes replaces the first
			// and so starts its age anew.
			Name:        EvidenceStream,
			Description: "rescreen: JSON and PDF exactly as received, by SHA-256",
			Subjects:    []string{evidencePrefix + "*"},
			Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
			Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, MaxAge: EvidenceAge,
			DenyDelete: true,
		},
		{
			Name:        ResultsStream,
			Description: "rescreen: completed and failed screenings, as CloudEvents",
			Subjects:    []string{resultPrefix + ">", failurePrefix + ">"},
			Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
			Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, MaxAge: ResultsAge,
			DenyDelete: true,
		},
		{
			// What the client would make for a bucket, but for AllowDirect and AllowRollup:
			// one message with the header Nats-Rollup would remove all the others.
			Name:        LimitsStream,
			Description: "rescreen: the fleet's limits, and other registers",
			Subjects:    []string{registerPrefix + ">"},
			Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
			Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1,
			DenyDelete: true,
		},
		{
			// What the client would make for an object store, but for AllowDirect.
			Name:        EvidenceBucketStream,
			Description: "rescreen: evidence above 512 KiB",
			Subjects:    []string{chunkPrefix + ">", metaPrefix + ">"},
			Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
			Discard: jetstream.DiscardNew, MaxAge: EvidenceAge,
			AllowRollup: true,
		},
	}
}

// DueConsumer returns the consumer of due wake-ups on [WakesStream]: explicit
// ack, delivered again for ever (the worker counts attempts in the record).
// No BackOff: with it, a delayed nak of 1 s took 5 s (measured).
func DueConsumer() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       DueConsumerName,
		Description:   "rescreen: wake-ups whose time has come",
		FilterSubject: duePrefix + ">",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		MaxDeliver:    -1,
		MaxAckPending: MaxAckPending,
		// By these the nats tool and others know what to expect: it delivers
		// nothing once MaxAckPending is reached; 512 pull requests may wait, by the
		// server's default; and when as many messages as there may be open sessions by
		// default are due and not delivered, nobody takes any.
		Metadata: map[string]string{
			"io.nats.monitor.enabled":                  "true",
			"io.nats.monitor.outstanding-ack-critical": strconv.Itoa(MaxAckPending * 9 / 10),
			"io.nats.monitor.waiting-critical":         "500",
			"io.nats.monitor.unprocessed-critical":     "10000",
		},
	}
}
