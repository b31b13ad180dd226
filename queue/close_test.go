package queue_test

import (
	"testing"

	"rescreen/queue"
)

func TestCloseEndsTheSubscriptionOfPublishing(t *testing.T) {
	js := broker(t)
	before := js.Conn().NumSubscriptions()
	for range 3 {
		jobs := openJobs(t, js, "b")
		if _, err := jobs.Publish(t.Context(), "b", []queue.Job{{ID: "x", CustomerRef: "c", FirstName: "A", LastName: "B", DateOfBirth: "1990-01-01"}}); err != nil {
			t.Fatal(err)
		}
		if err := jobs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := js.Conn().NumSubscriptions(); n > before+1 {
		t.Errorf("%d subscriptions, %d before", n, before)
	}
}
