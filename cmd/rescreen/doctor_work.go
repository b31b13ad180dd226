package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// farBelow: with less than half of the configured rate the work takes twice as long.
const farBelow = 0.5

// limits reads the fleet's limits of the API that is meant.
func (n *natsDoctor) limits(ctx context.Context) finding {
	seen := n.streams[store.LimitsStream]
	if seen.err != nil {
		return notKnown("not tried: see streams")
	}
	env := n.settings.API.APIEnv
	if env == "" {
		return notKnown("--api-env says whose limits are meant")
	}
	l, none, err := n.readLimits(ctx, env)
	switch {
	case errors.Is(err, worker.ErrLimits):
		return failure(anewHint(env), "%s: %v", env, err)
	case err != nil:
		return n.trouble("stream "+store.LimitsStream, err)
	case none:
		return fine("none for %s yet: the first worker that has a job writes them from its settings", env)
	}
	now := n.serverTime()
	var found []finding
	for _, h := range l.Holds(now, n.lifetime()) {
		text := holdView{Why: h.Why, Until: optional(h.Until)}
		if h.Creations {
			text.Only = "creations"
		}
		if n.held == "" {
			n.held = text.text(false)
		}
		found = append(found, warning("See why and until when: rescreen limits show. If its cause is gone: rescreen limits set --api-env "+string(env)+" --reset", "%s", text.text(false)))
	}
	for _, line := range []struct {
		what, flag string
		worker.Line
	}{{"creations", "--create-rate", l.Create}, {"all calls", "--request-rate", l.Requests}} {
		if effective := line.Effective(now); effective < farBelow*line.Usable() {
			found = append(found, warning("The API allows less than is configured, or did lately. If it stays so, set what it allows: rescreen limits set --api-env "+string(env)+" "+line.flag+" …",
				"%s go out at %s of the %s that are configured", line.what, frequencyText(effective), frequencyText(line.Rate)))
		}
	}
	return together(found, fine("open for %s: %s creations, %s calls", env, frequencyText(l.Create.Effective(now)), frequencyText(l.Requests.Effective(now))))
}

// readLimits returns the limits of an environment; none says that there are none yet.
func (n *natsDoctor) readLimits(ctx context.Context, env apiEnv) (l worker.Limits, none bool, err error) {
	subject, err := store.RegisterSubject(worker.LimitsRegister(string(env)))
	if err != nil {
		return l, false, err
	}
	ctx, cancel := n.asking(ctx, store.LimitsStream)
	defer cancel()
	stream, err := n.link.JS.Stream(ctx, store.LimitsStream)
	if err != nil {
		return l, false, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return l, true, nil
	}
	if err != nil {
		return l, false, err
	}
	l, err = worker.DecodeLimits(m.Data)
	return l, false, err
}

// serverTime is the server's time, near enough for minutes.
func (n *natsDoctor) serverTime() time.Time {
	for _, seen := range n.streams {
		if seen.err == nil && !seen.info.TimeStamp.IsZero() {
			return seen.info.TimeStamp.UTC()
		}
	}
	return n.now().UTC()
}

func (n *natsDoctor) lifetime() time.Duration {
	if d := n.settings.Lifecycle.ResultLifetime; d > 0 {
		return d
	}
	return worker.DefaultConfig().ResultLifetime
}

// openSessions compares the sessions that are open with how many may be.
func (n *natsDoctor) openSessions(ctx context.Context) finding {
	seen := n.streams[store.WakesStream]
	if seen.err != nil {
		return notKnown("not tried: see streams")
	}
	open := int(seen.info.State.NumSubjects)
	l, none, err := n.readLimits(ctx, n.settings.API.APIEnv)
	if err != nil || none {
		return fine("%s open; how many may be is not said yet, see limits", number(open))
	}
	if float64(open) >= 0.9*float64(l.Open.Max) {
		return warning("Nothing is wrong if the API is slow: no new session is created at the limit. If it allows more: rescreen limits set --max-open …",
			"%s of %s sessions are open", number(open), number(l.Open.Max))
	}
	return fine("%s of %s", number(open), number(l.Open.Max))
}

// When due work has waited for too long. Its workers take it within a second; a
// wake-up may wait for its permit while a backlog is worked off; and a result is kept for two hours
// from when it became ready, of which half an hour is a quarter.
const (
	dueLate    = 2 * time.Minute
	dueTooLate = 30 * time.Minute
)

// dueWakeups looks how long the oldest wake-up that is due has waited.
func (n *natsDoctor) dueWakeups(ctx context.Context) finding {
	due := n.consumers[wantedConsumer{store.WakesStream, store.DueConsumer()}.name()]
	if due.err != nil || n.streams[store.WakesStream].err != nil {
		return notKnown("not tried: see streams")
	}
	waiting := due.info.NumPending + uint64(max(due.info.NumAckPending, 0))
	idle := n.idle(ctx)
	if waiting == 0 {
		return idle
	}
	ctx, cancel := n.asking(ctx, store.WakesStream)
	defer cancel()
	stream, err := n.link.JS.Stream(ctx, store.WakesStream)
	if err != nil {
		return n.trouble("stream "+store.WakesStream, err)
	}
	m, err := stream.GetMsg(ctx, due.info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(due.info.Config.FilterSubject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fine("%s were due, and have been taken meanwhile", number(waiting))
	}
	if err != nil {
		return n.trouble("stream "+store.WakesStream, err)
	}
	return judgeDue(waiting, n.serverTime().Sub(m.Time))
}

// judgeDue says what it means that so many are due, the oldest for so long.
func judgeDue(waiting uint64, age time.Duration) finding {
	text := fmt.Sprintf("%s due, the oldest for %s", number(waiting), durationText(max(age, 0).Truncate(time.Second)))
	do := "See whether workers run and what they say: rescreen limits show lists those that work, /readyz says what one waits for. "
	switch {
	case age > dueTooLate:
		return failure(do+"Results are kept for two hours only: start workers now.", "%s", text)
	case age > dueLate:
		return warning(do+"If calls are held back by the limits, they go out one after the other.", "%s", text)
	}
	return fine("%s", text)
}

// idle is the finding when nothing is due: jobs may wait, and nobody take them.
func (n *natsDoctor) idle(ctx context.Context) finding {
	jobs, ok := n.jobs()
	if !ok || jobs.Msgs == 0 {
		return fine("none is due, and no job waits")
	}
	l, none, err := n.readLimits(ctx, n.settings.API.APIEnv)
	now := n.serverTime()
	for _, u := range l.Workers {
		if now.Sub(u.Seen) < worker.UsageAge {
			return fine("none is due; %s jobs wait", number(jobs.Msgs))
		}
	}
	if err == nil && !none && now.Sub(jobs.LastTime) > dueLate {
		return warning("Start a worker, or see what those that run wait for: /readyz, rescreen limits show", "%s jobs wait in %s, and no worker has asked for a permit in the last two minutes", number(jobs.Msgs), queue.JobsStream)
	}
	return fine("none is due; %s jobs wait", number(jobs.Msgs))
}

// deadSample is how many wake-ups are looked at, the oldest: each is a request.
const deadSample = 200

// deadWakeups looks for wake-ups that the server will never deliver.
func (n *natsDoctor) deadWakeups(ctx context.Context) finding {
	if n.blind() {
		return notKnown("not tried: see streams")
	}
	s, err := store.Open(ctx, n.link.JS, n.now)
	if err != nil {
		return notKnown("not tried: see streams and stream-settings")
	}
	ctx, cancel := n.asking(ctx, store.WakesStream)
	defer cancel()
	looked, dead := 0, 0
	for after := uint64(0); looked < deadSample; looked++ {
		wake, err := s.Wakes.Next(ctx, after)
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil {
			if looked == 0 {
				return n.trouble("stream "+store.WakesStream, err)
			}
			break // out of time
		}
		if after = wake.Seq; wake.Dead {
			dead++
		}
	}
	return judgeDead(looked, dead)
}

// judgeDead says what it means that so many of those looked at are dead.
func judgeDead(looked, dead int) finding {
	if dead > 0 {
		return warning("Every running worker parks them again, some each minute. If the number stays, restart the NATS server that leads SCREENING_WAKES and look at its disk.",
			"%d of the %d oldest will never be delivered by the server", dead, looked)
	}
	return fine("none among the %d oldest", looked)
}
