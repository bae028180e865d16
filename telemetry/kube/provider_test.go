// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

var update = flag.Bool("update", false, "write the golden files")

// every returns all providers.
func every(c *kube.Client) []*kube.Provider {
	return []*kube.Provider{
		kube.Platform(c), kube.Versions(c), kube.Features(c, "SidecarContainers", "InPlacePodVerticalScaling"), kube.Nodes(c), kube.Objects(c), kube.Services(c), kube.Fleet(c),
		kube.Routes(c), kube.RouteRules(c, "acme"), kube.Controllers(c), kube.Gateways(c, "example.com/acme"), kube.LastChange(c), kube.Mesh(c, kube.ServiceName{Namespace: "n", Name: "s"}),
		kube.Deployment(c, "n", "p"), kube.Kong(c), kube.KongStatus(c), kube.KongPlugins(c), kube.KongAnnotations(c), kube.Konnect(c),
	}
}

func plain(providers []*kube.Provider) []telemetry.Provider {
	all := make([]telemetry.Provider, len(providers))
	for i, p := range providers {
		all[i] = p
	}
	return all
}

// One program can embed them all: no two have a name or a metric in common.
func TestProvidersGoTogether(t *testing.T) {
	inventory, err := telemetry.NewInventory(0, plain(every((&cluster{}).client(t)))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range inventory.Properties() {
		if !strings.HasSuffix(p.Name, "Outcome") && p.Question == "" {
			t.Errorf("metric %s answers no question", p.Name)
		}
	}
}

// With nothing allowed but discovery, and with nothing at all, every metric says so.
func TestNothingIsAllowed(t *testing.T) {
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := telemetry.NewInventory(0, plain(every((&forbidding{}).client(t)))...)
	if err != nil {
		t.Fatal(err)
	}
	properties, err := inventory.Collect(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range properties {
		if p.Value.String() != "forbidden" {
			t.Errorf("%s = %s, want forbidden", p.Name, p.Value)
		}
	}
	if want := len(inventory.Properties()) / 2; len(properties) != want {
		t.Errorf("%d properties, want %d", len(properties), want)
	}
}

func TestRules(t *testing.T) {
	rules := kube.Rules(every((&cluster{}).client(t))...)
	for _, r := range rules {
		if verb := r.Verbs[0]; len(r.Verbs) != 1 || verb != "get" && verb != "list" {
			t.Errorf("verbs = %q, want to read", r.Verbs)
		}
		for _, resource := range r.Resources {
			if resource == "secrets" || resource == "configmaps" && r.ResourceNames == nil {
				t.Errorf("the right to read all %s is more than is needed", resource)
			}
		}
	}
	got, err := json.MarshalIndent(rules, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/rules.json"
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Errorf("rules are %s; compare with %s and run with -update", got, golden)
	}
	if one := kube.Objects(nil).Rules(); len(one) != 1 || strings.Join(one[0].Resources, " ") != "pods services" {
		t.Errorf("rules of one provider = %v, want to list pods and services", one)
	}
}
