// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/load/otlp"
)

// An observer sends a trace and the figures of a run to an OpenTelemetry collector,
// when the standard OTEL_EXPORTER_OTLP_* variables name one. It says what the
// summary says, and holds no name either. A collector that is down costs a run
// nothing but a warning.
type observer struct {
	tracer  trace.Tracer
	metrics *sdkmetric.MeterProvider // nil when there is no collector
	traces  *sdktrace.TracerProvider
}

// exportTime bounds what a run waits for the collector at its end.
const exportTime = 5 * time.Second

// observer returns an observer; without a collector, one that does nothing.
func (p program) observer(ctx context.Context) (*observer, error) {
	silent := &observer{tracer: noop.NewTracerProvider().Tracer("segment-bridge")}
	if disabled, _ := p.getenv("OTEL_SDK_DISABLED"); disabled == "true" || !p.hasCollector() {
		return silent, nil
	}
	// The exporters read address, headers, certificates and timeouts from the
	// environment themselves, and print what they cannot read, even where it is a key.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	if err := p.checkCollector(); err != nil {
		return silent, fmt.Errorf("set up OpenTelemetry: %w", err)
	}
	spans, traceErr := otlptracehttp.New(ctx)
	figures, metricErr := otlpmetrichttp.New(ctx)
	described, resourceErr := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "segment-bridge"), attribute.String("service.version", cli.Version),
	), resource.WithFromEnv())
	if resourceErr != nil {
		return silent, errors.New("set up OpenTelemetry: OTEL_RESOURCE_ATTRIBUTES is not of the form name=value,name=value")
	}
	if traceErr != nil || metricErr != nil {
		return silent, errors.New("set up OpenTelemetry: check the variables OTEL_EXPORTER_OTLP_*")
	}
	o := &observer{
		traces:  sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(described)),
		metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(figures)), sdkmetric.WithResource(described)),
	}
	o.tracer = o.traces.Tracer("segment-bridge")
	return o, nil
}

func (p program) hasCollector() bool {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"} {
		if value, ok := p.getenv(name); ok && value != "" {
			return true
		}
	}
	return false
}

// checkCollector returns what is wrong with the variables that traces and figures have in common.
func (p program) checkCollector() error {
	if endpoint, _ := p.getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); endpoint == "" {
		return nil
	}
	_, err := otlp.Environment(func(name string) string {
		if strings.HasPrefix(name, "OTEL_EXPORTER_OTLP_LOGS_") {
			return ""
		}
		text, _ := p.getenv(name)
		if name == "OTEL_EXPORTER_OTLP_PROTOCOL" && text == "http/json" {
			return "" // the exporters know it, although the destination does not
		}
		return text
	})
	return err
}

// phase begins a part of a run, and returns what ends it.
func phase(ctx context.Context, name string) (inner context.Context, end func(error)) {
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("segment-bridge").Start(ctx, name)
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// finish ends the span of a run, and sends what there is to send.
func (o *observer) finish(ctx context.Context, span trace.Span, s *summary) error {
	if !s.OK {
		span.SetStatus(codes.Error, s.Error)
	}
	span.End()
	if o.metrics == nil {
		return nil
	}
	// A run that was told to stop still says so.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportTime)
	defer cancel()
	err := errors.Join(o.record(ctx, s), o.metrics.Shutdown(ctx), o.traces.Shutdown(ctx))
	if err != nil {
		return fmt.Errorf("send to OpenTelemetry collector: %w", undelivered(err))
	}
	return nil
}

var statusOfAnswer = regexp.MustCompile(`: ([1-5][0-9]{2}) `)

// undelivered says in our own words why something did not reach the collector: an exporter's error
// holds what the collector answered, and that may be anything.
func undelivered(err error) error {
	var operation *net.OpError
	switch status := statusOfAnswer.FindStringSubmatch(err.Error()); {
	case errors.As(err, &operation):
		return operation
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case status != nil:
		return errors.New("HTTP " + status[1])
	default:
		return errors.New("it does not take them: check OTEL_EXPORTER_OTLP_ENDPOINT")
	}
}

// record turns the summary into metrics. A process does one run, so that counters
// count what this run did.
func (o *observer) record(ctx context.Context, s *summary) error {
	meter := o.metrics.Meter("segment-bridge")
	var errs []error
	count := func(name, unit, description string, n int64, labels ...attribute.KeyValue) {
		counter, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		counter.Add(ctx, n, metric.WithAttributes(labels...))
	}
	command := attribute.String("command", s.Command)
	duration, err := meter.Float64Gauge("segment_bridge.run.duration", metric.WithUnit("s"), metric.WithDescription("How long the run took."))
	errs = append(errs, err)
	duration.Record(ctx, s.Seconds, metric.WithAttributes(command, attribute.Bool("ok", s.OK)))
	for _, source := range s.Sources {
		labels := []attribute.KeyValue{attribute.String("source", source.Name.String()), attribute.String("outcome", source.Outcome.String())}
		count("segment_bridge.source.objects", "{object}", "Objects that were read.", source.Objects, labels...)
		count("segment_bridge.source.bytes", "By", "Bytes that were received.", source.Bytes, labels...)
	}
	if s.Staged != nil {
		for name, n := range s.Staged.ByName {
			count("segment_bridge.events.staged", "{event}", "Events that were staged.", n, attribute.String("event", name))
		}
		count("segment_bridge.events.refused", "{event}", "Events that broke the tracking plan.", s.Staged.Rejected)
	}
	for _, d := range s.Destinations {
		destination := attribute.String("destination", d.Destination)
		count("segment_bridge.events.delivered", "{event}", "Events that a destination took.", d.Delivered, destination)
		count("segment_bridge.events.rejected", "{event}", "Events that a destination refused for good.", d.Rejected, destination)
		count("segment_bridge.events.pending", "{event}", "Events that are to be sent again.", d.Pending, destination)
	}
	return errors.Join(errs...)
}
