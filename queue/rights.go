package queue

import "github.com/nats-io/nats.go/jetstream"

// The functions of this file list the subjects that a program publishes to for
// what it does with this package: what its user must be allowed where the server
// restricts its users. The answers come on the inbox of the connection.

// SubmitSubjects are those of whoever submits batches: of [Batches], and of [Jobs]
// without pulling.
func SubmitSubjects() []string {
	return append(WatchSubjects(),
		jobsPrefix+"*",
		batchesPrefix+"*",
		api("CONSUMER.INFO", JobsStream, "*"),
		api("CONSUMER.CREATE", JobsStream, "*", jobsPrefix+"*"),
	)
}

// WatchSubjects are those of whoever looks at batches and at what is stored.
func WatchSubjects() []string {
	return []string{
		api("STREAM.INFO", JobsStream),
		api("STREAM.INFO", batchesStream),
		api("DIRECT.GET", batchesStream, batchesPrefix+"*"),
	}
}

// WorkSubjects are those of a worker: of all that is here, without publishing jobs.
func WorkSubjects() []string {
	subjects := append(WatchSubjects(), PullSubjects(JobsStream, "*")...)
	return append(subjects,
		batchesPrefix+"*",
		api("CONSUMER.LIST", JobsStream),
		api("CONSUMER.CREATE", JobsStream, "*", jobsPrefix+"*"),
		api("CONSUMER.DELETE", JobsStream, "*"),
	)
}

// PullSubjects are those of a [Puller], and of settling what it delivers.
func PullSubjects(stream, consumer string) []string {
	name := stream + "." + consumer
	return []string{
		api("CONSUMER.INFO", name),
		api("CONSUMER.MSG.NEXT", name),
		"$JS.ACK." + name + ".*.*.*.*.*",
		// With the domain and the account first, as servers from 2.14 on have it
		// when js_ack_fc_v2 is on, and later ones by themselves. Eleven tokens at
		// least: with fewer it would be of any stream and consumer, as the server does
		// not mind when the number of the first form after them is our name.
		"$JS.ACK.*.*." + name + ".*.*.*.*.>",
	}
}

// api is a subject of the JetStream API.
func api(verb string, tokens ...string) string {
	subject := jetstream.DefaultAPIPrefix + verb
	for _, t := range tokens {
		subject += "." + t
	}
	return subject
}
