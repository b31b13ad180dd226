package worker

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"rescreen/store/storetest"
)

// FuzzAnnouncement: whatever is announced, nothing is closed for longer than an
// answer could have asked for.
func FuzzAnnouncement(f *testing.F) {
	for _, seed := range []string{
		`{"gate":{"until":"2026-01-05T08:01:00Z","by":"x"}}`, `{"gate":{"until":"9999-01-05T08:01:00Z"}}`, `{"gate":{"until":"0001-01-01T00:00:00Z"}}`,
		`{"reopen":true}`, `{"reopen":true,"gate":{"until":"9999-12-31T23:59:59Z"}}`, `{"gate":null}`, `{"gate":{}}`, `{"gate":[]}`, `[]`, ``, strings.Repeat("[", 100_000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		memory := storetest.NewMemory(storetest.Config{})
		defer memory.Close()
		l := newLimiter(limiterConfig{
			register: LimitsRegister("local"), by: "w", first: NewLimits(Budget{5, 5}, Budget{20, 10}, 10, "test", time.Time{}),
			lifetime: time.Hour, creating: func() int { return 0 }, open: func(context.Context) (int, error) { return 0, nil },
			registers: memory.Registers, signals: memory.Signals, clock: memory.Clock, log: zap.NewNop(),
		})
		l.announced(data)
		if latest := memory.Clock.Now().Add(maxAnnounced); l.gate().Until.After(latest) {
			t.Errorf("closed until %v", l.gate().Until)
		}
	})
}
