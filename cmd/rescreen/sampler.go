package main

import (
	"fmt"
	"strconv"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// linkedSampler samples all steps of a job or none. Each step is a trace of its
// own that is linked to where the job comes from. That is another process, so the
// first link, if it leads to one, decides. Other spans are left to another sampler,
// those of jobs that this process submits among them.
type linkedSampler struct{ sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (s linkedSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	if parent.IsValid() || len(p.Links) == 0 || !p.Links[0].SpanContext.IsRemote() {
		return s.Sampler.ShouldSample(p)
	}
	if p.Links[0].SpanContext.IsSampled() {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

// traceSampler is what OTEL_TRACES_SAMPLER asks for. The library reads that
// variable itself, but only where it is given no sampler. What looks at parents looks
// at links, too.
func (a *app) traceSampler() (sdktrace.Sampler, error) {
	name, _ := a.getenv("OTEL_TRACES_SAMPLER")
	ratio := func() (sdktrace.Sampler, error) {
		text, set := a.getenv("OTEL_TRACES_SAMPLER_ARG")
		if !set {
			return sdktrace.AlwaysSample(), nil
		}
		share, err := strconv.ParseFloat(text, 64)
		if err != nil || !(share >= 0 && share <= 1) {
			return nil, usageError(fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not a number from 0 to 1", text), "")
		}
		return sdktrace.TraceIDRatioBased(share), nil
	}
	switch name {
	case "", "parentbased_always_on":
		return linkedSampler{sdktrace.ParentBased(sdktrace.AlwaysSample())}, nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "parentbased_always_off":
		return linkedSampler{sdktrace.ParentBased(sdktrace.NeverSample())}, nil
	case "traceidratio":
		return ratio()
	case "parentbased_traceidratio":
		root, err := ratio()
		if err != nil {
			return nil, err
		}
		return linkedSampler{sdktrace.ParentBased(root)}, nil
	}
	return nil, usageError(fmt.Errorf("OTEL_TRACES_SAMPLER: %q is none of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio", name), "")
}
