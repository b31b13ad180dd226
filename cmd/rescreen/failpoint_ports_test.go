package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// The points at the worker's ports: each decorator says which calls they are.

type mortalLedger struct {
	*failpoint
	worker.Ledger
}

func (l mortalLedger) Commit(ctx context.Context, key store.Key, value []byte, after uint64, final bool) (uint64, error) {
	var rec worker.Record
	if err := json.Unmarshal(value, &rec); err != nil {
		return 0, err
	}
	var before, done point
	switch {
	case rec.State == worker.Creating:
		before, done = beforeIntent, intentCommitted
	case rec.State == worker.Waiting && l.stage(key) == postAnswered:
		before, done = beforeIDStored, idStored
	case rec.State == worker.Done:
		before, done = beforeRecord, recordCommitted
	}
	l.pass(before, key)
	late := l.lateFor(key)
	if late {
		// As if it had been on its way already: its own deadline, which has
		// passed meanwhile, must not be what holds it back.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), longEnough)
		defer cancel()
	}
	seq, err := l.Ledger.Commit(ctx, key, value, after, final)
	if late {
		l.tried(errors.Is(err, store.ErrConflict))
	}
	if err == nil {
		l.pass(done, key)
	}
	return seq, err
}

type mortalOutcomes struct {
	*failpoint
	worker.Outcomes
}

func (o mortalOutcomes) Publish(ctx context.Context, out store.Outcome) (bool, error) {
	first, err := o.Outcomes.Publish(ctx, out)
	if err == nil {
		o.pass(outcomePublished, out.Key)
	}
	return first, err
}

type mortalEvidence struct {
	*failpoint
	worker.Evidence
}

func (e mortalEvidence) Put(ctx context.Context, data []byte) (string, error) {
	sha, err := e.Evidence.Put(ctx, data)
	if err == nil {
		e.mu.Lock()
		key := e.fetched[&data[0]]
		delete(e.fetched, &data[0])
		e.mu.Unlock()
		e.pass(evidenceStored, key)
	}
	return sha, err
}

type mortalEntities struct {
	*failpoint
	worker.Entities
}

func (e mortalEntities) Document(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref, link string) ([]byte, error) {
	data, err := e.Entities.Document(ctx, admit, ref, link)
	if err == nil {
		e.pass(jsonFetched, e.fetch(ref, data))
	}
	return data, err
}

func (e mortalEntities) Report(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref, link string) (apiclient.Report, error) {
	report, err := e.Entities.Report(ctx, admit, ref, link)
	if err == nil {
		e.pass(pdfFetched, e.fetch(ref, report.Bytes))
	}
	return report, err
}

// fetch notes whose bytes were fetched.
func (e mortalEntities) fetch(ref apiclient.Ref, data []byte) store.Key {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := e.sessions[ref.ID]
	e.fetched[&data[0]] = key
	return key
}

type mortalDue struct {
	*failpoint
	next worker.Due
}

func (d mortalDue) Pull(ctx context.Context, limit int, wait time.Duration) ([]*queue.Delivery, error) {
	d.pass(beforePull, store.Key{})
	got, err := d.pull(func() ([]*queue.Delivery, error) { return d.next.Pull(ctx, limit, wait) }, d.take)
	if len(got) > 0 {
		d.pass(pollDue, store.Key{})
	}
	return got, err
}

// take is what becomes of one due message; nil when it is refused.
func (d mortalDue) take(delivery *queue.Delivery) (*queue.Delivery, error) {
	key, _, err := store.DueKey(delivery.Subject)
	if err != nil {
		return nil, err
	}
	var wake struct {
		Session apiclient.SessionID `json:"session"`
	}
	if err := json.Unmarshal(delivery.Data, &wake); err != nil || d.refuses(delivery, wake.Session != "") {
		return nil, err
	}
	d.mu.Lock()
	d.sessions[wake.Session] = key
	d.mu.Unlock()
	return d.behind(delivery, key, pollDue), nil
}

type mortalJobs struct {
	*failpoint
	worker.Jobs
}

func (j mortalJobs) Pull(ctx context.Context, batch queue.BatchID, limit int) ([]*queue.Delivery, error) {
	j.pass(beforePull, store.Key{})
	got, err := j.pull(func() ([]*queue.Delivery, error) { return j.Jobs.Pull(ctx, batch, limit) },
		func(delivery *queue.Delivery) (*queue.Delivery, error) {
			job, err := queue.DecodeJob(delivery.Data)
			if err != nil || j.refuses(delivery, true) {
				return nil, err
			}
			return j.behind(delivery, store.Key{Batch: string(batch), Job: string(job.ID)}, afterPull), nil
		})
	if len(got) > 0 {
		j.pass(afterPull, store.Key{})
	}
	return got, err
}

// refuses gives back what is left over from somebody else: a job that meets one
// death after another waits ever longer, and its time would say nothing.
func (f *failpoint) refuses(d *queue.Delivery, good bool) bool {
	if good && d.Delivered == 1 {
		return false
	}
	_ = d.Nak(200 * time.Millisecond) // lost: it comes again by itself
	return true
}

// behind is the delivery with the points of its acknowledgement.
func (f *failpoint) behind(d *queue.Delivery, key store.Key, p point) *queue.Delivery {
	b := queue.NewDelivery(d.Subject, d.Data, d.Header, mortalAcker{f, d, key})
	b.Stream, b.Sequence, b.Delivered, b.Pending, b.Stored = d.Stream, d.Sequence, d.Delivered, d.Pending, d.Stored
	f.took(key, p)
	return b
}

type mortalAcker struct {
	*failpoint
	next *queue.Delivery
	key  store.Key
}

func (a mortalAcker) Settle(s queue.Settlement) error {
	switch s.Answer {
	case queue.Working:
		return a.next.InProgress()
	case queue.HandedBack:
		defer a.settled(a.key)
		return a.next.Nak(s.Delay)
	case queue.Terminated:
		defer a.settled(a.key)
		return a.next.Term(s.Reason)
	}
	defer a.settled(a.key)
	a.pass(beforeAck, a.key)
	err := a.next.Ack()
	a.pass(acked, a.key)
	return err
}

type mortalSessions struct {
	*failpoint
	worker.Sessions
}

// callFor is the key under which the context of a creation holds its job.
type callFor struct{}

func (s mortalSessions) CreateSession(ctx context.Context, admit apiclient.Admit, q apiclient.Query) (apiclient.SessionID, error) {
	ctx = context.WithValue(ctx, callFor{}, s.personKey(q.LastName.Reveal()))
	return s.Sessions.CreateSession(ctx, admit, q)
}

// api implements faults: the client gets a transport with points in it, and in
// its connections.
func (f *failpoint) api(c *apiclient.Config) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	c.Transport = mortalTransport{f, &http.Transport{
		MaxIdleConnsPerHost: 64, // as the client's own
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			return mortalConn{conn, f}, err
		},
	}}
}

type mortalTransport struct {
	*failpoint
	next *http.Transport
}

func (t mortalTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	key, creates := r.Context().Value(callFor{}).(store.Key)
	creates = creates && strings.Contains(r.URL.Path, "/person/session/")
	if creates {
		t.pass(beforePost, key)
	}
	resp, err := t.next.RoundTrip(r)
	switch {
	case err != nil:
	case creates:
		t.pass(postAnswered, key)
	case strings.HasSuffix(r.URL.Path, "/token"):
		t.pass(tokenRequested, store.Key{})
	}
	return resp, err
}

type mortalConn struct {
	net.Conn
	*failpoint
}

var crashName = regexp.MustCompile(crashMarker + `[A-Z]-\d+`)

// Write passes the point when a creation has left this process: httptrace
// tells of it before the buffer is flushed.
func (c mortalConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if name := crashName.Find(p); name != nil && err == nil {
		c.pass(postSent, c.personKey(string(name)))
	}
	return n, err
}
