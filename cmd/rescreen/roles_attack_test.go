package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/store"
)

// say publishes something with the credentials of a role, and returns when the
// server has dealt with it.
func (s *roleServer) say(role string, m *nats.Msg) {
	s.Helper()
	nc := s.link(role).Conn()
	must(s.T, nc.PublishMsg(m))
	must(s.T, nc.Flush())
}

// delivered publishes a message and has a consumer take it; it returns how that is
// acknowledged.
func (s *roleServer) delivered(consumer jetstream.Consumer, subject string) (reply string) {
	s.Helper()
	_, err := s.admin.Publish(s.Context(), subject, []byte("{}"))
	must(s.T, err)
	batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(longEnough))
	must(s.T, err)
	for m := range batch.Messages() {
		reply = m.Reply()
	}
	must(s.T, batch.Error())
	return reply
}

// unsettled is what a consumer has delivered and nobody has acknowledged.
func (s *roleServer) unsettled(c jetstream.Consumer) int {
	s.Helper()
	info, err := c.Info(s.Context())
	must(s.T, err)
	return info.NumAckPending
}

// A role acknowledges what its own consumers deliver and nothing else, also where the
// name of its stream stands in the place of a number: a server does not mind that.
func TestRolesAcknowledgeTheirOwn(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	for name, config := range map[string]string{"acks": "", "acks of version 2": "feature_flags { js_ack_fc_v2: true }"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRoleServer(t, all, config)
			s.command("setup", "setup")
			jobs, err := s.admin.Consumer(t.Context(), queue.JobsStream, queue.JobsConsumer(queue.DefaultBatch).Durable)
			must(t, err)
			engine, err := s.link("consumer").CreateConsumer(t.Context(), store.ResultsStream, jetstream.ConsumerConfig{
				Durable: "engine", AckPolicy: jetstream.AckExplicitPolicy,
			})
			must(t, err)
			for _, c := range []struct {
				consumer        jetstream.Consumer
				subject         string
				owner, stranger string
				strangers       string // a stream
			}{
				{jobs, "screening.jobs.default", "worker", "consumer", store.ResultsStream},
				{engine, "screening.result.b.j.1", "consumer", "worker", queue.JobsStream},
			} {
				reply := s.delivered(c.consumer, c.subject)
				prefix := "$JS.ACK." + c.consumer.CachedInfo().Stream + "." + c.consumer.CachedInfo().Name
				for _, forged := range []string{
					prefix + "." + c.strangers + ".1.1.1.0", "$JS.ACK." + c.strangers + ".x" + strings.TrimPrefix(prefix, "$JS.ACK") + ".1.1.1.1.0", reply,
				} {
					s.say(c.stranger, &nats.Msg{Subject: forged, Data: []byte("+ACK")})
					if !slices.ContainsFunc(s.log.denied(), func(d string) bool { return strings.HasPrefix(d, c.stranger) && strings.Contains(d, `"`+forged+`"`) }) {
						t.Errorf("%s may publish to %s", c.stranger, forged)
					}
				}
				if n := s.unsettled(c.consumer); n != 1 {
					t.Errorf("%s acknowledges what is delivered by %s", c.stranger, prefix)
				}
				_, err := s.link(c.owner).Conn().Request(reply, []byte("+ACK"), longEnough)
				must(t, err)
				if n := s.unsettled(c.consumer); n != 0 {
					t.Errorf("%s cannot acknowledge what is delivered by %s", c.owner, prefix)
				}
			}
		})
	}
}

// rolledUp are the streams of which one message may remove others: schedules need it,
// and object stores.
var rolledUp = []string{store.WakesStream, store.EvidenceBucketStream}

// No message that a role may publish empties a stream by a header.
func TestRolesRollNothingUp(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	s := newRoleServer(t, all, "")
	s.command("setup", "setup")
	tried := make(map[string]bool) // role and stream
	for _, want := range wantedStreams(1) {
		if slices.Contains(rolledUp, want.Name) {
			continue
		}
		stored := strings.NewReplacer("*", "stored", ">", "stored").Replace(want.Subjects[0])
		if want.Name == store.ResultsStream {
			stored = "screening.result.b.j.1"
		}
		_, err := s.admin.Publish(t.Context(), stored, []byte("{}"))
		must(t, err)
		stream, err := s.admin.Stream(t.Context(), want.Name)
		must(t, err)
		for _, r := range all {
			for _, allowed := range r.publish {
				subject := strings.NewReplacer("*", "tried", ">", "tried").Replace(allowed)
				if !slices.ContainsFunc(want.Subjects, func(pattern string) bool { return server.SubjectMatchesFilter(subject, pattern) }) {
					continue
				}
				tried[r.name+" "+want.Name] = true
				for _, by := range []string{jetstream.MsgRollupAll, jetstream.MsgRollupSubject} {
					m := nats.NewMsg(subject)
					m.Header.Set(jetstream.MsgRollup, by)
					answer, err := s.link(r.name).Conn().RequestMsg(m, longEnough)
					must(t, err)
					if !strings.Contains(string(answer.Data), "rollup not permitted") {
						t.Errorf("%s, %s with %s: %s", r.name, subject, by, answer.Data)
					}
				}
			}
		}
		if _, err := stream.GetLastMsgForSubject(t.Context(), stored); err != nil {
			t.Errorf("%s: %v", stored, err)
		}
	}
	want := []string{
		"operator KV_screening_limits", "submitter KV_screening_batches", "submitter SCREENING_JOBS", "worker KV_screening_batches", "worker KV_screening_limits",
		"worker SCREENING_EVIDENCE", "worker SCREENING_RECORDS", "worker SCREENING_RESULTS",
	}
	if got := slices.Sorted(maps.Keys(tried)); !slices.Equal(got, want) {
		t.Errorf("tried %q", got)
	}
}

// Without roll-ups a bucket does what is asked of it: all but to purge a key.
func TestBucketsWithoutRollups(t *testing.T) {
	js := testJetStream(t)
	_, err := setup(t.Context(), js, setupOptions{})
	must(t, err)
	for _, bucket := range []string{queue.BatchesBucket, store.LimitsBucket} {
		kv, err := js.KeyValue(t.Context(), bucket)
		must(t, err)
		seq, err := kv.Create(t.Context(), "k", []byte("1"))
		must(t, err)
		_, err = kv.Update(t.Context(), "k", []byte("2"), seq)
		must(t, err)
		must(t, kv.Delete(t.Context(), "k"))
		_, err = kv.Put(t.Context(), "k", []byte("3"))
		must(t, err)
		if e, err := kv.Get(t.Context(), "k"); err != nil || string(e.Value()) != "3" {
			t.Errorf("%s: %v, %v", bucket, e, err)
		}
	}
}

// A risk engine with permissions of its own, as deploy/nats/README.md has them, reads
// by its own durable consumer and cannot get at another engine's.
func TestEnginesAreKeptApart(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	for _, name := range []string{"a", "b"} {
		engine := role{name: "engine_" + name, listen: []string{inboxOf("consumer") + "." + name + ".>"}}
		for _, subject := range store.ReadSubjects() {
			if strings.Contains(subject, ".CONSUMER.") || strings.HasPrefix(subject, "$JS.ACK.") {
				subject = strings.Replace(subject, store.ResultsStream+".*", store.ResultsStream+"."+name, 1)
			}
			engine.publish = append(engine.publish, subject)
		}
		all = append(all, engine)
	}
	s := newRoleServer(t, all, "")
	s.command("setup", "setup")
	link := func(name string) jetstream.JetStream {
		nc, err := nats.Connect(s.nats.ClientURL(), nats.UserInfo("engine_"+name, "engine_"+name), nats.CustomInboxPrefix(inboxOf("consumer")+"."+name))
		must(t, err)
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		must(t, err)
		return js
	}
	own, others := link("a"), link("b")
	c, err := own.CreateOrUpdateConsumer(t.Context(), store.ResultsStream, jetstream.ConsumerConfig{
		Durable: "a", FilterSubject: "screening.result.>", AckPolicy: jetstream.AckExplicitPolicy,
	})
	must(t, err)
	reply := s.delivered(c, "screening.result.b.j.1")
	before := len(s.log.denied())
	nc := others.Conn()
	for _, subject := range []string{reply, "$JS.API.CONSUMER.MSG.NEXT.SCREENING_RESULTS.a", "$JS.API.CONSUMER.DELETE.SCREENING_RESULTS.a",
		"$JS.API.CONSUMER.INFO.SCREENING_RESULTS.a", "$JS.API.CONSUMER.CREATE.SCREENING_RESULTS.a", "$JS.API.CONSUMER.CREATE.SCREENING_RESULTS.a.screening.result.>"} {
		must(t, nc.Publish(subject, nil))
	}
	for _, subject := range []string{inboxOf("consumer") + ".>", inboxOf("consumer") + ".a.>", inboxOf("batch export") + ".>"} {
		_, err := nc.SubscribeSync(subject)
		must(t, err)
	}
	must(t, nc.Flush())
	if denied := s.log.denied()[before:]; len(denied) != 9 {
		t.Errorf("another engine was denied %q", denied)
	}
	if n := s.unsettled(c); n != 1 {
		t.Errorf("%d unsettled", n)
	}
	must(t, own.Conn().Publish(reply, []byte("+ACK")))
	must(t, own.DeleteConsumer(t.Context(), store.ResultsStream, "a"))
	must(t, own.Conn().FlushTimeout(time.Minute))
	if denied := s.log.denied()[before:]; len(denied) != 9 {
		t.Errorf("denied %q", denied)
	}
}
