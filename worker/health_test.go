package worker

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/apiclient/amlsim"
	"rescreen/store/storetest"
)

// What a worker hears, and when it counts as trouble.
func TestTroubleCountsWhileItLasts(t *testing.T) {
	broken := errors.New("no answer")
	type heard struct {
		at  time.Duration
		err error
	}
	for _, c := range []struct {
		name  string
		with  string
		heard []heard
		at    time.Duration
		want  bool
	}{
		{"nothing", "s", nil, 0, false},
		{"one request without an answer", "s", []heard{{0, broken}}, time.Second, false},
		{"one request without an answer, long ago", "s", []heard{{0, broken}, {2 * time.Second, broken}}, 2 * troubleGrace, false},
		{"it lasts", "s", []heard{{0, broken}, {troubleGrace, broken}}, troubleGrace, true},
		{"done again", "s", []heard{{0, broken}, {5 * time.Second, nil}}, 6 * time.Second, false},
		{"broken again, just now", "s", []heard{{0, broken}, {5 * time.Second, nil}, {6 * time.Second, broken}}, 7 * time.Second, false},
		{"not met again for long: another worker has done it", "s", []heard{{0, broken}}, troubleMemory + time.Second, false},
		{"met again after long", "s", []heard{{0, broken}, {2 * troubleMemory, broken}}, 2*troubleMemory + time.Second, false},
		{"no token for a minute", TokenHealth, []heard{{0, broken}, {time.Minute, broken}}, time.Minute, false},
		{"no token for minutes", TokenHealth, []heard{{0, broken}, {tokenGrace, broken}}, tokenGrace, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHealth(zap.NewNop(), func(error) Diagnosis { return Diagnosis{Kind: "timeout"} })
				began := time.Now()
				for _, e := range c.heard {
					time.Sleep(e.at - time.Since(began))
					h.Heard(c.with, e.err)
				}
				time.Sleep(c.at - time.Since(began))
				if got := len(h.Troubles()) > 0; got != c.want {
					t.Errorf("trouble %v, want %v: %v", got, c.want, h.Troubles())
				}
			})
		})
	}
}

// Trouble is logged when it has lasted, once a minute while it does, and when it
// is over; what is over at once is not.
func TestTroubleIsLoggedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		h := NewHealth(zap.New(core), func(error) Diagnosis { return Diagnosis{Kind: "full"} })
		h.Heard("blink", errors.New("no answer"))
		h.Heard("blink", nil)
		for range 150 {
			h.Heard("write S", errors.New("no room"))
			h.Heard("read S", nil)
			time.Sleep(time.Second)
		}
		h.Heard("write S", nil)
		var got []string
		for _, e := range logs.All() {
			got = append(got, e.Message)
		}
		if want := []string{"trouble", "trouble", "trouble", "trouble is over"}; !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
		if n := h.Counts()[TroubleKind{"write S", "full"}]; n != 150 {
			t.Errorf("counted %d times", n)
		}
	})
}

func TestDeadLoops(t *testing.T) {
	now := time.Now()
	turns := map[string]time.Time{"due": now.Add(-deadAfter - time.Second), "jobs": now, "limits": now.Add(-deadAfter)}
	if got := dead(now, turns); !slices.Equal(got, []string{"due"}) {
		t.Errorf("dead: %v", got)
	}
}

// Whatever keeps a worker back, its loops turn: it is not killed for waiting.
func TestLoopsTurnWhateverHappens(t *testing.T) {
	hang := amlsim.Fault{Call: amlsim.CallSession, Do: amlsim.Action{Kind: amlsim.ActHang, Wait: 20 * time.Second}}
	for name, c := range map[string]struct {
		api     amlsim.Config
		prepare func(*world)
	}{
		"idle":      {amlsim.Config{}, func(*world) {}},
		"API hangs": {amlsim.Config{Faults: []amlsim.Fault{hang}}, func(w *world) { w.cfg.Slots = 3; w.submit(people(20)...) }},
		"store away": {amlsim.Config{}, func(w *world) {
			w.submit(people(20)...)
			w.store.SetFault(func(string, string) storetest.Fault { return storetest.Fault{Kind: storetest.Lost} })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, c.api, func(w *world) {
				c.prepare(w)
				worker, stop := w.start("w")
				for range 10 {
					time.Sleep(deadAfter / 2)
					if dead := worker.health.Dead(); len(dead) > 0 {
						t.Errorf("dead: %v", dead)
					}
				}
				w.store.SetFault(nil)
				stop()
			})
		})
	}
}
