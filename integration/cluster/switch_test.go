// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// switchesOffAndOn switches telemetry off at the Konflux resource: every object of the cluster is then what it was before
// telemetry was first switched on. Switched on again, it goes on where it was.
func (p *product) switchesOffAndOn(t *testing.T) {
	p.patch(t, "konflux/konflux", `{"spec":{"telemetry":{"enabled":false}}}`)
	p.awaitConditions(t, "TelemetryEnabled=False/KonfluxDisabled", "Ready=True/Off")
	p.patch(t, "segmentbridge/segment-bridge", `{"spec":{"schedule":"* * * * *"}}`) // which we have changed ourselves
	Eventually(t, time.Minute, func() error {
		after, differences := p.inventory(t), []string{}
		for _, object := range slices.Sorted(maps.Keys(after)) {
			if p.before[object] != after[object] {
				differences = append(differences, "left or changed: "+object)
			}
		}
		for _, object := range slices.Sorted(maps.Keys(p.before)) {
			if after[object] == "" {
				differences = append(differences, "gone: "+object)
			}
		}
		if len(differences) > 0 {
			return fmt.Errorf("the cluster is not as it was:\n%s", strings.Join(differences, "\n"))
		}
		return nil
	})
	t.Logf("%d objects are as they were", len(p.before))
	p.start(t, "second", "quokka-succeeds", "quokka-fails")
	p.patch(t, "segmentbridge/segment-bridge", never)
	p.patch(t, "konflux/konflux", `{"spec":{"telemetry":{"enabled":true}}}`)
	p.awaitConditions(t, "TelemetryEnabled=True/KonfluxEnabled", "Ready=True/Installed")
	p.run(t)
	p.check(t)
}

// inventory returns every object of the cluster and a sum of what it asks for, except for what comes and goes by itself.
func (p *product) inventory(t *testing.T) map[string]string {
	t.Helper()
	found, err := discovery.NewDiscoveryClientForConfig(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := found.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, list := range lists {
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || slices.Contains(fleeting, resource.Name) {
				continue
			}
			version, err := schema.ParseGroupVersion(list.GroupVersion)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := p.Dynamic.Resource(version.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatalf("list %s: %v", resource.Name, err)
			}
			for i := range objects.Items {
				all[resource.Name+" "+objects.Items[i].GetNamespace()+"/"+objects.Items[i].GetName()] = sumOf(t, &objects.Items[i])
			}
		}
	}
	return all
}

// fleeting is what others make, change and delete while we look.
var fleeting = []string{"events", "leases", "pods", "endpoints", "endpointslices", "componentstatuses", "pipelineruns", "taskruns"}

// sumOf returns a sum of an object without what the server counts, and without its status.
func sumOf(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	content := object.DeepCopy()
	for _, field := range []string{"resourceVersion", "managedFields", "generation"} {
		unstructured.RemoveNestedField(content.Object, "metadata", field)
	}
	delete(content.Object, "status")
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
