package storetest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"rescreen/store"
	"rescreen/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryContract(t *testing.T) {
	storetest.Contract(t, func(t *testing.T, test func(*testing.T, storetest.Backend)) {
		synctest.Test(t, func(t *testing.T) { test(t, memoryBackend(t)) })
	})
}

func memoryBackend(t *testing.T) storetest.Backend {
	due := make(chan storetest.Due, 10)
	var m *storetest.Memory
	m = storetest.NewMemory(storetest.Config{OnDue: func(subject string, wake store.Wake) {
		due <- storetest.Due{Subject: subject, Data: wake.Value, Traceparent: wake.Traceparent, At: m.Clock.Now(), Ack: func() error {
			m.Wakes.SettleDue(subject)
			return nil
		}}
	}})
	t.Cleanup(m.Close)
	return storetest.Backend{
		Ledger: m.Ledger, Wakes: m.Wakes, Outcomes: m.Outcomes, Evidence: m.Evidence, Registers: m.Registers, Signals: m.Signals, Clock: m.Clock,
		Due: func(ctx context.Context) (storetest.Due, error) {
			select {
			case d := <-due:
				return d, nil
			case <-ctx.Done():
				return storetest.Due{}, ctx.Err()
			}
		},
		Outcome: func(_ context.Context, subject string) ([]byte, error) {
			for _, o := range m.Outcomes.Published() {
				if s, err := store.OutcomeSubject(o.Key, o.Attempt, o.Failed); err == nil && s == subject {
					return o.Value, nil
				}
			}
			return nil, store.ErrNotFound
		},
	}
}
