package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/queue/queuetest"
	"rescreen/store"
)

// The corpus of hostile jobs on a real stream: what the stream takes fails
// visibly, in one delivery, or is screened; and nothing that leaves a worker
// repeats whom it was about.
func TestCampaignHostileJobs(t *testing.T) {
	besideOthers(t)
	s := newFaultSite(t, amlsim.Config{})
	good := []queue.Job{customer("Good", 0, false), customer("Good", 1, true), customer("Good", 2, false)}
	s.submit(good[0])
	expected, odd := make(map[string]queuetest.HostileJob), 0
	all := good[:len(good):len(good)]
	for i, h := range queuetest.HostileJobs() {
		ack, err := s.link.JS.PublishMsg(t.Context(), &nats.Msg{Subject: queue.JobSubject("b"), Data: h.Data, Header: h.Header})
		if tooLarge(err) {
			if len(h.Data) <= queue.MaxJobBytes {
				t.Errorf("%s: %v", h.Name, err)
			}
			continue
		}
		must(t, err)
		if !h.Screened {
			h.ID = fmt.Sprintf("invalid-%d", ack.Sequence)
		} else {
			odd++
		}
		expected[h.ID] = h
		all = append(all, queue.Job{ID: queue.JobID(h.ID)})
		if i == 50 {
			s.submit(good[1])
		}
	}
	s.submit(good[2])
	if len(expected) < 100 || odd < 10 {
		t.Fatalf("%d of the corpus are on the stream, %d of them jobs", len(expected), odd)
	}
	w := s.worker("rescreen", s.server.Access().URL, s.api.URL)
	events := s.outcomes(60*time.Second, all...)
	s.unharmed(events, good...)
	for id, h := range expected {
		e := events[queue.JobID(id)]
		f, _ := e.Failure()
		if h.Screened != (e.Type == queue.TypeCompleted) || !h.Screened && f.Reason != queue.InvalidJob {
			t.Errorf("%s: %q, %+v", h.Name, e.Type, f)
		}
	}
	stream, err := s.link.JS.Stream(t.Context(), queue.JobsStream)
	must(t, err)
	consumer, err := stream.Consumer(t.Context(), "jobs-b")
	must(t, err)
	w.stop()
	info, err := consumer.Info(t.Context())
	must(t, err)
	if info.NumRedelivered > 0 || info.Delivered.Consumer != uint64(len(all)) || info.NumPending+uint64(info.NumAckPending) > 0 {
		t.Errorf("%d deliveries of %d messages, %d again, %d left", info.Delivered.Consumer, len(all), info.NumRedelivered, info.NumPending)
	}
	s.checkPrivacy(w)
}

// tooLarge reports whether the server does not take a message for its size.
func tooLarge(err error) bool {
	var refused *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &refused) && refused.ErrorCode == 10054
}

// checkPrivacy looks for a person in the log of a worker and in what it has
// written: subjects, headers, and the failures.
func (s *faultSite) checkPrivacy(w *faultWorker) {
	s.t.Helper()
	said := w.log.String()
	for _, name := range []string{store.ResultsStream, store.RecordsStream, store.WakesStream, store.EvidenceStream} {
		stream, err := s.link.JS.Stream(s.t.Context(), name)
		must(s.t, err)
		info, err := stream.Info(s.t.Context())
		must(s.t, err)
		for seq := info.State.FirstSeq; seq != 0 && seq <= info.State.LastSeq; seq++ {
			m, err := stream.GetMsg(s.t.Context(), seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			must(s.t, err)
			said += m.Subject + fmt.Sprint(m.Header)
			if strings.HasPrefix(m.Subject, "screening.failure.") {
				said += string(m.Data)
			}
		}
	}
	for _, word := range queuetest.Canaries() {
		if n := strings.Count(said, word); n > 0 {
			s.t.Errorf("%d times in what is visible to all: %s", n, word)
		}
	}
}
