package worker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// gather reads all metrics: of counters and gauges the value, of histograms count and
// sum, by name and labels.
func gather(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "rescreen_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetHistogram() != nil:
				got[name+" count"] = float64(m.GetHistogram().GetSampleCount())
				got[name+" sum"] = m.GetHistogram().GetSampleSum()
			case m.GetGauge() != nil:
				got[name] = m.GetGauge().GetValue()
			default:
				got[name] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

func (w *world) gather() map[string]float64 { return gather(w.t, w.metrics) }

// wantMetrics compares those that are named, within a tenth, and a tenth of a second.
func (w *world) wantMetrics(want map[string]float64) {
	w.t.Helper()
	got := w.gather()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		v, ok := got[name]
		if diff := v - want[name]; !ok || max(diff, -diff) > max(0.1, want[name]/10) {
			w.t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want[name])
		}
	}
}

// Whatever is known beforehand is there from the start, and nothing is where nothing
// was measured.
func TestMetricsBeginAtZero(t *testing.T) {
	got := gather(t, NewMetrics())
	for name, v := range got {
		if v != 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
	for _, name := range []string{
		"jobs_total  done", "jobs_total session_failed failed", "steps_total fetch done", "steps_total other newer_state",
		"step_duration_seconds poll count", "permit_wait_seconds create count", "possible_duplicates_total",
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
	if _, ok := got["time_to_expiry_seconds"]; ok {
		t.Error("a time to expiry of nothing")
	}
	if n := len(got); n != 1+len(queue.Reasons())+int(stepKinds)*len(stepOutcomes)+2+2*(int(stepKinds)+3+4) {
		t.Errorf("%d series", n)
	}
}

func TestMetricsOfOneJob(t *testing.T) {
	for name, c := range map[string]struct {
		report bool
		want   map[string]float64
	}{
		"document": {false, map[string]float64{
			"steps_total fetch done": 1, "step_duration_seconds fetch count": 1, "permit_wait_seconds fetch count": 1,
		}},
		"document and report": {true, map[string]float64{
			"steps_total fetch done": 2, "step_duration_seconds fetch count": 2, "permit_wait_seconds fetch count": 2,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(100 * time.Second), ReportAfter: amlsim.Fixed(time.Minute)}, func(w *world) {
				job := person(1, c.report)
				w.submit(job)
				time.Sleep(30 * time.Second) // nobody there
				_, stop := w.start("w")
				defer stop()
				r := w.result(10*time.Minute, job)
				time.Sleep(time.Second)
				ready := r.ReadySeenAt.Sub(r.CreatedAt).Seconds()
				if ready < 100 || ready > 160 {
					t.Fatalf("ready after %v s", ready)
				}
				w.wantMetrics(map[string]float64{
					"jobs_total  done": 1, "possible_duplicates_total": 0, "steps_total intake done": 1, "step_duration_seconds intake count": 1,
					"time_in_queue_seconds count": 1, "time_in_queue_seconds sum": 30, "time_to_ready_seconds count": 1, "time_to_ready_seconds sum": ready,
					"ready_to_fetched_seconds count": 1, "ready_to_fetched_seconds sum": 0, "session_polls count": 1, "permit_wait_seconds create count": 1,
				})
				w.wantMetrics(c.want)
				got := w.gather()
				if left := got["time_to_expiry_seconds"]; left > 7200-1 || left < 7200-70 { // from the last poll that found it not ready
					t.Errorf("%v s were left", left)
				}
				if polls := got["permit_wait_seconds poll count"]; got["session_polls sum"] > polls || polls != float64(r.Polls) || !c.report && got["session_polls sum"] != polls {
					t.Errorf("%v polls until it was ready, %v permits for polls, %d in the result", got["session_polls sum"], polls, r.Polls)
				}
			})
		})
	}
}

// The time in the queue is that of the job, also when it has waited as a record.
func TestTimeInQueueOfJobsThatWereTakenInEarly(t *testing.T) {
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{{
		Call: amlsim.CallCreate, When: amlsim.When{Until: 10 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 429, RetryAfter: 10 * time.Minute},
	}}}, func(w *world) {
		w.create = Budget{Rate: 0.2, Burst: 1}
		jobs := people(20)
		w.submit(jobs...)
		_, stop := w.start("w")
		defer stop()
		w.outcomes(2*time.Hour, jobs...)
		got := w.gather()
		if n, sum := got["time_in_queue_seconds count"], got["time_in_queue_seconds sum"]; n != 20 || sum < 10*600 {
			t.Errorf("%v jobs waited %v s together", n, sum)
		}
		if rec := w.record(jobs[3]); !rec.Stored.IsZero() {
			t.Errorf("the record still knows when it was stored")
		}
	})
}

// Ready to fetched counts from the first poll that found the session ready, however
// often it is looked at again.
func TestReadyToFetchedCountsFromTheFirstSight(t *testing.T) {
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{{
		Call: amlsim.CallDocument, When: amlsim.When{Until: 20 * time.Minute}, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 500},
	}}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		r := w.result(time.Hour, job)
		got := w.gather()
		if d := got["ready_to_fetched_seconds sum"]; d < 19*60 || d > 22*60 || got["time_to_ready_seconds sum"] > 10 {
			t.Errorf("%v s from ready to fetched, %v s to ready", d, got["time_to_ready_seconds sum"])
		}
		if d := r.FetchedAt.Sub(r.ReadySeenAt); d < 19*time.Minute {
			t.Errorf("the result says %v", d)
		}
		if left := got["time_to_expiry_seconds"]; left < 7200-22*60 || left > 7200-19*60 {
			t.Errorf("%v s were left", left)
		}
	})
}

func TestMetricsOfJobsThatFail(t *testing.T) {
	inWorld(t, amlsim.Config{Fates: amlsim.Fates{Fail: 1}}, func(w *world) {
		w.submit(person(1, false))
		w.jobs.Stream().Publish(queue.JobSubject("b"), []byte(`{`), nil)
		lost := person(2, false)
		w.put(lost, Record{State: Creating, Attempt: 1, Query: &lost, Since: time.Now().UTC().Add(-time.Hour), Counters: Counters{Recreations: maxRecreations}})
		w.submit(lost)
		_, stop := w.start("w")
		defer stop()
		time.Sleep(time.Minute)
		w.wantMetrics(map[string]float64{
			"jobs_total  done": 0, "jobs_total session_failed failed": 1, "jobs_total invalid_job failed": 1, "jobs_total create_unknown failed": 1,
			"possible_duplicates_total": 1, "session_polls count": 1, "session_polls sum": 1, "time_to_ready_seconds count": 0,
			"steps_total intake done": 3, "steps_total poll done": 1,
		})
	})
}

// An outcome counts once, however often it is published.
func TestRepeatedOutcomesCountOnce(t *testing.T) {
	inWorld(t, amlsim.Config{Fates: amlsim.Fates{Fail: 1}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		w.failure(time.Minute, job)
		w.queueAgain(job, 2)
		time.Sleep(time.Minute)
		for range 3 {
			time.Sleep(queue.PublishWindow) // until then a repetition is not stored
			w.queueAgain(job, 1)
			w.queueAgain(job, 2)
		}
		time.Sleep(time.Minute)
		w.wantMetrics(map[string]float64{"jobs_total session_failed failed": 2, "session_polls count": 2})
		if got := w.gather()["steps_total publish done"]; got < 1 {
			t.Errorf("%v steps have repeated an outcome", got)
		}
	})
}

// A result that cannot be fetched is heard of long before it perishes, and when it has.
func TestTimeToExpiryOfWhatCannotBeFetched(t *testing.T) {
	inWorld(t, amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallDocument, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 500}}}}, func(w *world) {
		job := person(1, false)
		w.submit(job)
		_, stop := w.start("w")
		defer stop()
		for _, minutes := range []float64{30, 60, 90} {
			time.Sleep(30 * time.Minute)
			if left, ok := w.gather()["time_to_expiry_seconds"]; !ok || left < 7200-minutes*60-90 || left > 7200-minutes*60+90 {
				t.Errorf("after %v minutes %v s are left (known: %v)", minutes, left, ok)
			}
		}
		time.Sleep(35 * time.Minute)
		if left, ok := w.gather()["time_to_expiry_seconds"]; !ok || left > 0 {
			t.Errorf("it has perished, and %v s are left (known: %v)", left, ok)
		}
		f := w.failure(24*time.Hour, job)
		w.wantMetrics(map[string]float64{
			"sessions_perished_total": float64(f.Expiries), "jobs_total result_expired failed": 1, "session_polls count": 1, "session_polls sum": float64(f.Polls),
		})
		if f.Polls < 10 || f.Expiries != maxExpiries+1 {
			t.Errorf("the failure tells of %d polls, %d expiries", f.Polls, f.Expiries)
		}
	})
}

// New jobs come with their permits: what was waited for those counts as theirs.
func TestPermitWaitOfNewJobs(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		w.create = Budget{Rate: 0.2, Burst: 1}
		jobs := people(20)
		w.submit(jobs...)
		_, stop := w.start("w")
		defer stop()
		w.outcomes(time.Hour, jobs...)
		got := w.gather()
		if n, sum := got["permit_wait_seconds create count"], got["permit_wait_seconds create sum"]; n != 20 || sum < 19*4 || sum > 20*12 {
			t.Errorf("%v permits were waited for %v s together", n, sum)
		}
	})
}

// A record may keep the time of the queue for longer than it should, having been
// in the hands of an earlier version.
func TestTimeInQueueIsMeasuredAtTheFirstCreation(t *testing.T) {
	stored := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		from Record
		want float64
	}{
		"first":   {Record{State: Queued, Stored: stored}, 1},
		"refused": {Record{State: Queued, Stored: stored, NotCreated: 2}, 1},
		"unknown": {Record{State: Creating, Stored: stored}, 0},
		"expired": {Record{State: Queued, Stored: stored, Counters: Counters{SessionsCreated: 1}}, 0},
	} {
		m := NewMetrics()
		to := c.from.startCreating(stored.Add(time.Minute))
		if c.from.State == Creating {
			to.Recreations++
		}
		if m.changed(c.from, to); gather(t, m)["time_in_queue_seconds count"] != c.want {
			t.Errorf("%s: not %v", name, c.want)
		}
	}
}

func TestLeastOfTheLastTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recentLeast
		get := func() string {
			d, ok := r.get(time.Now())
			return fmt.Sprint(d, ok)
		}
		if got := get(); got != "0s false" {
			t.Errorf("of nothing: %s", got)
		}
		for _, c := range []struct {
			after, add time.Duration
			want       string
		}{
			{0, time.Hour, "1h0m0s true"},
			{time.Minute, 2 * time.Hour, "1h0m0s true"},
			{0, 30 * time.Minute, "30m0s true"},
			{time.Minute, -time.Minute, "-1m0s true"},
			{8 * time.Minute, 3 * time.Hour, "-1m0s true"},
			{2 * time.Minute, 4 * time.Hour, "3h0m0s true"},
			{30 * time.Minute, 5 * time.Hour, "5h0m0s true"},
		} {
			time.Sleep(c.after)
			if r.add(time.Now(), c.add); get() != c.want {
				t.Errorf("%v later, with %v more: %s, want %s", c.after, c.add, get(), c.want)
			}
		}
		time.Sleep(10 * time.Minute)
		if got := get(); got != "0s false" {
			t.Errorf("after ten minutes: %s", got)
		}
	})
}
