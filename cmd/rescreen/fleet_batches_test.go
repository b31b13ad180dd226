package main

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/queue"
	"rescreen/store"
)

// batchesAtHand is a register of batches, their outcomes and a watch over them.
type batchesAtHand struct {
	*testing.T
	station *station
	watch   *batchWatch
	logs    *observer.ObservedLogs
	now     time.Time
}

func newBatchesAtHand(t *testing.T) *batchesAtHand {
	site := newTroubleSite(t)
	b := &batchesAtHand{T: t, station: quietStation(t, site.server.ClientURL(), workerUser, "w"), now: time.Now().UTC()}
	core, logs := observer.New(zap.WarnLevel)
	b.logs = logs
	desk := &batchDesk{js: b.station.link.JS, jobs: b.station.jobs, batches: b.station.batches}
	b.watch = newBatchWatch(desk, func() time.Time { return b.now }, zap.New(core))
	return b
}

func (b *batchesAtHand) register(batch queue.Batch) {
	b.Helper()
	_, err := b.station.batches.Register(b.Context(), batch)
	must(b, err)
}

func (b *batchesAtHand) outcome(batch string, n int, failed bool) {
	b.Helper()
	key := store.Key{Batch: batch, Job: fmt.Sprintf("j-%d", n)}
	_, err := b.station.store.Outcomes.Publish(b.Context(), store.Outcome{Key: key, Attempt: 1, Failed: failed, Value: []byte("{}")})
	must(b, err)
}

// told is expected, done and failed of each batch that is told.
func (b *batchesAtHand) told() map[string][3]float64 {
	b.Helper()
	f := &facts{batches: fact[[]batchStatus]{at: time.Now()}, streams: map[string]*fact[streamFact]{queue.JobsStream: {}, store.WakesStream: {}}}
	var err error
	f.batches.is, err = b.watch.read(b.Context())
	must(b, err)
	told := make(map[string][3]float64)
	got := gathered(b, factsCollector{facts: f, slots: 64, callTime: func() time.Duration { return 0 }})
	for _, s := range f.batches.is {
		var counts [3]float64
		for i, state := range []string{"expected", "done", "failed"} {
			name := fmt.Sprintf(`batch_jobs{batch="%s",state="%s"}`, s.Name, state)
			value, there := got[name]
			if !there {
				b.Errorf("no %s", name)
			}
			counts[i] = value
		}
		told[string(s.Name)] = counts
	}
	return told
}

func (b *batchesAtHand) want(when string, want map[string][3]float64) {
	b.Helper()
	if got := b.told(); !maps.Equal(got, want) {
		b.Errorf("%s: told are %v, want %v", when, got, want)
	}
}

// Batches are told from their registration until an hour after their end, and
// one that cannot be read does not keep the others.
func TestBatchMetrics(t *testing.T) {
	besideOthers(t)
	b := newBatchesAtHand(t)
	b.want("no batches", map[string][3]float64{})
	ago := func(d time.Duration) time.Time { return b.now.Add(-d) }
	b.register(queue.Batch{Name: "long-ago", State: queue.Ended, Accepted: 3, StartedAt: ago(5 * time.Hour), EndedAt: ago(4 * time.Hour)})
	b.register(queue.Batch{Name: "of-late", State: queue.Ended, Accepted: 2, StartedAt: ago(3 * time.Hour), EndedAt: ago(59 * time.Minute)})
	b.register(queue.Batch{Name: "under-way", State: queue.Submitted, Accepted: 3, StartedAt: ago(time.Hour)})
	b.outcome("of-late", 1, false)
	b.outcome("of-late", 2, true)
	b.outcome("under-way", 1, false)
	b.want("one under way", map[string][3]float64{"of-late": {2, 1, 1}, "under-way": {3, 1, 0}})

	bucket, err := b.station.link.JS.KeyValue(t.Context(), queue.BatchesBucket)
	must(t, err)
	_, err = bucket.Put(t.Context(), "spoilt", []byte("nonsense"))
	must(t, err)
	for range 2 {
		b.want("a register that is spoilt", map[string][3]float64{"of-late": {2, 1, 1}, "under-way": {3, 1, 0}})
	}
	if n := b.logs.Len(); n != 1 {
		t.Errorf("%d lines about one batch", n)
	}

	// What is over is not asked for again, and what has ended not counted again: there
	// are two requests for the names, one in vain for the spoilt one, and five for the
	// one under way.
	before := b.station.link.Conn.Stats().OutMsgs
	b.told()
	if n := b.station.link.Conn.Stats().OutMsgs - before; n > 8 {
		t.Errorf("%d requests for one batch under way", n)
	}

	// Who looks at a batch notices its end.
	b.outcome("under-way", 2, false)
	b.outcome("under-way", 3, false)
	b.want("all have ended", map[string][3]float64{"of-late": {2, 1, 1}, "under-way": {3, 3, 0}})
	b.now = b.now.Add(2 * time.Minute)
	b.want("one ended an hour ago", map[string][3]float64{"under-way": {3, 3, 0}})
	b.now = b.now.Add(time.Hour)
	b.want("both did", map[string][3]float64{})
}

// Of many batches the youngest are told.
func TestBatchMetricsAreBounded(t *testing.T) {
	besideOthers(t)
	b := newBatchesAtHand(t)
	for i := range mostBatches + 5 {
		b.register(queue.Batch{Name: queue.BatchID(fmt.Sprintf("b-%03d", i)), State: queue.Ended, StartedAt: b.now.Add(time.Duration(i) * time.Second), EndedAt: b.now})
	}
	told := b.told()
	_, youngest := told[fmt.Sprintf("b-%03d", mostBatches+4)]
	_, oldest := told["b-004"]
	if len(told) != mostBatches || !youngest || oldest {
		t.Errorf("%d batches are told; the youngest: %v, an old one: %v", len(told), youngest, oldest)
	}
}
