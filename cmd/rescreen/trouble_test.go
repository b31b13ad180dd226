package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/worker"
)

func TestUnready(t *testing.T) {
	full := worker.Trouble{With: "write SCREENING_RECORDS", Err: errors.New("no room"), Diagnosis: worker.Diagnosis{Kind: kindFull, Do: "make room"}}
	gone := worker.Trouble{With: "due consumer", Err: nats.ErrConnectionReconnecting, Diagnosis: worker.Diagnosis{Kind: kindDisconnected}}
	for _, c := range []struct {
		name                string
		connected, stopping bool
		noToken             string
		troubles            []worker.Trouble
		want                []string // beginnings of lines
	}{
		{"well", true, false, "", nil, nil},
		{"not connected, which goes without saying twice", false, false, "", []worker.Trouble{gone}, []string{"NATS: not connected"}},
		{"connected again, and not all has answered yet", true, false, "", []worker.Trouble{gone}, []string{"due consumer: disconnected"}},
		{"full", true, false, "", []worker.Trouble{full}, []string{"write SCREENING_RECORDS: full since "}},
		{"stopping", true, true, "", nil, []string{"stopping"}},
		{"no token yet", true, false, "token: none yet", nil, []string{"token: none yet"}},
		{"all at once", false, true, "token", []worker.Trouble{full}, []string{"stopping", "NATS: not connected", "token", "write SCREENING_RECORDS: full since "}},
	} {
		got := unready(c.connected, c.stopping, c.noToken, c.troubles)
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if line := full.String(); !strings.HasSuffix(line, ": no room: make room") {
		t.Errorf("the line does not say what and what to do: %q", line)
	}
}

func TestDiagnose(t *testing.T) {
	s, err := startNATS(&server.Options{StoreDir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	link, err := natsTarget{url: s.ClientURL(), shown: "the server"}.connect(t.Context(), "test", zap.NewNop())
	must(t, err)
	t.Cleanup(link.Close)
	code := func(status int, code jetstream.ErrorCode) error {
		return &jetstream.APIError{Code: status, ErrorCode: code}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nats.ErrConnectionReconnecting, kindDisconnected},
		{nats.ErrConnectionClosed, kindDisconnected},
		{fmt.Errorf("pull: %w", queue.ErrNoConsumer), kindMissing},
		{jetstream.ErrStreamNotFound, kindMissing},
		{code(503, 10077), kindFull},
		{code(400, 10002), kindFull},
		{code(500, 10047), kindFull},
		{jetstream.ErrNoStreamResponse, kindAbsent},
		{nats.ErrNoResponders, kindAbsent},
		{context.DeadlineExceeded, kindTimeout},
		{queue.ErrNoAnswer, kindTimeout},
		{fmt.Errorf("%w: x", nats.ErrPermissionViolation), kindDenied},
		{&apiclient.Error{Kind: apiclient.Denied, Err: errors.New("x")}, kindDenied},
		{&apiclient.Error{Kind: apiclient.Unavailable, Err: errors.New("x")}, kindOther},
		{errors.New("x"), kindOther},
	} {
		if got := link.diagnose(c.err).Kind; got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	// What the server did not allow explains why there is no answer.
	link.denied.note(link.Conn, fmt.Errorf("%w: Permissions Violation for Publish to \"a\"", nats.ErrPermissionViolation))
	if got := link.diagnose(context.DeadlineExceeded); got.Kind != kindDenied || !strings.Contains(got.Do, `"a"`) {
		t.Errorf("after a denial: %+v", got)
	}
}
