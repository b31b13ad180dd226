package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// setupOptions say how to set up.
type setupOptions struct {
	Replicas int  // of each stream; 0: see autoReplicas
	DryRun   bool // plan only
}

// change is what setup did, or would do, to one stream or consumer.
type change struct {
	Action action        `json:"action"`
	Kind   string        `json:"kind"` // stream, consumer
	Name   string        `json:"name"`
	Fields []fieldChange `json:"fields,omitempty"`

	apply func(context.Context) error // nil when there is nothing to do
}

type action string

const (
	actionCreate    action = "create"
	actionChange    action = "change"
	actionUnchanged action = "unchanged"
	actionRefused   action = "refused" // has a field that cannot change while it exists
)

// fieldChange is a setting of a stream or consumer under its name in NATS.
type fieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
	Fixed bool   `json:"fixed,omitempty"` // cannot change in place
}

// errFixedField is returned by setup when something would have to be deleted
// and made anew, which setup never does.
var errFixedField = errors.New("a setting cannot be changed in place")

// setup brings streams, buckets and the two standing consumers into the shape
// that queue and store ask for. It can be repeated at any time, creates what
// is missing, changes what differs, and never deletes: if anything differs
// that cannot be changed in place, it changes nothing at all and returns
// errFixedField. What it did (or, if DryRun, would do) is returned in order,
// together with an error as far as it came.
//
// What an operator may add is left alone: placement, republishing, mirrors,
// sources, limits for consumers, other metadata, what monitoring is to expect,
// more replicas than asked for by default.
func setup(ctx context.Context, js jetstream.JetStream, o setupOptions) ([]change, error) {
	if err := checkServerVersion(js.Conn().ConnectedServerVersion()); err != nil {
		return nil, err
	}
	if err := checkJetStream(ctx, js); err != nil {
		return nil, err
	}
	plan, err := makePlan(ctx, js, o)
	if err != nil {
		return nil, err
	}
	for _, c := range plan {
		if c.Action == actionRefused {
			return plan, failedError(fmt.Errorf("%s %s: %w", c.Kind, c.Name, errFixedField),
				"Nothing was changed. Let the work that is in it end, keep a copy (nats "+c.Kind+" backup), remove it yourself and run setup again.")
		}
	}
	if o.DryRun {
		return plan, nil
	}
	// Before and after: a run that ends in between leaves no stream without it.
	if err := repairFromStart(ctx, js, plan); err != nil {
		return nil, err
	}
	for i, c := range plan {
		if c.apply == nil {
			continue
		}
		if err := c.apply(ctx); err != nil {
			return plan[:i], fmt.Errorf("%s %s %s: %w", c.Action, c.Kind, c.Name, explainRefusal(err))
		}
	}
	return plan, repairFromStart(ctx, js, plan)
}

// repairFromStart has the repair look at all records again when a stream is
// made: its place in the records was true of the streams there were before.
func repairFromStart(ctx context.Context, js jetstream.JetStream, plan []change) error {
	made := func(name string) bool {
		return slices.ContainsFunc(plan, func(c change) bool { return c.Name == name && c.Action == actionCreate })
	}
	if made(store.LimitsStream) || !made(store.RecordsStream) && !made(store.WakesStream) && !made(store.ResultsStream) {
		return nil
	}
	subject, err := store.RegisterSubject(worker.RepairRegister)
	if err != nil {
		return err
	}
	limits, err := js.Stream(ctx, store.LimitsStream)
	if err == nil {
		err = limits.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("let the repair begin anew: %w", err)
	}
	return nil
}

// checkJetStream tells a server without JetStream from one that is out of
// reach.
func checkJetStream(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.AccountInfo(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return failedError(errors.New("the NATS server runs without JetStream"), "Start it with --jetstream, or jetstream {} in its configuration.")
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return failedError(errors.New("JetStream is not enabled for our NATS account"), "Ask the server's operator to enable it for the account.")
	}
	return fmt.Errorf("ask JetStream for our account: %w", err)
}

// explainRefusal adds what to do to refusals that have a usual cause.
func explainRefusal(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case codeNoPeers, codeReplicasUnsupported:
		return failedError(err, "The cluster has fewer JetStream servers than replicas are asked for: give --replicas 1.")
	case codeNoResources, codeStorageExceeded:
		return failedError(err, "JetStream has less space than the streams may take: raise its limits (max_file_store, or the account's).")
	}
	return err
}

// Error codes of the JetStream API without a name in the client.
const (
	codeNoPeers             jetstream.ErrorCode = 10005
	codeNoResources         jetstream.ErrorCode = 10023
	codeStorageExceeded     jetstream.ErrorCode = 10047
	codeReplicasUnsupported jetstream.ErrorCode = 10074
)

// makePlan compares what is with what should be.
func makePlan(ctx context.Context, js jetstream.JetStream, o setupOptions) ([]change, error) {
	auto := o.Replicas == 0
	replicas := o.Replicas
	if auto {
		replicas = autoReplicas(js)
	}
	var plan []change
	for _, want := range wantedStreams(replicas) {
		c, err := planStream(ctx, js, want, auto)
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", want.Name, err)
		}
		plan = append(plan, c)
	}
	for _, want := range wantedConsumers() {
		c, err := planConsumer(ctx, js, want)
		if err != nil {
			return nil, fmt.Errorf("look up consumer %s: %w", want.name(), err)
		}
		plan = append(plan, c)
	}
	return plan, nil
}

// autoReplicas is 3 on a cluster and 1 on a single server, which refuses more.
func autoReplicas(js jetstream.JetStream) int {
	if js.Conn().ConnectedClusterName() != "" {
		return 3
	}
	return 1
}

func wantedStreams(replicas int) []jetstream.StreamConfig {
	streams := queue.Streams(queue.Options{Replicas: replicas})
	streams = append(streams, bucketStream(queue.BatchesBucketConfig(queue.Options{Replicas: replicas})))
	return append(streams, store.Streams(store.Options{Replicas: replicas})...)
}

type wantedConsumer struct {
	stream string
	config jetstream.ConsumerConfig
}

func (w wantedConsumer) name() string { return w.stream + " " + w.config.Durable }

func wantedConsumers() []wantedConsumer {
	return []wantedConsumer{
		{queue.JobsStream, queue.JobsConsumer(queue.DefaultBatch)},
		{store.WakesStream, store.DueConsumer()},
	}
}

// planStream compares one stream. auto keeps a larger number of replicas that
// somebody has given it.
func planStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, auto bool) (change, error) {
	c := change{Kind: "stream", Name: want.Name}
	existing, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c.Action = actionCreate
		c.apply = func(ctx context.Context) error { _, err := js.CreateStream(ctx, monitored(want)); return err }
		return c, nil
	}
	if err != nil {
		return c, err
	}
	have := existing.CachedInfo().Config
	if auto {
		want.Replicas = max(want.Replicas, have.Replicas)
	}
	want = respectStream(want, have)
	return c.between(have, want, fixedStreamField, func(ctx context.Context) error {
		_, err := js.UpdateStream(ctx, want)
		return err
	})
}

// between completes a change of something that exists.
func (c change) between(have, want any, fixed func(field, from, to string) bool, apply func(context.Context) error) (change, error) {
	fields, err := diffConfigs(have, want, fixed)
	if err != nil {
		return c, err
	}
	c.Fields, c.Action = fields, actionUnchanged
	if len(fields) > 0 {
		c.Action, c.apply = actionChange, apply
	}
	if slices.ContainsFunc(fields, func(f fieldChange) bool { return f.Fixed }) {
		c.Action, c.apply = actionRefused, nil
	}
	return c, nil
}

// planConsumer compares one consumer; its stream may yet have to be created.
func planConsumer(ctx context.Context, js jetstream.JetStream, want wantedConsumer) (change, error) {
	c := change{Kind: "consumer", Name: want.name()}
	existing, err := js.Consumer(ctx, want.stream, want.config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		c.Action = actionCreate
		c.apply = func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, want.stream, want.config)
			return err
		}
		return c, nil
	}
	if err != nil {
		return c, err
	}
	have := existing.CachedInfo().Config
	aim := respectConsumer(want.config, have)
	return c.between(have, aim, fixedConsumerField, func(ctx context.Context) error {
		_, err := js.UpdateConsumer(ctx, want.stream, aim)
		return err
	})
}

// bucketStream is the stream that a client makes for a key-value bucket, but for
// roll-ups: by the header of one message they would remove all others, and only a
// purge of a key needs them, which is not done here. Made as a stream it goes through
// the same plan as all others.
func bucketStream(b jetstream.KeyValueConfig) jetstream.StreamConfig {
	const longestWindow = 2 * 60 * 1e9 // the client's own cap
	s := jetstream.StreamConfig{
		Name: "KV_" + b.Bucket, Description: b.Description, Subjects: []string{"$KV." + b.Bucket + ".>"},
		MaxMsgsPerSubject: max(int64(b.History), 1), MaxBytes: b.MaxBytes, MaxAge: b.TTL, MaxMsgSize: b.MaxValueSize,
		Storage: b.Storage, Replicas: max(b.Replicas, 1), Placement: b.Placement, RePublish: b.RePublish,
		DenyDelete: true, AllowDirect: true, Discard: jetstream.DiscardNew,
		Duplicates: longestWindow, Metadata: maps.Clone(b.Metadata),
		AllowMsgTTL: b.LimitMarkerTTL != 0, SubjectDeleteMarkerTTL: b.LimitMarkerTTL,
	}
	if b.TTL > 0 {
		s.Duplicates = min(s.Duplicates, b.TTL)
	}
	if b.Compression {
		s.Compression = jetstream.S2Compression
	}
	return s
}
