// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// gatewayAPI returns the definitions of a release of the Gateway API, as they are in its module.
func gatewayAPI(t *testing.T, release binaries.Module, channel string) []*unstructured.Unstructured {
	t.Helper()
	root, err := binaries.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := release.Dir(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "config", "crd", channel, "gateway.networking.*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var definitions []*unstructured.Unstructured
	for _, file := range files {
		for _, o := range world.Objects(t, file) {
			if o.GetKind() == "CustomResourceDefinition" { // and not the policy that keeps people from such upgrades as this test's
				definitions = append(definitions, o)
			}
		}
	}
	if len(definitions) == 0 {
		t.Fatalf("%s holds no definitions", dir)
	}
	return definitions
}

// routesIn returns n objects of a kind, in namespace shop.
func routesIn(version, kind string, n int, spec map[string]any) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for i := range n {
		objects = append(objects, having(thing(version, kind, "shop", fmt.Sprintf("object-%d", i)), "spec", spec))
	}
	return objects
}

// An upgrade of the Gateway API from 1.4 to 1.6, on the way of which most of its routes are no longer served in the version
// that they were made in. The numbers stay, and the versions say what is served.
func (l *lab) testGatewayAPI(t *testing.T) {
	routes, gateways, rules := kube.Routes(nil), kube.Gateways(nil), kube.RouteRules(nil)
	survey := func(t *testing.T, without string) findings {
		all := findings{}
		for provider, make := range map[*kube.Provider]func(*kube.Client) *kube.Provider{
			routes:   kube.Routes,
			gateways: func(c *kube.Client) *kube.Provider { return kube.Gateways(c) },
			rules:    func(c *kube.Client) *kube.Provider { return kube.RouteRules(c) },
		} {
			maps.Copy(all, collect(t, make(l.client(t, l.reader(t, without, provider)))))
		}
		return all
	}
	kinds := []string{"httpRoute", "grpcRoute", "tlsRoute", "tcpRoute", "udpRoute", "referenceGrant"}
	t.Run("not installed", func(t *testing.T) {
		found := survey(t, "")
		for _, kind := range kinds {
			found.check(t, map[string]string{kind + "Count": "!absent", kind + "Version": "!absent"})
		}
		found.check(t, map[string]string{
			"gatewayCount": "!absent", "listenerCount": "!absent", "gatewayApiVersion": "!absent", "httpRouteRuleCount": "!absent",
			"ingressCount": "0", "ingressVersion": "v1", "ingressRuleCount": "0", // served by every server
		})
	})
	t.Run("not installed, and forbidden", func(t *testing.T) { // nobody needs a right to learn that it is not served
		survey(t, "list httproutes, list ingresses").check(t, map[string]string{"httpRouteCount": "!absent", "ingressCount": "!forbidden", "ingressVersion": "v1"})
	})

	l.define(t, gatewayAPI(t, binaries.GatewayAPIModuleBefore, "experimental")...)
	before := map[string]string{
		"httpRouteVersion": "v1", "grpcRouteVersion": "v1", "tlsRouteVersion": "v1alpha3", "tcpRouteVersion": "v1alpha2", "udpRouteVersion": "v1alpha2", "referenceGrantVersion": "v1beta1",
		"gatewayVersion": "v1", "gatewayApiVersion": "v1.4.1", "gatewayApiChannel": "experimental",
	}
	t.Run("installed, and not used", func(t *testing.T) {
		found := survey(t, "")
		found.check(t, before)
		for _, kind := range kinds {
			found.check(t, map[string]string{kind + "Count": "0"})
		}
		found.check(t, map[string]string{"gatewayCount": "0", "gatewayClassCount": "0", "listenerCount": "0", "listenerProtocols": "{}", "httpRouteRuleCount": "0", "experimentalListenerSetCount": "0", "listenerSetCount": "!absent"})
	})

	backend := []any{map[string]any{"name": "cart", "port": int64(80)}}
	forward := map[string]any{"rules": []any{map[string]any{"backendRefs": backend}}}
	l.build(t, slices.Concat(
		routesIn("gateway.networking.k8s.io/v1", "HTTPRoute", 5, map[string]any{
			"parentRefs": []any{map[string]any{"group": "", "kind": "Service", "name": "cart", "port": int64(80)}},
			"rules": []any{
				map[string]any{"backendRefs": backend, "matches": []any{path("/a"), path("/b")}},
				map[string]any{"backendRefs": backend, "matches": []any{path("/c")}, "filters": []any{map[string]any{
					"type": "RequestHeaderModifier", "requestHeaderModifier": map[string]any{"remove": []any{"x-a"}},
				}}},
			},
		}),
		routesIn("gateway.networking.k8s.io/v1", "GRPCRoute", 2, forward),
		routesIn("gateway.networking.k8s.io/v1alpha2", "TLSRoute", 3, map[string]any{"hostnames": []any{"a.example.com"}, "rules": forward["rules"]}),
		routesIn("gateway.networking.k8s.io/v1alpha2", "TCPRoute", 2, forward),
		routesIn("gateway.networking.k8s.io/v1alpha2", "UDPRoute", 1, forward),
		routesIn("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", 1, map[string]any{
			"from": []any{map[string]any{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}}, "to": []any{map[string]any{"group": "", "kind": "Service"}},
		}),
		all(having(thing("gateway.networking.k8s.io/v1", "GatewayClass", "", "acme"), "spec", map[string]any{"controllerName": "example.com/acme"})),
		routesIn("gateway.networking.k8s.io/v1", "Gateway", 2, map[string]any{"gatewayClassName": "acme", "listeners": []any{
			map[string]any{"name": "http", "protocol": "HTTP", "port": int64(80)},
			map[string]any{"name": "https", "protocol": "HTTPS", "port": int64(443), "tls": map[string]any{"certificateRefs": []any{map[string]any{"name": "c"}}}},
			map[string]any{"name": "tls", "protocol": "TLS", "port": int64(8443), "tls": map[string]any{"mode": "Passthrough"}},
			map[string]any{"name": "own", "protocol": "example.com/quic", "port": int64(8444)},
		}}),
	)...)
	numbers := map[string]string{
		"httpRouteCount": "5", "grpcRouteCount": "2", "tlsRouteCount": "2", "tcpRouteCount": "2", "udpRouteCount": "1", "referenceGrantCount": "1",
		"gatewayCount": "2", "gatewayClassCount": "1", "listenerCount": "5", "listenerProtocols": `{"HTTP":2,"HTTPS":2,"TLS":2,"other":2}`, "listenerTlsModes": `{"Terminate":2,"Passthrough":2}`,
		"httpRouteRuleCount": "10", "httpRouteMatchCount": "10", "httpRouteFilters": `{"RequestHeaderModifier":5}`, "grpcRouteRuleCount": "2", "meshRouteCount": "5",
	}
	t.Run("used", func(t *testing.T) {
		found := survey(t, "")
		found.check(t, before)
		found.check(t, numbers)
	})
	t.Run("forbidden", func(t *testing.T) {
		found := survey(t, "list httproutes, list tlsroutes, list gateways, get customresourcedefinitions")
		found.check(t, map[string]string{
			"httpRouteCount": "!forbidden", "httpRouteVersion": "v1", "httpRouteRuleCount": "!forbidden", "meshRouteCount": "!forbidden", "tlsRouteCount": "!forbidden", "tlsRouteVersion": "v1alpha3",
			"gatewayCount": "!forbidden", "listenerCount": "!forbidden", "gatewayApiVersion": "!forbidden", "gatewayApiChannel": "!forbidden",
			"grpcRouteCount": "2", "grpcRouteRuleCount": "2", "gatewayClassCount": "1",
		})
	})

	after := gatewayAPI(t, binaries.GatewayAPIModule, "standard")
	l.define(t, after...)
	t.Run("upgraded", func(t *testing.T) {
		found := survey(t, "")
		found.check(t, numbers)
		found.check(t, map[string]string{
			"httpRouteVersion": "v1", "grpcRouteVersion": "v1", "tlsRouteVersion": "v1", "tcpRouteVersion": "v1", "udpRouteVersion": "v1", "referenceGrantVersion": "v1",
			"gatewayApiVersion": "v1.6.3", "gatewayApiChannel": "standard", "listenerSetCount": "0",
		})
	})
	for _, d := range after {
		if strings.HasPrefix(d.GetName(), "httproutes.") {
			l.define(t, serving(t, d, "v1beta1"))
		}
	}
	t.Run("only the old version left", func(t *testing.T) {
		survey(t, "").check(t, map[string]string{"httpRouteCount": "5", "httpRouteVersion": "v1beta1", "httpRouteRuleCount": "10"})
	})
}

func path(prefix string) map[string]any {
	return map[string]any{"path": map[string]any{"type": "PathPrefix", "value": prefix}}
}

// serving returns the definition with these of its versions served, and no others.
func serving(t *testing.T, definition *unstructured.Unstructured, served ...string) *unstructured.Unstructured {
	t.Helper()
	d := definition.DeepCopy()
	versions, _, err := unstructured.NestedSlice(d.Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		version["served"] = strings.Contains(" "+strings.Join(served, " ")+" ", " "+name+" ")
	}
	if err := unstructured.SetNestedSlice(d.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	return d
}

// Kong's and Knative's kinds, as definitions of our own writing in several versions. A version that is no longer served, or
// one that nobody has heard of, changes no number.
func (l *lab) testKong(t *testing.T) {
	const configuration, operator = ".configuration.konghq.com", ".gateway-operator.konghq.com"
	survey := func(t *testing.T, without string) findings {
		all := findings{}
		for _, make := range []func(*kube.Client) *kube.Provider{kube.Routes, kube.Kong, kube.KongPlugins, kube.Fleet, kube.LastChange} {
			maps.Copy(all, collect(t, make(l.client(t, l.reader(t, without, make(nil))))))
		}
		return all
	}
	numbers := []string{
		"kongTcpIngressCount", "kongUdpIngressCount", "kongRouteCount", "knativeIngressCount", "kongConsumerCount", "kongServiceCount", "kongPluginBindingCount",
		"kongPluginInstallationCount", "kongDataPlaneCount", "kongControlPlaneCount", "kongAiGatewayCount", "kongPluginCount", "kongClusterPluginCount",
		"kongPlugins", "kongCustomPluginCount", "fleetClusterApiCount", "fleetOpenClusterManagementCount", "fleetRancherCount", "fleetClusterProfileCount",
	}
	t.Run("not installed", func(t *testing.T) {
		found := survey(t, "")
		for _, metric := range numbers {
			found.check(t, map[string]string{metric: "!absent"})
		}
		found.check(t, map[string]string{"lastConfigurationChangeSeconds": "!absent"})
	})

	routes := definition("kongroutes"+configuration, "KongRoute", "Namespaced", "v1alpha1", "v1beta1")
	l.define(t,
		routes, definition("tcpingresses"+configuration, "TCPIngress", "Namespaced", "v1beta1", "v1"), definition("udpingresses"+configuration, "UDPIngress", "Namespaced", "v1beta1"),
		definition("ingresses.networking.internal.knative.dev", "Ingress", "Namespaced", "v1alpha1"),
		definition("kongconsumers"+configuration, "KongConsumer", "Namespaced", "v1"), definition("kongservices"+configuration, "KongService", "Namespaced", "v1alpha1"),
		definition("kongpluginbindings"+configuration, "KongPluginBinding", "Namespaced", "v1alpha1"),
		definition("kongplugininstallations"+operator, "KongPluginInstallation", "Namespaced", "v1alpha1"), definition("dataplanes"+operator, "DataPlane", "Namespaced", "v1beta1"),
		definition("controlplanes"+operator, "ControlPlane", "Namespaced", "v1beta1", "v2beta1"), definition("aigateways"+operator, "AIGateway", "Namespaced", "v1alpha1"),
		definition("kongplugins"+configuration, "KongPlugin", "Namespaced", "v1"), definition("kongclusterplugins"+configuration, "KongClusterPlugin", "Cluster", "v1"),
		definition("clusters.cluster.x-k8s.io", "Cluster", "Namespaced", "v1beta2", "v1beta1"), definition("managedclusters.cluster.open-cluster-management.io", "ManagedCluster", "Cluster", "v1"),
		definition("clusters.management.cattle.io", "Cluster", "Cluster", "v3"), definition("clusterprofiles.multicluster.x-k8s.io", "ClusterProfile", "Namespaced", "v1alpha1"),
	)
	t.Run("installed, and not used", func(t *testing.T) {
		found := survey(t, "")
		for _, metric := range numbers {
			want := "0"
			if metric == "kongPlugins" {
				want = "{}"
			}
			found.check(t, map[string]string{metric: want})
		}
		found.check(t, map[string]string{"lastConfigurationChangeSeconds": "!absent"})
	})

	plugin := func(kind, namespace, name, plugin string, disabled bool) *unstructured.Unstructured {
		return having(having(thing("configuration.konghq.com/v1", kind, namespace, name), "plugin", plugin), "disabled", disabled)
	}
	const konghq = "configuration.konghq.com/"
	l.build(t, slices.Concat(
		routesIn(konghq+"v1alpha1", "KongRoute", 5, nil), routesIn(konghq+"v1beta1", "TCPIngress", 2, nil), routesIn(konghq+"v1beta1", "UDPIngress", 1, nil),
		routesIn("networking.internal.knative.dev/v1alpha1", "Ingress", 2, nil), routesIn(konghq+"v1", "KongConsumer", 10, nil), routesIn(konghq+"v1alpha1", "KongService", 1, nil),
		routesIn("gateway-operator.konghq.com/v1beta1", "DataPlane", 1, nil), routesIn("gateway-operator.konghq.com/v1beta1", "ControlPlane", 2, nil),
		routesIn("cluster.x-k8s.io/v1beta2", "Cluster", 5, nil),
		all(plugin("KongPlugin", "shop", "a", "rate-limiting", false), plugin("KongPlugin", "shop", "b", "rate-limiting", true), plugin("KongPlugin", "shop", "c", "acme-secret", false),
			plugin("KongClusterPlugin", "", "d", "rate-limiting", false), plugin("KongClusterPlugin", "", "e", "cors", false)),
	)...)
	used := map[string]string{
		"kongRouteCount": "5", "kongTcpIngressCount": "2", "kongUdpIngressCount": "1", "knativeIngressCount": "2", "kongConsumerCount": "10", "kongServiceCount": "1", "kongPluginBindingCount": "0",
		"kongDataPlaneCount": "1", "kongControlPlaneCount": "2", "kongPluginCount": "2", "kongClusterPluginCount": "2", "kongCustomPluginCount": "1", "kongDisabledPluginCount": "1",
		"kongPlugins": `{"cors":1,"rate-limiting":2}`, "fleetClusterApiCount": "5", "lastConfigurationChangeSeconds": "0",
	}
	t.Run("used", func(t *testing.T) {
		found := survey(t, "")
		found.check(t, used)
		found.check(t, map[string]string{
			"kongRouteVersion": "v1beta1", "kongTcpIngressVersion": "v1", "kongUdpIngressVersion": "v1beta1", "knativeIngressVersion": "v1alpha1", "kongControlPlaneVersion": "v2beta1",
		})
		for metric, value := range found {
			if strings.Contains(value, "acme-secret") {
				t.Errorf("%s tells the name of somebody's own plugin", metric)
			}
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		survey(t, "list kongroutes, list kongplugins, list clusters").check(t, map[string]string{
			"kongRouteCount": "!forbidden", "kongRouteVersion": "v1beta1", "kongTcpIngressCount": "2",
			"kongPluginCount": "!forbidden", "kongPlugins": "!forbidden", "kongCustomPluginCount": "!forbidden", "kongClusterPluginCount": "2",
			"fleetClusterApiCount": "!forbidden", "fleetRancherCount": "!forbidden", "fleetClusterProfileCount": "0",
			"lastConfigurationChangeSeconds": "!forbidden",
		})
	})
	l.define(t, serving(t, routes, "v1alpha1"))
	t.Run("the preferred version dropped", func(t *testing.T) {
		found := survey(t, "")
		found.check(t, used)
		found.check(t, map[string]string{"kongRouteVersion": "v1alpha1"})
	})
	l.define(t, definition("kongroutes"+configuration, "KongRoute", "Namespaced", "v1alpha1", "v7"))
	t.Run("a version that is new to the library", func(t *testing.T) {
		found := survey(t, "")
		found.check(t, used)
		found.check(t, map[string]string{"kongRouteVersion": "other"})
	})
}
