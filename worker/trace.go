package worker

import (
	"context"
	"fmt"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap/zapcore"

	"rescreen/queue"
)

// Names of what spans say about a job.
const (
	BatchAttribute   = "rescreen.batch"
	JobAttribute     = "rescreen.job"
	AttemptAttribute = "rescreen.attempt"
)

// A step has one span. It is a root of its own, because what it goes back to may
// be hours old, and is linked to
//
//   - the job: the trace context that came with the job message, else that
//     of the step that took it in;
//   - the step before: the one that parked the wake-up it was started by.
//
// The first travels from wake-up to wake-up in their content, the second is
// a wake-up's header. So nothing has to be read, whichever worker takes a step, and
// a sampler that goes by the first link takes all steps of a job or none.
//
// What spans say is listed here: nothing of a person, no text from outside.

// startSpan begins the span of the step that d started. job is the context that d
// brings of its job, "" for none.
func (s *step) startSpan(ctx context.Context, d *queue.Delivery, job string) context.Context {
	s.origin = job
	if s.tracer == nil {
		return ctx
	}
	template, before := "screening.jobs.{batch}", ""
	if !s.ofJob {
		template, before = "screening.due.{batch}.{job}.{attempt}", traceOf(d)
	}
	ctx, s.span = s.tracer.Start(ctx, "step", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(append(linkTo(job, "job"), linkTo(before, "step_before")...)...),
		trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.destination.name", d.Stream),
			attribute.String("messaging.destination.template", template),
		))
	if s.origin == "" {
		s.origin = s.traceparent()
	}
	return ctx
}

// linkTo is a link to a valid trace context; none if there is none.
func linkTo(traceparent, what string) []trace.Link {
	if traceparent == "" {
		return nil
	}
	return []trace.Link{{SpanContext: contextOf(traceparent), Attributes: []attribute.KeyValue{attribute.String("rescreen.link", what)}}}
}

// contextOf reads what queue.ValidTraceparent lets pass.
func contextOf(traceparent string) trace.SpanContext {
	traceID, _ := trace.TraceIDFromHex(traceparent[3:35])
	spanID, _ := trace.SpanIDFromHex(traceparent[36:52])
	flags, _ := strconv.ParseUint(traceparent[53:], 16, 8)
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags) & trace.FlagsSampled, Remote: true,
	})
}

// traceparent is the step's own trace context, "" if it has none.
func (s *step) traceparent() string {
	if s.span == nil || !s.span.SpanContext().IsValid() {
		return ""
	}
	own := s.span.SpanContext()
	return fmt.Sprintf("00-%s-%s-%s", own.TraceID(), own.SpanID(), own.TraceFlags()&trace.FlagsSampled)
}

// traceID is by what a log line is found from the span; "" if nobody will see that.
func (s *step) traceID() string {
	if s.span == nil || !s.span.SpanContext().IsSampled() {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// called adds a call that has ended to the span. An answer's status is told if it is
// an error.
func (s *step) called(c Class, err error) {
	if s.span == nil {
		return
	}
	what := []attribute.KeyValue{
		attribute.Stringer("rescreen.call", c),
		attribute.Float64("rescreen.call.duration", s.clock.Now().Sub(s.sent).Seconds()),
	}
	if status := statusOf(err); status != 0 {
		what = append(what, attribute.Int("http.response.status_code", status))
	}
	s.span.AddEvent("call", trace.WithAttributes(what...))
}

// recorded adds a change of the record to the span.
func (s *step) recorded(state State) {
	if s.span != nil {
		s.span.AddEvent("commit", trace.WithAttributes(attribute.String("rescreen.record.state", string(state))))
	}
}

// outcomePublished adds that the outcome is known now to the span.
func (s *step) outcomePublished() {
	if s.span != nil {
		s.span.AddEvent("publish")
	}
}

// endSpan ends the span of a step that is settled.
func (s *step) endSpan(kind stepKind, e ending) {
	if s.span == nil {
		return
	}
	s.span.SetName(kind.String())
	s.span.SetAttributes(
		attribute.String(BatchAttribute, s.key.Batch),
		attribute.String(JobAttribute, s.key.Job),
		attribute.Int(AttemptAttribute, s.attempt),
		attribute.Stringer("rescreen.step.kind", kind),
		attribute.String("rescreen.step.outcome", e.outcome),
	)
	if s.session != "" {
		s.span.SetAttributes(attribute.String("rescreen.session", string(s.session)))
	}
	if s.state != none {
		s.span.SetAttributes(attribute.String("rescreen.record.state", string(s.state)))
	}
	if e.level > zapcore.InfoLevel {
		s.span.SetStatus(codes.Error, e.outcome)
	}
	s.span.End()
}
