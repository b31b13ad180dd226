package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
)

func nothingThere(b bench) {
	p := b.Puller(b.T)
	b.none(p, 0)
	wait, begin := b.AckWait/4, time.Now()
	b.none(p, wait)
	if took := time.Since(begin); took < wait*9/10 {
		b.Errorf("a wait of %v ended after %v", wait, took)
	}
	if got := b.pull(p, 0, patience); got != nil {
		b.Errorf("a limit of 0 brought %d", len(got))
	}
}

func inOrder(b bench) {
	p := b.Puller(b.T)
	before := time.Now()
	b.must(b.Publish(b.ctx, "a", nats.Header{"Traceparent-Like": []string{"x"}}))
	b.publish("b", "c")
	b.backlog(3, 0)
	deliveries := b.pull(p, 10, patience)
	if len(deliveries) != 3 {
		b.Fatalf("%d messages, want 3", len(deliveries))
	}
	for i, d := range deliveries {
		b.is(d, string(rune('a'+i)), 1)
		if d.Stream != queue.JobsStream || d.Subject != queue.JobSubject(b.Batch) {
			b.Errorf("from stream %s, subject %s", d.Stream, d.Subject)
		}
		if batch, err := d.Batch(); err != nil || batch != b.Batch {
			b.Errorf("batch %q, %v", batch, err)
		}
		if i > 0 && d.Sequence <= deliveries[i-1].Sequence {
			b.Errorf("sequence %d after %d", d.Sequence, deliveries[i-1].Sequence)
		}
		if d.Stored.Before(before.Add(-time.Second)) || d.Stored.After(time.Now().Add(time.Second)) {
			b.Errorf("stored at %v", d.Stored)
		}
	}
	if got := deliveries[0].Header.Get("Traceparent-Like"); got != "x" {
		b.Errorf("header %q", got)
	}
	if last := deliveries[2].Pending; last != 0 {
		b.Errorf("%d pending behind the last", last)
	}
}

func limitKept(b bench) {
	p := b.Puller(b.T)
	b.publish("a", "b", "c")
	b.backlog(3, 0)
	if n := len(b.pull(p, 2, 0)); n != 2 {
		b.Errorf("%d messages, want 2", n)
	}
	if n := len(b.pull(p, 2, 0)); n != 1 {
		b.Errorf("%d messages, want the last one", n)
	}
	b.none(p, 0)
}

func waitEnds(b bench) {
	p := b.Puller(b.T)
	got := make(chan int, 1)
	begin := time.Now()
	go func() {
		deliveries, err := p.Pull(b.ctx, 10, patience)
		if err != nil {
			b.Error(err)
		}
		got <- len(deliveries)
	}()
	b.publish("a")
	if n := <-got; n != 1 {
		b.Errorf("%d messages, want 1", n)
	}
	if took := time.Since(begin); took > patience/2 {
		b.Errorf("the pull waited %v for more", took)
	}
}

func redelivery(b bench) {
	holder, other := b.Puller(b.T), b.Puller(b.T)
	b.publish("a")
	begin := time.Now()
	b.is(b.one(holder), "a", 1)
	b.is(b.one(other), "a", 2)
	if took := time.Since(begin); took < b.AckWait*9/10 {
		b.Errorf("delivered again after %v, ack wait is %v", took, b.AckWait)
	}
}

func inProgress(b bench) {
	holder, other := b.Puller(b.T), b.Puller(b.T)
	b.publish("a")
	d := b.one(holder)
	begin := time.Now()
	for before := begin; time.Since(begin) < b.AckWait*5/2; {
		last := time.Now()
		b.must(d.InProgress())
		for _, again := range b.pull(other, 1, b.AckWait/5) {
			if late := max(time.Since(last), last.Sub(before)); late < b.AckWait*9/10 {
				b.Fatalf("delivered again %v after a sign of life", late)
			}
			// The machine stood still for longer than the ack wait, which
			// proves nothing: once more.
			d, last = again, time.Now()
			begin = last
		}
		before = last
	}
	last := time.Now()
	b.must(d.InProgress())
	b.is(b.one(other), "a", d.Delivered+1)
	if took := time.Since(last); took < b.AckWait*9/10 {
		b.Errorf("delivered again %v after the last sign of life", took)
	}
}

func nak(b bench) {
	holder, other := b.Puller(b.T), b.Puller(b.T)
	b.soon("coming again", func() time.Duration {
		b.publish("a")
		begin := time.Now()
		b.must(b.one(holder).Nak(0))
		again := b.one(other)
		b.is(again, "a", 2)
		b.must(again.Ack())
		return time.Since(begin)
	})
}

func delayedNak(b bench) {
	holder, other := b.Puller(b.T), b.Puller(b.T)
	for _, delay := range []time.Duration{b.AckWait / 2, 2 * b.AckWait} {
		b.publish("a")
		d := b.one(holder)
		begin := time.Now()
		b.must(d.Nak(delay))
		again := b.one(other)
		b.is(again, "a", 2)
		if took := time.Since(begin); took < delay*9/10 {
			b.Errorf("delivered again after %v, delay is %v", took, delay)
		}
		b.must(again.Ack())
	}
}

func removed(b bench) {
	p := b.Puller(b.T)
	b.publish("a", "b")
	b.must(b.one(p).Ack())
	b.must(b.one(p).Term("no reason"))
	b.backlog(0, 0)
	b.none(p, b.AckWait*3/2)
}

// exclusive has four workers that pull as fast as they can.
func exclusive(b bench) {
	const messages = 200
	for i := range messages {
		b.publish(fmt.Sprint(i))
	}
	ctx, done := context.WithCancel(b.ctx)
	defer done()
	var mu sync.Mutex
	var seen []string
	var workers sync.WaitGroup
	for range 4 {
		p := b.Puller(b.T)
		workers.Go(func() {
			for {
				deliveries, err := p.Pull(ctx, 7, patience)
				if errors.Is(err, context.Canceled) {
					return
				}
				if err != nil {
					b.Error(err)
					done()
					return
				}
				for _, d := range deliveries {
					if err := d.Ack(); err != nil {
						b.Error(err)
					}
					mu.Lock()
					seen = append(seen, string(d.Data))
					if len(seen) >= messages {
						done()
					}
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	slices.Sort(seen)
	if distinct := len(slices.Compact(slices.Clone(seen))); len(seen) != messages || distinct != messages {
		b.Errorf("%d deliveries of %d messages, want %d", len(seen), distinct, messages)
	}
}

func zombie(b bench) {
	first, second := b.Puller(b.T), b.Puller(b.T)
	b.publish("a")
	dead := b.one(first)
	held := b.one(second)
	b.is(held, "a", 2)
	b.must(dead.Ack())
	b.backlog(0, 0)
	b.must(held.Ack())
	b.none(first, b.AckWait*3/2)
}

func settledOnce(b bench) {
	p := b.Puller(b.T)
	b.publish("a")
	d := b.one(p)
	b.must(d.Ack())
	for name, err := range map[string]error{"ack": d.Ack(), "nak": d.Nak(0), "term": d.Term("late")} {
		if !errors.Is(err, queue.ErrSettled) {
			b.Errorf("%s after the ack: %v", name, err)
		}
	}
	b.must(d.InProgress())
	b.backlog(0, 0)
}

func counts(b bench) {
	p := b.Puller(b.T)
	b.publish("a", "b", "c")
	b.backlog(3, 0)
	held := b.pull(p, 2, 0)
	b.backlog(1, 2)
	b.must(held[0].Ack())
	b.backlog(1, 1)
	b.must(held[1].Nak(time.Hour))
	b.backlog(1, 1)
	b.must(b.one(p).Ack())
	b.backlog(0, 1)
}

func cancelled(b bench) {
	leaving, staying := b.Puller(b.T), b.Puller(b.T)
	b.soon("reaching another one", func() time.Duration {
		ctx, cancel := context.WithCancel(b.ctx)
		ended := make(chan error, 1)
		go func() {
			_, err := leaving.Pull(ctx, 10, patience)
			ended <- err
		}()
		b.none(staying, b.AckWait/10) // by now the other one waits
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			b.Errorf("cancelled pull: %v", err)
		}
		if _, err := leaving.Pull(ctx, 1, 0); !errors.Is(err, context.Canceled) {
			b.Errorf("pull under an ended context: %v", err)
		}
		begin := time.Now()
		b.publish("a")
		b.must(b.one(staying).Ack())
		return time.Since(begin)
	})
}

func delayedAside(b bench) {
	p := b.Puller(b.T)
	b.publish("a", "b")
	b.must(b.one(p).Nak(time.Hour))
	if d := b.one(p); string(d.Data) != "b" {
		b.Errorf("got %q, want b", d.Data)
	}
	b.none(p, 0)
}

// together has many pulls wait on one puller before there is anything.
func together(b bench) {
	const pulls = 20
	p := b.Puller(b.T)
	got := make(chan string, pulls)
	for range pulls {
		go func() {
			deliveries, err := p.Pull(b.ctx, 1, patience)
			if err != nil || len(deliveries) != 1 {
				b.Errorf("%d messages, %v", len(deliveries), err)
				got <- ""
				return
			}
			got <- string(deliveries[0].Data)
		}()
	}
	var want, have []string
	for i := range pulls {
		want = append(want, fmt.Sprintf("%02d", i))
		b.publish(want[i])
	}
	for range pulls {
		have = append(have, <-got)
	}
	slices.Sort(have)
	if !slices.Equal(have, want) {
		b.Errorf("got %s", strings.Join(have, " "))
	}
}
