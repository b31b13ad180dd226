package worker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rescreen/apiclient"
)

// What one worker's answers say, and how the record takes it.
func TestGate(t *testing.T) {
	const by = "a"
	start := time.Unix(1_700_000_000, 0).UTC()
	fresh := func() Limits {
		l := NewLimits(Budget{50, 10}, Budget{200, 20}, 10, "first", start)
		l.Requests.OK = start.Add(-time.Hour)
		return l
	}
	for _, c := range []struct {
		name    string
		before  func(l *Limits)
		answers []Answer
		closed  time.Duration
	}{
		{name: "answered", answers: []Answer{{Class: Poll, Verdict: Answered}}},
		{name: "429 with a time", answers: []Answer{{Class: Poll, Verdict: Throttled, RetryAfter: 7 * time.Second}}, closed: 7 * time.Second},
		{name: "429 alone, of an API that works", before: func(l *Limits) { l.Requests.OK = start }, answers: []Answer{{Class: Poll, Verdict: Throttled, Sent: start.Add(1)}}},
		{name: "429 alone, of an API that says nothing else", before: func(l *Limits) { l.Requests.CutAt = start }, answers: []Answer{{Class: Poll, Verdict: Throttled, Sent: start.Add(1)}}, closed: time.Second},
		{name: "503 with a time", answers: []Answer{{Class: Create, Verdict: Overloaded, RetryAfter: 9 * time.Second}}, closed: 9 * time.Second},
		{name: "the longer of two", answers: []Answer{{Class: Poll, Verdict: Throttled, RetryAfter: 9 * time.Second}, {Class: Poll, Verdict: Throttled, RetryAfter: 2 * time.Second}}, closed: 9 * time.Second},
		{name: "quota used up", answers: []Answer{{Class: Poll, Verdict: Exhausted, RetryAfter: 5 * time.Second}}, closed: 5 * time.Second},
		{name: "nobody is let in", answers: []Answer{{Class: Poll, Verdict: Denied}}, closed: deniedPause},
		{name: "one is not let in, others are", before: func(l *Limits) { l.Requests.OK = start.Add(-time.Second) }, answers: []Answer{{Class: Poll, Verdict: Denied}}},
		{name: "nobody gets a token", answers: []Answer{{Class: Poll, Verdict: NoLogin}}, closed: time.Second},
		{name: "silence", answers: []Answer{{Class: Poll, Verdict: Silent}}},
		{name: "one creation in doubt", answers: []Answer{{Class: Create, Verdict: InDoubt}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := fresh()
			if c.before != nil {
				c.before(&l)
			}
			for _, a := range c.answers {
				if a.Sent.IsZero() {
					a.Sent = start
				}
				l.hear(start, a, by)
			}
			if got := max(0, l.Gate.Until.Sub(start)); got != c.closed {
				t.Errorf("closed for %v, want %v", got, c.closed)
			}
			_, got := l.lease(start, want{by: by, polls: 1, again: 1, counted: -1, lifetime: time.Hour})
			if got.empty() != (c.closed > 0) {
				t.Errorf("leased %+v", got)
			}
		})
	}
}

// Pauses that the API does not set grow until a call is answered.
func TestPausesGrow(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{50, 10}, Budget{200, 20}, 10, "first", now)
	var pauses []time.Duration
	for range 6 {
		l.hear(now, Answer{Class: Poll, Verdict: NoLogin, Sent: now}, "a")
		l.hear(now, Answer{Class: Poll, Verdict: NoLogin, Sent: now}, "b") // everybody notices, it counts once
		pauses = append(pauses, l.Gate.Until.Sub(now))
		now = l.Gate.Until
	}
	second := time.Second
	if want := []time.Duration{second, 2 * second, 4 * second, 8 * second, 15 * second, 15 * second}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	l.hear(now, Answer{Class: Poll, Verdict: Answered, Sent: now.Add(time.Second)}, "a")
	now = now.Add(time.Minute)
	if l.hear(now, Answer{Class: Poll, Verdict: NoLogin, Sent: now}, "a"); l.Gate.Until.Sub(now) != second {
		t.Errorf("after an answer: %v", l.Gate.Until.Sub(now))
	}
}

// Three creations of unknown outcome in a row keep creations back; one goes out
// now and then to see how things are.
func TestDoubtAboutCreations(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{50, 10}, Budget{200, 20}, 1000, "first", now)
	create := want{by: "a", fresh: 5, counted: 0, lifetime: time.Hour}
	grants := func() int {
		var got grant
		l, got = l.lease(now, create)
		return len(got.fresh)
	}
	doubt := func(sent time.Time) { l.hear(now, Answer{Class: Create, Verdict: InDoubt, Sent: sent}, "a") }

	doubt(now)
	doubt(now)
	l.hear(now, Answer{Class: Create, Verdict: Answered, Sent: now.Add(time.Millisecond)}, "a") // not in a row
	now = now.Add(time.Second)
	doubt(now.Add(-10 * time.Second)) // sent before one that went well
	doubt(now)
	doubt(now)
	if grants() == 0 {
		t.Fatal("closed after two in a row")
	}
	doubt(now)
	if grants() != 0 {
		t.Fatal("open after three in a row")
	}
	doubt(now.Add(-time.Second)) // late news of one sent before
	for i, pause := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 15 * time.Second} {
		now = now.Add(pause - time.Millisecond)
		if grants() != 0 {
			t.Errorf("probe %d comes early", i)
		}
		now = now.Add(time.Millisecond)
		if n := grants(); n != 1 {
			t.Errorf("probe %d: %d creations", i, n)
		}
		if grants() != 0 {
			t.Error("two probes at a time")
		}
		doubt(now)
	}
	now = now.Add(15 * time.Second)
	if grants() != 1 {
		t.Fatal("no probe")
	}
	l.hear(now, Answer{Class: Create, Verdict: Unsent}, "a") // it told nothing
	if grants() != 1 {
		t.Fatal("no other probe at once")
	}
	now = now.Add(CreateClaim) // its worker died
	if grants() != 1 {
		t.Fatal("no probe after one whose worker died")
	}
	l.hear(now, Answer{Class: Create, Verdict: Answered, Sent: now.Add(time.Millisecond)}, "a")
	now = now.Add(time.Second)
	if grants() != 5 {
		t.Error("still closed after a creation that went well")
	}
	if _, got := l.lease(now, want{by: "a", polls: 1, counted: -1}); got.empty() {
		t.Error("polls were kept back, too")
	}
}

// RateLimit headers can only slow the fleet down.
func TestQuotaOnlySlowsDown(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	l := NewLimits(Budget{50, 10}, Budget{200, 20}, 1000, "first", now)
	for _, c := range []struct {
		remaining int
		want      float64
	}{{100_000, 200}, {11_900, 200}, {600, 10}, {6000, 10}} {
		l.hear(now, quotaAnswer(Poll, now, c.remaining, time.Minute), "a")
		if got := l.Requests.Effective(now); got < c.want*0.99 || got > c.want*1.01 {
			t.Errorf("%d left for a minute: %v/s, want %v", c.remaining, got, c.want)
		}
	}
	l, _ = l.lease(now.Add(2*time.Minute), want{by: "a", polls: 1, counted: -1})
	if got := l.Requests.Effective(now.Add(2 * time.Minute)); got < 199 {
		t.Errorf("after the quota's time: %v/s", got)
	}
	l.hear(now, quotaAnswer(Poll, now, 0, time.Minute), "a")
	if l.Gate.Until.Sub(now) != time.Minute {
		t.Errorf("nothing left: closed for %v", l.Gate.Until.Sub(now))
	}
}

func TestAnswerOfEveryError(t *testing.T) {
	for _, c := range []struct {
		class Class
		err   apiclient.Error
		want  Verdict
	}{
		{Create, apiclient.Error{Kind: apiclient.Throttled, Status: 429}, Throttled},
		{Poll, apiclient.Error{Kind: apiclient.Throttled, Status: 503}, Overloaded},
		{Create, apiclient.Error{Kind: apiclient.Denied, Status: 403}, Denied},
		{Fetch, apiclient.Error{Kind: apiclient.Denied, Status: 401}, Denied},
		{Create, apiclient.Error{Kind: apiclient.Misconfigured, Status: 404}, Denied},
		{Fetch, apiclient.Error{Kind: apiclient.Misconfigured}, Answered}, // a link to elsewhere is this session's
		{Poll, apiclient.Error{Kind: apiclient.Unavailable, Login: true}, NoLogin},
		{Create, apiclient.Error{Kind: apiclient.Throttled, Login: true}, NoLogin},
		{Create, apiclient.Error{Kind: apiclient.Unknown}, InDoubt},
		{Poll, apiclient.Error{Kind: apiclient.Unavailable, Status: 502}, Silent},
		{Fetch, apiclient.Error{Kind: apiclient.Invalid, Status: 200}, Silent},
		{Create, apiclient.Error{Kind: apiclient.Unavailable}, Unsent},
		{Create, apiclient.Error{Kind: apiclient.NotSent}, Unsent},
		{Create, apiclient.Error{Kind: apiclient.Refused, Status: 400}, Answered},
		{Poll, apiclient.Error{Kind: apiclient.NotReady, Status: 409}, Answered},
		{Poll, apiclient.Error{Kind: apiclient.Gone, Status: 404}, Answered},
	} {
		if got := answerOf(c.class, time.Time{}, fmt.Errorf("call: %w", &c.err)); got.Verdict != c.want {
			t.Errorf("%s, %s, %d, login %v: %s, want %s", c.class, c.err.Kind, c.err.Status, c.err.Login, got.Verdict, c.want)
		}
	}
	if got := answerOf(Poll, time.Time{}, nil); got.Verdict != Answered {
		t.Errorf("no error: %s", got.Verdict)
	}
}
