package main

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"rescreen/queue"
)

// scriptWorld does, on the server of the script,
//
//	world result BATCH REF    publish the result of a customer, with evidence
//	world failure BATCH REF   publish the failure of a customer
//	world take BATCH          take its jobs off the stream
//	world put BUCKET KEY VALUE   write into a key-value bucket
//	world limit BYTES         set the size of the job stream
func scriptWorld(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: world WHAT BATCH ARGS")
	}
	ctx, cancel := context.WithTimeout(context.Background(), longEnough)
	defer cancel()
	nc, err := nats.Connect(ts.Getenv("NATS_URL"))
	ts.Check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	ts.Check(err)
	w, err := joinBatchWorld(ctx, js)
	ts.Check(err)
	batch := queue.BatchID(args[1])
	switch args[0] {
	case "result":
		ts.Check(w.publishResult(ctx, batch, args[2], []byte(`{"ref": "`+args[2]+`"}`), []byte("%PDF-1.7 "+args[2])))
	case "failure":
		ts.Check(w.publishFailure(ctx, batch, args[2], queue.Failure{Reason: queue.SessionFailed}))
	case "put":
		kv, err := js.KeyValue(ctx, args[1])
		ts.Check(err)
		_, err = kv.Put(ctx, args[2], []byte(args[3]))
		ts.Check(err)
	case "limit":
		size, err := strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
		ts.Check(w.limitJobs(ctx, size))
	case "take":
		for stored := uint64(1); stored > 0; {
			_, err := w.acknowledgeAll(ctx, batch)
			ts.Check(err)
			all, err := w.jobs.Stored(ctx)
			ts.Check(err)
			stored = all[batch]
		}
	default:
		ts.Fatalf("world %s: unknown", args[0])
	}
}
