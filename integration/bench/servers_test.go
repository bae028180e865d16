// SPDX-License-Identifier: Apache-2.0

//go:build integration

package bench

import (
	"bufio"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// A rig is the real servers, with some of the sample in them.
type rig struct {
	cluster                   *world.Cluster
	results                   *world.ResultsServer
	sample                    *samplecluster.Cluster
	next                      func() (samplecluster.Run, bool) // of the sample's runs
	stored                    int                              // of them in Tekton Results
	kubeconfig, tokenFile, id string
}

func newRig(b *testing.B, runs int) *rig {
	b.Helper()
	r := &rig{cluster: world.NewControlPlane(b), sample: sample(runs + *objects + recent)}
	r.cluster.InstallCRDs(b)
	r.results = world.Results(b, world.Postgres(b), world.ResultsOptions{PartialResponse: true, TLS: true, Auth: r.cluster})
	r.cluster.ServiceAccount(b, "telemetry", "extract")
	r.cluster.Bind(b, "cluster-admin", "telemetry", "extract")
	token := r.cluster.Token(b, "telemetry", "extract", 12*time.Hour)
	r.kubeconfig, r.tokenFile, r.id = r.cluster.Kubeconfig(b, token), filepath.Join(b.TempDir(), "token"), r.sample.ID
	if err := os.WriteFile(r.tokenFile, []byte(token), 0o600); err != nil {
		b.Fatal(err)
	}
	next, stop := iter.Pull(r.sample.Runs())
	r.next = next
	b.Cleanup(stop)
	return r
}

// take returns the next runs of the sample.
func (r *rig) take(b *testing.B, count int) (runs []samplecluster.Run, objects [][]byte) {
	b.Helper()
	for range count {
		run, ok := r.next()
		if !ok {
			b.Fatal("the sample has no more runs")
		}
		runs, objects = append(runs, run), append(objects, run.AppendJSON(nil, r.sample.Now))
	}
	return runs, objects
}

// fill stores runs in Tekton Results until there are so many.
func (r *rig) fill(b *testing.B, count int) {
	b.Helper()
	began := time.Now()
	for r.stored < count {
		runs, objects := r.take(b, min(1000, count-r.stored))
		names, err := r.results.Store(b.Context(), objects...)
		if err != nil {
			b.Fatal(err)
		}
		times := make([]world.RecordTimes, len(runs))
		for i, run := range runs {
			times[i] = world.RecordTimes{Name: names[i], Created: run.Created, Updated: run.Created}
			if run.Completed.After(run.Created) && run.Completed.Before(r.sample.Now) {
				times[i].Updated = run.Completed
			}
		}
		if err := r.results.SetTimes(b.Context(), times...); err != nil {
			b.Fatal(err)
		}
		r.stored += len(runs)
	}
	b.Logf("%d runs are in Tekton Results, the last of them after %s", r.stored, time.Since(began).Round(time.Second))
}

// plant puts runs into the cluster. The API server holds them in memory, some 700 KB each.
func (r *rig) plant(b *testing.B, count int) {
	b.Helper()
	for left := count; left > 0; left -= 1000 {
		_, objects := r.take(b, min(1000, left))
		if err := r.cluster.Plant(b.Context(), objects...); err != nil {
			b.Fatal(err)
		}
	}
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

// requests is how often the API server was asked for what the job reads.
func (r *rig) requests(b *testing.B) (n int) {
	b.Helper()
	client, err := rest.HTTPClientFor(r.cluster.Config)
	if err != nil {
		b.Fatal(err)
	}
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, r.cluster.Config.Host+"/metrics", nil)
	if err != nil {
		b.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if line := lines.Text(); asked.MatchString(line) {
			count, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
			if err != nil {
				b.Fatal(err)
			}
			n += count
		}
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return n
}

var asked = regexp.MustCompile(`^apiserver_request_total{.*resource="(pipelineruns|components|konfluxes|namespaces|configmaps)".*verb="(LIST|GET)"`)

// recent is how many runs a cluster that stores them in Tekton Results and deletes them has at a time.
const recent = 100

// servers compares with reading the same servers and doing nothing with what comes.
func (t *table) servers(b *testing.B) {
	r := newRig(b, *runs)
	r.fill(b, *runs)
	b.Run("results", func(b *testing.B) { t.backfill(b, r) })
	b.Run("idle", func(b *testing.B) {
		r.plant(b, recent)
		place := world.MinIO(b)
		_, _ = r.stage(b, place, []string{"kube", "results"}, "--since", "2020-01-01")
		t.compare(b, comparison{
			name: "hourly run, nothing new", unit: "runs", work: 1, by: wall, memory: 40 << 20, seconds: 2,
			ours: func() cost {
				before := r.requests(b)
				c, s := r.stage(b, place, []string{"kube", "results"})
				if s.Staged.Events > 1 {
					b.Fatalf("staged %+v", s.Staged)
				}
				c.note = fmt.Sprintf("%d requests of the API server", r.requests(b)-before)
				for _, source := range s.Sources {
					c.note += fmt.Sprintf(", %d KB from %s", source.Bytes/1000, source.Name)
				}
				return c
			},
		})
	})
	b.Run("kubernetes", func(b *testing.B) {
		r.plant(b, *objects)
		t.compare(b, comparison{
			name: "back-fill from Kubernetes", reference: "raw chunked list", unit: "runs", work: float64(recent + *objects), by: wall, most: 1.2, memory: containerMB << 20,
			ours: func() cost {
				c, _ := r.stage(b, world.MinIO(b), []string{"kube"}, "--since", "2020-01-01")
				return c
			},
			theirs: func() cost {
				c, out := measure(b, child(b, "drain-list", r.kubeconfig))
				if lists := strings.Count(string(out), "\n"); lists < *objects/500 {
					b.Fatalf("drained %d pages", lists)
				}
				return c
			},
		})
	})
}

// backfill reads all of Tekton Results, with pages of the size given or the default.
func (t *table) backfill(b *testing.B, r *rig, pageSize ...string) {
	b.Helper()
	c := comparison{
		name: fmt.Sprintf("back-fill of %d from Tekton Results", r.stored), reference: "draining the pages", unit: "runs", work: float64(r.stored),
		by: wall, most: 1.2, memory: containerMB << 20,
	}
	args, size := []string{"--since", "2020-01-01"}, "500"
	if len(pageSize) > 0 {
		size = pageSize[0]
		args, c.name = append(args, "--results-page-size", size), fmt.Sprintf("%s, pages of %s", c.name, size)
	}
	c.ours = func() cost {
		c, s := r.stage(b, world.MinIO(b), []string{"results"}, args...)
		if s.Staged.Events < int64(r.stored) {
			b.Fatalf("staged %+v", s.Staged)
		}
		c.note = fmt.Sprintf("%d bytes a run", s.Sources[0].Bytes/s.Sources[0].Objects)
		return c
	}
	c.theirs = func() cost {
		c, out := measure(b, child(b, "drain-results", r.results.Addr, r.results.CAFile, r.tokenFile, size))
		if strings.TrimSpace(string(out)) != fmt.Sprint(r.stored) {
			b.Fatalf("drained %s rows", out)
		}
		return c
	}
	t.compare(b, c)
}
