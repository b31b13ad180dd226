package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// touched tells when the session of one person is polled.
type touched struct {
	Sessions
	name  string
	id    *apiclient.SessionID
	polls chan struct{}
}

func (s touched) CreateSession(ctx context.Context, admit apiclient.Admit, q apiclient.Query) (apiclient.SessionID, error) {
	id, err := s.Sessions.CreateSession(ctx, admit, q)
	if q.LastName.Reveal() == s.name {
		*s.id = id
	}
	return id, err
}

func (s touched) Session(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref) (apiclient.Session, error) {
	if ref.ID == *s.id {
		select {
		case s.polls <- struct{}{}:
		default:
		}
	}
	return s.Sessions.Session(ctx, admit, ref)
}

// A job that kills its workers takes those with it that are under way beside it,
// which come again when it does. They must not be given up for it.
func TestNeighboursOfADeadlyJobAreNotGivenUp(t *testing.T) {
	inWorld(t, amlsim.Config{Latency: amlsim.Fixed(time.Second), ReadyAfter: amlsim.Fixed(time.Second)}, func(w *world) {
		jobs := people(12)
		deadly := jobs[5]
		var id apiclient.SessionID
		polls := make(chan struct{}, 1)
		w.wrap = func(d Deps) Deps {
			d.Sessions = touched{Sessions: d.Sessions, name: deadly.LastName.Reveal(), id: &id, polls: polls}
			return d
		}
		w.submit(jobs...)
		deaths := 0
		for ; len(w.published()[deadly.ID].JobID) == 0; deaths++ {
			if deaths > 2*maxStrikes {
				t.Fatalf("%d workers have died", deaths)
			}
			l := w.launch(fmt.Sprint("w", deaths))
			select {
			case <-polls:
				time.Sleep(100 * time.Millisecond) // nobody beside it can have ended
				l.kill()
			case <-time.After(2 * time.Minute):
				l.stop()
			}
		}
		_, stop := w.start("survivor")
		defer stop()
		events := w.outcomes(10*time.Minute, jobs...)
		for _, job := range jobs {
			f, err := events[job.ID].Failure()
			switch failed := err == nil; {
			case failed != (job.ID == deadly.ID):
				t.Errorf("%s: failed %v %s", job.ID, failed, f.Reason)
			case failed && f.Reason != queue.InternalError:
				t.Errorf("%s", f.Reason)
			}
		}
	})
}
