package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestSubjects(t *testing.T) {
	k := Key{Batch: "b-1", Job: "J_2"}
	hash := strings.Repeat("0a", 32)
	for _, test := range []struct {
		build func() (string, error)
		want  string
	}{
		{func() (string, error) { return RecordSubject(k) }, "screening.record.b-1.J_2"},
		{func() (string, error) { return WakeSubject(k, 1) }, "screening.wake.b-1.J_2.1"},
		{func() (string, error) { return DueSubject(k, 12) }, "screening.due.b-1.J_2.12"},
		{func() (string, error) { return OutcomeSubject(k, 3, false) }, "screening.result.b-1.J_2.3"},
		{func() (string, error) { return OutcomeSubject(k, 3, true) }, "screening.failure.b-1.J_2.3"},
		{func() (string, error) { return EvidenceSubject(hash) }, "screening.evidence." + hash},
		{func() (string, error) { return RegisterSubject("local") }, "$KV.screening_limits.local"},
	} {
		got, err := test.build()
		if err != nil || got != test.want {
			t.Errorf("got %q, error %v; want %q", got, err, test.want)
		}
	}
	for _, bad := range []func() (string, error){
		func() (string, error) { return RecordSubject(Key{Batch: "b", Job: "a.b"}) },
		func() (string, error) { return WakeSubject(k, 0) },
		func() (string, error) { return DueSubject(k, -1) },
		func() (string, error) { return OutcomeSubject(Key{}, 1, true) },
		func() (string, error) { return EvidenceSubject(strings.ToUpper(hash)) },
		func() (string, error) { return EvidenceSubject(hash[1:]) },
		func() (string, error) { return RegisterSubject("*") },
	} {
		if got, err := bad(); !errors.Is(err, ErrKey) || got != "" {
			t.Errorf("got %q, error %v; want it refused", got, err)
		}
	}
}

// FuzzDueKey: a subject that is understood is the one that is built from what was
// understood, and no error repeats what it could not read.
func FuzzDueKey(f *testing.F) {
	for _, seed := range []string{
		"screening.due.b.j.1", "screening.due.b.j.01", "screening.due.b.j.+1", "screening.due.b.j.0", "screening.due.b.j.-1",
		"screening.due.b.j", "screening.due.b.j.1.2", "screening.wake.b.j.1", "screening.due.*.>.1", "screening.due...1", "",
		"screening.due.b.j.99999999999999999999",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		k, attempt, err := DueKey(subject)
		if err != nil {
			if !errors.Is(err, ErrKey) || len(subject) > 20 && strings.Contains(err.Error(), subject) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if again, err := DueSubject(k, attempt); err != nil || again != subject {
			t.Fatalf("%q was understood as %s.%d, which makes %q (%v)", subject, k, attempt, again, err)
		}
	})
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		err  error
		want verdict
	}{
		{nil, stored},
		{apiError(400, 10071), conflict},
		{apiError(400, 10164), conflict},
		{apiError(503, 10163), unclear}, // the new leader cannot compare yet
		{apiError(503, 10008), unclear}, // no leader
		{apiError(503, 10077), unclear}, // maximum bytes exceeded: until somebody makes room
		{apiError(500, 10047), unclear}, // disk full
		{apiError(400, 10002), unclear}, // the account has used up its storage
		{apiError(429, 10167), unclear}, // too many requests
		{apiError(409, 10158), unclear}, // duplicate in process
		{apiError(400, 10054), refused}, // message larger than the stream allows
		{apiError(400, 10166), refused}, // TTL not allowed
		{nats.ErrTimeout, unclear},
		{nats.ErrNoResponders, unclear},
		{nats.ErrReconnectBufExceeded, unclear},
		{nats.ErrDisconnected, unclear},
		{jetstream.ErrNoStreamResponse, unclear},
		{jetstream.ErrInvalidJSAck, unclear},
		{nats.ErrMaxPayload, refused},
		{nats.ErrConnectionClosed, closed},
		{errors.New("anything"), unclear},
	} {
		if got := judge(test.err); got != test.want {
			t.Errorf("%v: got %d, want %d", test.err, got, test.want)
		}
	}
}
