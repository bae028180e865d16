// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// What the other tests of the inventory leave out, with the rights that the providers say they need, together.
func TestInventoryOfTheRest(t *testing.T) {
	t.Parallel()
	l := &lab{world.NewControlPlane(t), map[string]*rest.Config{}}
	const gate = "APIServerTracing" // of each release, and on
	providers := func(c *kube.Client) []*kube.Provider {
		return []*kube.Provider{
			kube.Services(c), kube.Controllers(c), kube.Features(c, gate, "NoSuchGate"), kube.Fleet(c), kube.Gateways(c, "konghq.com/gateway-operator"),
			kube.KongStatus(c), kube.KongAnnotations(c), kube.Konnect(c),
		}
	}
	l.ServiceAccount(t, "inventory", "all")
	var rules []any
	for _, r := range kube.Rules(providers(nil)...) {
		rules = append(rules, asMap(t, r))
	}
	l.ApplyObjects(t, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "inventory"}, "rules": rules,
	}})
	nobody := l.client(t, l.ConfigFor(l.Token(t, "inventory", "all", time.Hour)))
	survey := func(t *testing.T, c *kube.Client) findings {
		t.Helper()
		found := findings{}
		for _, p := range providers(c) {
			maps.Copy(found, collect(t, telemetry.Exact(p)))
		}
		return found
	}
	t.Run("forbidden", func(t *testing.T) {
		survey(t, nobody).check(t, map[string]string{
			"serviceTypes": "!forbidden", "serviceAppProtocols": "!forbidden", "ingressControllers": "!forbidden", "kubernetesFeatures": "!forbidden", "kongPluginAttachments": "!forbidden",
			"gatewayControllers": "!absent", "openShiftFeatureSet": "!absent", "fleetMember": "!absent", "konnectGatewayCount": "!absent", "kongEntities": "!absent",
		})
	})
	l.Bind(t, "inventory", "inventory", "all")
	l.await(t, "the rights of an account", func() (bool, error) {
		return l.may(t.Context(), "inventory", "all", map[string]any{"group": "", "resource": "services", "verb": "list"})
	})

	const configuration, operator, konnect, gateway = "configuration.konghq.com", "gateway-operator.konghq.com", "konnect.konghq.com", "gateway.networking.k8s.io"
	l.define(t,
		definition("clusterproperties.about.k8s.io", "ClusterProperty", "Cluster", "v1beta1"), definition("clusters.fleet.cattle.io", "Cluster", "Namespaced", "v1alpha1"),
		definition("clusters.cluster.karmada.io", "Cluster", "Cluster", "v1alpha1"), definition("memberclusters.cluster.kubernetes-fleet.io", "MemberCluster", "Cluster", "v1"),
		definition("managedclustersets.cluster.open-cluster-management.io", "ManagedClusterSet", "Cluster", "v1beta2"),
		definition("featuregates.config.openshift.io", "FeatureGate", "Cluster", "v1"),
		definition("gatewayclasses."+gateway, "GatewayClass", "Cluster", "v1"), withStatus(definition("gateways."+gateway, "Gateway", "Namespaced", "v1")),
		definition("gatewayconfigurations."+operator, "GatewayConfiguration", "Namespaced", "v2beta1"), withStatus(definition("dataplanes."+operator, "DataPlane", "Namespaced", "v1beta1")),
		withStatus(definition("kongplugins."+configuration, "KongPlugin", "Namespaced", "v1")), definition("kongvaults."+configuration, "KongVault", "Cluster", "v1alpha1"),
		withStatus(definition("konnectgatewaycontrolplanes."+konnect, "KonnectGatewayControlPlane", "Namespaced", "v1alpha2", "v1alpha1")),
		definition("konnectapiauthconfigurations."+konnect, "KonnectAPIAuthConfiguration", "Namespaced", "v1alpha1"),
	)
	condition := func(kind, status string) map[string]any {
		return map[string]any{"conditions": []any{map[string]any{"type": kind, "status": status}}}
	}
	service := func(name string, spec map[string]any, annotations map[string]string) *unstructured.Unstructured {
		o := having(thing("v1", "Service", "shop", name), "spec", spec)
		o.SetAnnotations(annotations)
		return o
	}
	grpc := []any{map[string]any{"port": int64(80), "appProtocol": "grpc"}}
	plain := []any{map[string]any{"port": int64(80)}}
	class := func(name, controller string, parameters map[string]any) *unstructured.Unstructured {
		return having(thing(gateway+"/v1", "GatewayClass", "", name), "spec", map[string]any{"controllerName": controller, "parametersRef": parameters})
	}
	programmed := condition("Programmed", "True")
	programmed["listeners"] = []any{map[string]any{"name": "http", "attachedRoutes": int64(4)}}
	of := func(name, class string, status map[string]any) *unstructured.Unstructured {
		g := having(thing(gateway+"/v1", "Gateway", "shop", name), "spec", map[string]any{"gatewayClassName": class, "listeners": []any{map[string]any{"protocol": "HTTPS"}}})
		return having(g, "status", status)
	}
	l.build(t,
		service("front", map[string]any{"type": "LoadBalancer", "ports": grpc}, map[string]string{"konghq.com/plugins": "acme-secret", "konghq.com/protocol": "grpc"}),
		service("back", map[string]any{"clusterIP": "None", "ports": plain}, nil), service("far", map[string]any{"type": "ExternalName", "externalName": "acme-secret.example.com"}, nil),
		having(thing("networking.k8s.io/v1", "IngressClass", "", "a"), "spec", map[string]any{"controller": "ingress-controllers.konghq.com/kong"}),
		having(thing("networking.k8s.io/v1", "IngressClass", "", "b"), "spec", map[string]any{"controller": "acme-secret.example.com/controller"}),
		thing("about.k8s.io/v1beta1", "ClusterProperty", "", "clusterset.k8s.io"),
		having(thing("config.openshift.io/v1", "FeatureGate", "", "cluster"), "spec", map[string]any{"featureSet": "TechPreviewNoUpgrade"}),
		having(thing(operator+"/v2beta1", "GatewayConfiguration", "shop", "hybrid"), "spec", map[string]any{"konnect": map[string]any{"authRef": map[string]any{"name": "acme-secret"}}}),
		class("hybrid", "konghq.com/gateway-operator", map[string]any{"group": operator, "kind": "GatewayConfiguration", "namespace": "shop", "name": "hybrid"}),
		class("plain", "istio.io/gateway-controller", map[string]any{"group": "", "kind": "ConfigMap", "name": "x"}),
		of("one", "hybrid", programmed), of("two", "hybrid", condition("Programmed", "False")), of("three", "plain", programmed),
		having(having(thing(operator+"/v1beta1", "DataPlane", "shop", "d"), "spec", map[string]any{"deployment": map[string]any{"replicas": int64(3)}}), "status", condition("Ready", "True")),
		having(thing(configuration+"/v1", "KongPlugin", "shop", "p"), "status", condition("Programmed", "False")), thing(configuration+"/v1alpha1", "KongVault", "", "v"),
		having(thing(konnect+"/v1alpha2", "KonnectGatewayControlPlane", "shop", "c"), "status", condition("Programmed", "True")),
		thing(konnect+"/v1alpha1", "KonnectAPIAuthConfiguration", "shop", "a"),
	)
	found := survey(t, nobody)
	found.check(t, map[string]string{
		"serviceTypes": `{"ClusterIP":1,"headless":1,"LoadBalancer":1,"ExternalName":1}`, "serviceAppProtocols": `{"grpc":1}`, // one service is the API server's
		"ingressControllers": `{"kong":1,"other":1}`, "gatewayControllers": `{"kong-operator":1,"istio":1}`,
		"kubernetesFeatures": `["` + gate + `"]`, "kubernetesFeaturesKnown": `["` + gate + `"]`, "openShiftFeatureSet": "TechPreviewNoUpgrade",
		"fleetMember": "true", "fleetRancherFleetCount": "0", "fleetKarmadaCount": "0", "fleetKubeFleetCount": "0", "fleetClusterSetCount": "0",
		"gatewayStates": `{"true":2,"false":1}`, "attachedRouteCount": "8", "waypointCount": "0", "ownGatewayCount": "2", "ownProgrammedGatewayCount": "1", "ownAttachedRouteCount": "4",
		"kongDataPlaneStates": `{"true":1}`, "kongDataPlaneReplicaCount": "3", "kongStandaloneDataPlaneCount": "1", "kongControlPlaneStates": "!absent", "kongPluginStates": `{"false":1}`,
		"kongEntities": `{"vaults":1}`, "konnectControlPlaneStates": `{"true":1}`, "konnectAccountStates": `{"unknown":1}`, "konnectControlPlaneCount": "1", "konnectControlPlaneVersion": "v1alpha2",
		"konnectGatewayCount": "2", "konnectProgrammedGatewayCount": "1", "konnectAttachedRouteCount": "4",
		"kongPluginAttachments": `{"service":1,"ingress":0}`, "kongProtocols": `{"grpc":1}`,
	})
	for metric, value := range found {
		if strings.Contains(value, "acme-secret") {
			t.Errorf("%s tells somebody's own word", metric)
		}
	}
	t.Run("consent", func(t *testing.T) { l.testConsent(t, nobody) })
	t.Run("staged", l.testStaged)
}

// The job, with the rights that it is granted for this, stages what the cluster is like once an hour, and SQL finds it.
func (l *lab) testStaged(t *testing.T) {
	l.ServiceAccount(t, "inventory", "job")
	var rules []any
	for _, r := range kube.Rules(kube.Environment(nil)...) {
		rules = append(rules, asMap(t, r))
	}
	l.ApplyObjects(t, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "job"}, "rules": rules,
	}})
	l.Bind(t, "job", "inventory", "job")
	l.await(t, "the rights of the job", func() (bool, error) {
		return l.may(t.Context(), "inventory", "job", map[string]any{"group": "", "resource": "nodes", "verb": "list"})
	})
	dir := t.TempDir()
	s := &site{t: t, output: new(bytes.Buffer)}
	args := []string{"--source", "inventory", "--kubeconfig", l.Kubeconfig(t, l.Token(t, "inventory", "job", time.Hour)), "--cluster-id", "c", "--stage", "file://" + dir}
	if doctor := s.run(nil, append([]string{"doctor"}, args...)...); doctor.code != 0 {
		t.Errorf("doctor: exit code %d\n%s", doctor.code, doctor.stdout)
	}
	for range 2 {
		s.mustRun(nil, append([]string{"run"}, args...)...)
	}
	script := "SET VARIABLE stage = '" + dir + "';\n"
	for _, file := range []string{"views.sql", "inventory/columns.sql"} {
		text, err := os.ReadFile(filepath.Join("../docs/analysis", file))
		if err != nil {
			t.Fatal(err)
		}
		script += string(text)
	}
	answers := queryDuckDB(t, script+`
		SELECT count(*) AS events, count(DISTINCT date_trunc('hour', timestamp)) AS hours FROM inventory;
		SELECT DISTINCT platform_distribution, pod_count, CAST(service_types ->> '$.headless' AS BIGINT) AS headless, fleet_member, open_shift_version_outcome, http_route_count_outcome, gateway_count, kubernetes_version
		FROM inventory;
		SELECT count(*) AS different FROM events JOIN inventory USING (message_id)
		WHERE events.node_count IS DISTINCT FROM inventory.node_count OR events.platform_cloud IS DISTINCT FROM inventory.platform_cloud OR events.service_count IS DISTINCT FROM inventory.service_count;`)
	answers = answers[len(answers)-3:]
	if count := answers[0][0]; count["events"] != count["hours"] || count["events"] == 0.0 {
		t.Errorf("events are %v, want one an hour", count)
	}
	told := answers[1][0]
	for column, want := range map[string]any{
		"platform_distribution": "openshift", "pod_count": 0.0, "headless": 1.0, "fleet_member": true, "open_shift_version_outcome": "absent", "http_route_count_outcome": "absent", "gateway_count": 2.0,
	} {
		if told[column] != want {
			t.Errorf("%s = %v, want %v", column, told[column], want)
		}
	}
	if told["kubernetes_version"] == nil || answers[2][0]["different"] != 0.0 {
		t.Errorf("the version is %v; columns and payload differ in %v events", told["kubernetes_version"], answers[2][0]["different"])
	}
}

// The cluster's administrator and the console are asked by an account that may read those two ConfigMaps, and by one that
// may not.
func (l *lab) testConsent(t *testing.T, nobody *kube.Client) {
	const console = "console-config"
	l.build(t, having(thing("v1", "ConfigMap", "acme", "telemetry"), "data", map[string]any{"setting": "off"}),
		having(thing("v1", "ConfigMap", "openshift-console", console), "data", map[string]any{"console-config.yaml": "telemetry:\n  SEGMENT_API_KEY: k\n  STATE: OPT-OUT\n"}))
	admin := l.client(t, l.Config)
	if d, err := kube.ConfigMapConsent(admin, "acme", "telemetry", "setting")(t.Context()); d.Choice != telemetry.Off || err != nil {
		t.Errorf("the administrator decides %+v, %v, want off", d, err)
	}
	if d, err := kube.ConfigMapConsent(admin, "acme", "missing", "setting")(t.Context()); d.Choice != telemetry.Undecided || err != nil {
		t.Errorf("nobody decides %+v, %v", d, err)
	}
	if d, err := kube.ConsoleConsent(admin)(t.Context()); d.Choice != telemetry.On || err != nil {
		t.Errorf("the console decides %+v, %v, want on", d, err)
	}
	if _, err := kube.ConfigMapConsent(nobody, "acme", "telemetry", "setting")(t.Context()); telemetry.OutcomeOf(err) != telemetry.OutcomeForbidden {
		t.Errorf("who may not read the setting is told %v", err)
	}
	if _, err := kube.ConsoleConsent(nobody)(t.Context()); telemetry.OutcomeOf(err) != telemetry.OutcomeForbidden {
		t.Errorf("who may not read the console's configuration is told %v", err)
	}
}

// withStatus lets objects of a definition have a status of its own.
func withStatus(definition *unstructured.Unstructured) *unstructured.Unstructured {
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, v := range versions {
		if v, ok := v.(map[string]any); ok {
			v["subresources"] = map[string]any{"status": map[string]any{}}
		}
	}
	_ = unstructured.SetNestedSlice(definition.Object, versions, "spec", "versions")
	return definition
}
