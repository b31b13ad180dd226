package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	b.watch = newBatchWatch(desk, b.station.store.Registers, "one", func() time.Time { return b.now }, zap.New(core))
	return b
}

// beside returns another worker's watch.
func (b *batchesAtHand) beside(holder string) *batchWatch {
	return newBatchWatch(b.watch.desk, b.station.store.Registers, holder, func() time.Time { return b.now }, b.watch.log)
}

// requests is how many do makes.
func (b *batchesAtHand) requests(do func()) uint64 {
	before := b.station.link.Conn.Stats().OutMsgs
	do()
	return b.station.link.Conn.Stats().OutMsgs - before
}

// counters is how many consumers count outcomes.
func (b *batchesAtHand) counters() int {
	b.Helper()
	stream, err := b.station.link.JS.Stream(b.Context(), store.ResultsStream)
	must(b, err)
	return stream.CachedInfo().State.Consumers
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
	// are two requests for the claim, two for the names, one in vain for the spoilt one,
	// and four for the one under way.
	if n := b.requests(func() { b.told() }); n > 9 {
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

// Of many batches the youngest are told, and the others not asked for again and again.
func TestBatchMetricsAreBounded(t *testing.T) {
	besideOthers(t)
	b := newBatchesAtHand(t)
	for i := range 5 {
		b.register(queue.Batch{Name: queue.BatchID(fmt.Sprintf("old-%d", i)), State: queue.Submitted, Accepted: 3, StartedAt: b.now.Add(-time.Hour)})
	}
	if told := b.told(); len(told) != 5 || b.counters() != 10 {
		t.Errorf("told are %v by %d counters", told, b.counters())
	}
	for i := range mostBatches {
		b.register(queue.Batch{Name: queue.BatchID(fmt.Sprintf("young-%03d", i)), State: queue.Ended, StartedAt: b.now.Add(time.Duration(i) * time.Second), EndedAt: b.now})
	}
	all := func() {
		t.Helper()
		told := b.told()
		_, youngest := told[fmt.Sprintf("young-%03d", mostBatches-1)]
		_, oldest := told["old-0"]
		if len(told) != mostBatches || !youngest || oldest {
			t.Errorf("%d batches are told; the youngest: %v, an old one: %v", len(told), youngest, oldest)
		}
	}
	all()
	if n := b.requests(all); n > 4 {
		t.Errorf("%d requests, when there is nothing new to be told", n)
	}
	if n := b.counters(); n != 0 {
		t.Errorf("%d counters, when no batch is counted", n)
	}
	// The young ones are over, and make room.
	b.now = b.now.Add(2 * endedBatchLife)
	if told := b.told(); len(told) != 5 {
		t.Errorf("told are %v, want the five old ones", slices.Sorted(maps.Keys(told)))
	}
}

// One worker of a fleet counts, until it stops or has not been heard of for a while.
func TestOneWorkerCountsBatches(t *testing.T) {
	besideOthers(t)
	b := newBatchesAtHand(t)
	b.register(queue.Batch{Name: "under-way", State: queue.Submitted, Accepted: 3, StartedAt: b.now})
	one, two, three := b.watch, b.beside("two"), b.beside("three")
	counts := func(when string, who *batchWatch, others ...*batchWatch) {
		t.Helper()
		for _, w := range append(others, who) {
			got, err := w.read(t.Context())
			must(t, err)
			if (len(got) == 1) != (w == who) {
				t.Errorf("%s: worker %s tells %v", when, w.holder, got)
			}
		}
		if n := b.counters(); n != 2 {
			t.Errorf("%s: %d counters for one batch", when, n)
		}
	}
	counts("first come", one)
	counts("others come", one, two, three)
	b.now = b.now.Add(batchLease - time.Second)
	counts("much later", one)
	counts("much later", one, two)
	b.now = b.now.Add(batchLease)
	got, err := two.read(t.Context()) // the first was silent
	must(t, err)
	if len(got) != 1 {
		t.Errorf("after the end of a claim: told are %v", got)
	}
	counts("the first is back", two, one, three)

	ended, end := context.WithCancel(t.Context())
	end()
	two.loop(&facts{}).run(ended)
	if n := b.counters(); n != 0 {
		t.Errorf("%d counters are left when the worker has stopped", n)
	}
	three.loop(&facts{}).run(ended) // that did not count
	counts("the second has stopped", one)

	// A claim that cannot be read is nobody's.
	_, seq, err := b.station.store.Registers.Load(t.Context(), batchRegister)
	must(t, err)
	_, err = b.station.store.Registers.Commit(t.Context(), batchRegister, []byte("nonsense"), seq)
	must(t, err)
	got, err = three.read(t.Context())
	must(t, err)
	if len(got) != 1 {
		t.Errorf("after nonsense: told are %v", got)
	}
}

// A reading that is interrupted says of no batch that it cannot be counted, and the
// next one goes on.
func TestInterruptedReadingOfBatches(t *testing.T) {
	besideOthers(t)
	b := newBatchesAtHand(t)
	b.register(queue.Batch{Name: "a", State: queue.Ended, StartedAt: b.now, EndedAt: b.now})
	want := map[string][3]float64{"a": {}}
	for i := range 20 {
		name := fmt.Sprintf("b-%02d", i)
		b.register(queue.Batch{Name: queue.BatchID(name), State: queue.Submitted, Accepted: 3, StartedAt: b.now})
		want[name] = [3]float64{3, 0, 0}
	}
	clock := b.watch.now
	for _, when := range []string{"while they are loaded", "while they are counted"} {
		ctx, interrupt := context.WithCancel(t.Context())
		asked := 0
		b.watch.now = func() time.Time {
			if asked++; asked == 2 { // the first is for the claim, the second for the first batch
				interrupt()
			}
			return b.now
		}
		if got, err := b.watch.read(ctx); got != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted %s: told are %v, %v", when, got, err)
		}
		if lines := b.logs.TakeAll(); len(lines) != 0 {
			t.Errorf("interrupted %s: logged are %v", when, lines)
		}
		b.watch.now = clock
		b.want("not interrupted", want)
	}
}

// There is one line about all batches that cannot be read.
func TestManyBatchesThatCannotBeRead(t *testing.T) {
	besideOthers(t)
	b := newBatchesAtHand(t)
	bucket, err := b.station.link.JS.KeyValue(t.Context(), queue.BatchesBucket)
	must(t, err)
	for spoilt, lines := range []int{0, 1, 1} {
		if spoilt > 0 {
			for i := range 10 {
				_, err = bucket.Put(t.Context(), fmt.Sprintf("spoilt-%d-%d", spoilt, i), []byte("nonsense"))
				must(t, err)
			}
		}
		for range 2 {
			b.want("spoilt registers", map[string][3]float64{})
		}
		if got := b.logs.TakeAll(); len(got) != lines || lines > 0 && got[0].ContextMap()["batches"] != int64(10*spoilt) {
			t.Errorf("%d times ten are spoilt: logged are %v", spoilt, got)
		}
	}
}
