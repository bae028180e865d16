// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// 5,000 PipelineRuns, in the cluster and in Tekton Results, over many pages: the
// same events come out over REST and gRPC, with partial response and without.
func TestFiveThousandRuns(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 4, Runs: 5000}, world.ResultsOptions{PartialResponse: true})
	partial, whole := s.results, world.Results(t, s.database, world.ResultsOptions{TLS: true, Auth: s.cluster, Beside: s.results})
	now := s.sample.Now
	window := s.oracle(now.Add(-80*time.Hour), now)
	expected := window.expect(t, s.objects...)
	if len(expected) < 8000 {
		t.Fatalf("the sample has only %d events", len(expected))
	}
	for _, transport := range []string{"https://", "grpcs://"} {
		for name, server := range map[string]*world.ResultsServer{"partial response": partial, "whole objects": whole} {
			t.Run(transport+" "+name, func(t *testing.T) {
				v := *s
				v.t, v.results = t, server
				v.bucket = world.MinIO(t)
				v.receiver, v.address = startReceiver(t)
				began := time.Now()
				r := v.mustRun(append(v.loadEnv(),
					"KUBECONFIG="+v.kubeconfig, "SA_TOKEN_PATH="+v.tokenFile,
					"TEKTON_RESULTS_API_ADDR="+transport+strings.TrimPrefix(server.URL, "https://"),
				), "run", "--source", "kube", "--source", "results", "--results-ca-file", server.CAFile, "--rate", "0",
					"--since", window.since.Format(time.RFC3339), "--until", now.Format(time.RFC3339))
				took := time.Since(began)
				for _, source := range r.summary.Sources {
					if source.Outcome != "ok" {
						t.Errorf("unexpected report %+v", source)
					}
					t.Logf("%s: %d objects, %d bytes, %d bytes an object", source.Name, source.Objects, source.Bytes, source.Bytes/max(source.Objects, 1))
				}
				t.Logf("the whole run took %s", took.Round(10*time.Millisecond))
				v.checkReceived(expected, window)
			})
		}
	}
}
