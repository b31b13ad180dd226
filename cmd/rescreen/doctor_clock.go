package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// skewAllowed is how far two clocks may be apart. Machines that keep time by NTP
// are within milliseconds; two seconds means that one does not.
//
// A worker with a wrong clock loses nothing: the limits, wake-ups and deadlines
// go by the NATS server's clock, from which it measures its distance every ten
// seconds, Retry-After is judged against the answer's own date, and a token's life
// is counted from when it was asked for. What suffers is its log, which cannot be read beside
// others', and TLS, which refuses certificates once the clock is far enough off. Servers among
// themselves are another matter: when the leader of a stream changes, wake-ups fire and limits
// go by the other clock.
const skewAllowed = 2 * time.Second

// skewText says by how much a clock is ahead of ours.
func skewText(ahead time.Duration) string {
	switch {
	case ahead.Abs() < 100*time.Millisecond:
		return "within 0.1 s of"
	case ahead > 0:
		return fmt.Sprintf("%.1f s ahead of", ahead.Seconds())
	}
	return fmt.Sprintf("%.1f s behind", -ahead.Seconds())
}

// clock compares our clock with those of the servers that lead the streams, and
// these with each other.
func (n *natsDoctor) clock(context.Context) finding {
	type reading struct {
		leader string
		ahead  time.Duration
	}
	var all []reading
	for _, want := range wantedStreams(1) {
		seen := n.streams[want.Name]
		if seen.err != nil || seen.info.TimeStamp.IsZero() {
			continue
		}
		r := reading{leader: "the one"}
		if seen.info.Cluster != nil && seen.info.Cluster.Leader != "" {
			r.leader = seen.info.Cluster.Leader
		}
		r.ahead = apart(seen.info.TimeStamp, seen.before, seen.after)
		all = append(all, r)
	}
	if len(all) == 0 {
		return notKnown("no stream tells the server's time: see streams")
	}
	least, most := all[0], all[0]
	for _, r := range all {
		if r.ahead < least.ahead {
			least = r
		}
		if r.ahead > most.ahead {
			most = r
		}
	}
	if most.ahead-least.ahead > skewAllowed {
		return failure("Let all NATS servers keep time by NTP (chronyc tracking shows how each does): when a stream's leader changes, limits and wake-ups go by another clock.",
			"the clocks of NATS servers %s and %s are %.1f s apart", least.leader, most.leader, (most.ahead - least.ahead).Seconds())
	}
	if most.ahead.Abs() > skewAllowed {
		return warning("Let this machine, or the server, keep time by NTP (timedatectl status; chronyc tracking). Nothing is lost meanwhile, but logs cannot be read side by side.",
			"the NATS server's clock is %s ours", skewText(most.ahead))
	}
	return fine("the NATS server's clock is %s ours", skewText(most.ahead))
}

// apart is by how much a clock, read some time between before and after, is
// certainly ahead of ours (or behind, if negative).
func apart(at, before, after time.Time) time.Duration {
	switch {
	case at.After(after):
		return at.Sub(after)
	case at.Before(before):
		return at.Sub(before)
	}
	return 0
}

// apiClock compares our clock with the date of the API's answers, which has whole
// seconds.
func (d *apiDoctor) clock(context.Context) finding {
	answers := d.recorder.all()
	for i := len(answers) - 1; i >= 0; i-- {
		a := answers[i]
		if a.date.IsZero() {
			continue
		}
		ahead := apart(a.date, a.before.Truncate(time.Second), a.after)
		if ahead.Abs() > skewAllowed {
			return warning("Let this machine keep time by NTP (timedatectl status; chronyc tracking). Far enough off, TLS refuses the API's certificate.",
				"the clock of %s is %s ours", a.host, skewText(ahead))
		}
		return fine("the clock of %s is %s ours", a.host, strings.Replace(skewText(ahead), "0.1 s", "a second", 1))
	}
	return notKnown("no answer tells its date")
}
