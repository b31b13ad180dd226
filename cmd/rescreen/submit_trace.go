package main

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"rescreen/queue"
	"rescreen/worker"
)

// traceJobs makes a span of each job of the chunk, and returns its context for the
// job's message. Each is a trace of its own, linked to the submission: a trace of a
// million jobs is of no use to anybody.
func (s *submitting) traceJobs(ctx context.Context) func(queue.JobID) string {
	traceparents := make(map[queue.JobID]string)
	for _, j := range s.chunk {
		own, span := s.options.Trace.Start(ctx, "submit job", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(
				attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.type", "create"),
				attribute.String("messaging.operation.name", "submit"), attribute.String("messaging.destination.template", queue.JobSubject("{batch}")),
				attribute.String(worker.BatchAttribute, string(s.batch)), attribute.String(worker.JobAttribute, string(j.ID)),
				attribute.Int(worker.AttemptAttribute, j.WithDefaults().Attempt)))
		if span.SpanContext().IsValid() {
			carrier := propagation.MapCarrier{}
			propagation.TraceContext{}.Inject(own, carrier)
			traceparents[j.ID] = carrier["traceparent"]
		}
		span.End()
	}
	return func(id queue.JobID) string { return traceparents[id] }
}
