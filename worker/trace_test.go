package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/queue/queuetest"
)

const submitted = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func comingFrom(from string) queue.PublishOption {
	return queue.WithTraceparent(func(queue.JobID) string { return from })
}

// trace keeps the spans of all workers that start from now on.
func (w *world) trace() {
	w.spans = tracetest.NewSpanRecorder()
	w.tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(w.spans)).Tracer("rescreen")
}

// seenSpan is what tests look at of a span.
type seenSpan struct {
	sdk.ReadOnlySpan
	said map[attribute.Key]string
}

// ended are the spans so far, in the order of their ends.
func (w *world) ended() []seenSpan {
	var spans []seenSpan
	for _, s := range w.spans.Ended() {
		said := make(map[attribute.Key]string)
		for _, a := range s.Attributes() {
			said[a.Key] = a.Value.String()
		}
		spans = append(spans, seenSpan{s, said})
	}
	return spans
}

// link is where the span's link of that kind leads.
func (s seenSpan) link(what string) trace.SpanContext {
	for _, l := range s.Links() {
		if len(l.Attributes) == 1 && l.Attributes[0].Value.AsString() == what {
			return l.SpanContext
		}
	}
	return trace.SpanContext{}
}

func same(a, b trace.SpanContext) bool {
	return a.TraceID() == b.TraceID() && a.SpanID() == b.SpanID() && a.TraceFlags() == b.TraceFlags()
}

// mayBeSaid are the attributes that spans may have.
var mayBeSaid = []attribute.Key{
	"messaging.system", "messaging.operation.type", "messaging.operation.name", "messaging.destination.name", "messaging.destination.template",
	"rescreen.batch", "rescreen.job", "rescreen.attempt", "rescreen.step.kind", "rescreen.step.outcome", "rescreen.session", "rescreen.record.state",
}

// checkForm holds a span to what is true of all of them.
func (s seenSpan) checkForm(t *testing.T) {
	t.Helper()
	if s.Parent().IsValid() || s.SpanKind() != trace.SpanKindConsumer || s.Name() != s.said["rescreen.step.kind"] {
		t.Errorf("span %s has the parent %v, kind %v", s.Name(), s.Parent(), s.SpanKind())
	}
	for key := range s.said {
		if !slices.Contains(mayBeSaid, key) {
			t.Errorf("span %s says %s", s.Name(), key)
		}
	}
	for _, l := range s.Links() {
		if !l.SpanContext.IsValid() {
			t.Errorf("span %s has a link to nowhere", s.Name())
		}
	}
}

// One job with a report, its steps taken by two workers in turn: a span of each step,
// in order, linked to the job and to the step before.
func TestTraceOfOneJob(t *testing.T) {
	for name, c := range map[string]struct{ from string }{"submitted with a trace": {submitted}, "without": {}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(15 * time.Second), ReportAfter: amlsim.Fixed(20 * time.Second)}, func(w *world) {
				w.trace()
				job := person(1, true)
				if err := w.jobs.EnsureConsumer(t.Context(), "b"); err != nil {
					t.Fatal(err)
				}
				if _, err := w.jobs.Publish(t.Context(), "b", []queue.Job{job}, comingFrom(c.from)); err != nil {
					t.Fatal(err)
				}
				for n := 0; len(w.published()) == 0 && n < 30; n++ {
					_, stop := w.start([]string{"a", "b"}[n%2])
					for limit := time.Now().Add(2 * time.Minute); len(w.ended()) <= n && time.Now().Before(limit); {
						time.Sleep(10 * time.Millisecond)
					}
					stop()
				}
				w.result(0, job)

				spans := w.ended()
				var kinds []string
				traces := make(map[trace.TraceID]bool)
				for i, s := range spans {
					s.checkForm(t)
					kinds = append(kinds, s.Name())
					traces[s.SpanContext().TraceID()] = true
					if i == 0 {
						continue
					}
					if got := s.link("step_before"); !same(got, spans[i-1].SpanContext()) {
						t.Errorf("span %d is linked to the step %v, the one before is %v", i, got, spans[i-1].SpanContext())
					}
				}
				if got, want := strings.Join(kinds, " "), "intake poll poll poll fetch poll fetch"; got != want {
					t.Errorf("steps were %s, want %s", got, want)
				}
				if len(traces) != len(spans) {
					t.Errorf("%d traces for %d spans", len(traces), len(spans))
				}
				origin, first := spans[0].SpanContext(), spans
				if c.from != "" {
					origin = contextOf(c.from)
				} else {
					first = spans[1:]
				}
				for i, s := range first {
					if got := s.Links()[0].SpanContext; !same(got, origin) || !same(s.link("job"), origin) {
						t.Errorf("span %d is linked to %v first, want the job's %v", i, got, origin)
					}
				}
				last := spans[len(spans)-1]
				want := map[attribute.Key]string{
					"messaging.system": "nats", "messaging.operation.type": "process", "messaging.operation.name": "process",
					"messaging.destination.name": "SCREENING_WAKES", "messaging.destination.template": "screening.due.{batch}.{job}.{attempt}",
					"rescreen.batch": "b", "rescreen.job": "job-1", "rescreen.attempt": "1",
					"rescreen.step.kind": "fetch", "rescreen.step.outcome": "done", "rescreen.record.state": "done",
					"rescreen.session": string(w.record(job).Session),
				}
				if fmt.Sprint(last.said) != fmt.Sprint(want) {
					t.Errorf("the last span says %v\nwant %v", last.said, want)
				}
				if got := eventsOf(last); got != "call poll, call fetch, commit done, publish" {
					t.Errorf("in the last span: %s", got)
				}
				if n := len(linesOf(w, "trace_id", last.SpanContext().TraceID().String())); n != 1 {
					t.Errorf("%d lines of its trace", n)
				}
			})
		})
	}
}

func eventsOf(s seenSpan) string {
	var events []string
	for _, e := range s.Events() {
		what := e.Name
		for _, a := range e.Attributes[:min(1, len(e.Attributes))] {
			what += " " + a.Value.String()
		}
		events = append(events, what)
	}
	return strings.Join(events, ", ")
}

// Whatever befalls the steps, what they are linked to is true: the first link is
// that of their job, the second a step of the same job, and none has a parent.
func TestLinksHoldWhenStepsAreRepeated(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.LogNormal(20*time.Second, 1, 0, 5*time.Minute), ReportAfter: amlsim.Fixed(10 * time.Second)}, func(w *world) {
		w.trace()
		trouble := trial{storeTrouble: 0.1, queueTrouble: 0.1}
		w.store.SetFault(trouble.storeFault(3))
		w.queueFault.Store(trouble.queueFault(3))
		jobs := people(30)
		if err := w.jobs.EnsureConsumer(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		origins := make(map[string]trace.SpanContext)
		for i, j := range jobs {
			from := ""
			if i%2 == 0 {
				from = fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319c-%016x-01", i+1)
				origins[string(j.ID)] = contextOf(from)
			}
			if _, err := w.jobs.Publish(t.Context(), "b", []queue.Job{j}, comingFrom(from)); err != nil {
				t.Fatal(err)
			}
		}
		b := w.launch("b")
		for i := range 5 { // workers die
			a := w.launch(fmt.Sprint("a", i))
			time.Sleep(time.Duration(10+7*i) * time.Second)
			a.kill()
		}
		w.store.SetFault(nil)
		w.queueFault.Store(nil)
		w.outcomes(3*time.Hour, jobs...)
		b.stop()

		spans := w.ended()
		by := make(map[trace.SpanID]seenSpan)
		for _, s := range spans {
			by[s.SpanContext().SpanID()] = s
		}
		outcomes, before := make(map[string]int), 0
		for _, s := range spans {
			s.checkForm(t)
			outcomes[s.said["rescreen.step.outcome"]]++
			job := s.said["rescreen.job"]
			if origin, ok := origins[job]; ok && !same(s.Links()[0].SpanContext, origin) {
				t.Errorf("%s of %s: the first link is not the job's", s.Name(), job)
			}
			if _, ok := origins[job]; !ok && len(s.Links()) > 0 {
				if first, ok := by[s.Links()[0].SpanContext.SpanID()]; !ok || first.said["rescreen.job"] != job || first.link("job").IsValid() {
					t.Errorf("%s of %s: the first link is not the step that took it in", s.Name(), job)
				}
			}
			if to := s.link("step_before"); to.IsValid() {
				before++
				if got, ok := by[to.SpanID()]; !ok || got.said["rescreen.job"] != job || got.StartTime().After(s.StartTime()) {
					t.Errorf("%s of %s is linked to a step that is none before it", s.Name(), job)
				}
			}
		}
		if outcomes["trouble"] == 0 || outcomes[stepDone] < 4*len(jobs) || before < 3*len(jobs) {
			t.Errorf("outcomes %v, %d linked to a step before", outcomes, before)
		}
	})
}

// A wake-up that was lost is parked by the repair: its step is linked to the job all the
// same, and to no step.
func TestRepairedWakeUpsKeepTheTrace(t *testing.T) {
	inWorld(t, amlsim.Config{}, func(w *world) {
		w.trace()
		job := person(1, false)
		w.put(job, Record{State: Queued, Attempt: 1, Query: &job, Since: time.Now().UTC(), Traceparent: submitted})
		_, stop := w.start("w")
		defer stop()
		w.result(5*time.Minute, job)
		spans := w.ended()
		if s := spans[0]; s.Name() != "create" || len(s.Links()) != 1 || !same(s.link("job"), contextOf(submitted)) {
			t.Errorf("%s has the links %v", s.Name(), s.Links())
		}
		if s := spans[1]; !same(s.link("job"), contextOf(submitted)) || !same(s.link("step_before"), spans[0].SpanContext()) {
			t.Errorf("%s has the links %v", s.Name(), s.Links())
		}
	})
}

// What cannot be a trace context links to nothing, from whichever message it comes.
func TestHostileTraceContextsLinkToNothing(t *testing.T) {
	inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(time.Hour)}, func(w *world) {
		w.trace()
		_, stop := w.start("w")
		defer stop()
		bad := []string{"", "x", "Kanarifugl", strings.ToUpper(submitted), "01" + submitted[2:], "ff" + submitted[2:], submitted + "-00", submitted[:54],
			"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
			strings.Repeat("0", 32<<10), "00-" + strings.Repeat("æ", 16) + "-b7ad6b7169203331-01"}
		for i, value := range bad {
			header := nats.Header{"traceparent": {value}}
			body, err := person(i, false).Encode()
			if err != nil {
				t.Fatal(err)
			}
			w.jobs.Stream().Publish(queue.JobSubject("b"), body, header)
			w.due.Publish(fmt.Sprintf("screening.due.b.lost-%d.1", i), fmt.Appendf(nil, `{"trace":%q}`, value), header)
		}
		if err := w.jobs.EnsureConsumer(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		lost, intakes := 0, make(map[string]trace.SpanContext) // by job
		for _, s := range w.ended() {
			s.checkForm(t)
			job := s.said["rescreen.job"]
			switch {
			case s.Name() == "intake":
				intakes[job] = s.SpanContext()
				fallthrough
			case s.said["rescreen.step.outcome"] == "stale":
				lost++
				if n := len(s.Links()); n != 0 {
					t.Errorf("%s of %s has %d links", s.Name(), job, n)
				}
			case !same(s.link("job"), intakes[job]):
				t.Errorf("%s of %s is not linked to its intake", s.Name(), job)
			}
		}
		if len(intakes) != len(bad) || lost < 2*len(bad) {
			t.Errorf("%d jobs taken in, and %d messages of %d without a record", len(intakes), lost-len(intakes), len(bad))
		}
		w.checkPrivacy(queuetest.Canaries()...)
	})
}

// A worker that traces nothing still passes the job's context on; one that leaves a
// job out tells the others that it is left out.
func TestContextOfTheJobTravelsUntraced(t *testing.T) {
	leavesOut := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("")
	for name, c := range map[string]struct {
		from    string // with which the job is submitted
		first   trace.Tracer
		links   int  // of the first span that is traced
		sampled bool // what its first link says
	}{
		"no tracer, a job with a trace":     {submitted, nil, 1, true},
		"no tracer, a job without":          {"", nil, 0, false},
		"nothing sampled, a job with":       {submitted, leavesOut, 2, true},
		"nothing sampled, a job without":    {"", leavesOut, 2, false},
		"no tracer, a job that is left out": {submitted[:53] + "00", nil, 1, false},
		"flags of another version":          {submitted[:53] + "ff", nil, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, amlsim.Config{ReadyAfter: amlsim.Fixed(30 * time.Second)}, func(w *world) {
				job := person(1, false)
				if err := w.jobs.EnsureConsumer(t.Context(), "b"); err != nil {
					t.Fatal(err)
				}
				if _, err := w.jobs.Publish(t.Context(), "b", []queue.Job{job}, comingFrom(c.from)); err != nil {
					t.Fatal(err)
				}
				w.tracer = c.first
				_, stop := w.start("first")
				time.Sleep(10 * time.Second)
				stop()
				w.trace()
				_, stop = w.start("second")
				defer stop()
				w.result(5*time.Minute, job)
				span := w.ended()[0]
				span.checkForm(t)
				if len(span.Links()) != c.links || span.link("job").IsSampled() != c.sampled || c.from != "" && !same(span.link("job"), contextOf(c.from)) {
					t.Errorf("the first span has the links %v", span.Links())
				}
				if e := w.events[job.ID]; e.Traceparent != c.from {
					t.Errorf("the outcome has the trace %q", e.Traceparent)
				}
			})
		})
	}
}
