package worker

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// reached ends a time in which the record could not be reached: a turn has asked for
// something and done all it wanted. That it was read is not enough, a full stream
// can be read.
func (l *limiter) reached() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.away.IsZero() {
		l.log.Info("limits can be reached again", zap.Duration("after", time.Since(l.away)))
		l.away = time.Time{}
	}
}

// trouble handles a turn that could not reach the record, and returns when to
// try again. What was leased runs out, and nothing is created. Polls and fetches
// of results that are about to perish go on at a safe share of what was in effect:
// half of it, divided by the workers that were seen in the last two minutes.
func (l *limiter) trouble(ctx context.Context, err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return never
	}
	now := l.clock.Now()
	if l.away.IsZero() {
		l.away = time.Now()
		l.log.Warn("limits cannot be reached: nothing is created, and only what is about to perish is fetched", zap.Error(err))
		share := l.limits.Requests.Effective(now) / 2 / float64(max(1, len(l.limits.Workers)))
		l.safe = newLine(Budget{Rate: max(share, minRate), Burst: 1})
	}
	if g := l.gate(); l.seq > 0 && !now.Before(g.Until) {
		l.serveUrgent(callFetch, now)
		l.serveUrgent(callPoll, now)
	}
	return awayPause + partOf(awayPause, l.by, now.Nanosecond())
}

// serveUrgent lets out those who wait for what is about to perish. The mutex is held.
func (l *limiter) serveUrgent(n need, now time.Time) {
	var rest []*ask
	for _, a := range l.waiting[n] {
		var at []time.Time
		if perishes(a.until, now) {
			at = l.safe.book(now, 1, awayPause, l.safe.spacing(now))
		}
		if len(at) == 0 {
			rest = append(rest, a)
			continue
		}
		a.settle(at, nil)
	}
	l.waiting[n] = rest
}
