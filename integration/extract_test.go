// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/kube"
	"github.com/segment-bridge/segment-bridge/extract/results"
	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// everything is a window that all records touch.
var everything = record.Window{Until: time.Now().Add(24 * time.Hour)}

func pseudonymizer(t *testing.T) *telemetry.Pseudonymizer {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("a cluster")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// records are values of records by UID.
type records map[string]any

func (r records) add(found record.Record) {
	switch found := found.(type) {
	case *record.PipelineRun:
		r[found.UID.String()] = *found
	case *record.Component:
		r[found.UID.String()] = *found
	case *record.Namespace:
		r[found.UID.String()] = *found
	case *record.Installation:
		r[found.UID.String()] = *found
	}
}

// extracted runs a source as the program does. When onRecord is given, it is called
// with the number of each record.
func extracted(t *testing.T, source extract.Source, window record.Window, onRecord func(n int)) (records, record.SourceReport) {
	t.Helper()
	found, n := records{}, 0
	reports, _ := extract.Run(t.Context(), []extract.Source{source}, window, extract.Options{}, func(r record.Record) error {
		if n++; onRecord != nil {
			onRecord(n)
		}
		found.add(r)
		return nil
	})
	return found, reports[0]
}

// projected returns what the objects are as records, as far as they touch the window.
func projected(t *testing.T, window record.Window, objects ...[]byte) records {
	t.Helper()
	projector, all := extract.NewProjector(pseudonymizer(t)), records{}
	for _, object := range objects {
		r, err := projector.ReadBytes(object, "")
		if err != nil {
			t.Fatal(err)
		}
		if r != nil && r.Touches(window) {
			all.add(r)
		}
	}
	return all
}

func compare(t *testing.T, got, want records) {
	t.Helper()
	missing, other := 0, 0
	for uid, r := range want {
		if found, ok := got[uid]; !ok {
			missing++
		} else if found != r {
			other++
			t.Logf("record is %+v, want %+v", found, r)
		}
	}
	if missing+other > 0 || len(got) != len(want) {
		t.Errorf("%d records are there, want %d: %d are missing, %d are different", len(got), len(want), missing, other)
	}
}

func newResults(t *testing.T, config results.Config) *results.Source {
	t.Helper()
	source, err := results.New(config, pseudonymizer(t))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// kubeSources returns the sources of a cluster by name.
func kubeSources(t *testing.T, config *rest.Config) map[record.SourceName]extract.Source {
	t.Helper()
	client, err := kube.NewClient(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[record.SourceName]extract.Source{}
	for _, source := range client.Sources(pseudonymizer(t)) {
		sources[source.Name()] = source
	}
	return sources
}

// ofKind returns those of the records that have the type of the example.
func (r records) ofKind(source record.SourceName) records {
	of := records{}
	for uid, r := range r {
		var is record.SourceName
		switch r.(type) {
		case record.PipelineRun:
			is = record.SourcePipelineRuns
		case record.Component:
			is = record.SourceComponents
		case record.Namespace:
			is = record.SourceNamespaces
		case record.Installation:
			is = record.SourceInstallations
		}
		if is == source {
			of[uid] = r
		}
	}
	return of
}

// archive stores what the sample has in Tekton Results and returns the objects.
func archive(t *testing.T, server *world.ResultsServer, sample *samplecluster.Cluster) [][]byte {
	t.Helper()
	var objects [][]byte
	var times []world.RecordTimes
	for r := range sample.Records() {
		objects = append(objects, r.Object.JSON)
		times = append(times, world.RecordTimes{Created: r.Created, Updated: r.Updated})
	}
	names, err := server.Store(t.Context(), objects...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		times[i].Name = names[i]
	}
	if err := server.SetTimes(t.Context(), times...); err != nil {
		t.Fatal(err)
	}
	return objects
}

// Whatever the transport and whether or not the server leaves fields out, the same
// records come out of many pages.
func TestExtractResults(t *testing.T) {
	sample := samplecluster.New(samplecluster.Config{Seed: 1, Runs: 5000, Now: time.Now()})
	database := world.Postgres(t)
	partial := world.Results(t, database, world.ResultsOptions{PartialResponse: true})
	whole := world.Results(t, database, world.ResultsOptions{Beside: partial})
	objects := archive(t, partial, sample)
	recent := record.Window{Since: sample.Now.Add(-4 * time.Hour), Until: sample.Now}
	want, wantRecent := projected(t, everything, objects...), projected(t, recent, objects...)
	if len(want) < 2000 || len(wantRecent) < 100 || len(wantRecent) > len(want)/2 {
		t.Fatalf("%d records, %d of them recent, are not what this test needs", len(want), len(wantRecent))
	}
	for name, server := range map[string]*world.ResultsServer{"partial": partial, "whole": whole} {
		for _, transport := range []results.Transport{results.REST, results.GRPC} {
			t.Run(name+" "+string(transport), func(t *testing.T) {
				config := results.Config{Address: server.URL, Transport: transport, PageSize: 97}
				got, report := extracted(t, newResults(t, config), everything, nil)
				compare(t, got, want)
				if report.Outcome != record.OutcomeOK || report.Objects != int64(len(want)) || report.Invalid != 0 {
					t.Errorf("report is %+v", report)
				}
				t.Logf("%d records, %d bytes a record, %.1f seconds", report.Objects, report.Bytes/report.Objects, report.Seconds)

				got, report = extracted(t, newResults(t, config), recent, nil)
				compare(t, got, wantRecent)
				if report.Outcome != record.OutcomeOK || report.Objects > int64(2*len(wantRecent)) {
					t.Errorf("report of the recent ones is %+v", report)
				}
			})
		}
	}
}

// When the database goes away while it is read, the source has failed, whatever the
// server says; when it is back, everything is there.
func TestExtractDatabaseKilled(t *testing.T) {
	sample := samplecluster.New(samplecluster.Config{Seed: 2, Runs: 1000, Now: time.Now()})
	database := world.Postgres(t)
	server := world.Results(t, database, world.ResultsOptions{PartialResponse: true})
	want := projected(t, everything, archive(t, server, sample)...)
	for _, transport := range []results.Transport{results.REST, results.GRPC} {
		t.Run(string(transport), func(t *testing.T) {
			source := newResults(t, results.Config{Address: server.URL, Transport: transport, PageSize: 50})
			got, report := extracted(t, source, everything, func(n int) {
				if n == 120 { // on the third page
					database.Stop()
				}
			})
			if report.Outcome != record.OutcomeError || !strings.Contains(report.Error, "database") {
				t.Errorf("report is %+v", report)
			}
			if len(got) < 120 || len(got) == len(want) {
				t.Errorf("%d of %d records come out", len(got), len(want))
			}
			if got, report := extracted(t, source, everything, nil); report.Outcome != record.OutcomeError || len(got) != 0 {
				t.Errorf("without a database, %d records come out and the report is %+v", len(got), report)
			}

			// It comes back while the source is still trying.
			back := time.AfterFunc(time.Second, database.Start)
			defer back.Stop()
			got, report = extracted(t, source, everything, nil)
			compare(t, got, want)
			if report.Outcome != record.OutcomeOK {
				t.Errorf("report is %+v", report)
			}
		})
	}
}

// The server's certificate is checked, and its token may change at any time.
func TestExtractResultsAccess(t *testing.T) {
	cluster := world.NewControlPlane(t)
	server := world.Results(t, world.Postgres(t), world.ResultsOptions{PartialResponse: true, TLS: true, Auth: cluster})
	want := projected(t, everything, archive(t, server, samplecluster.New(samplecluster.Config{Seed: 3, Runs: 200, Now: time.Now()}))...)
	role := func(name string, verbs ...any) {
		cluster.ApplyObjects(t, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": name},
			"rules": []any{map[string]any{"apiGroups": []any{"results.tekton.dev"}, "resources": []any{"records"}, "verbs": verbs}},
		}})
		cluster.ServiceAccount(t, "access", name)
		cluster.Bind(t, name, "access", name)
	}
	role("reader", "get", "list")
	role("lister", "list")
	role("nobody", "watch")
	token := func(account string) string { return cluster.Token(t, "access", account, time.Hour) }

	for _, transport := range []results.Transport{results.REST, results.GRPC} {
		for _, test := range []struct {
			name    string
			config  results.Config
			account string
			outcome record.SourceOutcome
			hint    string
		}{
			{"reader", results.Config{CAFile: server.CAFile}, "reader", record.OutcomeOK, ""},
			{"the name in the certificate", results.Config{CAFile: server.CAFile, ServerName: world.ResultsServiceName}, "reader", record.OutcomeOK, ""},
			{"no check of the certificate", results.Config{Insecure: true}, "reader", record.OutcomeOK, ""},
			{"another name", results.Config{CAFile: server.CAFile, ServerName: "elsewhere"}, "reader", record.OutcomeError, "CA"},
			{"the system's authorities", results.Config{}, "reader", record.OutcomeError, "CA"},
			{"may list, may not count", results.Config{CAFile: server.CAFile}, "lister", record.OutcomeForbidden, "get and list on records.results.tekton.dev"},
			{"may not list", results.Config{CAFile: server.CAFile}, "nobody", record.OutcomeForbidden, "get and list on records.results.tekton.dev"},
		} {
			t.Run(string(transport)+" "+test.name, func(t *testing.T) {
				t.Parallel()
				test.config.Address, test.config.Transport, test.config.Token = server.URL, transport, literal(token(test.account))
				got, report := extracted(t, newResults(t, test.config), everything, nil)
				if report.Outcome != test.outcome || !strings.Contains(report.Error, test.hint) {
					t.Errorf("report is %+v", report)
				}
				if report.Outcome == record.OutcomeOK {
					compare(t, got, want)
				}
			})
		}
		t.Run(string(transport)+" token renewed", func(t *testing.T) {
			t.Parallel()
			account := "renewed-" + string(transport)
			file := filepath.Join(t.TempDir(), "token")
			renew := func() {
				cluster.ServiceAccount(t, "access", account)
				if err := os.WriteFile(file, []byte(token(account)), 0o600); err != nil {
					t.Error(err)
				}
			}
			renew()
			cluster.Bind(t, "reader", "access", account)
			got, report := extracted(t, newResults(t, results.Config{
				Address: server.URL, Transport: transport, CAFile: server.CAFile, TokenFile: file, PageSize: 50,
			}), everything, func(n int) {
				if n == 75 {
					// The token of an account that is gone is worth nothing, as soon as the API server
					// notices: it remembers a good token for ten seconds.
					accounts := cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"})
					if err := accounts.Namespace("access").Delete(t.Context(), account, metav1.DeleteOptions{}); err != nil {
						t.Error(err)
					}
					renew()
					time.Sleep(12 * time.Second)
				}
			})
			compare(t, got, want)
			if report.Outcome != record.OutcomeOK {
				t.Errorf("report is %+v", report)
			}
		})
	}
}

// literal is a token of a test.
type literal string

// Reveal returns the token.
func (l literal) Reveal() string { return string(l) }
