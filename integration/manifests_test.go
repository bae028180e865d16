// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

// Who runs no operator is held to the same rules: what the API server refuses, the command refuses, and what it takes, the
// command takes.
func TestManifestsAgreeWithTheAPIServer(t *testing.T) {
	cluster := world.ControlPlane(t)
	cluster.Define(t, "../deploy/crd/segment-bridge.dev_segmentbridges.yaml")
	bridges := cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "segment-bridge.dev", Version: "v1alpha1", Resource: "segmentbridges"})
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for spec, good := range map[string]bool{
		"{}":                        true,
		"{schedule: '*/5 * * * *'}": true, "{schedule: '@every 1h'}": true, "{schedule: hourly}": false, "{schedule: '1 2 3'}": false,
		"{clusterID: " + strings.Repeat("x", 254) + "}": false,
		"{window: {lookback: 1h}}":                      true, "{window: {lookback: 59m}}": false, "{window: {lookback: 4}}": false, "{window: {maxLookback: 30m}}": false,
		"{pseudonyms: {scheme: HMAC}}": true, "{pseudonyms: {scheme: MD5}}": false,
		"{stage: {volume: {size: 5Gi, reclaimPolicy: Retain}}}": true, "{stage: {volume: {reclaimPolicy: Keep}}}": false, "{stage: {volume: {size: much}}}": false,
		"{stage: {s3: {bucket: events}, volume: {}}}": false,
		"{stage: {s3: {bucket: my.events-1}}}":        true, "{stage: {s3: {bucket: Events}}}": false, "{stage: {s3: {bucket: ab}}}": false, "{stage: {s3: {}}}": false,
		"{stage: {s3: {bucket: events, prefix: /a/b=c/}}}": true, "{stage: {s3: {bucket: events, prefix: a//b}}}": false, "{stage: {s3: {bucket: events, prefix: a b}}}": false,
		"{stage: {s3: {bucket: events, prefix: .a}}}":                                              false,
		"{stage: {s3: {bucket: events, endpoint: 'http://minio:9000/'}}}":                          true,
		"{stage: {s3: {bucket: events, endpoint: minio}}}":                                         false,
		"{stage: {s3: {bucket: events, endpoint: 'http://minio/x'}}}":                              false,
		"{stage: {s3: {bucket: events, endpoint: 'ftp://minio'}}}":                                 false,
		"{stage: {s3: {bucket: events, region: EU}}}":                                              false,
		"{stage: {s3: {bucket: events, encryption: AES256}}}":                                      true,
		"{stage: {s3: {bucket: events, encryption: ROT13}}}":                                       false,
		"{segment: {eventsPerSecond: 1}}":                                                          true,
		"{segment: {eventsPerSecond: 0}}":                                                          false,
		"{segment: {writeKey: " + strings.Repeat("x", 257) + "}}":                                  false,
		"{retention: {expireAfter: 193h}}":                                                         true,
		"{retention: {expireAfter: 191h}}":                                                         false,
		"{job: {imagePullPolicy: Sometimes}}":                                                      false,
		"{job: {resources: {load: {limits: {memory: 1Gi}}}}}":                                      true,
		"{sources: {tektonResults: {serverName: " + strings.Repeat("x", 254) + "}}}":               false,
		"{backfill: {since: '2026-01-01T00:00:00Z', until: '2026-01-02T00:00:00Z', shards: 1000}}": true,
		"{backfill: {since: '2026-01-01T00:00:00Z', until: '2026-01-01T00:00:00Z'}}":               false,
		"{backfill: {since: '2026-01-01T00:00:00Z', until: '2026-01-01T00:07:59Z'}}":               false,
		"{backfill: {since: '2026-01-01T00:00:00Z', shards: 1001}}":                                false,
		"{backfill: {since: '2026-01-01T00:00:00Z', parallelism: -1}}":                             false,
		"{backfill: {since: yesterday}}":                                                           false,
		"{stgae: {}}":                                                                              false,
		"{stage: {s3: {bucket: events, buckets: more}}}":                                           false,
	} {
		text := "apiVersion: segment-bridge.dev/v1alpha1\nkind: SegmentBridge\nmetadata: {name: segment-bridge}\nspec: " + spec + "\n"
		var bridge unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(text), &bridge.Object); err != nil {
			t.Fatal(err)
		}
		_, refused := bridges.Create(t.Context(), &bridge, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
		file := filepath.Join(t.TempDir(), "bridge.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), path, "manifests", "-f", file, "--cluster-id=c")
		var stderr bytes.Buffer
		command.Stderr = &stderr
		printed := command.Run()
		if (refused == nil) != good || (printed == nil) != good || !good && command.ProcessState.ExitCode() != 2 {
			t.Errorf("%.80s: good %t; the API server says %v, the command %v %s", spec, good, refused, printed, &stderr)
		}
	}
}
