// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A run tells an OpenTelemetry collector what its summary says, when there is one.
func TestObserve(t *testing.T) {
	var (
		mu             sync.Mutex
		spans, figures []string
	)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/v1/traces":
			var request collectortraces.ExportTraceServiceRequest
			if err := proto.Unmarshal(body, &request); err != nil {
				t.Error(err)
			}
			for _, resource := range request.GetResourceSpans() {
				for _, scope := range resource.GetScopeSpans() {
					for _, span := range scope.GetSpans() {
						spans = append(spans, span.GetName())
					}
				}
			}
		case "/v1/metrics":
			var request collectormetrics.ExportMetricsServiceRequest
			if err := proto.Unmarshal(body, &request); err != nil {
				t.Error(err)
			}
			for _, resource := range request.GetResourceMetrics() {
				for _, scope := range resource.GetScopeMetrics() {
					for _, metric := range scope.GetMetrics() {
						figures = append(figures, metric.GetName())
					}
				}
			}
		default:
			t.Errorf("unexpected request for %s", r.URL.Path)
		}
	}))
	defer collector.Close()
	dir := t.TempDir()
	objects := filepath.Join(dir, "none.json")
	if err := os.WriteFile(objects, []byte(`{"apiVersion":"v1","kind":"List","items":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--source", "dir:" + objects, "--cluster-id", "c", "--stage", "file://" + dir + "/stage", "--destination", "file:" + dir + "/out"}

	// The exporters read the environment of the process.
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	if code, _, stderr := try(t, nil, args...); code != 0 || len(spans) > 0 || len(figures) > 0 {
		t.Fatalf("exit code %d, %d spans and %d figures without a collector\n%s", code, len(spans), len(figures), stderr)
	}
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}
	if code, _, stderr := try(t, env, args...); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	slices.Sort(spans)
	if want := "extract, load file-"; !strings.HasPrefix(strings.Join(spans, ", "), want) || !slices.Contains(spans, "segment-bridge run") || !slices.Contains(spans, "transform and stage") {
		t.Errorf("spans %q", spans)
	}
	for _, want := range []string{"segment_bridge.run.duration", "segment_bridge.source.objects", "segment_bridge.events.delivered"} {
		if !slices.Contains(figures, want) {
			t.Errorf("no figure %s in %q", want, figures)
		}
	}

	// A collector that is down costs a warning, not the run.
	collector.Close()
	code, _, stderr := try(t, env, args...)
	if code != 0 || !strings.Contains(stderr, "not observed") {
		t.Errorf("exit code %d with a collector that is down\n%s", code, stderr)
	}
}

// What a collector answers, and what stands in the variables for it, may be a name or a key.
func TestObserverTellsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		status    int
		env, want string
	}{
		"refused":                 {http.StatusNotFound, "", "HTTP 404"},
		"protocol of no exporter": {http.StatusOK, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"refused as JSON":         {http.StatusNotFound, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "HTTP 404"},
		"header without value":    {http.StatusOK, "OTEL_EXPORTER_OTLP_HEADERS=authorization canary", "OTEL_EXPORTER_OTLP_HEADERS"},
		"header badly escaped":    {http.StatusOK, "OTEL_EXPORTER_OTLP_HEADERS=authorization=%zzcanary", "OTEL_EXPORTER_OTLP_HEADERS"},
		"timeout not a number":    {http.StatusOK, "OTEL_EXPORTER_OTLP_TIMEOUT=canary", "OTEL_EXPORTER_OTLP_TIMEOUT"},
		"not an address":          {http.StatusOK, "OTEL_EXPORTER_OTLP_ENDPOINT=ht tp://canary", "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"attribute of no value":   {http.StatusOK, "OTEL_RESOURCE_ATTRIBUTES=canary", "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		t.Run(name, func(t *testing.T) {
			collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, ": 200 (body: canary", test.status)
			}))
			defer collector.Close()
			variables := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}
			if key, value, ok := strings.Cut(test.env, "="); ok {
				variables[key] = value
			}
			for key, value := range variables {
				t.Setenv(key, value)
			}
			objects := filepath.Join(t.TempDir(), "none.json")
			if err := os.WriteFile(objects, []byte(`{"apiVersion":"v1","kind":"List","items":[]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := try(t, variables, "run", "--source", "dir:"+objects, "--cluster-id", "c", "--stage", "file://"+t.TempDir(), "--destination", "stdout")
			if code != 0 || !strings.Contains(stderr, test.want) || strings.Contains(stderr, "canary") {
				t.Errorf("exit code %d, want %q in\n%s", code, test.want, stderr)
			}
		})
	}
}

func TestUndelivered(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for text, err := range map[string]error{
		"dial tcp: connection refused": fmt.Errorf("post: %w", refused),
		"no answer in time":            fmt.Errorf("%w: retry-able request failure: body: canary", context.DeadlineExceeded),
		"HTTP 404":                     errors.New("failed to send to http://collector:4318/v1/traces: 404 Not Found (body: canary: 500 )"),
		"it does not take them: check OTEL_EXPORTER_OTLP_ENDPOINT": errors.New("retry-able request failure: body: canary"),
	} {
		if got := undelivered(err).Error(); got != text {
			t.Errorf("%v becomes %q, want %q", err, got, text)
		}
	}
}
