package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/queue/queuetest"
)

// Whatever somebody publishes straight to the job stream: it fails visibly, in
// one delivery, or it is a job and is screened. Those beside it are untouched,
// and nothing repeats whom it was about.
func TestHostileJobs(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		w.trace()
		corpus := queuetest.HostileJobs()
		good := people(len(corpus) / 4)
		w.submit(good[0])
		ids := make(map[string]queuetest.HostileJob) // by the job of the outcome
		for i, h := range corpus {
			seq := w.jobs.Stream().Publish(queue.JobSubject("b"), h.Data, h.Header)
			if !h.Screened {
				h.ID = fmt.Sprintf("invalid-%d", seq)
			}
			ids[h.ID] = h
			if i%4 == 3 && i/4+1 < len(good) {
				w.submit(good[i/4+1])
			}
		}
		worker, stop := w.start("w")
		defer stop()
		for deadline := time.Now().Add(10 * time.Minute); len(w.published()) < len(corpus)+len(good) && time.Now().Before(deadline); {
			time.Sleep(time.Second)
		}
		got := w.published()
		for _, j := range good {
			if e := got[j.ID]; e.Type != queue.TypeCompleted {
				t.Errorf("%s: %q", j.ID, e.Type)
			}
		}
		for id, h := range ids {
			e, f := got[queue.JobID(id)], queue.Failure{}
			if e.Type == queue.TypeFailed {
				f, _ = e.Failure()
			}
			if h.Screened != (e.Type == queue.TypeCompleted) || !h.Screened && (f.Reason != queue.InvalidJob || f.Message == nil || len(*f.Message) > 200) {
				t.Errorf("%s: %q, %+v", h.Name, e.Type, f)
			}
		}
		if s := worker.Stats(); s.Returned != 0 || len(got) != len(corpus)+len(good) || w.jobs.Stream().Len() != 0 {
			t.Errorf("%d messages came again, %d are left, %d outcomes", s.Returned, w.jobs.Stream().Len(), len(got))
		}
		w.checkPrivacy(queuetest.Canaries()...)
		for _, o := range w.store.Outcomes.Published() {
			said := o.Key.String() + fmt.Sprint(nats.Header{"traceparent": {o.Traceparent}})
			if o.Failed {
				said += string(o.Value)
			}
			for _, word := range queuetest.Canaries() {
				if strings.Contains(said, word) {
					t.Errorf("%s: the outcome repeats %s", ids[o.Key.Job].Name, word)
				}
			}
		}
	})
}
