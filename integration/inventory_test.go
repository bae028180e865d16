// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// An account with the rights that some providers say they need learns what those tell,
// of the real API server, and that the rest is forbidden.
func TestInventoryOfARealAPIServer(t *testing.T) {
	cluster := world.NewControlPlane(t)
	for i, arch := range []string{"amd64", "amd64", "arm64"} {
		cluster.ApplyObjects(t, parsed(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-%d","labels":{"kubernetes.io/arch":%q,"kubernetes.io/os":"linux"}},
			"spec":{"providerID":"aws:///zone/i-%d"}}`, i, arch, i)))
	}
	cluster.ServiceAccount(t, "acme", "reader")
	for i := range 7 {
		cluster.ApplyObjects(t, parsed(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"acme","name":"service-%d"},"spec":{"ports":[{"port":80}]}}`, i)))
	}
	cluster.ApplyObjects(t, parsed(t, `{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"namespace":"acme","name":"i"},
		"spec":{"ingressClassName":"acme","rules":[{"http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"service-1","port":{"number":80}}}}]}}]}}`))

	config := cluster.ConfigFor(cluster.Token(t, "acme", "reader", time.Hour))
	authenticated, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kube.NewClient(authenticated, config.Host, "inventory-test")
	if err != nil {
		t.Fatal(err)
	}
	allowed := []*kube.Provider{kube.Platform(client), kube.Versions(client), kube.Nodes(client), kube.Objects(client), kube.Routes(client), kube.LastChange(client)}
	rules, err := json.Marshal(kube.Rules(allowed...))
	if err != nil {
		t.Fatal(err)
	}
	cluster.ApplyObjects(t, parsed(t, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"inventory"},"rules":`+string(rules)+`}`))
	cluster.Bind(t, "inventory", "acme", "reader")

	providers := []telemetry.Provider{kube.Mesh(client, kube.ServiceName{}), kube.Fleet(client)}
	for _, p := range allowed {
		providers = append(providers, telemetry.Exact(p))
	}
	inventory, err := telemetry.NewInventory(time.Minute, providers...)
	if err != nil {
		t.Fatal(err)
	}
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"serviceCount":      "8", // and that of the API server
		"podCount":          "0",
		"nodeArchitectures": `{"amd64":2,"arm64":1}`, "mixedArchitectures": "true", "kubeletSkew": `{"other":3}`,
		"platformDistribution": "other", "platformCloud": "aws", "platformCloudEvidence": "provider-id",
		"openShiftVersionOutcome": "absent",
		"ingressCount":            "1", "ingressVersion": "v1", "httpRouteCountOutcome": "absent",
		"fleetRancherCountOutcome": "absent",    // nobody needs a right to learn that it is not served
		"meshIstioOutcome":         "forbidden", // the account may not list namespaces
	}
	var found map[string]string
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) { // rights take a moment
		properties, err := inventory.Collect(t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		found = map[string]string{}
		for _, p := range properties {
			found[p.Name] = p.Value.String()
		}
		if found["podCount"] != "" || time.Now().After(end) {
			break
		}
	}
	for name, value := range want {
		if found[name] != value {
			t.Errorf("%s = %q, want %q", name, found[name], value)
		}
	}
	if found["kubernetesVersion"] == "" || found["lastConfigurationChangeSeconds"] == "" {
		t.Error("the version or the last change is missing")
	}
	if t.Failed() {
		t.Logf("all that was found: %v", found)
	}
}

func parsed(t *testing.T, object string) *unstructured.Unstructured {
	t.Helper()
	var o unstructured.Unstructured
	if err := o.UnmarshalJSON([]byte(object)); err != nil {
		t.Fatal(err)
	}
	return &o
}
