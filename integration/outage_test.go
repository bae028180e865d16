// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// Tekton Results answers a list whose query failed as if there were no records.
// Such a run is not idle: the source has failed, the rest is staged, and the next
// run makes up for it.
func TestDatabaseKilledMidList(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 2}, world.ResultsOptions{PartialResponse: true})
	now := s.sample.Now
	before := s.oracle(now.Add(-4*time.Hour), now)
	dir := t.TempDir()

	kill := s.killDatabaseAtPage(3)
	env := append(s.extractEnv()[:2:2], "TEKTON_RESULTS_API_ADDR="+kill)
	args := append(s.extractArgs(dir, now), "--results-page-size", "5")
	cut := s.mustRun(env, args...)
	if !slices.Equal(cut.summary.Degraded, []string{"results"}) {
		t.Fatalf("degraded: %v, want results", cut.summary.Degraded)
	}
	for _, source := range cut.summary.Sources {
		if source.Name == "results" && (source.Outcome != "error" || source.Objects == 0 || source.Error == "") {
			t.Errorf("unexpected report %+v", source)
		}
	}
	s.mustRun(s.bucketEnv(), "transform", "--in", dir)
	s.mustRun(s.loadEnv(), "load")
	if n := len(s.receiver.Events()); n == 0 || n >= len(before.expect(t, s.objects...)) {
		t.Errorf("%d events came while Tekton Results was down", n)
	}

	if strict := s.run(env, append(args, "--strict")...); strict.code != 3 {
		t.Errorf("exit code %d under --strict, want 3", strict.code)
	}

	// Six hours later the four hours of an ordinary window would not be enough. The
	// window comes from the checkpoints in the bucket.
	s.database.Start()
	later := now.Add(6 * time.Hour)
	window := dir + "/window.json"
	s.run(append(s.bucketEnv(), "CLUSTER_ID="+s.sample.ID), "window", "--source", "kube", "--source", "results", "--until", later.Format(time.RFC3339), "--out", window)
	s.mustRun(s.extractEnv(), append(s.extractArgs(dir, later), "--window", window)...)
	s.mustRun(s.bucketEnv(), "transform", "--in", dir)
	s.mustRun(s.loadEnv(), "load")

	expected := before.expect(t, s.objects...)
	after := s.oracle(now, later)
	maps.Copy(expected, after.expect(t, s.objects...))
	heartbeats := 0
	for _, e := range s.receiver.Events() {
		if e.Name == "Segment Bridge Heartbeat" {
			heartbeats++
		} else if _, ok := expected[e.MessageID]; !ok {
			t.Errorf("unexpected event %s", e.JSON)
		}
		delete(expected, e.MessageID)
	}
	if len(expected) > 0 || heartbeats != 2 || len(s.receiver.Duplicates()) > 0 {
		t.Errorf("%d events were lost, %d came twice, %d heartbeats came", len(expected), len(s.receiver.Duplicates()), heartbeats)
	}
	s.checkNoNames(dir)
}

// killDatabaseAtPage returns the address of a proxy in front of Tekton Results
// that stops the database before it passes on the n-th page request.
func (s *site) killDatabaseAtPage(n int32) string {
	s.t.Helper()
	pem, err := os.ReadFile(s.results.CAFile)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	target, err := url.Parse(s.results.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	var pages atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/records") && pages.Add(1) == n {
			s.database.Stop()
		}
		proxy.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	return server.URL
}

// A service account without rights is told what to grant, and nothing is staged
// as if the cluster were empty.
func TestForbidden(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 3, Runs: 25}, world.ResultsOptions{})
	s.cluster.ServiceAccount(t, "elsewhere", "nobody")
	s.kubeconfig = s.cluster.Kubeconfig(t, s.cluster.Token(t, "elsewhere", "nobody", time.Hour))
	dir := t.TempDir()
	args := append(s.extractArgs(dir, s.sample.Now), "--cluster-id", s.sample.ID)
	r := s.mustRun(s.extractEnv(), args...)
	for _, source := range r.summary.Sources {
		if source.Name != "results" && (source.Outcome != "forbidden" || !strings.Contains(source.Error, "grant")) {
			t.Errorf("unexpected report %+v", source)
		}
	}
	noToken := s.tokenFile + "-missing"
	r = s.run([]string{"KUBECONFIG=" + s.kubeconfig, "SA_TOKEN_PATH=" + noToken, "TEKTON_RESULTS_API_ADDR=" + s.results.URL}, args...)
	if r.code != 1 && r.code != 2 {
		t.Errorf("exit code %d with no source at all", r.code)
	}
	if staged := s.mustRun(s.bucketEnv(), "transform", "--in", dir).summary.Staged; staged.Events != 1 {
		t.Errorf("staged %+v, want a heartbeat that tells of it", staged)
	}
}
