package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// fall is the end, or the long pause, of a worker at its point.
type fall struct {
	fallen
	at time.Time // when it was over, or began
}

// namesSomebody reports whether a text tells who is screened.
func namesSomebody(text string) bool {
	return strings.Contains(text, crashMarker) || strings.Contains(text, crashBorn)
}

// witness hears everything that is published about jobs, refused or not.
type witness struct {
	mu    sync.Mutex
	signs map[string][]time.Time // of life, by <batch>.<job>
	leaks []string
	heard int
}

func newWitness(t *testing.T, nc *nats.Conn) *witness {
	t.Helper()
	w := &witness{signs: map[string][]time.Time{}}
	for _, subject := range []string{"screening.>", "$KV.>", "$O.>"} {
		sub, err := nc.Subscribe(subject, w.hear)
		must(t, err)
		must(t, sub.SetPendingLimits(-1, -1))
	}
	must(t, nc.Flush())
	return w
}

func (w *witness) hear(m *nats.Msg) {
	now, tokens := time.Now(), strings.Split(m.Subject, ".")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard++
	if text := fmt.Sprint(m.Subject, m.Reply, m.Header); namesSomebody(text) {
		w.leaks = append(w.leaks, tokens[0]+"."+tokens[1])
	}
	if len(tokens) >= 4 && tokens[0] == "screening" {
		key := tokens[2] + "." + tokens[3]
		w.signs[key] = append(w.signs[key], now)
	}
}

// signAfter is the first sign of life of a job after a time.
func (w *witness) signAfter(key string, after time.Time) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.signs[key] {
		if at.After(after) {
			return at, true
		}
	}
	return time.Time{}, false
}

// findings is what the oracle found, by <batch>.<job>.
type findings struct {
	ended   map[string]time.Time
	extra   map[string]int // sessions beyond the first
	flagged map[string]bool
}

// blame says whose unknown outcomes are to be explained.
type blame int

const (
	// byFalls: only what a fallen worker held between intent and id may be
	// flagged, and only from POST to id have a second session.
	byFalls blame = iota
	// byAnything: whatever has a second session is flagged.
	byAnything
)

// judge waits until every job has its outcome, and compares what was submitted
// with sessions, results, records and evidence.
func (s *crashSite) judge(patience time.Duration, b blame) findings {
	s.Helper()
	s.awaitOutcomes(patience)
	s.awaitEmpty(queue.JobsStream, 2*time.Minute)
	s.awaitEmpty(store.WakesStream, 2*time.Minute)
	c := check{crashSite: s, findings: findings{
		ended: map[string]time.Time{}, extra: map[string]int{}, flagged: map[string]bool{},
	}, events: map[string]queue.Event{}, records: map[string]worker.Record{}}
	c.read()
	var err error
	c.store, err = store.Open(s.Context(), s.link.JS, time.Now)
	must(s.T, err)
	sessions := 0
	for i := range s.submitted {
		ref := crashRef(i)
		n := s.sessionsOf(ref)
		sessions += n
		if problem := c.job(crashBatch+".job-"+ref, n, b); problem != "" {
			s.Errorf("job %s: %s", ref, problem)
		}
	}
	if total := s.sim.Stats().Sessions; total != sessions {
		s.Errorf("%d sessions at the simulator, %d accounted for", total, sessions)
	}
	s.noLeaks()
	s.Logf("%d jobs, %d sessions, %d with a second one, %d flagged", s.submitted, sessions, len(c.extra), len(c.flagged))
	return c.findings
}

// awaitOutcomes waits until there are as many outcomes as jobs.
func (s *crashSite) awaitOutcomes(patience time.Duration) {
	s.Helper()
	deadline := time.Now().Add(patience)
	for have := uint64(0); ; time.Sleep(100 * time.Millisecond) {
		if have = s.stored(store.ResultsStream); have >= uint64(s.submitted) {
			return
		}
		if time.Now().After(deadline) {
			s.Errorf("after %v %d of %d jobs have an outcome: lost %d", patience, have, s.submitted, uint64(s.submitted)-have)
			s.each(store.RecordsStream, func(m jetstream.Msg) {
				var rec worker.Record
				if err := json.Unmarshal(m.Data(), &rec); err == nil && rec.State != worker.Done {
					s.Logf("open: %s, %s since %v, not before %v, re-creations %d, strikes %v, queue of messages %d, wake-ups %d", m.Subject(), rec.State, rec.Since, rec.NotBefore,
						rec.Recreations, rec.Strikes, s.stored(queue.JobsStream), s.stored(store.WakesStream))
				}
			})
			s.FailNow()
		}
	}
}

// awaitEmpty waits until everything in a stream is acknowledged, and tells what is not.
func (s *crashSite) awaitEmpty(stream string, patience time.Duration) {
	s.Helper()
	began := time.Now()
	for s.stored(stream) > 0 {
		if time.Since(began) > patience {
			found, err := s.link.JS.Stream(s.Context(), stream)
			must(s.T, err)
			info, err := found.Info(s.Context(), jetstream.WithSubjectFilter(">"))
			must(s.T, err)
			s.Errorf("after %v there is something left in %s: %d to %d, %v", patience, stream, info.State.FirstSeq, info.State.LastSeq, info.State.Subjects)
			consumers := found.ListConsumers(s.Context())
			for c := range consumers.Info() {
				s.Logf("%s: %d not delivered, %d not acknowledged, delivered up to %d, acknowledged up to %d",
					c.Name, c.NumPending, c.NumAckPending, c.Delivered.Stream, c.AckFloor.Stream)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	if took := time.Since(began); took > longEnough {
		s.Logf("%s was empty %.1f s after the last outcome", stream, took.Seconds())
	}
}

// stored is how many messages a stream holds.
func (s *crashSite) stored(stream string) uint64 {
	s.Helper()
	info, err := s.info(stream)
	if err != nil {
		return 1 << 32 // out of reach: nothing can be said
	}
	return info.State.Msgs
}

func (s *crashSite) info(stream string) (*jetstream.StreamInfo, error) {
	found, err := s.link.JS.Stream(s.Context(), stream)
	if err != nil {
		return nil, err
	}
	return found.CachedInfo(), nil
}

// each reads all messages of a stream.
func (s *crashSite) each(stream string, see func(jetstream.Msg)) {
	s.Helper()
	if s.stored(stream) == 0 {
		return
	}
	consumer, err := s.link.JS.OrderedConsumer(s.Context(), stream, jetstream.OrderedConsumerConfig{})
	must(s.T, err)
	messages, err := consumer.Messages()
	must(s.T, err)
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextMaxWait(longEnough))
		must(s.T, err)
		see(m)
		meta, err := m.Metadata()
		must(s.T, err)
		if meta.NumPending == 0 {
			return
		}
	}
}

// check is one pass of the oracle.
type check struct {
	*crashSite
	findings
	events  map[string]queue.Event
	records map[string]worker.Record
	store   *store.Store
}

// read reads outcomes and records.
func (c *check) read() {
	c.Helper()
	c.each(store.ResultsStream, func(m jetstream.Msg) {
		e, err := queue.DecodeEvent(m.Data())
		must(c.T, err)
		key := string(e.BatchID) + "." + string(e.JobID)
		if _, twice := c.events[key]; twice {
			c.Errorf("%s has two outcomes", key)
		}
		meta, err := m.Metadata()
		must(c.T, err)
		c.events[key], c.ended[key] = e, meta.Timestamp
	})
	info, err := c.info(store.ResultsStream)
	must(c.T, err)
	if st := info.State; st.NumDeleted > 0 || st.LastSeq != st.Msgs {
		c.Errorf("%d outcomes, and the last is number %d: some were replaced", st.Msgs, st.LastSeq)
	}
	c.each(store.RecordsStream, func(m jetstream.Msg) {
		var rec worker.Record
		must(c.T, json.Unmarshal(m.Data(), &rec))
		c.records[strings.TrimPrefix(m.Subject(), "screening.record.")] = rec
	})
	if len(c.events) != c.submitted || len(c.records) != c.submitted {
		c.Errorf("%d jobs were submitted, and there are outcomes of %d and records of %d", c.submitted, len(c.events), len(c.records))
	}
}

// job checks one job, which has so many sessions, and says what is wrong with it.
func (c *check) job(key string, sessions int, b blame) string {
	e, ok := c.events[key]
	if !ok {
		return "lost"
	}
	r, err := e.Result()
	if err != nil {
		f, _ := e.Failure()
		return "failed: " + string(f.Reason)
	}
	rec := c.records[key]
	if rec.State != worker.Done || rec.Document.SHA256 != r.DocumentSHA256 || rec.PossibleDuplicate != r.PossibleDuplicate {
		return fmt.Sprintf("its record, %s, is not its result's", rec.State)
	}
	kinds := make(map[string]int)
	for _, evidence := range r.Evidence {
		kinds[evidence.Kind]++
		data, err := c.store.Evidence.Get(c.Context(), evidence.SHA256)
		if sum := sha256.Sum256(data); err != nil || hex.EncodeToString(sum[:]) != evidence.SHA256 {
			return fmt.Sprintf("evidence %s: %v", evidence.Kind, err)
		}
	}
	if stored := r.Report.State == queue.ReportStored; kinds[queue.EvidenceDocument] != 1 || stored != (kinds[queue.EvidenceReport] == 1) {
		return fmt.Sprintf("evidence %v, and the report is %s", kinds, r.Report.State)
	}
	if r.PossibleDuplicate {
		c.flagged[key] = true
	}
	if sessions > 1 {
		c.extra[key] = sessions - 1
	}
	flaggable, doubtful := c.stages(key)
	switch {
	case sessions < 1:
		return "a result without a session"
	case sessions > 1 && !r.PossibleDuplicate:
		return fmt.Sprintf("%d sessions and no flag", sessions)
	case sessions > 1+r.Recreations:
		return fmt.Sprintf("%d sessions after %d re-creations", sessions, r.Recreations)
	case b == byFalls && sessions > 1 && !doubtful:
		return fmt.Sprintf("%d sessions, and no worker fell between its POST and its id", sessions)
	case b == byFalls && r.PossibleDuplicate && !flaggable:
		return "flagged, and no worker fell between its intent and its id"
	}
	return ""
}

// stages says where the job stood when workers fell that held it: anywhere
// between intent and id, and between POST and id.
func (s *crashSite) stages(key string) (flaggable, doubtful bool) {
	for _, f := range s.falls {
		stage, held := f.Held[key]
		flaggable = flaggable || held && stage.in(beforeIntent, beforeIDStored)
		// Before the POST: it may have been sent while the others were told to stop.
		doubtful = doubtful || held && stage.in(beforePost, beforeIDStored)
	}
	return flaggable, doubtful
}

// noLeaks looks for people in logs, subjects and headers.
func (s *crashSite) noLeaks() {
	s.Helper()
	for _, p := range s.processes {
		if l, ok := p.log.(*processLog); ok && l.leaked() > 0 {
			s.Errorf("%d lines of a log of %v name somebody", l.leaked(), p.cmd.Args[:2])
		}
	}
	s.witness.mu.Lock()
	if n := len(s.witness.leaks); n > 0 || s.witness.heard < 5*s.submitted {
		s.Errorf("%d of %d subjects and headers on the wire name somebody: %v", n, s.witness.heard, s.witness.leaks[:min(n, 5)])
	}
	s.witness.mu.Unlock()
	bodies := 0
	for stream := range s.streams() {
		if stream == queue.JobsStream || stream == store.WakesStream {
			continue // empty, and a work queue lets nobody read along
		}
		s.each(stream, func(m jetstream.Msg) {
			if namesSomebody(fmt.Sprint(m.Subject(), m.Headers())) {
				s.Errorf("a message of %s names somebody", stream)
			}
			if namesSomebody(string(m.Data())) {
				bodies++
			}
		})
	}
	if bodies == 0 {
		s.Error("nobody is found in results and evidence either: the search finds nothing")
	}
}

func (s *crashSite) streams() map[string]bool {
	s.Helper()
	names, list := map[string]bool{}, s.link.JS.StreamNames(s.Context())
	for name := range list.Name() {
		names[name] = true
	}
	must(s.T, list.Err())
	if len(names) < 7 {
		s.Errorf("streams: %v", names)
	}
	return names
}

// spread is median, 95th percentile and highest of durations, in seconds.
func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	at := func(share float64) float64 { return d[int(share*float64(len(d)-1))].Seconds() }
	return fmt.Sprintf("median %.1f s, 95 %% %.1f s, highest %.1f s", at(0.5), at(0.95), at(1))
}
