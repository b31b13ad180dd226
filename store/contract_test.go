package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rescreen/store"
	"rescreen/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Contract(t, func(t *testing.T, test func(*testing.T, storetest.Backend)) {
		t.Parallel()
		js := connect(t, startServer(t))
		test(t, newBackend(t, js, setup(t, js, 1)))
	})
}

func newBackend(t *testing.T, js jetstream.JetStream, s *store.Store) storetest.Backend {
	t.Helper()
	due, err := js.Consumer(t.Context(), store.WakesStream, store.DueConsumerName)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Backend{
		Ledger: s.Ledger, Wakes: s.Wakes, Outcomes: s.Outcomes, Evidence: s.Evidence, Registers: s.Registers, Signals: s.Signals, Clock: s.Clock,
		Due: func(ctx context.Context) (storetest.Due, error) {
			m, err := due.Next(jetstream.FetchContext(ctx))
			if err != nil {
				return storetest.Due{}, err
			}
			return storetest.Due{
				Subject: m.Subject(), Data: m.Data(), Traceparent: m.Headers().Get("traceparent"), At: s.Clock.Now(),
				Ack: func() error { return m.DoubleAck(ctx) }, // returns when the server has recorded it
			}, nil
		},
		Outcome: func(ctx context.Context, subject string) ([]byte, error) {
			results, err := js.Stream(ctx, store.ResultsStream)
			if err != nil {
				return nil, err
			}
			m, err := results.GetLastMsgForSubject(ctx, subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil, store.ErrNotFound
			}
			if err != nil {
				return nil, err
			}
			return m.Data, nil
		},
	}
}
