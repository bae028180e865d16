// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

// A zone is what one test has of a site: cluster and Tekton Results in common with the
// others, bucket and receiver for itself, and a proxy before each server.
type zone struct {
	*site
	proxies [servers]*world.Proxy
	watch   *watch
	file    string // where the other destination writes; empty if there is none
	env     []string
	args    []string
	runs    int
}

func newZone(t *testing.T, s *site) *zone {
	t.Helper()
	own := *s
	own.t, own.output, own.bucket = t, new(bytes.Buffer), world.MinIO(t)
	own.receiver = newReceiver(t)
	z := &zone{site: &own, watch: &watch{handler: own.receiver}, file: filepath.Join(t.TempDir(), "events.ndjson")}
	server := httptest.NewServer(z.watch)
	t.Cleanup(server.Close)
	z.address = server.URL
	for server, address := range map[int]string{
		apiServer: s.cluster.Config.Host, resultsREST: s.results.Addr, resultsGRPC: s.results.Addr, store: s.bucket.Endpoint, receiver: z.address,
	} {
		_, host, ok := strings.Cut(address, "://")
		if !ok {
			host = address
		}
		z.proxies[server] = world.NewProxy(t, host)
	}
	z.set(resultsREST)
	return z
}

// set builds the environment of the runs: every server is behind its proxy, Tekton
// Results in the way that server says.
func (z *zone) set(server int) {
	z.t.Helper()
	token, err := os.ReadFile(z.tokenFile)
	if err != nil {
		z.t.Fatal(err)
	}
	cluster := *z.cluster
	cluster.Config = rest.CopyConfig(cluster.Config)
	cluster.Config.Host = "https://" + z.proxies[apiServer].Addr
	bucket := *z.bucket
	bucket.Endpoint = z.proxies[store].Addr
	results := "https://" + z.proxies[resultsREST].Addr
	if server == resultsGRPC {
		results = "grpcs://" + z.proxies[resultsGRPC].Addr
	}
	z.env = []string{
		"KUBECONFIG=" + cluster.Kubeconfig(z.t, string(token)), "SA_TOKEN_PATH=" + z.tokenFile, "TEKTON_RESULTS_API_ADDR=" + results,
		"CLUSTER_ID=" + z.sample.ID, "KONFLUX_VERSION=" + z.sample.KonfluxVersion, "KUBERNETES_VERSION=" + z.sample.KubernetesVersion,
		"AWS_ACCESS_KEY_ID=" + z.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY=" + z.bucket.SecretKey, "SEGMENT_BRIDGE_STAGE=" + bucket.URL("telemetry"),
		"SEGMENT_WRITE_KEY=" + writeKey, "SEGMENT_BATCH_API=http://" + z.proxies[receiver].Addr,
		// What is in the middle of an answer and silent is asked sooner than after half a minute: kube-apiserver's part is client-go's.
		"HTTP2_READ_IDLE_TIMEOUT_SECONDS=10", "HTTP2_PING_TIMEOUT_SECONDS=5",
	}
	z.args = []string{
		"run", "--source", "kube", "--source", "results", "--results-ca-file", z.results.CAFile,
		"--destination", "segment", "--patience", "20s",
	}
}

// once runs the whole job, a minute later each time.
func (z *zone) once() result {
	z.t.Helper()
	start := time.Now()
	r := z.run(z.env, z.next()...)
	if took := time.Since(start); took > longestRun {
		z.t.Errorf("the run took %v", took)
	} else {
		z.t.Logf("exit code %d after %.1fs: %s%v", r.code, took.Seconds(), r.summary.Error, sourceErrors(r))
	}
	return r
}

// next returns the arguments of the next run.
func (z *zone) next() []string {
	since, until := z.sample.Now.Add(-4*time.Hour), z.sample.Now.Add(time.Duration(z.runs)*time.Minute)
	z.runs++
	args := slices.Clone(z.args)
	if z.file != "" {
		args = append(args, "--destination", "file:"+z.file)
	}
	return append(args, "--since", since.Format(time.RFC3339), "--until", until.Format(time.RFC3339))
}

func sourceErrors(r result) (errs []string) {
	for _, source := range r.summary.Sources {
		if source.Error != "" {
			errs = append(errs, "["+source.Name+": "+source.Error+"]")
		}
	}
	return errs
}

// under runs the job while a server is on fire.
func (z *zone) under(server int, want outcome) {
	z.t.Helper()
	r := z.once()
	code := map[outcome]int{fine: 0, short: 0, fails: 1, twice: 1}[want]
	if r.code != code || r.summary.OK != (code == 0) || (want == short) != (len(r.summary.Degraded) > 0) {
		z.t.Errorf("exit code %d and degraded %v, want code %d\n%s", r.code, r.summary.Degraded, code, r.stderr)
	}
	said := [servers]string{"the API server", "Tekton Results", "Tekton Results", "http://" + z.proxies[store].Addr, "--segment-url"}[server]
	for _, source := range r.summary.Sources {
		failed := slices.Contains(r.summary.Degraded, source.Name)
		if failed && (source.Error == "" || !strings.Contains(source.Error, said) || (server == apiServer) == (source.Name == "results")) {
			z.t.Errorf("unexpected report %+v", source)
		}
	}
	if code != 0 && !strings.Contains(r.summary.Error, said) {
		z.t.Errorf("the error does not name %s: %s", said, r.summary.Error)
	}
	if server == receiver {
		z.checkFile() // which has nothing to do with the fire
	}
}

// recovers runs the job without fire and checks that all is there: staged once,
// accepted at least once, and more than once only if answers were lost.
func (z *zone) recovers(lost bool) {
	z.t.Helper()
	if r := z.once(); r.code != 0 || !r.summary.OK || len(r.summary.Degraded) > 0 {
		z.t.Errorf("the next run fails: exit code %d, degraded %v\n%s", r.code, r.summary.Degraded, r.stderr)
	}
	staged := z.stagedCalls()
	heartbeats := 0
	for id := range staged {
		if strings.Contains(id, "-heartbeat-") {
			heartbeats++
		}
	}
	expected := z.oracle(z.sample.Now.Add(-4*time.Hour), z.sample.Now).expect(z.t, z.objects...)
	missing := 0
	for id := range expected {
		if staged[id] == nil {
			missing++
		}
	}
	if missing > 0 || len(staged) != len(expected)+heartbeats || heartbeats < 1 || heartbeats > z.runs {
		z.t.Errorf("%d events are staged with %d heartbeats, want %d beside them; %d are missing", len(staged), heartbeats, len(expected), missing)
	}
	received := map[string]bool{}
	for _, e := range z.receiver.Events() {
		received[e.MessageID] = true
	}
	for id := range staged {
		if !received[id] {
			missing++
		}
	}
	report := z.receiver.Report()
	if missing > 0 || len(received) != len(staged) || len(report.Violations) > 0 || len(report.Drops) > 0 || (report.Duplicates > 0) != lost {
		z.t.Errorf("the receiver has %d events of %d: %+v", len(received), len(staged), report)
	}
	z.checkFile()
}

// checkFile checks that all that is staged is in the file, once.
func (z *zone) checkFile() {
	z.t.Helper()
	if z.file == "" {
		return
	}
	file, err := os.Open(z.file)
	if err != nil {
		z.t.Fatal(err)
	}
	defer file.Close()
	ids := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var call struct{ MessageID string }
		if err := json.Unmarshal(lines.Bytes(), &call); err != nil || ids[call.MessageID] {
			z.t.Errorf("the file has the line %q, which is none or comes twice", lines.Text())
		}
		ids[call.MessageID] = true
	}
	if staged := z.stagedCalls(); len(ids) != len(staged) || len(ids) == 0 {
		z.t.Errorf("%d events are in the file and %d are staged", len(ids), len(staged))
	}
}

// A watch looks at the requests to a receiver.
type watch struct {
	handler http.Handler
	arrived func() // is called when the first request has, before it is answered

	mu        sync.Mutex
	now, most int
	times     []time.Time
}

func (w *watch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.now++
	w.most = max(w.most, w.now)
	w.times = append(w.times, time.Now())
	arrived := w.arrived
	w.arrived = nil
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.now--
		w.mu.Unlock()
	}()
	if arrived != nil {
		arrived()
	}
	w.handler.ServeHTTP(rw, r)
}
