package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/store"
	"rescreen/worker"
)

// TestCampaignZombies stops workers with SIGSTOP at every boundary at which they
// hold a job, lets them sleep until others have taken over and finished, and
// wakes them with SIGCONT. Whatever they still do comes to nothing: records and
// outcomes stay as they are, byte for byte.
func TestCampaignZombies(t *testing.T) {
	besideOthers(t)
	rounds, where := 1, []point{beforeIntent, postAnswered, beforeRecord}
	if fullCampaign() {
		rounds, where = 10, points[1:len(points)-1] // nothing is held before the first and after the last
	}
	s := newCrashSite(t, 1, 40, quick())
	s.worker()
	s.worker()
	total := &graveyard{at: map[point]*fallen{}, extra: map[point]int{}}
	for i := range rounds {
		s.rise(where, 1+i%3, total)
	}
	found := s.judge(2*time.Minute, byFalls)
	for _, f := range s.falls {
		n := found.extra[f.Fired]
		total.extra[f.Point] += n
		if n > 0 && !f.Point.in(beforePost, beforeIDStored) {
			t.Errorf("stopped at %s: job %s has %d extra sessions", f.Point, f.Fired, n)
		}
	}
	total.report(t, where)
}

// rise stops one worker at each point, and wakes them when all they held is done.
func (s *crashSite) rise(where []point, hit int, total *graveyard) {
	s.Helper()
	type zombie struct {
		*process
		at point
	}
	var asleep []zombie
	for _, p := range where {
		h := hit
		if p == tokenRequested {
			h = 1
		}
		asleep = append(asleep, zombie{s.failing(p, "stop", h), p})
	}
	ended := make(chan error, len(asleep))
	stopped := make(chan fall, len(asleep))
	for _, z := range asleep {
		go func() {
			f, ok := z.fell(time.Minute)
			if !ok {
				ended <- fmt.Errorf("a worker did not come to %s in a minute\n%s", z.at, z.log)
				return
			}
			stopped <- fall{f, time.Now()}
			ended <- s.wake(z.process, f, total)
		}()
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for down, over := 0, 0; over < len(asleep); {
		if down < len(asleep) {
			s.feed()
		}
		select {
		case <-tick.C:
		case f := <-stopped:
			down++
			s.falls = append(s.falls, f)
		case err := <-ended:
			over++
			if err != nil {
				s.Error(err)
			}
		}
	}
	for _, z := range asleep {
		z.kill()
	}
}

// claims is how long after a stop every claim of the worker has ended: that on
// its creations, and that on its messages, which it may have renewed until then.
const claims = worker.CreateClaim + 2*time.Second

// wake wakes a worker when others have finished what it held, and compares
// before and after.
func (s *crashSite) wake(p *process, f fallen, total *graveyard) error {
	time.Sleep(claims)
	before, err := s.settledOf(f, longEnough)
	if err != nil {
		return fmt.Errorf("stopped at %s: %w", f.Point, err)
	}
	if err := p.resume(); err != nil {
		return err
	}
	over, ok := p.fell(time.Minute)
	if !ok || !over.Over {
		return fmt.Errorf("woken at %s it does not settle what it held\n%s", f.Point, p.log)
	}
	after, err := s.settledOf(f, longEnough)
	if err != nil {
		return fmt.Errorf("woken at %s: %w", f.Point, err)
	}
	for subject, was := range before {
		if after[subject] != was {
			return fmt.Errorf("woken at %s it changed %s from %s to %s", f.Point, subject, was, after[subject])
		}
	}
	if over.Tried != over.Refused {
		return fmt.Errorf("woken at %s: of %d late commits %d were refused; held %v\n%s", f.Point, over.Tried, over.Refused, f.Held, p.log)
	}
	total.add(f, over)
	return nil
}

// settledOf waits until all that was held has its outcome and no wake-up, and
// returns records and outcomes as they are stored.
func (s *crashSite) settledOf(f fallen, patience time.Duration) (map[string]string, error) {
	settled := map[string]string{}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := s.snapshot(f, settled)
		if err == nil || time.Now().After(deadline) {
			return settled, err
		}
	}
}

// errUnsettled says that a job is not done with.
var errUnsettled = errors.New("job is not settled")

func (s *crashSite) snapshot(f fallen, into map[string]string) error {
	for key := range f.Held {
		for _, subject := range []string{"screening.wake." + key + ".1", "screening.due." + key + ".1"} {
			if _, err := s.last(store.WakesStream, subject); !errors.Is(err, jetstream.ErrMsgNotFound) {
				return fmt.Errorf("%s: %w", subject, errors.Join(errUnsettled, err))
			}
		}
		// The outcome comes after the record: read in this order the record is final.
		for _, at := range []struct{ stream, subject string }{
			{store.ResultsStream, "screening.result." + key + ".1"},
			{store.RecordsStream, "screening.record." + key},
		} {
			m, err := s.last(at.stream, at.subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return fmt.Errorf("%s: %w", at.subject, errUnsettled)
			}
			if err != nil {
				return err
			}
			into[at.subject] = fmt.Sprintf("message %d, SHA-256 %x", m.Sequence, sha256.Sum256(m.Data))
		}
	}
	return nil
}

func (s *crashSite) last(stream, subject string) (*jetstream.RawStreamMsg, error) {
	found, err := s.link.JS.Stream(s.Context(), stream)
	if err != nil {
		return nil, err
	}
	return found.GetLastMsgForSubject(s.Context(), subject)
}

// graveyard counts what woken workers still tried, by point.
type graveyard struct {
	mu    sync.Mutex
	at    map[point]*fallen
	extra map[point]int // second sessions of the jobs at the point
	woken int
}

func (g *graveyard) add(f, over fallen) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := g.at[f.Point]
	if sum == nil {
		sum = &fallen{Held: map[string]point{}}
		g.at[f.Point] = sum
	}
	for key, stage := range f.Held {
		sum.Held[key] = stage
	}
	sum.Tried += over.Tried
	sum.Refused += over.Refused
	g.woken++
}

func (g *graveyard) report(t *testing.T, where []point) {
	t.Helper()
	table := &strings.Builder{}
	tried := 0
	for _, p := range where {
		sum := g.at[p]
		if sum == nil {
			continue
		}
		tried += sum.Tried
		_, _ = fmt.Fprintf(table, "%-18s held %4d, late commits %4d, refused %4d, second sessions at the point %4d\n", p, len(sum.Held), sum.Tried, sum.Refused, g.extra[p])
	}
	t.Logf("%d zombies woken\n%s", g.woken, table)
	if tried == 0 {
		t.Error("no zombie tried to commit anything: this shows nothing")
	}
}
