// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/host"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// documented returns the providers of the library by the functions that make them; of the
// metrics of a histogram, … stands for the name that a host gives them.
func documented() map[string]telemetry.Provider {
	quantiles := host.Quantiles(host.Histogram{Metric: "…", Provider: "p", Unit: "ms", Reason: "r", Question: "q", Source: "s", Since: "1"})
	return map[string]telemetry.Provider{
		"kube.Platform": kube.Platform(nil), "kube.Versions": kube.Versions(nil), "kube.Features": kube.Features(nil, "Gate"), "kube.Nodes": kube.Nodes(nil),
		"kube.Objects": kube.Objects(nil), "kube.Services": kube.Services(nil), "kube.Fleet": kube.Fleet(nil), "kube.Routes": kube.Routes(nil),
		"kube.RouteRules": kube.RouteRules(nil, "acme"), "kube.Controllers": kube.Controllers(nil), "kube.Gateways": kube.Gateways(nil, "acme"),
		"kube.LastChange": kube.LastChange(nil), "kube.Mesh": kube.Mesh(nil, kube.ServiceName{Name: "s"}), "kube.Deployment": kube.Deployment(nil, "n", "p"),
		"kube.Kong": kube.Kong(nil), "kube.KongStatus": kube.KongStatus(nil), "kube.KongPlugins": kube.KongPlugins(nil),
		"kube.KongAnnotations": kube.KongAnnotations(nil), "kube.Konnect": kube.Konnect(nil),
		"host.FeatureFlags": host.FeatureFlags("1", []string{"flag"}, nil), "host.Quantiles": quantiles, "host.Process": host.Process("1", time.Time{}),
		"host.Gateway": host.Gateway("1", func(context.Context) (host.GatewayFacts, error) { return host.GatewayFacts{}, nil }),
	}
}

// The table of all data names each metric beside its provider, and tests that there are;
// no cell is empty.
func TestTableOfData(t *testing.T) {
	page, err := os.ReadFile("../../docs/data.md")
	if err != nil {
		t.Fatal(err)
	}
	providers, tests := documented(), testSources(t)
	for _, p := range every(nil) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(providers)), func(other telemetry.Provider) bool { return other.Name() == p.Name() }) {
			t.Errorf("provider %s is not among those of the table's test", p.Name())
		}
	}
	told := map[string]bool{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.SplitSeq(string(page), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| datum") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 5 || slices.ContainsFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) == "" }) {
			t.Errorf("the row does not have five cells: %s", line)
			continue
		}
		known := map[string]bool{"clusterIdHash": true} // of every event
		for _, name := range quoted.FindAllStringSubmatch(cells[2], -1) {
			provider := providers[name[1]]
			if provider == nil {
				if !strings.HasSuffix(name[1], "Consent") {
					t.Errorf("%s: there is no provider %s", cells[0], name[1])
				}
				continue
			}
			for _, m := range provider.Metrics() {
				known[m.Name] = true
			}
		}
		for _, metric := range quoted.FindAllStringSubmatch(cells[1], -1) {
			if told[metric[1]] || !known[metric[1]] {
				t.Errorf("%s: metric %s is told twice, or is not of the row's providers", cells[0], metric[1])
			}
			told[metric[1]] = true
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[3], -1) {
			if !tests(name[1]) {
				t.Errorf("%s: there is no test %s", cells[0], name[1])
			}
		}
	}
	for maker, provider := range providers {
		for _, m := range provider.Metrics() {
			if !told[m.Name] {
				t.Errorf("metric %s of %s is not in the table", m.Name, maker)
			}
		}
	}
}

// testSources returns what tells whether there is a test, such as TestX or TestX/case_y.
func testSources(t *testing.T) func(name string) bool {
	t.Helper()
	var sources strings.Builder
	for _, root := range []string{"../../integration", "../host"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			sources.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := sources.String()
	return func(name string) bool {
		name, sub, hasSub := strings.Cut(name, "/")
		return strings.Contains(all, "\nfunc "+name+"(t *testing.T)") && (!hasSub || strings.Contains(all, `t.Run("`+strings.ReplaceAll(sub, "_", " ")+`"`))
	}
}
