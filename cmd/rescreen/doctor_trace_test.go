package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// Whatever the doctor tries, it leaves no trace: no message comes or goes, none is
// taken, no consumer is made or changed, nothing is created at the API.
func TestDoctorLeavesNoTrace(t *testing.T) {
	t.Parallel()
	sim := amlsim.New(amlsim.Config{})
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	site.api.Config.Handler = sim
	// Something that could be taken, acknowledged, replaced or deleted.
	site.publish("screening.jobs."+string(queue.DefaultBatch), "{}")
	site.publish("screening.due.doctor.doctor.doctor", "{}")
	site.publish("screening.record.doctor.doctor", "{}")
	site.publish("screening.result.doctor.doctor.doctor", "{}")
	site.publish("$KV.screening_limits.doctor", "{}")
	site.publish("$KV.screening_batches.doctor", "{}")
	site.park("doctor")
	site.limits(func(l *worker.Limits) {})
	awaitPending(t, site.js, queue.JobsStream, queue.JobsConsumer(queue.DefaultBatch).Durable)
	awaitPending(t, site.js, store.WakesStream, store.DueConsumerName)
	before := traceOf(t, site.js)
	for _, role := range []string{"worker", "submitter", "consumer", "operator", "setup"} {
		if f := named(t, site.look("--role", role), "permissions"); f.Status != statusOK {
			t.Errorf("%s: %+v", role, f)
		}
		if after := traceOf(t, site.js); after != before {
			t.Fatalf("%s left a trace:\n%s\n%s", role, before, after)
		}
	}
	if n := sim.Stats().Sessions; n > 0 {
		t.Errorf("%d sessions were created", n)
	}
}

// awaitPending waits until a consumer has noticed its message, which is some moments after
// the stream has acknowledged it.
func awaitPending(t *testing.T, js jetstream.JetStream, stream, consumer string) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); ; {
		c, err := js.Consumer(t.Context(), stream, consumer)
		must(t, err)
		if c.CachedInfo().NumPending == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d pending", consumer, c.CachedInfo().NumPending)
		}
		<-time.After(10 * time.Millisecond) // the server offers nothing to wait on
	}
}

// traceOf is everything that somebody who uses JetStream can change.
func traceOf(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	type stream struct {
		Config    jetstream.StreamConfig
		State     jetstream.StreamState
		Consumers []any
	}
	all := map[string]stream{}
	streams := js.ListStreams(t.Context())
	for info := range streams.Info() {
		s, err := js.Stream(t.Context(), info.Config.Name)
		must(t, err)
		one := stream{Config: info.Config, State: info.State}
		consumers := s.ListConsumers(t.Context())
		for c := range consumers.Info() {
			one.Consumers = append(one.Consumers, []any{c.Name, c.Config, c.Delivered, c.AckFloor, c.NumAckPending, c.NumRedelivered, c.NumWaiting, c.NumPending})
		}
		must(t, consumers.Err())
		all[info.Config.Name] = one
	}
	must(t, streams.Err())
	if len(all) != 8 || len(all[store.WakesStream].Consumers) != 1 {
		t.Fatalf("%d streams, consumers %v", len(all), all[store.WakesStream].Consumers)
	}
	text, err := json.Marshal(all)
	must(t, err)
	return string(text)
}

// On a cluster, too, all is well, and every answer leaves no doubt.
func TestDoctorOfACluster(t *testing.T) {
	t.Parallel()
	address := startCluster(t)
	js := dialJetStream(t, address)
	_, err := setup(t.Context(), js, setupOptions{})
	must(t, err)
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	site.args = []string{"--server", address}
	for deadline := time.Now().Add(longEnough); ; { // replicas catch up some moments after their stream is made
		found := site.look()
		worst, _ := sumUp(found)
		if worst == statusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not well: %v", found)
		}
	}
	_, err = setup(t.Context(), js, setupOptions{Replicas: 1})
	must(t, err)
	if f := named(t, site.look(), "replicas"); f.Status != statusWarn || f.Do == "" {
		t.Errorf("%+v", f)
	}
}

// Who may ask for little is not told that all is broken: what he may not see is
// unknown, and why. Nothing is waited for that will not come.
func TestDoctorOfSomebodyWhoMayAskLittle(t *testing.T) {
	t.Parallel()
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	site.as(&server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.SCREENING_JOBS", "screening.jobs.*"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_rescreen.submitter.>"}},
	})
	began := time.Now()
	found := site.look("--role", "submitter")
	if took := time.Since(began); took > probeTime-time.Second {
		t.Logf("took %v", took) // a busy machine is no reason to fail
	}
	for name, s := range statuses(found) {
		f := named(t, found, name)
		if (s == statusFail) != (name == "permissions") {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := named(t, found, "streams"); f.Status != statusUnknown || !strings.Contains(f.Found, `this user may not ask: permissions violation: Permissions Violation for Publish to "$JS.API.STREAM.INFO.`) {
		t.Errorf("%+v", f)
	}
}

// With the permissions that setup prints each role may do what it does, and the
// doctor finds nothing broken: what a role may not see is unknown to it, no more.
func TestDoctorOfEachRole(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	s := newRoleServer(t, all, "")
	_, err = setup(t.Context(), s.admin, setupOptions{})
	must(t, err)
	site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
	for _, r := range all {
		site.args = []string{"--server", s.nats.ClientURL(), "--user", r.name, "--password", r.name, "--role", r.name}
		found := site.look()
		if f := named(t, found, "permissions"); f.Status != statusOK {
			t.Errorf("%s: %+v", r.name, f)
		}
		for name, status := range statuses(found) {
			if status == statusFail {
				t.Errorf("%s: %+v", r.name, named(t, found, name))
			}
			if status == statusUnknown && (r.name == "worker" || r.name == "operator") {
				t.Logf("%s does not see %s: %s", r.name, name, named(t, found, name).Found)
			}
		}
		if other := named(t, site.look("--role", map[bool]string{true: "setup", false: "worker"}[r.name == "worker"]), "permissions"); other.Status != statusFail && other.Status != statusUnknown {
			t.Errorf("a %s may do what somebody else does: %+v", r.name, other)
		}
	}
}
