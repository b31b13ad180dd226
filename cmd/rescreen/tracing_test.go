package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

func TestTracingFollowsTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		environ []string
		on      bool
		problem string
	}{
		{nil, false, ""},
		{[]string{"OTEL_TRACES_EXPORTER=none"}, false, ""},
		{[]string{"OTEL_TRACES_EXPORTER="}, false, ""},
		{[]string{"OTEL_TRACES_EXPORTER=console"}, true, ""},
		{[]string{"OTEL_TRACES_EXPORTER=otlp, console"}, true, ""},
		{[]string{"OTEL_TRACES_EXPORTER=console", "OTEL_SDK_DISABLED=TRUE"}, false, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}, true, ""},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, true, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_EXPORTER=none"}, false, ""},
		{[]string{"OTEL_TRACES_EXPORTER=zipkin"}, false, `OTEL_TRACES_EXPORTER: "zipkin" is none of otlp, console, none`},
		{[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, false, `"http/json" is none of http/protobuf, grpc`},
		{[]string{"OTEL_TRACES_EXPORTER=console", "OTEL_TRACES_SAMPLER=some"}, false, `OTEL_TRACES_SAMPLER: "some" is none of`},
		{[]string{"OTEL_TRACES_EXPORTER=console", "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=2"}, false, `OTEL_TRACES_SAMPLER_ARG: "2" is not a number from 0 to 1`},
		{[]string{"OTEL_TRACES_EXPORTER=console", "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.5"}, true, ""},
	} {
		var console bytes.Buffer
		a := &app{environ: c.environ}
		spans, err := a.tracing(t.Context(), &console, "w-1", zap.NewNop())
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) || exitCode(err) != 2 {
				t.Errorf("%v: %v", c.environ, err)
			}
			continue
		}
		if err != nil || (spans.provider != nil) != c.on {
			t.Errorf("%v: on %v, %v", c.environ, spans.provider != nil, err)
			continue
		}
		if !c.on {
			if spans.Tracer != nil {
				t.Errorf("%v: there is a tracer", c.environ)
			}
			continue
		}
		if _, span := spans.Start(t.Context(), "x"); !span.SpanContext().IsValid() {
			t.Errorf("%v: span %v", c.environ, span)
		}
		_ = spans.provider.Shutdown(t.Context())
	}
}

// TestSpansReachTheCollector sends spans the standard way. The exporter reads the
// process's own environment.
func TestSpansReachTheCollector(t *testing.T) {
	got := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("X-Key")
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k")
	a := &app{environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}}
	spans, err := a.tracing(t.Context(), nil, "w-1", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_, span := spans.Start(t.Context(), "x")
	span.End()
	spans.end(zap.NewNop())
	select { // they have been sent by now
	case s := <-got:
		if s != "POST /v1/traces application/x-protobuf k" {
			t.Error(s)
		}
	default:
		t.Error("nothing was sent")
	}
}

func TestTheFirstLinkDecidesWhatIsSampled(t *testing.T) {
	context1 := func(flags trace.TraceFlags, remote bool) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags, Remote: remote})
	}
	for _, c := range []struct {
		name   string
		links  []trace.SpanContext
		parent trace.SpanContext
		root   sdktrace.Sampler
		want   bool
	}{
		{"no link", nil, trace.SpanContext{}, sdktrace.AlwaysSample(), true},
		{"no link, root says no", nil, trace.SpanContext{}, sdktrace.NeverSample(), false},
		{"sampled", []trace.SpanContext{context1(trace.FlagsSampled, true)}, trace.SpanContext{}, sdktrace.NeverSample(), true},
		{"not sampled", []trace.SpanContext{context1(0, true), context1(trace.FlagsSampled, true)}, trace.SpanContext{}, sdktrace.AlwaysSample(), false},
		{"link within the process", []trace.SpanContext{context1(trace.FlagsSampled, false)}, trace.SpanContext{}, sdktrace.NeverSample(), false},
		{"parent", []trace.SpanContext{context1(trace.FlagsSampled, true)}, context1(0, true), sdktrace.ParentBased(sdktrace.AlwaysSample()), false},
	} {
		var links []trace.Link
		for _, l := range c.links {
			links = append(links, trace.Link{SpanContext: l})
		}
		got := linkedSampler{c.root}.ShouldSample(sdktrace.SamplingParameters{
			ParentContext: trace.ContextWithSpanContext(context.Background(), c.parent), Links: links,
		})
		if sampled := got.Decision == sdktrace.RecordAndSample; sampled != c.want {
			t.Errorf("%s: sampled %v", c.name, sampled)
		}
	}
}

// TestSamplersFollowTheEnvironment holds what is sampled of a step whose job was, and
// whose job was not.
func TestSamplersFollowTheEnvironment(t *testing.T) {
	for name, want := range map[string][2]bool{
		"always_on": {true, true}, "always_off": {false, false}, "traceidratio": {false, false},
		"": {true, false}, "parentbased_always_on": {true, false}, "parentbased_always_off": {true, false}, "parentbased_traceidratio": {true, false},
	} {
		a := &app{environ: []string{"OTEL_TRACES_EXPORTER=console", "OTEL_TRACES_SAMPLER=" + name, "OTEL_TRACES_SAMPLER_ARG=0"}}
		spans, err := a.tracing(t.Context(), &bytes.Buffer{}, "w-1", zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		for i, flags := range []trace.TraceFlags{trace.FlagsSampled, 0} {
			job := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags, Remote: true})
			_, span := spans.Start(t.Context(), "step", trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: job}))
			if got := span.SpanContext().IsSampled(); got != want[i] {
				t.Errorf("%q, job sampled %v: step sampled %v", name, flags.IsSampled(), got)
			}
		}
		_ = spans.provider.Shutdown(t.Context())
	}
}

func TestEachJobIsSubmittedInATraceOfItsOwn(t *testing.T) {
	w := newBatchWorld(t)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	if _, err := w.submitText(t, people(3), submitOptions{Batch: "march", Trace: tracer}); err != nil {
		t.Fatal(err)
	}
	spans := recorder.Ended()
	if len(spans) != 4 || spans[3].Name() != "submit" {
		t.Fatalf("%d spans", len(spans))
	}
	var made []string
	for _, s := range spans[:3] {
		if s.Parent().IsValid() || len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != spans[3].SpanContext().SpanID() {
			t.Errorf("%s: parent %v, links %v", s.Name(), s.Parent(), s.Links())
		}
		made = append(made, fmt.Sprintf("00-%s-%s-01", s.SpanContext().TraceID(), s.SpanContext().SpanID()))
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "Nordmann") || strings.Contains(a.Value.String(), "C-00") {
				t.Errorf("%s tells who it is: %s", a.Key, a.Value.String())
			}
		}
	}
	var sent []string
	for len(sent) < 3 { // a consumer learns of a job some moments after its publish
		got, err := w.jobs.Pull(t.Context(), "march", 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			sent = append(sent, d.Header.Get("traceparent"))
		}
	}
	slices.Sort(made)
	slices.Sort(sent)
	if !slices.Equal(made, sent) {
		t.Errorf("made %v, sent %v", made, sent)
	}
}
