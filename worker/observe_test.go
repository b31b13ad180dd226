package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/store/storetest"
)

// linesOf are the lines of steps in the log in which the field has the value; of any
// value if that is empty.
func linesOf(w *world, field, value string) []map[string]any {
	w.t.Helper()
	var lines []map[string]any
	for text := range strings.Lines(w.log.String()) {
		line := make(map[string]any)
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			w.t.Fatalf("%v in the log: %s", err, text)
		}
		if got, ok := line[field]; ok && (value == "" || got == value) && line["outcome"] != nil {
			lines = append(lines, line)
		}
	}
	return lines
}

// messages are the messages of lines, without repetitions next to each other.
func messages(lines []map[string]any) string {
	var said []string
	for _, line := range lines {
		said = append(said, fmt.Sprint(line["msg"]))
	}
	return strings.Join(slices.Compact(said), "; ")
}

// Each kind of step, by what its line says.
func TestEachSettledStepHasOneLine(t *testing.T) {
	report := person(1, true)
	for name, c := range map[string]struct {
		sim   amlsim.Config
		job   queue.Job
		hours int
		want  string
		last  map[string]any // of the fields of the last line
	}{
		"a result": {
			sim: amlsim.Config{ReadyAfter: amlsim.Fixed(20 * time.Second)}, job: person(1, false),
			want: "intake done; poll done; fetch done",
			last: map[string]any{"state": "done", "polls": 5.0, "sessions_created": 1.0},
		},
		"a result whose report comes later": {
			sim: amlsim.Config{ReportAfter: amlsim.Fixed(20 * time.Second)}, job: report,
			want: "intake done; fetch done; poll done; fetch done",
			last: map[string]any{"state": "done", "report": "stored"},
		},
		"a session that fails": {
			sim: amlsim.Config{Fates: amlsim.Fates{Fail: 1}}, job: person(1, false),
			want: "intake done; poll done, job failed",
			last: map[string]any{"state": "failed", "reason": "session_failed"},
		},
		"a query that is refused": {
			sim: amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallCreate, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 422}}}}, job: person(1, false),
			want: "intake done, call failed, job failed",
			last: map[string]any{"state": "failed", "reason": "request_rejected"},
		},
		"calls that fail at first": {
			sim: amlsim.Config{Faults: []amlsim.Fault{
				{Call: amlsim.CallCreate, When: amlsim.When{Until: 5 * time.Second}, Do: amlsim.Action{Kind: amlsim.ActRefuse}},
				{Call: amlsim.CallSession, When: amlsim.When{Until: time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 500}},
				{Call: amlsim.CallDocument, When: amlsim.When{Until: 10 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 500}},
			}}, job: person(1, false),
			want: "intake done, call failed; create done, call failed; create done; poll done, call failed; fetch done, call failed; fetch done",
			last: map[string]any{"state": "done"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, c.sim, func(w *world) {
				w.submit(c.job)
				worker, stop := w.start("w")
				w.outcomes(time.Hour, c.job)
				stop()
				lines := linesOf(w, "job", string(c.job.ID))
				if got := messages(lines); got != c.want {
					t.Errorf("the lines are %s\nwant %s", got, c.want)
				}
				if s := worker.Stats(); int64(len(lines)) != s.Acked+s.Returned {
					t.Errorf("%d lines for %d steps", len(lines), s.Acked+s.Returned)
				}
				for i, line := range lines {
					last := i == len(lines)-1
					if line["level"] != "info" || line["batch"] != "b" || line["attempt"] != 1.0 || line["took"] == nil || (line["next"] == nil) != last {
						t.Errorf("line %v", line)
					}
					if failed := strings.Contains(fmt.Sprint(line["msg"]), "call failed"); failed != (line["call_error"] != nil) {
						t.Errorf("line %v", line)
					}
					for field, want := range c.last {
						if got := line[field]; last && got != want {
							t.Errorf("%s is %v, want %v", field, got, want)
						} else if !last && field == "state" && got != nil {
							t.Errorf("line %v tells of an end", line)
						}
					}
				}
			})
		})
	}
}

// Steps that give their message back say why and for how long: as a warning if
// something is wrong.
func TestStepsThatEndEarlySayWhy(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		job, began := person(1, false), time.Now()
		w.store.SetFault(func(op, key string) storetest.Fault {
			if op == storetest.OpWakesPark && time.Since(began) < 10*time.Second {
				return storetest.Fault{Kind: storetest.Lost}
			}
			return storetest.Fault{}
		})
		w.submit(job)
		w.due.Publish("screening.due.b.lost.1", []byte(`{}`), nil)
		worker, stop := w.start("w")
		w.result(time.Minute, job)
		stop()
		lines := linesOf(w, "outcome", "")
		if s := worker.Stats(); int64(len(lines)) != s.Acked+s.Returned || s.Returned == 0 {
			t.Errorf("%d lines for %d and %d steps", len(lines), s.Acked, s.Returned)
		}
		for outcome, level := range map[string]string{"trouble": "warn", "stale": "info"} {
			got := linesOf(w, "outcome", outcome)
			if len(got) == 0 {
				t.Errorf("no line tells of %s", outcome)
			}
			for _, line := range got {
				if again, _ := line["again_in"].(float64); line["level"] != level || line["error"] == nil || again < 1 || again > 10 {
					t.Errorf("line %v", line)
				}
			}
		}
		got := w.gather()
		if got["steps_total intake trouble"] < 1 || got["steps_total other stale"] < 1 {
			t.Errorf("counted %v", got)
		}
	})
}

// A creation that is not let out is no call that has failed.
func TestCreationsNotLetOutAreNoCalls(t *testing.T) {
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{{
		Call: amlsim.CallCreate, When: amlsim.When{Until: time.Second}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: time.Minute},
	}}}, func(w *world) {
		jobs := people(20)
		w.submit(jobs...)
		worker, stop := w.start("w")
		w.outcomes(time.Hour, jobs...)
		stop()
		if lines, n := linesOf(w, "call_error", ""), worker.Stats().NotCreated; n == 0 || int64(len(lines)) != n {
			t.Errorf("%d lines tell of a failed call, %d were made: %v", len(lines), n, lines)
		}
	})
}

// A message that only repeats an outcome is a step of its own kind, whether it is a
// job's or a wake-up's.
func TestRepeatedOutcomesAreTold(t *testing.T) {
	for _, due := range []bool{false, true} {
		inWorld(t, amlsim.Config{}, func(w *world) {
			job := person(1, false)
			w.submit(job)
			_, stop := w.start("w")
			defer stop()
			w.result(time.Minute, job)
			time.Sleep(time.Second)
			if due {
				w.due.Publish("screening.due.b.job-1.1", []byte(`{}`), nil)
			} else {
				body, err := job.Encode()
				if err != nil {
					t.Fatal(err)
				}
				w.jobs.Stream().Publish(queue.JobSubject("b"), body, nil)
			}
			time.Sleep(10 * time.Second)
			if got := linesOf(w, "kind", "publish"); len(got) != 1 || got[0]["state"] != "done" || got[0]["outcome"] != "done" {
				t.Errorf("due %v: lines %v", due, got)
			}
		})
	}
}

// One kind of line that floods the log is thinned, and says so; what is unusual,
// what is wrong and what ends a job is not.
func TestFloodsOfLinesAreThinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, seen := observer.New(zap.InfoLevel)
		lines := newStepLog(zap.New(core))
		write := func(n int, s step, kind stepKind, err error) {
			for range n {
				lines.write(&s, kind, endingOf(err), 0, 0, err)
			}
		}
		refused := step{observation: observation{callErr: &apiclient.Error{Kind: apiclient.Unavailable}}}
		count := func(message string, want, omitted int) {
			t.Helper()
			got := seen.FilterMessage(message)
			sum := 0
			for _, line := range got.All() {
				if n, ok := line.ContextMap()["omitted"].(int64); ok {
					sum += int(n)
				}
			}
			if got.Len() != want || sum != omitted {
				t.Errorf("%s: %d lines, %d omitted; want %d and %d", message, got.Len(), sum, want, omitted)
			}
		}
		for range 10 { // ten seconds of what the default limits let out at most
			write(30, step{}, fetchStep, nil)
			write(30, step{}, pollStep, nil)
			time.Sleep(time.Second)
		}
		count("fetch done", 300, 0)
		write(1050, step{}, pollStep, nil)
		write(1, refused, pollStep, nil)
		write(1, step{}, pollStep, errStale)
		write(500, step{}, pollStep, errors.New("no responders"))
		count("poll done", 300+100+9, 891)
		count("poll done, call failed", 1, 0)
		count("poll stale", 1, 0)
		count("poll trouble", 500, 0)
		time.Sleep(time.Second)
		write(1, step{}, pollStep, nil)
		count("poll done", 300+100+9+1, 941)
		write(1000, step{observation: observation{ended: true, published: &Record{State: Done}}}, intakeStep, nil)
		count("intake done", 1000, 0)
	})
}

// BenchmarkStepLine is what it costs to tell of a step: count, measure and line, as
// JSON to nowhere.
func BenchmarkStepLine(b *testing.B) {
	encoder := func() zapcore.Encoder { return zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()) }
	for name, core := range map[string]zapcore.Core{
		"none": zapcore.NewNopCore(), "json": zapcore.NewCore(encoder(), zapcore.AddSync(io.Discard), zap.InfoLevel),
	} {
		b.Run(name, func(b *testing.B) {
			w := &Worker{metrics: NewMetrics(), lines: newStepLog(zap.New(core))}
			s := &step{Worker: w, attempt: 1, observation: observation{began: time.Now(), next: time.Now()}}
			s.key.Batch, s.key.Job = "6f2c1a9b03de", "c-0c8a2c7a5b116a554f0e"
			b.ReportAllocs()
			w.lines.sampled = w.lines.log // each line is written
			for range b.N {
				w.observe(s, endingOf(nil), 0, nil)
			}
		})
	}
}
