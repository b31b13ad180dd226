package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/worker"
)

// The kinds of trouble with NATS and with tokens, as the metric names them.
const (
	kindDisconnected = "disconnected" // no connection
	kindMissing      = "missing"      // the stream or consumer does not exist
	kindAbsent       = "no_responder" // it does not exist, or nobody leads it at present
	kindDenied       = "denied"       // not allowed
	kindFull         = "full"         // no room, or the disk takes no more
	kindTimeout      = "timeout"      // no answer
	kindOther        = "other"
)

// The server's codes for a store that takes no more. 10077 carries whatever
// writing to the store came to: max_bytes of the stream, a full disk.
var fullCodes = map[jetstream.ErrorCode]bool{10002: true, 10023: true, 10028: true, 10047: true, 10077: true}

// diagnose says what kind of trouble an error of a request is, and what to do.
func (l *natsLink) diagnose(err error) worker.Diagnosis {
	var api *jetstream.APIError
	var call *apiclient.Error
	switch {
	case errors.As(err, &call):
		switch call.Kind {
		case apiclient.Denied:
			return worker.Diagnosis{Kind: kindDenied, Do: "check --api-client-id, --api-client-secret and --api-scopes"}
		case apiclient.Misconfigured:
			return worker.Diagnosis{Kind: kindDenied, Do: "check --api-env, and --api-issuer, --api-base-url and --api-token-url where they are given; rescreen doctor tries them"}
		}
		return worker.Diagnosis{Kind: kindOther}
	case !l.Conn.IsConnected(), isDisconnection(err):
		return worker.Diagnosis{Kind: kindDisconnected}
	case errors.Is(err, queue.ErrNoConsumer), isNotFound(err):
		return worker.Diagnosis{Kind: kindMissing, Do: "make it again with: rescreen setup"}
	case errors.As(err, &api) && fullCodes[api.ErrorCode]:
		return worker.Diagnosis{Kind: kindFull, Do: "make room on the server's disk, or raise the limit that is reached"}
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return worker.Diagnosis{Kind: kindAbsent, Do: "if it stays so, make what is missing with: rescreen setup"}
	case errors.Is(err, nats.ErrPermissionViolation):
		return worker.Diagnosis{Kind: kindDenied, Do: "give this user the permission back"}
	case isNoAnswer(err):
		// A request that is not allowed gets no answer; the server tells of it
		// on the connection.
		if last := l.denied.last(); last != "" {
			return worker.Diagnosis{Kind: kindDenied, Do: "give this user the permission back: " + last}
		}
		return worker.Diagnosis{Kind: kindTimeout}
	}
	return worker.Diagnosis{Kind: kindOther}
}

// explain says why a command has got no answer, if that is known: a person does not
// find the reason in what was logged before.
func (l *natsLink) explain(err error) error {
	last := l.denied.last()
	if last == "" || !isNoAnswer(err) {
		return err
	}
	return failedError(fmt.Errorf("%w; the server did not allow it: %s", err, last),
		"Use a user of the role that has this command, or give this one its permissions: rescreen setup --print-permissions prints them.")
}

func isNoAnswer(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, queue.ErrNoAnswer)
}

func isDisconnection(err error) bool {
	for _, target := range []error{
		nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrDisconnected, nats.ErrStaleConnection,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// ackHealth is the name under which denied acknowledgements are heard of.
// Nobody waits for an answer to those.
const ackHealth = "acknowledgements"

// denial is the last request that the server did not allow.
type denial struct {
	resubscribing atomic.Bool

	mu     sync.Mutex
	at     time.Time
	text   string
	health *worker.Health // nil as long as there is no worker
}

const (
	// denialMemory is for how long a denial explains why requests get no answer:
	// somewhat longer than requests are waited for.
	denialMemory = 15 * time.Second
	// resubscribePause is between a subscription that was denied and the next try.
	resubscribePause = 10 * time.Second
)

// note takes in an error of the connection. A subscription that the server took
// away is gone, the one for answers above all: the client makes them again
// only with a new connection.
func (d *denial) note(nc *nats.Conn, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	d.mu.Lock()
	d.at, d.text = time.Now(), err.Error()
	text, health := d.text, d.health
	d.mu.Unlock()
	// The protocol tells by the text alone what was denied.
	if health != nil && strings.Contains(text, `"$JS.ACK.`) {
		health.Heard(ackHealth, err)
	}
	if strings.Contains(text, "Violation for Subscription") && d.resubscribing.CompareAndSwap(false, true) {
		time.AfterFunc(resubscribePause, func() {
			d.resubscribing.Store(false)
			_ = nc.ForceReconnect() // an error means that it was closed meanwhile
		})
	}
}

func (d *denial) tell(h *worker.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health = h
}

// last is what the server said; empty if that is long ago.
func (d *denial) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) > denialMemory {
		return ""
	}
	return d.text
}

// unready says why a worker is not ready, one reason a line. Trouble counts as
// it stands, the API's mood does not: only that there are tokens.
func unready(connected, stopping bool, noToken string, troubles []worker.Trouble) []string {
	var reasons []string
	if stopping {
		reasons = append(reasons, "stopping")
	}
	if !connected {
		reasons = append(reasons, "NATS: not connected")
	}
	if noToken != "" {
		reasons = append(reasons, noToken)
	}
	for _, t := range troubles {
		// Without a connection nothing answers, which goes without saying.
		if connected || t.Kind != kindDisconnected {
			reasons = append(reasons, t.String())
		}
	}
	return reasons
}
