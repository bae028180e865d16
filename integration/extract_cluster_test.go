// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract/kube"
	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/identity"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A transport that counts the answers that say "expired".
type expiries struct {
	http.RoundTripper
	n *atomic.Int64
}

// RoundTrip implements [http.RoundTripper].
func (e expiries) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusGone {
		e.n.Add(1)
	}
	return resp, err
}

// All that is in the cluster comes out, over many pages, even when the server
// forgets the list between two of them.
func TestExtractCluster(t *testing.T) {
	sample := samplecluster.New(samplecluster.Config{Seed: 4, Runs: 2500, Now: time.Now()})
	cluster := world.NewControlPlane(t)
	cluster.InstallCRDs(t)
	var objects [][]byte
	runs := 0
	for o := range sample.Objects() {
		objects = append(objects, o.JSON)
		if o.Kind == "PipelineRun" {
			runs++
		}
	}
	if err := cluster.Plant(t.Context(), objects...); err != nil {
		t.Fatal(err)
	}
	want := projected(t, everything, objects...)

	config := rest.CopyConfig(cluster.Config)
	var expired atomic.Int64
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return expiries{next, &expired} })
	for name, source := range kubeSources(t, config) {
		t.Run(name.String(), func(t *testing.T) {
			want := want.ofKind(name)
			if len(want) == 0 {
				t.Fatal("the sample has none")
			}
			before := expired.Load()
			got, report := extracted(t, source, everything, func(n int) {
				if n == 600 || n == 1300 { // on the second and the third page
					if err := cluster.CompactNow(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
			compare(t, got, want)
			if report.Outcome != record.OutcomeOK || report.Invalid != 0 {
				t.Errorf("report is %+v", report)
			}
			if n := expired.Load() - before; name == record.SourcePipelineRuns && (n != 2 || report.Objects != int64(runs)) {
				t.Errorf("the server forgets the list %d times, want 2; %d objects are counted, want %d", n, report.Objects, runs)
			}
			t.Logf("%d objects, %d bytes an object, %.1f seconds", report.Objects, report.Bytes/report.Objects, report.Seconds)
		})
	}

	client, err := kube.NewClient(cluster.Config, "test")
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.Resolve(t.Context(), client, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names, err := telemetry.NewPseudonymizer(id.ClusterID.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	published, err := telemetry.NewPseudonymizer(sample.ID)
	if err != nil {
		t.Fatal(err)
	}
	if names.Cluster() != published.Cluster() || id.KonfluxVersion.String() != sample.KonfluxVersion || id.KubernetesVersion.String() != sample.KubernetesVersion {
		t.Errorf("identity is %s %+v, want what is published", names.Cluster(), id)
	}
}

// What is not installed is absent, and what may not be read says what to grant.
func TestExtractRights(t *testing.T) {
	cluster := world.NewControlPlane(t)
	bare := kubeSources(t, cluster.Config)
	for name, want := range map[record.SourceName]record.SourceOutcome{
		record.SourcePipelineRuns: record.OutcomeAbsent, record.SourceComponents: record.OutcomeAbsent,
		record.SourceInstallations: record.OutcomeAbsent, record.SourceNamespaces: record.OutcomeOK,
	} {
		if _, report := extracted(t, bare[name], everything, nil); report.Outcome != want {
			t.Errorf("with nothing installed, report of %s is %+v", name, report)
		}
	}
	client, err := kube.NewClient(cluster.Config, "test")
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.Resolve(t.Context(), client, identity.Options{})
	if err != nil || !strings.HasPrefix(id.KubernetesVersion.String(), "v1.") {
		t.Errorf("identity is %+v, error %v", id, err)
	}

	cluster.InstallCRDs(t)
	cluster.ServiceAccount(t, "rights", "nobody")
	nobody := cluster.ConfigFor(cluster.Token(t, "rights", "nobody", time.Hour))
	forbidden := kubeSources(t, nobody)
	for _, name := range slices.Collect(maps.Keys(forbidden)) {
		_, report := extracted(t, forbidden[name], everything, nil)
		if report.Outcome != record.OutcomeForbidden || !strings.Contains(report.Error, "allows to list ") {
			t.Errorf("without rights, report of %s is %+v", name, report)
		}
	}
	stranger := kubeSources(t, cluster.ConfigFor("not a token"))
	if _, report := extracted(t, stranger[record.SourceNamespaces], everything, nil); report.Outcome != record.OutcomeForbidden || !strings.Contains(report.Error, "token") {
		t.Errorf("with a bad token, report is %+v", report)
	}
	if client, err = kube.NewClient(nobody, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Resolve(t.Context(), client, identity.Options{}); err == nil || !strings.Contains(err.Error(), "kube-system") && !strings.Contains(err.Error(), "konflux-public-info") {
		t.Errorf("without rights, error is %v", err)
	}
	if _, err := identity.Resolve(t.Context(), client, identity.Options{ClusterID: "given"}); err != nil {
		t.Errorf("with an ID given, error is %v", err)
	}
}
