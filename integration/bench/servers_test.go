// SPDX-License-Identifier: Apache-2.0

//go:build integration

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

// A rig is the real servers, with the sample in them.
type rig struct {
	cluster                   *world.Cluster
	results                   *world.ResultsServer
	kubeconfig, tokenFile, id string
}

func newRig(b *testing.B) *rig {
	b.Helper()
	r := &rig{cluster: world.NewControlPlane(b)}
	r.cluster.InstallCRDs(b)
	r.results = world.Results(b, world.Postgres(b), world.ResultsOptions{PartialResponse: true, TLS: true, Auth: r.cluster})
	r.cluster.ServiceAccount(b, "telemetry", "extract")
	r.cluster.Bind(b, "cluster-admin", "telemetry", "extract")
	token := r.cluster.Token(b, "telemetry", "extract", 12*time.Hour)
	r.kubeconfig, r.tokenFile = r.cluster.Kubeconfig(b, token), filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(r.tokenFile, []byte(token), 0o600); err != nil {
		b.Fatal(err)
	}
	cluster := sample()
	r.id = cluster.ID
	began := time.Now()
	for runs := range slices.Chunk(slices.Collect(cluster.Runs()), 1000) {
		objects := make([][]byte, len(runs))
		for i, run := range runs {
			objects[i] = run.AppendJSON(nil, cluster.Now)
		}
		if err := r.cluster.Plant(b.Context(), objects...); err != nil {
			b.Fatal(err)
		}
		names, err := r.results.Store(b.Context(), objects...)
		if err != nil {
			b.Fatal(err)
		}
		times := make([]world.RecordTimes, len(runs))
		for i, run := range runs {
			times[i] = world.RecordTimes{Name: names[i], Created: run.Created, Updated: run.Created}
			if run.Completed.After(run.Created) && run.Completed.Before(cluster.Now) {
				times[i].Updated = run.Completed
			}
		}
		if err := r.results.SetTimes(b.Context(), times...); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d runs are in the cluster and in Tekton Results after %s", *runs, time.Since(began).Round(time.Second))
	return r
}

// env is what extraction gets.
func (r *rig) env() []string {
	return []string{"KUBECONFIG=" + r.kubeconfig, "SA_TOKEN_PATH=" + r.tokenFile, "TEKTON_RESULTS_API_ADDR=grpcs://" + r.results.Addr, "CLUSTER_ID=" + r.id}
}

// stage runs the whole job without a destination, and returns what it cost and where it staged.
func (r *rig) stage(b *testing.B, place *world.Bucket, sources []string, args ...string) (cost, summary) {
	b.Helper()
	env := append(r.env(), "AWS_ACCESS_KEY_ID="+place.AccessKey, "AWS_SECRET_ACCESS_KEY="+place.SecretKey)
	all := []string{"run", "--stage", place.URL("telemetry"), "--results-ca-file", r.results.CAFile}
	for _, source := range sources {
		all = append(all, "--source", source)
	}
	c, out := measure(b, bridge(b, env, append(all, args...)...))
	s := summaryOf(b, out)
	for _, source := range s.Sources {
		if source.Outcome != "ok" && source.Outcome != "absent" {
			b.Fatalf("source %+v", source)
		}
	}
	return c, s
}

// servers compares with reading the same servers and doing nothing with what comes.
func (t *table) servers(b *testing.B) {
	r := newRig(b)
	b.Run("results", func(b *testing.B) {
		t.compare(b, comparison{
			name: "back-fill from Tekton Results", reference: "draining the pages", unit: "runs", work: float64(*runs), by: wall, most: 1.2,
			ours: func() cost {
				c, s := r.stage(b, world.MinIO(b), []string{"results"}, "--since", "2020-01-01")
				if s.Staged.Events < int64(*runs) {
					b.Fatalf("staged %+v", s.Staged)
				}
				b.ReportMetric(float64(s.Sources[0].Bytes)/float64(s.Sources[0].Objects), "B/run")
				return c
			},
			theirs: func() cost {
				c, out := measure(b, child(b, "drain-results", r.results.Addr, r.results.CAFile, r.tokenFile))
				if strings.TrimSpace(string(out)) != fmt.Sprint(*runs) {
					b.Fatalf("drained %s rows", out)
				}
				return c
			},
		})
	})
	b.Run("kubernetes", func(b *testing.B) {
		t.compare(b, comparison{
			name: "back-fill from Kubernetes", reference: "raw chunked list", unit: "runs", work: float64(*runs), by: wall, most: 1.2,
			ours: func() cost {
				c, _ := r.stage(b, world.MinIO(b), []string{"kube"}, "--since", "2020-01-01")
				return c
			},
			theirs: func() cost { c, _ := measure(b, child(b, "drain-list", r.kubeconfig)); return c },
		})
	})
	b.Run("idle", func(b *testing.B) {
		place := world.MinIO(b)
		_, _ = r.stage(b, place, []string{"kube", "results"}, "--since", "2020-01-01")
		t.compare(b, comparison{
			name: "hourly run, nothing new", unit: "runs", work: 1, by: wall, memory: 40 << 20,
			ours: func() cost {
				c, s := r.stage(b, place, []string{"kube", "results"})
				if s.Staged.Events > 1 {
					b.Fatalf("staged %+v", s.Staged)
				}
				return c
			},
		})
	})
}
