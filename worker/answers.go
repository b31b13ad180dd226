package worker

import (
	"errors"
	"slices"
	"time"

	"rescreen/apiclient"
)

// Verdict is what the end of a call says about all calls, as opposed to the
// session that it was about.
type Verdict string

const (
	// Answered: the API has done its work, whatever it said.
	Answered Verdict = "answered"
	// Throttled: 429.
	Throttled Verdict = "throttled"
	// Overloaded: 503 or the like, with the time to come back.
	Overloaded Verdict = "overloaded"
	// Denied: the API refuses us, or an address cannot be right.
	Denied Verdict = "denied"
	// NoLogin: no token is to be had, or the addresses cannot be discovered.
	NoLogin Verdict = "no login"
	// InDoubt: a creation of unknown outcome.
	InDoubt Verdict = "in doubt"
	// Silent: a poll or fetch without an answer that could be used.
	Silent Verdict = "silent"
	// Unsent: nothing was sent.
	Unsent Verdict = "unsent"
	// Exhausted: a RateLimit header says that the quota is used up.
	Exhausted Verdict = "quota used up"
	// Slowed: a RateLimit header says that the quota would not last at this rate.
	Slowed Verdict = "quota"
)

// An Answer is the end of a call as the limits see it.
type Answer struct {
	Class      Class
	Verdict    Verdict
	Sent       time.Time     // server's time
	Heard      time.Time     // when its end was heard, server's time
	RetryAfter time.Duration // 0: the API did not say
	Rate       float64       // of Slowed: calls per second that the quota lasts for
	Lasts      time.Duration // of Slowed: until there is a new quota
}

// answerOf reads the end of a call of a class.
func answerOf(c Class, sent time.Time, err error) Answer {
	a := Answer{Class: c, Verdict: Answered, Sent: sent}
	var api *apiclient.Error
	if !errors.As(err, &api) {
		return a
	}
	a.RetryAfter = api.RetryAfter
	if api.Login {
		a.Verdict = NoLogin
		return a
	}
	switch api.Kind {
	case apiclient.Throttled:
		a.Verdict = Overloaded
		if api.Status == statusTooMany {
			a.Verdict = Throttled
		}
	case apiclient.Denied:
		a.Verdict = Denied
	case apiclient.Misconfigured:
		// Of a fetch it is about this session's link.
		if c == Create || c == Poll {
			a.Verdict = Denied
		}
	case apiclient.Unknown:
		a.Verdict = InDoubt
	case apiclient.Unavailable, apiclient.Invalid:
		a.Verdict = Silent
		if c == Create { // the preparation took too long
			a.Verdict = Unsent
		}
	case apiclient.NotSent:
		a.Verdict = Unsent
	}
	return a
}

const statusTooMany = 429

// closing is how long the upstream is closed on account of an answer, for the
// n-th in a row (from 0) that does not say how long; 0: not at all.
func (a Answer) closing(n int) time.Duration {
	switch a.Verdict {
	case Throttled, Overloaded, Exhausted:
		return a.RetryAfter
	case Denied:
		return max(a.RetryAfter, pauseOf(deniedPause, 0))
	case NoLogin:
		return max(a.RetryAfter, pauseOf(time.Second, n))
	}
	return 0
}

// deniedPause is long enough not to hammer an API that refuses us, short
// enough that work goes on half a minute after somebody has mended it.
const deniedPause = 15 * time.Second

// blameMemory is for how long after a poll or fetch was throttled a 429 to a
// creation is taken to be about the rate of all calls.
const blameMemory = 10 * time.Minute

// hear takes in the end of a call, reported by a worker.
func (l *Limits) hear(now time.Time, a Answer, by string) {
	line := &l.Requests
	if a.Class == Create {
		line = &l.Create
	}
	closing := a.closing(l.pauses(now))
	switch a.Verdict {
	case Answered:
		line.OK = later(line.OK, a.Sent)
		l.answered(lineTimes{l.Create.OK, l.Requests.OK})
	case Throttled:
		line.ThrottledAt = now
		if l.Requests.Share < 1 && now.Sub(l.Requests.ThrottledAt) < blameMemory {
			line = &l.Requests // of late too fast, and creations are calls, too
		}
		rate := line.throttled(now, a.Sent, now.Add(closing))
		if !rate && closing == 0 {
			closing = pauseOf(time.Second, l.pauses(now))
		}
	case Denied, NoLogin:
		if now.Sub(later(l.Create.OK, l.Requests.OK)) < aloneAfter {
			closing = 0 // others are let in: this worker stays away alone
		}
	case InDoubt:
		l.doubt(now, a.Sent)
	case Slowed:
		line.slow(now, a.Rate, now.Add(a.Lasts))
	case Silent:
		if l.SilentSince.IsZero() && !a.Sent.Before(l.Requests.OK) {
			l.SilentSince = a.Sent
		}
	}
	if a.Class == Create && !slices.Contains([]Verdict{InDoubt, Answered, Exhausted, Slowed}, a.Verdict) {
		l.unprobed(now)
	}
	l.close(now, closing, a, by)
}

// close closes the gate for d, unless it is closed for longer already.
func (l *Limits) close(now time.Time, d time.Duration, a Answer, by string) {
	until := now.Add(d)
	if d <= 0 || !until.After(l.Gate.Until) {
		return
	}
	pauses := l.pauses(now)
	if a.RetryAfter == 0 {
		pauses++
	}
	l.Gate = Gate{Until: until, Why: a.Verdict, By: by, At: now, Pauses: pauses}
}

// doubt takes in a creation of unknown outcome, sent at a time.
func (l *Limits) doubt(now, sent time.Time) {
	d := &l.Doubt
	switch {
	case !d.ClosedAt.IsZero() && !sent.Before(d.ClosedAt):
		d.Probes, d.Out = d.Probes+1, false
		d.Until = now.Add(pauseOf(doubtPause, d.Probes))
	case !d.ClosedAt.IsZero(), sent.Before(l.Create.OK):
		// Sent before creations were closed, or before one that went well.
	default:
		d.Unknowns++
		if d.Unknowns >= doubtAfter {
			d.ClosedAt, d.Until, d.Probes = now, now.Add(doubtPause), 0
		}
	}
	d.Last = later(d.Last, sent)
}

const doubtPause = 5 * time.Second

// unprobed lets another creation probe at once when one has told nothing.
func (l *Limits) unprobed(now time.Time) {
	if l.Doubt.Out {
		l.Doubt.Until, l.Doubt.Out = now, false
	}
}

// pauses is how many closings in a row there were, without a call answered
// since the last, for which the API did not say how long. One that is still on
// does not count: others have noticed the same.
func (l *Limits) pauses(now time.Time) int {
	switch {
	case later(l.Create.OK, l.Requests.OK).After(l.Gate.At):
		return 0
	case now.Before(l.Gate.Until):
		return max(0, l.Gate.Pauses-1)
	}
	return l.Gate.Pauses
}

// answered ends doubt and silence that are older than the last calls that went well.
func (l *Limits) answered(ok lineTimes) {
	if ok.create.After(l.Doubt.Last) {
		l.Doubt = Doubt{}
	}
	if ok.requests.After(l.SilentSince) {
		l.SilentSince, l.SilentProbe = time.Time{}, time.Time{}
	}
}

// quotaAnswer is what a RateLimit header tells: so many calls until then.
func quotaAnswer(c Class, now time.Time, remaining int, reset time.Duration) Answer {
	a := Answer{Class: c, Verdict: Exhausted, Sent: now, RetryAfter: reset}
	if remaining > 0 {
		a.Verdict, a.RetryAfter = Slowed, 0
		a.Rate, a.Lasts = float64(remaining)/reset.Seconds(), reset
	}
	return a
}
