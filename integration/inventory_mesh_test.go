// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// A mark is what a mesh puts on the pods in it.
type mark struct {
	annotations, labels string // such as "a: b"
	sidecar, native     string // container; init container that keeps running
	image               string // of these

	out       string // what is on the pods that are not in it: an annotation
	service   string // what is on the services that are in it: an annotation
	namespace string // what is on the namespace of them all: a label, and an annotation
}

func keyed(text string) map[string]string {
	key, value, _ := strings.Cut(text, ": ")
	if key == "" {
		return nil
	}
	return map[string]string{key: value}
}

// podOf returns a pod of namespace shop.
func podOf(name string, m mark) *unstructured.Unstructured {
	p := thing("v1", "Pod", "shop", name)
	p.SetAnnotations(keyed(m.annotations))
	p.SetLabels(keyed(m.labels))
	container := func(name string) map[string]any {
		return map[string]any{"name": name, "image": "example.com/" + name + m.image}
	}
	containers, setup := []any{container("app")}, []any{container("setup")}
	if m.sidecar != "" {
		containers = append(containers, container(m.sidecar))
	}
	if m.native != "" {
		c := container(m.native)
		c["restartPolicy"] = "Always"
		setup = append(setup, c)
	}
	return having(p, "spec", map[string]any{"containers": containers, "initContainers": setup})
}

// sliceOf returns the EndpointSlice of a service of namespace shop.
func sliceOf(service string, pods ...string) *unstructured.Unstructured {
	s := thing("discovery.k8s.io/v1", "EndpointSlice", "shop", service+"-abc", "kubernetes.io/service-name", service)
	var endpoints []any
	for i, pod := range pods {
		endpoints = append(endpoints, map[string]any{
			"addresses": []any{fmt.Sprintf("192.0.2.%d", i+1)}, "targetRef": map[string]any{"kind": "Pod", "namespace": "shop", "name": pod},
		})
	}
	if len(pods) == 0 { // a service outside of the cluster
		endpoints = []any{map[string]any{"addresses": []any{"192.0.2.99"}}}
	}
	return having(having(s, "addressType", "IPv4"), "endpoints", endpoints)
}

// shop returns four services that have pods and one that has none. Those in a mesh have the mark: one service of the four,
// and two more when the gateway is among them.
func shop(m mark, gateway bool) []*unstructured.Unstructured {
	namespace := thing("v1", "Namespace", "", "shop")
	namespace.SetLabels(keyed(m.namespace))
	namespace.SetAnnotations(keyed(m.namespace))
	out := mark{annotations: m.out}
	door := out
	if gateway {
		door = m
	}
	objects := all(namespace,
		podOf("gateway-0", door), podOf("cart-0", door), podOf("cart-1", out), podOf("pay-0", m), podOf("legacy-0", out), podOf("job-0", m),
		sliceOf("gateway", "gateway-0"), sliceOf("cart", "cart-0", "cart-1"), sliceOf("pay", "pay-0"), sliceOf("legacy", "legacy-0"), sliceOf("outside"))
	for name, m := range map[string]mark{"gateway": door, "cart": door, "pay": m, "legacy": out, "outside": out} {
		service := serviceOf("shop", name)
		service.SetAnnotations(keyed(m.service))
		objects = append(objects, service)
	}
	return objects
}

func serviceOf(namespace, name string, labels ...string) *unstructured.Unstructured {
	return having(thing("v1", "Service", namespace, name, labels...), "spec", map[string]any{"clusterIP": "None", "ports": []any{map[string]any{"port": int64(80)}}})
}

func ztunnel() *unstructured.Unstructured {
	labels := map[string]any{"app": "ztunnel"}
	return having(thing("apps/v1", "DaemonSet", "istio-system", "ztunnel", "app", "ztunnel"), "spec", map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{map[string]any{"name": "ztunnel", "image": "example.com/ztunnel"}}}},
	})
}

func ciliumConfig(key, value string) *unstructured.Unstructured {
	return having(thing("v1", "ConfigMap", "kube-system", "cilium-config"), "data", map[string]any{key: value})
}

func namespacesOf(names ...string) []*unstructured.Unstructured {
	var namespaces []*unstructured.Unstructured
	for _, name := range names {
		namespaces = append(namespaces, thing("v1", "Namespace", "", name))
	}
	return namespaces
}

func all(objects ...*unstructured.Unstructured) []*unstructured.Unstructured { return objects }

// Each mesh as what is installed of it and what it puts on pods: whether it is installed, whether the gateway is in it, and
// the share of services in it. Every mesh, sign and way in of the plan shows here.
func (l *lab) testMeshes(t *testing.T) {
	istiod := serviceOf("istio-system", "istiod", "app", "istiod")
	sidecar := mark{annotations: "sidecar.istio.io/status: '{}'", sidecar: "istio-proxy", namespace: "istio-injection: enabled"}
	ambient := mark{annotations: "ambient.istio.io/redirection: enabled", namespace: "istio.io/dataplane-mode: ambient"}
	kuma := mark{annotations: "kuma.io/sidecar-injected: true", sidecar: "kuma-sidecar", namespace: "kuma.io/sidecar-injection: enabled"}

	appMesh := func(sidecar, native string) mark {
		const key = "appmesh.k8s.aws/sidecarInjectorWebhook"
		return mark{namespace: key + ": enabled", out: key + ": disabled", sidecar: sidecar, native: native, image: "/aws-appmesh-envoy"}
	}
	var (
		unmarked       = mark{}
		nativeIstio    = mark{annotations: sidecar.annotations, native: "istio-proxy"}
		nativeKuma     = mark{annotations: kuma.annotations, native: "kuma-sidecar"}
		linkerd        = mark{annotations: "linkerd.io/proxy-version: edge-26.5.2", sidecar: "linkerd-proxy", namespace: "linkerd.io/inject: enabled"}
		linkerdByLabel = mark{labels: "linkerd.io/control-plane-ns: elsewhere", native: "linkerd-proxy"}
		consul         = mark{annotations: "consul.hashicorp.com/connect-inject-status: injected", sidecar: "consul-dataplane"}
		nativeConsul   = mark{annotations: "consul.hashicorp.com/connect-inject-status: injected", native: "consul-dataplane"}
		cilium         = mark{namespace: "io.cilium/mtls-enabled: true"}
		traefik        = mark{service: "mesh.traefik.io/traffic-type: HTTP"}
		traefikTCP     = mark{service: "mesh.traefik.io/traffic-type: tcp"}
		osm            = mark{labels: "osm-proxy-uuid: 7", sidecar: "envoy", namespace: "openservicemesh.io/monitored-by: osm"}
		nativeOSM      = mark{labels: "osm-proxy-uuid: 7", native: "envoy"}
	)
	tests := []struct {
		name       string
		groups     string
		objects    []*unstructured.Unstructured
		mark       mark
		gateway    bool
		without    string // of the account's rights
		meshes     string // those that are not absent, with the verdict
		signs      string
		share      string
		modes      string
		gate       string
		namespaces string // that ask to be in a mesh; empty is none
	}{
		{"none", "", nil, unmarked, false, "", "", "", `{}`, `[]`, `[]`, ""},
		{
			"Istio, sidecars", "networking.istio.io", all(istiod), sidecar, true, "",
			"istio active", "istio:api-group istio:namespace istio:control-plane", `{"istio":75}`, `["istio:sidecar"]`, `["istio"]`, `{"istio":1}`,
		},
		{
			"Istio, the gateway outside of it", "security.istio.io", all(istiod), sidecar, false, "",
			"istio active", "istio:api-group istio:namespace istio:control-plane", `{"istio":25}`, `["istio:sidecar"]`, `[]`, `{"istio":1}`,
		},
		{
			"Istio, native sidecars, by revision", "networking.istio.io", all(serviceOf("mesh", "istiod-1-28")), nativeIstio, true, "",
			"istio active", "istio:api-group istio:control-plane", `{"istio":75}`, `["istio:native-sidecar"]`, `["istio"]`, "",
		},
		{
			"Istio, control plane of the cloud", "", all(thing("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "istio-sidecar-injector-asm-managed")), sidecar, true, "",
			"istio active", "istio:control-plane", `{"istio":75}`, `["istio:sidecar"]`, `["istio"]`, `{"istio":1}`,
		},
		{
			"Istio ambient", "networking.istio.io", all(istiod, ztunnel()), ambient, true, "",
			"istio active, istio-ambient active", "istio:api-group istio:namespace istio:control-plane istio-ambient:control-plane", `{"istio-ambient":75}`, `["istio-ambient:ambient"]`, `["istio-ambient"]`, `{"istio-ambient":1}`,
		},
		{
			"Istio, left behind", "networking.istio.io", nil, unmarked, false, "",
			"istio present", "istio:api-group", `{}`, `[]`, `[]`, "",
		},
		{
			"all of them, left behind", "", namespacesOf("istio-system", "linkerd", "kuma-system", "kong-mesh-system", "consul", "traefik-mesh", "appmesh-system", "osm-system"), unmarked, false, "",
			"istio present, linkerd present, kuma present, kong-mesh present, consul present, traefik present, app-mesh present, osm present",
			"istio:namespace linkerd:namespace kuma:namespace kong-mesh:namespace consul:namespace traefik:namespace app-mesh:namespace osm:namespace", `{}`, `[]`, `[]`, "",
		},
		{
			"Linkerd", "linkerd.io policy.linkerd.io", all(serviceOf("linkerd", "linkerd-proxy-injector")), linkerd, true, "",
			"linkerd active", "linkerd:api-group linkerd:namespace linkerd:control-plane", `{"linkerd":75}`, `["linkerd:sidecar"]`, `["linkerd"]`, `{"linkerd":1}`,
		},
		{
			"Linkerd, native sidecars, by label", "", all(serviceOf("elsewhere", "linkerd-proxy-injector")), linkerdByLabel, true, "",
			"linkerd active", "linkerd:control-plane", `{"linkerd":75}`, `["linkerd:native-sidecar"]`, `["linkerd"]`, "",
		},
		{
			"Kuma", "kuma.io", all(serviceOf("kuma-system", "kuma-control-plane")), kuma, true, "",
			"kuma active", "kuma:api-group kuma:namespace kuma:control-plane", `{"kuma":75}`, `["kuma:sidecar"]`, `["kuma"]`, `{"kuma":1}`,
		},
		{
			"Kuma, native sidecars", "kuma.io", all(serviceOf("kuma-system", "kuma-control-plane")), nativeKuma, true, "",
			"kuma active", "kuma:api-group kuma:namespace kuma:control-plane", `{"kuma":75}`, `["kuma:native-sidecar"]`, `["kuma"]`, "",
		},
		{
			"Kong Mesh", "kuma.io", all(serviceOf("kong-mesh-system", "kong-mesh-control-plane")), kuma, true, "",
			"kuma present, kong-mesh active", "kuma:api-group kong-mesh:namespace kong-mesh:control-plane", `{"kong-mesh":75}`, `["kong-mesh:sidecar"]`, `["kong-mesh"]`, `{"kong-mesh":1}`,
		},
		{
			"Kong Mesh, native sidecars", "", all(serviceOf("kong-mesh-system", "kong-mesh-control-plane")), nativeKuma, true, "",
			"kong-mesh active", "kong-mesh:namespace kong-mesh:control-plane", `{"kong-mesh":75}`, `["kong-mesh:native-sidecar"]`, `["kong-mesh"]`, "",
		},
		{
			"Consul", "consul.hashicorp.com", all(serviceOf("consul", "consul-server")), consul, true, "",
			"consul active", "consul:api-group consul:namespace consul:control-plane", `{"consul":75}`, `["consul:sidecar"]`, `["consul"]`, "",
		},
		{
			"Consul, native sidecars, of a release", "mesh.consul.hashicorp.com", all(serviceOf("consul", "acme-consul-server")), nativeConsul, true, "",
			"consul active", "consul:api-group consul:namespace consul:control-plane", `{"consul":75}`, `["consul:native-sidecar"]`, `["consul"]`, "",
		},
		{
			"Cilium, the network alone", "cilium.io", all(ciliumConfig("enable-policy", "default")), unmarked, false, "",
			"cilium present", "cilium:api-group", `{}`, `[]`, `[]`, "",
		},
		{
			"Cilium with Envoy", "cilium.io", all(ciliumConfig("enable-envoy-config", "true")), unmarked, false, "",
			"cilium active", "cilium:api-group cilium:control-plane", `{}`, `[]`, `[]`, "",
		},
		{
			"Cilium with ztunnel", "cilium.io", all(ciliumConfig("enable-ztunnel", "true")), cilium, true, "",
			"cilium active", "cilium:api-group cilium:control-plane", `{"cilium":100}`, `["cilium:node-proxy"]`, `["cilium"]`, `{"cilium":1}`,
		},
		{
			"Traefik Mesh", "", all(serviceOf("traefik-mesh", "traefik-mesh-controller")), traefik, true, "",
			"traefik active", "traefik:namespace traefik:control-plane", `{"traefik":75}`, `["traefik:node-proxy"]`, `["traefik"]`, "",
		},
		{
			"Traefik Mesh, the gateway outside of it", "", all(serviceOf("traefik-mesh", "traefik-mesh-controller")), traefikTCP, false, "",
			"traefik active", "traefik:namespace traefik:control-plane", `{"traefik":25}`, `["traefik:node-proxy"]`, `[]`, "",
		},
		{
			"App Mesh", "appmesh.k8s.aws", all(serviceOf("appmesh-system", "appmesh-controller-webhook-service")), appMesh("envoy", ""), true, "",
			"app-mesh active", "app-mesh:api-group app-mesh:namespace app-mesh:control-plane", `{"app-mesh":75}`, `["app-mesh:sidecar"]`, `["app-mesh"]`, `{"app-mesh":1}`,
		},
		{
			"App Mesh, native sidecars", "appmesh.k8s.aws", all(serviceOf("appmesh-system", "appmesh-controller-webhook-service")), appMesh("", "envoy"), true, "",
			"app-mesh active", "app-mesh:api-group app-mesh:namespace app-mesh:control-plane", `{"app-mesh":75}`, `["app-mesh:native-sidecar"]`, `["app-mesh"]`, `{"app-mesh":1}`,
		},
		{
			"OSM", "config.openservicemesh.io", all(serviceOf("osm-system", "osm-controller")), osm, true, "",
			"osm active", "osm:api-group osm:namespace osm:control-plane", `{"osm":75}`, `["osm:sidecar"]`, `["osm"]`, `{"osm":1}`,
		},
		{
			"OSM, native sidecars", "", all(serviceOf("osm-system", "osm-controller")), nativeOSM, true, "",
			"osm active", "osm:namespace osm:control-plane", `{"osm":75}`, `["osm:native-sidecar"]`, `["osm"]`, "",
		},
		{
			"Istio beside Cilium", "networking.istio.io cilium.io", all(istiod, ciliumConfig("enable-policy", "default")), sidecar, true, "",
			"istio active, cilium present", "istio:api-group istio:namespace istio:control-plane cilium:api-group", `{"istio":75}`, `["istio:sidecar"]`, `["istio"]`, `{"istio":1}`,
		},

		{
			"services forbidden", "networking.istio.io", all(istiod), sidecar, true, "list services",
			"istio !forbidden, linkerd !forbidden, kuma !forbidden, kong-mesh !forbidden, consul !forbidden, traefik !forbidden, app-mesh !forbidden, osm !forbidden", "istio:api-group istio:namespace",
			`{"istio":75}`, `["istio:sidecar"]`, `["istio"]`, `{"istio":1}`,
		},
		{
			"services forbidden, nothing shows", "", nil, unmarked, false, "list services",
			"istio !forbidden, linkerd !forbidden, kuma !forbidden, kong-mesh !forbidden, consul !forbidden, traefik !forbidden, app-mesh !forbidden, osm !forbidden", "",
			"!forbidden", "!forbidden", "!forbidden", "",
		},
		{
			"pods forbidden", "", all(istiod), sidecar, true, "list pods",
			"istio active", "istio:namespace istio:control-plane", "!forbidden", "!forbidden", "!forbidden", `{"istio":1}`,
		},
		{
			"single pods forbidden", "", all(istiod), sidecar, true, "get pods",
			"istio active", "istio:namespace istio:control-plane", `{"istio":75}`, "!forbidden", `["istio"]`, `{"istio":1}`,
		},
		{
			"EndpointSlices forbidden", "", all(istiod), sidecar, true, "list endpointslices",
			"istio active", "istio:namespace istio:control-plane", "!forbidden", `["istio:sidecar"]`, "!forbidden", `{"istio":1}`,
		},
		{
			"DaemonSets forbidden", "", all(istiod, ztunnel()), ambient, true, "list daemonsets",
			"istio active, istio-ambient !forbidden", "istio:namespace istio:control-plane", `{"istio-ambient":75}`, `["istio-ambient:ambient"]`, `["istio-ambient"]`, `{"istio-ambient":1}`,
		},
		{
			"Cilium's configuration forbidden", "cilium.io", all(ciliumConfig("enable-ztunnel", "true")), unmarked, false, "get configmaps",
			"cilium !forbidden", "cilium:api-group", "!forbidden", "!forbidden", "!forbidden", "",
		},
		{
			"namespaces forbidden", "", all(istiod), sidecar, true, "list namespaces",
			"istio active, istio-ambient !forbidden, linkerd !forbidden, kuma !forbidden, kong-mesh !forbidden, consul !forbidden, cilium !forbidden, traefik !forbidden, app-mesh !forbidden, osm !forbidden",
			"istio:control-plane", `{"istio":75}`, `["istio:sidecar"]`, `["istio"]`, "!forbidden",
		},
	}
	gateway := kube.ServiceName{Namespace: "shop", Name: "gateway"}
	said := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.build(t, slices.Concat(groups(strings.Fields(tt.groups)...), tt.objects, shop(tt.mark, tt.gateway))...)
			found := collect(t, kube.Mesh(l.client(t, l.reader(t, tt.without, kube.Mesh(nil, gateway))), gateway))
			want := map[string]string{"meshNamespaces": cmp.Or(tt.namespaces, "{}"), "meshServiceShare": tt.share, "meshModes": tt.modes, "meshGateway": tt.gate, "meshEvidence": "[]"}
			if tt.signs != "" {
				want["meshEvidence"] = `["` + strings.ReplaceAll(tt.signs, " ", `","`) + `"]`
			}
			for metric := range found {
				if want[metric] == "" {
					want[metric] = "absent"
				}
			}
			for entry := range strings.SplitSeq(tt.meshes, ", ") {
				mesh, verdict, _ := strings.Cut(entry, " ")
				want[meshMetric(mesh)] = verdict
			}
			delete(want, meshMetric(""))
			found.check(t, want)
			for metric, text := range found {
				for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(`[]{}",`, r) }) {
					said[metric+" "+strings.TrimSuffix(word, ":")] = true
				}
			}
		})
	}
	for _, metric := range kube.Mesh(nil, gateway).Metrics() {
		for _, word := range metric.Words {
			// Ambient mode shows by what runs it, or not at all.
			if !said[metric.Name+" "+word] && metric.Name+" "+word != "meshIstioAmbient present" {
				t.Errorf("no case leads to %s = %s", metric.Name, word)
			}
		}
	}
}

// meshMetric names the verdict on a mesh: meshKongMesh is that on kong-mesh.
func meshMetric(mesh string) string {
	name := "mesh"
	for part := range strings.SplitSeq(mesh, "-") {
		if part != "" {
			name += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return name
}
