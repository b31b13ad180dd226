package queuetest

import (
	"context"
	"errors"
	"time"

	"rescreen/queue"
)

// Puller takes messages from a Stream as queue.Puller does from JetStream.
type Puller struct {
	stream *Stream
	line   *line
	// React is how long the puller takes, if set, to take what has come while it
	// waited: pullers that would all wake up at once get an order.
	React func() time.Duration
}

// Puller returns a puller of the consumer with a filter: a subject, or a
// prefix that ends in ">". Pullers of the same filter share a consumer.
func (s *Stream) Puller(filter string) *Puller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Puller{stream: s, line: s.line(filter)}
}

// Pull returns up to limit messages: those that are there, or else the first
// that come within the wait.
func (p *Puller) Pull(ctx context.Context, limit int, wait time.Duration) ([]*queue.Delivery, error) {
	if limit < 1 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch err := p.stream.fate("pull", ""); {
	case errors.Is(err, ErrLost):
		return nil, queue.ErrNoAnswer
	case errors.Is(err, ErrAnswerLost):
		_, _, _ = p.stream.next(p.line, limit)
		return nil, queue.ErrNoAnswer
	case err != nil:
		return nil, err
	}
	for end := time.Now().Add(wait); ; {
		taken, again, changed := p.stream.next(p.line, limit)
		if len(taken) > 0 {
			return p.deliveries(taken), nil
		}
		if again.IsZero() || again.After(end) {
			again = end
		}
		pause := time.NewTimer(time.Until(again))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.react()
		if !time.Now().Before(end) {
			// What comes due in the last moment of the wait still counts.
			taken, _, _ := p.stream.next(p.line, limit)
			return p.deliveries(taken), nil
		}
	}
}

func (p *Puller) react() {
	if p.React != nil {
		time.Sleep(p.React())
	}
}

func (p *Puller) deliveries(taken []message) []*queue.Delivery {
	var deliveries []*queue.Delivery
	for _, m := range taken {
		d := queue.NewDelivery(m.subject, m.data, m.header, acker{p.stream, m.sequence, m.subject})
		d.Stream, d.Sequence, d.Stored = p.stream.name, m.sequence, m.stored
		d.Delivered, d.Pending = m.delivered, p.pending()
		deliveries = append(deliveries, d)
	}
	return deliveries
}

func (p *Puller) pending() uint64 {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	return p.line.pending
}

func (s *Stream) fate(op, subject string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(op, subject)
}

// acker settles a message by its sequence, whoever holds it by now.
type acker struct {
	stream   *Stream
	sequence uint64
	subject  string
}

// Settle implements queue.Acker.
func (a acker) Settle(s queue.Settlement) error {
	op := map[queue.Answer]string{
		queue.Acked: "ack", queue.HandedBack: "nak", queue.Terminated: "term", queue.Working: "progress",
	}[s.Answer]
	switch err := a.stream.fate(op, a.subject); {
	case errors.Is(err, ErrLost):
		return nil
	case err != nil:
		return err
	}
	a.stream.settle(a.sequence, s)
	return nil
}

func (s *Stream) settle(sequence uint64, settlement queue.Settlement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.messages[sequence]
	if !ok || m.delivered == 0 {
		return // gone already: the server passes over such answers, too
	}
	switch settlement.Answer {
	case queue.Acked, queue.Terminated:
		s.remove(m)
	case queue.HandedBack:
		s.schedule(m, time.Now().Add(settlement.Delay))
	case queue.Working:
		s.schedule(m, time.Now().Add(s.ackWait))
	}
	s.wake()
}
