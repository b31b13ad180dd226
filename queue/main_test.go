package queue_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A publisher of nats.go 1.55 that is cleaned up before the goroutine that it has
// just started had its first turn leaves it waiting on a nil channel, for ever.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}
