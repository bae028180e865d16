// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
