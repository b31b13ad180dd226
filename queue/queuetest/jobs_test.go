package queuetest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/queue"
	"rescreen/queue/queuetest"
)

func job(id queue.JobID) queue.Job {
	return queue.Job{ID: id, CustomerRef: string(id), FirstName: "Mia", LastName: "Holm", SSN: "01010751469"}
}

func TestMemoryForgetsPublishesAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := queuetest.NewJobs()
		for i, want := range []queue.Receipt{queue.Stored, queue.Repeated, queue.Stored} {
			if i == 2 {
				time.Sleep(queue.PublishWindow)
			}
			if got, err := jobs.Publish(t.Context(), queue.DefaultBatch, []queue.Job{job("a")}); err != nil || got[0] != want {
				t.Errorf("publish %d: %v, %v", i, got, err)
			}
		}
	})
}

func TestMemoryHasConsumersPerBatch(t *testing.T) {
	jobs := queuetest.NewJobs()
	if _, err := jobs.Publish(t.Context(), "b", []queue.Job{job("a"), job("b")}); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Pull(t.Context(), "b", 1); !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("without consumer: %v", err)
	}
	if stored, err := jobs.Stored(t.Context()); err != nil || stored["b"] != 2 || len(stored) != 1 {
		t.Errorf("stored %v, %v", stored, err)
	}
	if err := jobs.EnsureConsumer(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got, err := jobs.Pull(t.Context(), "b", 1); err != nil || len(got) != 1 {
		t.Errorf("%d jobs, %v", len(got), err)
	}
	want := []queue.BatchBacklog{{Batch: "b", Pending: 1, AckPending: 1}, {Batch: "default"}}
	if got, err := jobs.Backlog(t.Context()); err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("backlog %v, %v", got, err)
	}
	for range 2 {
		if err := jobs.RemoveConsumer(t.Context(), "b"); err != nil {
			t.Error(err)
		}
	}
	if err := jobs.EnsureConsumer(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got, err := jobs.Pull(t.Context(), "b", 9); err != nil || len(got) != 2 {
		t.Errorf("made anew: %d jobs, %v", len(got), err)
	}
}

func TestMemoryCanBeFull(t *testing.T) {
	jobs := queuetest.NewJobs()
	jobs.SetFull(true)
	if got, err := jobs.Publish(t.Context(), "b", []queue.Job{job("a")}); !errors.Is(err, queue.ErrFull) || got[0] != queue.Unacknowledged {
		t.Errorf("full: %v, %v", got, err)
	}
	jobs.SetFull(false)
	if got, err := jobs.Publish(t.Context(), "b", []queue.Job{job("a")}); err != nil || got[0] != queue.Stored {
		t.Errorf("with room: %v, %v", got, err)
	}
}

func TestMemoryReplacesOnTheSubject(t *testing.T) {
	s := queuetest.NewStream("SCREENING_WAKES", queuetest.OnePerSubject())
	p := s.Puller("screening.due.>")
	s.Publish("screening.due.b.j.1", []byte("old"), nil)
	held, err := p.Pull(t.Context(), 1, 0)
	if err != nil || len(held) != 1 {
		t.Fatal(len(held), err)
	}
	s.Publish("screening.due.b.j.1", []byte("new"), nil)
	if err := held[0].Ack(); err != nil {
		t.Error(err)
	}
	got, err := p.Pull(t.Context(), 9, 0)
	if err != nil || len(got) != 1 || string(got[0].Data) != "new" || s.Len() != 1 || !s.Has("screening.due.b.j.1") {
		t.Errorf("%d messages, %d in the stream, %v", len(got), s.Len(), err)
	}
	s.Remove("screening.due.b.j.1")
	if s.Has("screening.due.b.j.1") || s.Len() != 0 {
		t.Error("removed and still there")
	}
}

func TestMemoryLosesWhatItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		fate := map[string]error{"ack": queuetest.ErrLost, "nak": refused}
		s := queuetest.NewStream("S", queuetest.AckWait(time.Second), queuetest.WithFault(func(op, _ string) error { return fate[op] }))
		p := s.Puller("a")
		s.Publish("a", nil, nil)
		d, err := p.Pull(t.Context(), 1, 0)
		if err != nil || len(d) != 1 {
			t.Fatal(len(d), err)
		}
		if err := d[0].Nak(0); !errors.Is(err, refused) {
			t.Errorf("nak: %v", err)
		}
		if err := d[0].Ack(); err != nil {
			t.Errorf("the lost ack: %v", err)
		}
		if again, err := p.Pull(t.Context(), 1, time.Minute); err != nil || len(again) != 1 || again[0].Delivered != 2 {
			t.Errorf("after the lost ack: %d, %v", len(again), err)
		}
		fate["pull"] = refused
		if _, err := p.Pull(t.Context(), 1, 0); !errors.Is(err, refused) {
			t.Errorf("pull: %v", err)
		}
	})
}
