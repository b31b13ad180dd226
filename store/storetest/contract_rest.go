package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"rescreen/store"
)

// late is how long after its time a wake-up may be delivered. A server takes up to a
// quarter of a second; the rest is for the machine the test runs on.
const late = 3 * time.Second

func wakeFires(t *testing.T, b Backend) {
	ctx := deadline(t)
	at := b.Clock.Now().Add(600 * time.Millisecond)
	mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 2, At: at, Value: []byte("poll 7")}))
	wantWakes(ctx, t, b, 1, job, 2)
	d := nextDue(ctx, t, b, job, 2, "poll 7")
	if early := at.Sub(d.At); early > 5*time.Millisecond {
		t.Errorf("due %v early", early)
	}
	if d.At.Sub(at) > late {
		t.Errorf("due %v late", d.At.Sub(at))
	}
	wantWakes(ctx, t, b, 1, job, 2) // until it is acknowledged
	mustNot(t, d.Ack())
	wantNoWakes(ctx, t, b, job, 2)
}

func wakeInThePast(t *testing.T, b Backend) {
	ctx := deadline(t)
	now := b.Clock.Now()
	for i, at := range []time.Time{now, now.Add(-time.Hour), time.Unix(0, 0)} {
		mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: i + 1, At: at, Value: []byte("x")}))
		d := nextDue(ctx, t, b, job, i+1, "x")
		mustNot(t, d.Ack())
	}
	mustBe(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1}), store.ErrRefused) // no time at all
}

func wakeReplaced(t *testing.T, b Backend) {
	ctx := deadline(t)
	now := b.Clock.Now()
	for _, w := range []store.Wake{
		{At: now.Add(time.Hour), Value: []byte("first")},
		{At: now.Add(400 * time.Millisecond), Value: []byte("second")},
		{At: now.Add(700 * time.Millisecond), Value: []byte("third")},
	} {
		w.Key, w.Attempt = job, 1
		mustNot(t, b.Wakes.Park(ctx, w))
	}
	wantWakes(ctx, t, b, 1, job, 1)
	mustNot(t, nextDue(ctx, t, b, job, 1, "third").Ack())
	wantNoWakes(ctx, t, b, job, 1)
}

func dueReplaced(t *testing.T, b Backend) {
	ctx := deadline(t)
	park := func(value string) {
		t.Helper()
		mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1, At: b.Clock.Now(), Value: []byte(value)}))
	}
	park("old")
	old := nextDue(ctx, t, b, job, 1, "old")
	park("new")
	d := nextDue(ctx, t, b, job, 1, "new")
	wantWakes(ctx, t, b, 1, job, 1)
	mustNot(t, d.Ack())
	wantNoWakes(ctx, t, b, job, 1)
	mustNot(t, old.Ack()) // late, and without effect
	park("last")
	mustNot(t, nextDue(ctx, t, b, job, 1, "last").Ack())
	wantNoWakes(ctx, t, b, job, 1)
}

// dueCounted: from when they fire until they are acknowledged, delivered or not; the
// oldest is told, and what is parked is not among them.
func dueCounted(t *testing.T, b Backend) {
	ctx := deadline(t)
	const clocks = 100 * time.Millisecond // apart at most
	wantDue := func(count int, since, until time.Time) {
		t.Helper()
		got, err := b.Wakes.Due(ctx)
		mustNot(t, err)
		if got.Count != count || got.Oldest.Before(since.Add(-clocks)) || got.Oldest.After(until.Add(clocks)) {
			t.Errorf("%d due, the oldest since %v; want %d since %v to %v", got.Count, got.Oldest, count, since, until)
		}
	}
	none := time.Time{}.Add(clocks)
	wantDue(0, none, none)
	mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: store.Key{Batch: "b-1", Job: "later"}, Attempt: 1, At: b.Clock.Now().Add(time.Hour)}))
	wantDue(0, none, none)

	began := b.Clock.Now()
	mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1, At: began.Add(-time.Hour)}))
	first := nextDue(ctx, t, b, job, 1, "")
	wantDue(1, began, first.At)
	second := store.Key{Batch: "b-2", Job: "J_2"}
	after := b.Clock.Now().Add(time.Second)
	mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: second, Attempt: 1, At: after}))
	next := nextDue(ctx, t, b, second, 1, "")
	wantDue(2, began, first.At)
	mustNot(t, first.Ack())
	wantDue(1, after, next.At)
	mustNot(t, next.Ack())
	wantDue(0, none, none)
}

// wakeTrace: also after the wake-up was read and parked again, as the repair does.
func wakeTrace(t *testing.T, b Backend) {
	ctx := deadline(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1, At: b.Clock.Now().Add(time.Hour), Traceparent: trace}))
	parked, err := b.Wakes.Next(ctx, 0)
	mustNot(t, err)
	parked.At = b.Clock.Now()
	mustNot(t, b.Wakes.Park(ctx, parked.Wake))
	for _, want := range []string{trace, ""} {
		d := nextDue(ctx, t, b, job, 1, "")
		mustNot(t, d.Ack())
		if d.Traceparent != want {
			t.Errorf("the due message has the trace %q, want %q", d.Traceparent, want)
		}
		mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1, At: b.Clock.Now()})) // leaves nothing of it behind
	}
}

func wakesApart(t *testing.T, b Backend) {
	ctx := deadline(t)
	hour := b.Clock.Now().Add(time.Hour)
	keys := []store.Key{job, {Batch: "b-1", Job: "J_2"}, {Batch: "b-2", Job: "J_1"}}
	for _, k := range keys {
		mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: k, Attempt: 1, At: hour}))
	}
	mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 2, At: hour}))
	wantWakes(ctx, t, b, 4, job, 2)
	parked, err := b.Wakes.Parked(ctx, keys[1], 2)
	mustNot(t, err)
	if parked {
		t.Error("the wake-up of one attempt counts as that of another")
	}
}

// wakesInOrder: by the order in which they were parked last.
func wakesInOrder(t *testing.T, b Backend) {
	ctx := deadline(t)
	_, err := b.Wakes.Next(ctx, 0)
	mustBe(t, err, store.ErrNotFound)
	hour := b.Clock.Now().Add(time.Hour).Truncate(time.Microsecond)
	for i, attempt := range []int{1, 2, 3, 1} {
		at := hour.Add(time.Duration(i) * time.Minute)
		mustNot(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: attempt, At: at, Value: []byte{byte('0' + i)}}))
	}
	var after uint64
	for i, want := range []int{2, 3, 1} {
		w, err := b.Wakes.Next(ctx, after)
		mustNot(t, err)
		i++ // the first was replaced
		if w.Key != job || w.Attempt != want || !w.At.Equal(hour.Add(time.Duration(i)*time.Minute)) || string(w.Value) != string(rune('0'+i)) || w.Seq <= after || w.Dead {
			t.Errorf("%+v after %d, want attempt %d", w, after, want)
		}
		after = w.Seq
	}
	_, err = b.Wakes.Next(ctx, after)
	mustBe(t, err, store.ErrNotFound)
}

func wantWakes(ctx context.Context, t *testing.T, b Backend, open int, k store.Key, attempt int) {
	t.Helper()
	parked, err := b.Wakes.Parked(ctx, k, attempt)
	mustNot(t, err)
	n, err := b.Wakes.Open(ctx)
	mustNot(t, err)
	if !parked || n != open {
		t.Errorf("parked %v with %d open, want it parked with %d", parked, n, open)
	}
}

func wantNoWakes(ctx context.Context, t *testing.T, b Backend, k store.Key, attempt int) {
	t.Helper()
	parked, err := b.Wakes.Parked(ctx, k, attempt)
	mustNot(t, err)
	n, err := b.Wakes.Open(ctx)
	mustNot(t, err)
	if parked || n != 0 {
		t.Errorf("parked %v with %d open, want neither", parked, n)
	}
}

// nextDue waits for the next due message and checks whose it is.
func nextDue(ctx context.Context, t *testing.T, b Backend, k store.Key, attempt int, value string) Due {
	t.Helper()
	d, err := b.Due(ctx)
	mustNot(t, err)
	gotKey, gotAttempt, err := store.DueKey(d.Subject)
	mustNot(t, err)
	if gotKey != k || gotAttempt != attempt || string(d.Data) != value {
		t.Fatalf("due: %q of %s.%d, want %q of %s.%d", d.Data, gotKey, gotAttempt, value, k, attempt)
	}
	return d
}

func outcomeOnce(t *testing.T, b Backend) {
	ctx := deadline(t)
	result := store.Outcome{Key: job, Attempt: 1, Value: []byte("first"), Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	failure := store.Outcome{Key: job, Attempt: 1, Failed: true, Value: []byte("failed")}
	exists := func(o store.Outcome, want bool) {
		t.Helper()
		got, err := b.Outcomes.Exists(ctx, o.Key, o.Attempt, o.Failed)
		mustNot(t, err)
		if got != want {
			t.Errorf("exists: got %v, want %v", got, want)
		}
	}
	exists(result, false)
	publish := func(o store.Outcome, want bool) {
		t.Helper()
		first, err := b.Outcomes.Publish(ctx, o)
		mustNot(t, err)
		if first != want {
			t.Errorf("publish %d, failed %v: first %v, want %v", o.Attempt, o.Failed, first, want)
		}
	}
	publish(result, true)
	exists(result, true)
	exists(failure, false)
	again := result
	again.Value = []byte("second")
	publish(again, false)
	publish(failure, true)
	exists(failure, true)
	again.Attempt = 2
	publish(again, true)
	for _, want := range []struct {
		attempt int
		failed  bool
		value   string
	}{{1, false, "first"}, {1, true, "failed"}, {2, false, "second"}} {
		subject, err := store.OutcomeSubject(job, want.attempt, want.failed)
		mustNot(t, err)
		value, err := b.Outcome(ctx, subject)
		mustNot(t, err)
		if string(value) != want.value {
			t.Errorf("%s holds %q, want %q", subject, value, want.value)
		}
	}
}

func evidenceRoundTrip(t *testing.T, b Backend) {
	ctx := deadline(t)
	for _, size := range []int{0, 1, store.MaxMessageBytes, store.MaxMessageBytes + 1, 1<<20 + 17} {
		data := bytes.Repeat([]byte("0123456789abcde\x00"), size/16+1)[:size]
		sum := sha256.Sum256(data)
		want := hex.EncodeToString(sum[:])
		_, err := b.Evidence.Get(ctx, want)
		mustBe(t, err, store.ErrNotFound)
		for range 2 { // the same bytes may be put again
			name, err := b.Evidence.Put(ctx, data)
			mustNot(t, err)
			if name != want {
				t.Fatalf("put %d bytes: name %s, want %s", size, name, want)
			}
			got, err := b.Evidence.Get(ctx, name)
			mustNot(t, err)
			if !bytes.Equal(got, data) {
				t.Fatalf("put %d bytes, got %d others", size, len(got))
			}
		}
	}
}

func badNames(t *testing.T, b Backend) {
	ctx := deadline(t)
	for _, bad := range []string{"", ".", "a.b", "*", ">", "a b", "ø", "a\r\n", strings.Repeat("x", store.MaxTokenBytes+1)} {
		for _, k := range []store.Key{{Batch: bad, Job: "1"}, {Batch: "b", Job: bad}} {
			_, err := b.Ledger.Load(ctx, k)
			mustBe(t, err, store.ErrKey)
			_, err = b.Ledger.Commit(ctx, k, nil, 0, false)
			mustBe(t, err, store.ErrKey)
			mustBe(t, b.Wakes.Park(ctx, store.Wake{Key: k, Attempt: 1, At: b.Clock.Now()}), store.ErrKey)
			_, err = b.Wakes.Parked(ctx, k, 1)
			mustBe(t, err, store.ErrKey)
			publishRefused(ctx, t, b, store.Outcome{Key: k, Attempt: 1}, store.ErrKey)
			_, err = b.Outcomes.Exists(ctx, k, 1, false)
			mustBe(t, err, store.ErrKey)
		}
		_, _, err := b.Registers.Load(ctx, bad)
		mustBe(t, err, store.ErrKey)
		_, err = b.Registers.Commit(ctx, bad, nil, 0)
		mustBe(t, err, store.ErrKey)
		_, err = b.Evidence.Get(ctx, bad)
		mustBe(t, err, store.ErrKey)
	}
	mustBe(t, b.Wakes.Park(ctx, store.Wake{Key: job, At: b.Clock.Now()}), store.ErrKey) // attempt 0
	_, err := b.Ledger.Next(ctx, 0)
	mustBe(t, err, store.ErrNotFound)
}

func tooLarge(t *testing.T, b Backend) {
	ctx := deadline(t)
	huge := make([]byte, 1<<20+1)
	_, err := b.Ledger.Commit(ctx, job, huge, 0, false)
	mustBe(t, err, store.ErrRefused)
	mustBe(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1, At: b.Clock.Now(), Value: huge}), store.ErrRefused)
	publishRefused(ctx, t, b, store.Outcome{Key: job, Attempt: 1, Value: huge}, store.ErrRefused)
	wantNoWakes(ctx, t, b, job, 1)
}

func cancelled(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Ledger.Commit(ctx, job, []byte("x"), 0, false)
	mustBe(t, err, context.Canceled)
	mustBe(t, b.Wakes.Park(ctx, store.Wake{Key: job, Attempt: 1, At: b.Clock.Now()}), context.Canceled)
	publishRefused(ctx, t, b, store.Outcome{Key: job, Attempt: 1}, context.Canceled)
	_, err = b.Evidence.Put(ctx, []byte("x"))
	mustBe(t, err, context.Canceled)
	_, err = b.Ledger.Load(ctx, job)
	mustBe(t, err, context.Canceled)
	_, err = b.Ledger.Load(deadline(t), job)
	mustBe(t, err, store.ErrNotFound)
	wantNoWakes(deadline(t), t, b, job, 1)
}

func clockRuns(t *testing.T, b Backend) {
	first := b.Clock.Now()
	if d := time.Since(first); d.Abs() > time.Minute {
		t.Errorf("the clock is %v off", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if d := b.Clock.Now().Sub(first); d < 15*time.Millisecond || d > soon {
		t.Errorf("20 ms took %v", d)
	}
}

// announcements: in order, to all who listen for the name, until they stop.
func announcements(t *testing.T, b Backend) {
	ctx := deadline(t)
	heard := make(chan string, 100)
	var stops []func()
	for _, who := range []string{"a", "b"} {
		stop, err := b.Signals.Listen("local", func(value []byte) { heard <- who + string(value) })
		mustNot(t, err)
		stops = append(stops, stop)
	}
	mustNot(t, b.Signals.Announce("prod", []byte("0")))
	mustNot(t, b.Signals.Announce("local", []byte("1")))
	mustNot(t, b.Signals.Announce("local", []byte("2")))
	got := map[byte]string{}
	for range 4 {
		select {
		case h := <-heard:
			got[h[0]] += h[1:]
		case <-ctx.Done():
			t.Fatalf("heard %v", got)
		}
	}
	if got['a'] != "12" || got['b'] != "12" {
		t.Errorf("heard %v", got)
	}
	stops[0]()
	mustNot(t, b.Signals.Announce("local", []byte("3")))
	if h := <-heard; h != "b3" {
		t.Errorf("heard %s", h)
	}
	stops[1]()
	for _, bad := range []string{"", "a.b", "*", "a b"} {
		mustBe(t, b.Signals.Announce(bad, nil), store.ErrKey)
		_, err := b.Signals.Listen(bad, func([]byte) {})
		mustBe(t, err, store.ErrKey)
	}
}

func publishRefused(ctx context.Context, t *testing.T, b Backend, o store.Outcome, want error) {
	t.Helper()
	first, err := b.Outcomes.Publish(ctx, o)
	mustBe(t, err, want)
	if first {
		t.Error("refused, and the first")
	}
}
