package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/store/storetest"
)

// gate stands between a worker and everything around it. Shut, it makes the
// worker a process that is paused: whatever it asks or is answered waits, and
// what it asked for may have happened. Dead, it makes it a process that was
// killed: nothing it still does has any effect. A script may do either at any
// call.
type gate struct {
	name   string
	script *script // nil: nothing befalls its calls

	mu   sync.Mutex
	hold chan struct{} // closed when the gate opens; nil while it is open
	dead chan struct{} // closed by kill
}

func newGate(name string, s *script) *gate {
	return &gate{name: name, script: s, dead: make(chan struct{})}
}

var errDead = errors.New("this worker was killed")

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold == nil {
		g.hold = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold != nil {
		close(g.hold)
		g.hold = nil
	}
}

func (g *gate) kill() {
	g.mu.Lock()
	if !g.killed() {
		close(g.dead)
	}
	g.mu.Unlock()
	g.open()
}

func (g *gate) killed() bool {
	select {
	case <-g.dead:
		return true
	default:
		return false
	}
}

// pass waits while the gate is shut.
func (g *gate) pass() error {
	for {
		g.mu.Lock()
		hold := g.hold
		g.mu.Unlock()
		switch {
		case g.killed():
			return errDead
		case hold == nil:
			return nil
		}
		<-hold
	}
}

// meet does to the worker what the script has for it.
func (g *gate) meet(f fate) {
	switch {
	case f == (fate{}), g.killed(), !g.script.spend():
	case f.dies:
		g.kill()
	case f.pauses > 0:
		g.shut()
		time.AfterFunc(f.pauses, g.open)
	}
}

// through makes a call whose question and answer pass the gate.
func through[T any](g *gate, op, key string, call func() (T, error)) (v T, err error) {
	var none T
	turn := g.script.turn(g.name, op, key)
	time.Sleep(turn.ahead)
	g.meet(turn.before)
	if err := g.pass(); err != nil {
		return none, err
	}
	v, err = call()
	time.Sleep(turn.behind)
	g.script.note(g.name, op, key, err)
	g.meet(turn.after)
	if dead := g.pass(); dead != nil {
		return none, dead
	}
	return v, err
}

func throughErr(g *gate, op, key string, call func() error) error {
	_, err := through(g, op, key, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// behind puts everything a worker works with behind the gate.
func (g *gate) behind(d Deps, api apiclient.Config) (Deps, error) {
	api.Transport = gatedTransport{g, api.Transport}
	client, err := apiclient.New(api)
	if err != nil {
		return Deps{}, err
	}
	d.Sessions, d.Entities = client, client
	d.Ledger = gatedLedger{g, d.Ledger}
	d.Wakes = gatedWakes{g, d.Wakes}
	d.Outcomes = gatedOutcomes{g, d.Outcomes}
	d.Evidence = gatedEvidence{g, d.Evidence}
	d.Registers = gatedRegisters{g, d.Registers}
	d.Signals = gatedSignals{g, d.Signals}
	d.Due = gatedDue{g, d.Due}
	d.Jobs = gatedJobs{g, d.Jobs}
	return d, nil
}

type gatedTransport struct {
	*gate
	next http.RoundTripper
}

func (t gatedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return through(t.gate, r.Method, r.URL.Path, func() (*http.Response, error) { return t.next.RoundTrip(r) })
}

type gatedLedger struct {
	*gate
	next Ledger
}

func (l gatedLedger) Load(ctx context.Context, key store.Key) (store.Record, error) {
	return through(l.gate, storetest.OpLedgerLoad, key.String(), func() (store.Record, error) { return l.next.Load(ctx, key) })
}

func (l gatedLedger) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	return through(l.gate, storetest.OpLedgerCommit, key.String(), func() (uint64, error) { return l.next.Commit(ctx, key, value, after, final) })
}

func (l gatedLedger) Next(ctx context.Context, after uint64) (store.Record, error) {
	return through(l.gate, storetest.OpLedgerNext, "", func() (store.Record, error) { return l.next.Next(ctx, after) })
}

type gatedWakes struct {
	*gate
	next Wakes
}

func (w gatedWakes) Park(ctx context.Context, wake store.Wake) error {
	return throughErr(w.gate, storetest.OpWakesPark, wake.Key.String(), func() error { return w.next.Park(ctx, wake) })
}

func (w gatedWakes) Parked(ctx context.Context, key store.Key, attempt int) (bool, error) {
	return through(w.gate, storetest.OpWakesParked, key.String(), func() (bool, error) { return w.next.Parked(ctx, key, attempt) })
}

func (w gatedWakes) Next(ctx context.Context, after uint64) (store.ParkedWake, error) {
	return through(w.gate, storetest.OpWakesNext, "", func() (store.ParkedWake, error) { return w.next.Next(ctx, after) })
}

func (w gatedWakes) Open(ctx context.Context) (int, error) {
	return through(w.gate, storetest.OpWakesOpen, "", func() (int, error) { return w.next.Open(ctx) })
}

type gatedOutcomes struct {
	*gate
	next Outcomes
}

func (o gatedOutcomes) Publish(ctx context.Context, out store.Outcome) (bool, error) {
	return through(o.gate, storetest.OpOutcomesPublish, out.Key.String(), func() (bool, error) { return o.next.Publish(ctx, out) })
}

func (o gatedOutcomes) Exists(ctx context.Context, key store.Key, attempt int, failed bool) (bool, error) {
	return through(o.gate, storetest.OpOutcomesExists, key.String(), func() (bool, error) { return o.next.Exists(ctx, key, attempt, failed) })
}

type gatedEvidence struct {
	*gate
	next Evidence
}

func (e gatedEvidence) Put(ctx context.Context, data []byte) (string, error) {
	return through(e.gate, storetest.OpEvidencePut, "", func() (string, error) { return e.next.Put(ctx, data) })
}

func (e gatedEvidence) Get(ctx context.Context, sha256 string) ([]byte, error) {
	return through(e.gate, storetest.OpEvidenceGet, "", func() ([]byte, error) { return e.next.Get(ctx, sha256) })
}

type gatedRegisters struct {
	*gate
	next Registers
}

func (r gatedRegisters) Load(ctx context.Context, name string) (value []byte, seq uint64, err error) {
	value, err = through(r.gate, storetest.OpRegistersLoad, name, func() (v []byte, err error) {
		v, seq, err = r.next.Load(ctx, name)
		return v, err
	})
	return value, seq, err
}

func (r gatedRegisters) Commit(ctx context.Context, name string, value []byte, after uint64) (uint64, error) {
	return through(r.gate, storetest.OpRegistersCommit, name, func() (uint64, error) { return r.next.Commit(ctx, name, value, after) })
}

type gatedSignals struct {
	*gate
	next Signals
}

func (s gatedSignals) Announce(name string, value []byte) error {
	return throughErr(s.gate, storetest.OpSignalsAnnounce, name, func() error { return s.next.Announce(name, value) })
}

func (s gatedSignals) Listen(name string, heard func(value []byte)) (stop func(), err error) {
	return s.next.Listen(name, func(value []byte) {
		_ = throughErr(s.gate, "signals.heard", name, func() error { heard(value); return nil })
	})
}

type gatedDue struct {
	*gate
	next Due
}

func (d gatedDue) Pull(ctx context.Context, limit int, wait time.Duration) ([]*queue.Delivery, error) {
	got, err := through(d.gate, "due.pull", "", func() ([]*queue.Delivery, error) { return d.next.Pull(ctx, limit, wait) })
	return d.gated(got), err
}

type gatedJobs struct {
	*gate
	next Jobs
}

func (j gatedJobs) Backlog(ctx context.Context) ([]queue.BatchBacklog, error) {
	return through(j.gate, "jobs.backlog", "", func() ([]queue.BatchBacklog, error) { return j.next.Backlog(ctx) })
}

func (j gatedJobs) Pull(ctx context.Context, batch queue.BatchID, limit int) ([]*queue.Delivery, error) {
	got, err := through(j.gate, "jobs.pull", string(batch), func() ([]*queue.Delivery, error) { return j.next.Pull(ctx, batch, limit) })
	return j.gated(got), err
}

// gated returns the deliveries with answers that pass the gate.
func (g *gate) gated(deliveries []*queue.Delivery) []*queue.Delivery {
	behind := make([]*queue.Delivery, len(deliveries))
	for i, d := range deliveries {
		b := queue.NewDelivery(d.Subject, d.Data, d.Header, &gatedAcker{gate: g, next: d})
		b.Stream, b.Sequence, b.Delivered, b.Pending, b.Stored = d.Stream, d.Sequence, d.Delivered, d.Pending, d.Stored
		behind[i] = b
	}
	return behind
}

// gatedAcker sends the answers to one delivery, in order.
type gatedAcker struct {
	*gate
	next *queue.Delivery
	last chan struct{} // closed when the last one is through
}

// Settle does not wait, as the client does not.
func (a *gatedAcker) Settle(s queue.Settlement) error {
	key := fmt.Sprint(a.next.Stream, a.next.Sequence)
	before, done := a.last, make(chan struct{})
	a.last = done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		_ = throughErr(a.gate, "settle", key, func() error {
			switch s.Answer {
			case queue.Acked:
				return a.next.Ack()
			case queue.HandedBack:
				return a.next.Nak(s.Delay)
			case queue.Working:
				return a.next.InProgress()
			default:
				return a.next.Term(s.Reason)
			}
		})
	}()
	return nil
}
