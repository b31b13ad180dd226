package store

import "github.com/nats-io/nats.go/jetstream"

// The functions of this file list the subjects that a program publishes to for
// what it does with this package: what its user must be allowed where the server
// restricts its users. The answers come on the inbox of the connection.

// OpenSubjects are those of whoever opens a store, and of its [Clock]. They also
// count what is in its streams.
func OpenSubjects() []string {
	var subjects []string
	for _, s := range Streams(Options{}) {
		subjects = append(subjects, api("STREAM.INFO", s.Name))
	}
	return subjects
}

// WorkSubjects are those of a worker: of all parts of a [Store].
func WorkSubjects() []string {
	subjects := OpenSubjects()
	for _, s := range Streams(Options{}) {
		subjects = append(subjects, api("STREAM.MSG.GET", s.Name))
	}
	return append(subjects,
		recordPrefix+"*.*",
		wakePrefix+"*.*.*",
		resultPrefix+"*.*.*", failurePrefix+"*.*.*",
		evidencePrefix+"*", chunkPrefix+"*", metaPrefix+"*",
		registerPrefix+"*", signalPrefix+"*",
		api("CONSUMER.INFO", WakesStream, DueConsumerName),
	)
}

// CountSubjects are those of whoever counts outcomes and records by consumers of
// its own, which can read them as well.
func CountSubjects() []string {
	return []string{
		api("CONSUMER.CREATE", ResultsStream, "*", resultPrefix+">"), api("CONSUMER.CREATE", ResultsStream, "*", failurePrefix+">"),
		api("CONSUMER.INFO", ResultsStream, "*"),
		api("CONSUMER.DELETE", ResultsStream, "*"),
		api("CONSUMER.CREATE", RecordsStream, "*", recordPrefix+">"),
		api("CONSUMER.DELETE", RecordsStream, "*"),
	}
}

// SignalSubjects are those that a worker subscribes to, see [Signals].
func SignalSubjects() []string { return []string{signalPrefix + "*"} }

// RegisterSubjects are those of whoever reads all registers of a store and
// changes these.
func RegisterSubjects(names ...string) ([]string, error) {
	subjects := append(OpenSubjects(), api("STREAM.MSG.GET", LimitsStream))
	for _, name := range names {
		kept, err := RegisterSubject(name)
		if err != nil {
			return nil, err
		}
		announced, err := SignalSubject(name)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, kept, announced)
	}
	return subjects, nil
}

// ReadSubjects are those of whoever reads outcomes, by consumers of its own, and
// evidence: by [Evidence], or by the object store of any client.
func ReadSubjects() []string {
	return append(OpenSubjects(),
		// By one filter, which the name then holds, or by several.
		api("CONSUMER.CREATE", ResultsStream, "*"), api("CONSUMER.CREATE", ResultsStream, "*", ">"),
		api("CONSUMER.INFO", ResultsStream, "*"),
		api("CONSUMER.DELETE", ResultsStream, "*"),
		api("CONSUMER.MSG.NEXT", ResultsStream, "*"),
		"$JS.ACK."+ResultsStream+".*.*.*.*.*.*",
		"$JS.ACK.*.*."+ResultsStream+".*.*.*.*.*.>", // eleven tokens, see queue.PullSubjects

		api("STREAM.MSG.GET", EvidenceStream), api("STREAM.MSG.GET", EvidenceBucketStream),
		api("CONSUMER.CREATE", EvidenceBucketStream, "*", chunkPrefix+"*"),
		api("CONSUMER.DELETE", EvidenceBucketStream, "*"),
		"$JS.FC."+EvidenceBucketStream+".>",
		"$JS.FC.*.*."+EvidenceBucketStream+".>",
	)
}

// api is a subject of the JetStream API.
func api(verb string, tokens ...string) string {
	subject := jetstream.DefaultAPIPrefix + verb
	for _, t := range tokens {
		subject += "." + t
	}
	return subject
}
