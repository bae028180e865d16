// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

const bridgeHead = "apiVersion: segment-bridge.dev/v1alpha1\nkind: SegmentBridge\nmetadata: {name: segment-bridge}\n"

func runManifests(t *testing.T, bridge string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	if err := os.WriteFile(file, []byte(bridge), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = program{stdout: &out, stderr: &errs, now: func() time.Time { return noon }, getenv: func(string) (string, bool) { return "", false }}.
		run(t.Context(), append([]string{"manifests", "-f", file}, args...))
	return code, out.String(), errs.String()
}

// What is printed is what the operator applies, after what is left to do.
func TestManifests(t *testing.T) {
	code, got, stderr := runManifests(t, bridgeHead+`spec:
  pseudonyms: {scheme: HMAC}
  stage: {s3: {bucket: events, credentialsSecret: bucket}}
  sources: {tektonResults: {caConfigMap: results-ca}}
  retention: {compact: true}
`, "--cluster-id=c", "--image=i", "--results-address=https://api.results.svc:8080", "--api-server=10.0.0.1:6443", "--openshift")
	if code != cli.ExitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	m := manifestFlags{
		clusterID: "c", image: "i", openShift: true, results: "https://api.results.svc:8080", apiServers: []string{"10.0.0.1:6443"}, file: "-",
	}
	s, err := m.settings(strings.NewReader(bridgeHead + `spec: {pseudonyms: {scheme: HMAC}, stage: {s3: {bucket: events, credentialsSecret: bucket}},
  sources: {tektonResults: {caConfigMap: results-ca}}, retention: {compact: true}}`))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := install.Objects(s)
	if err != nil {
		t.Fatal(err)
	}
	want, err := install.YAML(objects)
	if err != nil {
		t.Fatal(err)
	}
	comments, objectsText, found := strings.Cut(got, "---\n")
	if !found || "---\n"+objectsText != string(want) {
		t.Errorf("the objects differ from those of the operator")
	}
	for _, left := range []string{install.WriteKeySecret, "secret generic bucket", install.PseudonymKeySecret, "configmap results-ca"} {
		if !strings.Contains(comments, left) {
			t.Errorf("the comments do not tell of %s:\n%s", left, comments)
		}
	}
	if strings.Contains(got, "kind: Secret\n") {
		t.Error("a Secret was made up")
	}
}

// A job that is asked for is printed alone: what the flags say, or the resource.
func TestManifestsJobs(t *testing.T) {
	asked := bridgeHead + "spec: {backfill: {since: '2026-01-02T12:00:00Z', shards: 9}}"
	_, fromFlags, _ := runManifests(t, bridgeHead, "--cluster-id=c", "--backfill", "--since=312h", "--shards=9")
	_, fromSpec, _ := runManifests(t, asked, "--cluster-id=c", "--backfill")
	if !strings.Contains(fromFlags, "--until=2026-01-15T08:00:00Z\n") || !strings.Contains(fromFlags, "--since=2026-01-02T12:00:00Z\n") ||
		strings.Count(fromFlags, "kind: ") != 1 || !strings.Contains(fromFlags, "completions: 9\n") {
		t.Errorf("unexpected job\n%s", fromFlags)
	}
	if fromSpec != fromFlags {
		t.Errorf("the resource asks for something else:\n%s", fromSpec)
	}
	if _, all, _ := runManifests(t, asked, "--cluster-id=c"); strings.Contains(all, "kind: Job\n") || !strings.Contains(all, "add --backfill") {
		t.Error("nobody says how to get the job")
	}
	if _, loaders, _ := runManifests(t, bridgeHead, "--cluster-id=c", "--loaders=3"); !strings.Contains(loaders, "parallelism: 3\n") || strings.Count(loaders, "kind: ") != 1 {
		t.Errorf("unexpected job\n%s", loaders)
	}
}

func TestManifestsRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		bridge string
		args   []string
		want   string
	}{
		"no cluster ID":    {bridgeHead, nil, "--cluster-id"},
		"unknown field":    {bridgeHead + "spec: {stgae: {}}", []string{"--cluster-id=c"}, "stgae"},
		"another kind":     {"apiVersion: v1\nkind: Secret\nmetadata: {name: segment-bridge}\n", []string{"--cluster-id=c"}, "not one SegmentBridge"},
		"another name":     {strings.Replace(bridgeHead, "name: segment-bridge", "name: other", 1), []string{"--cluster-id=c"}, "not one SegmentBridge"},
		"off":              {bridgeHead + "spec: {enabled: false}", []string{"--cluster-id=c"}, "spec.enabled"},
		"no Results":       {bridgeHead + "spec: {sources: {tektonResults: {enabled: true}}}", []string{"--cluster-id=c"}, "--results-address"},
		"API server":       {bridgeHead, []string{"--cluster-id=c", "--api-server=host"}, "10.0.0.1:6443"},
		"two stages":       {bridgeHead + "spec: {stage: {s3: {bucket: abc}, volume: {}}}", []string{"--cluster-id=c"}, "remove one"},
		"short retention":  {bridgeHead + "spec: {retention: {expireAfter: 24h}}", []string{"--cluster-id=c"}, "expireAfter"},
		"nothing to read":  {bridgeHead + "spec: {sources: {kube: false, inventory: false}}", []string{"--cluster-id=c"}, "nothing to read"},
		"bad schedule":     {bridgeHead + "spec: {schedule: hourly}", []string{"--cluster-id=c"}, "spec.schedule"},
		"bad endpoint":     {bridgeHead + "spec: {stage: {s3: {bucket: abc, endpoint: minio}}}", []string{"--cluster-id=c"}, "endpoint"},
		"no since":         {bridgeHead, []string{"--cluster-id=c", "--backfill"}, "--since is required"},
		"two jobs":         {bridgeHead, []string{"--cluster-id=c", "--backfill", "--since=24h", "--loaders=1"}, "one Job each"},
		"an empty span":    {bridgeHead, []string{"--cluster-id=c", "--backfill", "--since=1h"}, "since is not before until"},
		"no loaders":       {bridgeHead, []string{"--cluster-id=c", "--loaders=-1"}, "one loader at least"},
		"a duration is no": {bridgeHead + "spec: {window: {lookback: 4 hours}}", []string{"--cluster-id=c"}, "read SegmentBridge"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runManifests(t, test.bridge, test.args...)
			if code != cli.ExitUsage || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, output %q, error %q; want one with %q", code, stdout, stderr, test.want)
			}
		})
	}
}
