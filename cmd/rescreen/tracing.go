package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// traceFlush is how long the end of a command waits for its last spans to be
// taken: they are less important than that it ends.
const traceFlush = 3 * time.Second

// tracing is where the spans of a command go.
type tracing struct {
	trace.Tracer // both are nil if nobody wants spans
	provider     *sdktrace.TracerProvider
}

// end sends what is left.
func (t tracing) end(log *zap.Logger) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceFlush)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("the last spans may be lost", zap.Error(err))
	}
}

// tracing sets up what the standard OTEL_ variables of the environment ask for
// (opentelemetry.io, "Environment Variable Specification"); there are no settings
// beside them. console is where that exporter writes. Different from the specification nothing is sent unless
// OTEL_TRACES_EXPORTER or an endpoint is set: most installations have no collector on
// their own machine. instance tells processes of one name apart.
func (a *app) tracing(ctx context.Context, console io.Writer, instance string, log *zap.Logger) (tracing, error) {
	names, err := a.traceExporters()
	if err != nil || len(names) == 0 {
		return tracing{}, err
	}
	sampler, err := a.traceSampler()
	if err != nil {
		return tracing{}, err
	}
	// The client has one place for the whole process where it says what went wrong.
	seldom := log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0)
	}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { seldom.Warn("spans not sent", zap.Error(err)) }))
	what, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "rescreen"), attribute.String("service.version", buildVersion().Version),
			attribute.String("service.instance.id", instance)),
		resource.WithFromEnv())
	if err != nil {
		return tracing{}, usageError(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err), "")
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(what), sdktrace.WithSampler(sampler)}
	for _, name := range names {
		exporter, err := a.traceExporter(ctx, console, name)
		if err != nil {
			return tracing{}, err
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	provider := sdktrace.NewTracerProvider(options...)
	return tracing{provider.Tracer("rescreen"), provider}, nil
}

// traceExporters lists where spans go.
func (a *app) traceExporters() ([]string, error) {
	if off, _ := a.getenv("OTEL_SDK_DISABLED"); strings.EqualFold(off, "true") {
		return nil, nil
	}
	list, set := a.getenv("OTEL_TRACES_EXPORTER")
	if !set {
		_, all := a.getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
		_, traces := a.getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
		if all || traces {
			return []string{"otlp"}, nil
		}
		return nil, nil
	}
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case "none":
		case "otlp", "console":
			names = append(names, name)
		default:
			return nil, usageError(fmt.Errorf("OTEL_TRACES_EXPORTER: %q is none of otlp, console, none", name), "")
		}
	}
	return names, nil
}

// traceExporter makes one exporter. The console is stderr, one span a line: what
// commands write to stdout is data.
func (a *app) traceExporter(ctx context.Context, console io.Writer, name string) (sdktrace.SpanExporter, error) {
	if name == "console" {
		return stdouttrace.New(stdouttrace.WithWriter(console))
	}
	protocol, set := a.getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if !set {
		protocol, set = a.getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch {
	case !set, protocol == "http/protobuf":
		return otlptracehttp.New(ctx)
	case protocol == "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, usageError(fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is none of http/protobuf, grpc", protocol), "")
}
