package queuetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
)

// World is one implementation of the job stream, empty, with the consumer of
// one batch.
type World struct {
	Batch   queue.BatchID
	AckWait time.Duration // at least a second where time is real
	// Publish publishes to the batch and returns when the stream has it.
	Publish func(ctx context.Context, data string, header nats.Header) error
	// Puller returns another puller of the consumer.
	Puller func(t *testing.T) Pulls
	// Backlog returns what the consumer has waiting.
	Backlog func(ctx context.Context) (queue.BatchBacklog, error)
}

// Pulls is what takes messages from a consumer.
type Pulls interface {
	Pull(ctx context.Context, limit int, wait time.Duration) ([]*queue.Delivery, error)
}

// Contract runs what every implementation keeps to. Each test gets a world of
// its own: run makes it and calls body, within a bubble of simulated time where
// the implementation allows.
func Contract(t *testing.T, run func(t *testing.T, body func(*testing.T, World))) {
	for name, test := range map[string]func(bench){
		"NothingThereReturnsNothing":               nothingThere,
		"MessagesComeInOrderWithWhatIsKnown":       inOrder,
		"LimitIsKept":                              limitKept,
		"WaitEndsWithTheFirstMessage":              waitEnds,
		"UnsettledMessageComesAgainAfterItsWait":   redelivery,
		"InProgressExtendsTheWait":                 inProgress,
		"NakDeliversAgainAtOnce":                   nak,
		"DelayedNakDeliversAgainAfterItsDelay":     delayedNak,
		"AckAndTermRemove":                         removed,
		"TwoPullersNeverHoldTheSameMessage":        exclusive,
		"LateAckOfAFormerHolderCounts":             zombie,
		"DeliveryIsSettledOnce":                    settledOnce,
		"CountsTellWaitingFromHeld":                counts,
		"CancelledPullLeavesTheMessageToOthers":    cancelled,
		"DelayedMessageHoldsNoOtherBack":           delayedAside,
		"PullsAtTheSameTimeAllEndWithTheirMessage": together,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, w World) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				test(bench{t, w, ctx})
			})
		})
	}
}

// patience is how long a test waits for what has to come. Nothing that works
// needs it.
const patience = time.Minute

// bench is a world with the tools of the tests.
type bench struct {
	*testing.T
	World
	ctx context.Context
}

func (b bench) publish(texts ...string) {
	b.Helper()
	for _, text := range texts {
		if err := b.Publish(b.ctx, text, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// pull pulls once. A server that is too busy to answer is asked again, as its
// error says.
func (b bench) pull(p Pulls, limit int, wait time.Duration) []*queue.Delivery {
	b.Helper()
	for {
		deliveries, err := p.Pull(b.ctx, limit, wait)
		switch {
		case err == nil:
			return deliveries
		case !errors.Is(err, queue.ErrNoAnswer):
			b.Fatal(err)
		}
	}
}

// one pulls the message that has to come.
func (b bench) one(p Pulls) *queue.Delivery {
	b.Helper()
	deliveries := b.pull(p, 1, patience)
	if len(deliveries) != 1 {
		b.Fatalf("%d messages, want 1", len(deliveries))
	}
	return deliveries[0]
}

// none waits and wants nothing to come.
func (b bench) none(p Pulls, wait time.Duration) {
	b.Helper()
	for _, d := range b.pull(p, 1, wait) {
		b.Errorf("%q came (delivery %d), want nothing", d.Data, d.Delivered)
	}
}

func (b bench) is(d *queue.Delivery, data string, delivered uint64) {
	b.Helper()
	if string(d.Data) != data || d.Delivered != delivered {
		b.Errorf("got %q (delivery %d), want %q (%d)", d.Data, d.Delivered, data, delivered)
	}
}

func (b bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// backlog waits until the counts are as wanted: acks are not waited for, and
// a consumer learns of a message some moments after the stream has taken it.
func (b bench) backlog(pending, ackPending uint64) {
	b.Helper()
	for deadline := time.Now().Add(patience); ; {
		got, err := b.Backlog(b.ctx)
		b.must(err)
		want := queue.BatchBacklog{Batch: b.Batch, Pending: pending, AckPending: ackPending}
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("backlog %+v, want %+v", got, want)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// soon tries up to three times whether something happens well before the ack
// wait is over: a machine that stands still for so long proves nothing.
func (b bench) soon(what string, try func() time.Duration) {
	b.Helper()
	var took time.Duration
	for range 3 {
		if took = try(); took < b.AckWait*9/10 {
			return
		}
	}
	b.Errorf("%s took %v, ack wait is %v", what, took, b.AckWait)
}
