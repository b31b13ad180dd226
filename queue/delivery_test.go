package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/queue"
)

// flaky fails as long as err is set, and remembers what got through.
type flaky struct {
	err  error
	done []queue.Settlement
}

func (f *flaky) Settle(s queue.Settlement) error {
	if f.err == nil {
		f.done = append(f.done, s)
	}
	return f.err
}

func TestAnswerThatFailedCanBeGivenAgain(t *testing.T) {
	lost := errors.New("lost")
	acker := &flaky{err: lost}
	d := queue.NewDelivery("screening.jobs.b", nil, nil, acker)
	if err := d.Ack(); !errors.Is(err, lost) {
		t.Errorf("first: %v", err)
	}
	acker.err = nil
	if err := d.InProgress(); err != nil {
		t.Error(err)
	}
	if err := d.Nak(-time.Second); err != nil {
		t.Error(err)
	}
	if err := d.InProgress(); err != nil {
		t.Error(err)
	}
	want := []queue.Settlement{{Answer: queue.Working}, {Answer: queue.HandedBack}}
	if len(acker.done) != 2 || acker.done[0] != want[0] || acker.done[1] != want[1] {
		t.Errorf("answers %v, want %v", acker.done, want)
	}
}

func TestBatchOfASubject(t *testing.T) {
	for subject, want := range map[string]queue.BatchID{
		"screening.jobs.b1": "b1", "screening.jobs.": "", "screening.jobs.a.b": "", "screening.jobs.A": "", "screening.due.b.j.1": "", "": "",
	} {
		got, err := queue.NewDelivery(subject, nil, nats.Header{}, &flaky{}).Batch()
		if got != want && err == nil || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", subject, got, err)
		}
	}
}
