// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestMesh(t *testing.T) {
	const (
		servicesPath = "/api/v1/services"
		podsPath     = "/api/v1/pods"
		slicesPath   = "/apis/discovery.k8s.io/v1/endpointslices"
		daemonsPath  = "/apis/apps/v1/daemonsets"
		hooksPath    = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
		ciliumPath   = "/api/v1/namespaces/kube-system/configmaps/cilium-config"
	)
	named := func(name, label string) string {
		return fmt.Sprintf(`{"metadata":{"namespace":"n","name":%q,"labels":{%s}}}`, name, label)
	}
	// pod-0 is behind the gateway's Service and in the mesh, pod-1 is behind another one
	// and is not: half of the services.
	member := func(annotation, label, containers, initContainers string) map[string]string {
		pod := fmt.Sprintf(`{"metadata":{"namespace":"n","name":"pod-0","annotations":{%s},"labels":{%s}},"spec":{"containers":[{"name":"app"}%s],"initContainers":[{"name":"setup"}%s]}}`,
			annotation, label, containers, initContainers)
		return map[string]string{"pod": pod}
	}
	withPod := func(objects, pod map[string]string) map[string]string {
		maps.Copy(objects, pod)
		return objects
	}
	slices := []string{
		`{"metadata":{"namespace":"n","labels":{"kubernetes.io/service-name":"gateway"}},"endpoints":[{"targetRef":{"kind":"Pod","name":"pod-0"}}]}`,
		`{"metadata":{"namespace":"n","labels":{"kubernetes.io/service-name":"secret-name"}},"endpoints":[{"targetRef":{"kind":"Pod","name":"pod-1"}}]}`,
		`{"metadata":{"namespace":"n","labels":{"kubernetes.io/service-name":"external"}},"endpoints":[{"addresses":["192.0.2.1"]}]}`,
	}
	tests := map[string]struct {
		lists   map[string][]string
		objects map[string]string
		status  map[string]int
		want    map[string]string // none is that nothing is there
	}{
		"none": {want: map[string]string{
			"meshIstio": "absent", "meshIstioAmbient": "absent", "meshLinkerd": "absent", "meshCilium": "absent", "meshOsm": "absent",
			"meshEvidence": "[]", "meshServiceShare": "{}", "meshModes": "[]", "meshGateway": "[]",
		}},
		"Istio": {
			lists: map[string][]string{
				"/apis/networking.istio.io/v1/virtualservices": nil, "/api/v1/namespaces": {named("istio-system", "")},
				servicesPath: {named("istiod-1-28", `"app":"istiod"`)},
			},
			objects: member(`"sidecar.istio.io/status":"{}"`, "", `,{"name":"istio-proxy"}`, ""),
			want: map[string]string{
				"meshIstio": "active", "meshEvidence": `["istio:api-group","istio:namespace","istio:control-plane"]`, "meshIstioAmbient": "absent",
				"meshServiceShare": `{"istio":50}`, "meshModes": `["istio:sidecar"]`, "meshGateway": `["istio"]`,
			},
		},
		"Istio, native sidecar, managed control plane": {
			lists:   map[string][]string{hooksPath: {named("istio-sidecar-injector-asm-managed", "")}},
			objects: member(`"sidecar.istio.io/status":"{}"`, "", "", `,{"name":"istio-proxy","restartPolicy":"Always"}`),
			want: map[string]string{
				"meshIstio": "active", "meshEvidence": `["istio:control-plane"]`, "meshModes": `["istio:native-sidecar"]`, "meshGateway": `["istio"]`,
			},
		},
		"Istio ambient": {
			lists:   map[string][]string{servicesPath: {named("istiod", "")}, daemonsPath: {named("ztunnel", `"app":"ztunnel"`)}},
			objects: member(`"ambient.istio.io/redirection":"enabled"`, "", "", ""),
			want: map[string]string{
				"meshIstio": "active", "meshIstioAmbient": "active", "meshServiceShare": `{"istio-ambient":50}`, "meshModes": `["istio-ambient:ambient"]`, "meshGateway": `["istio-ambient"]`,
			},
		},
		"Linkerd": {
			lists:   map[string][]string{servicesPath: {named("linkerd-proxy-injector", "")}},
			objects: member(`"linkerd.io/proxy-version":"edge"`, `"linkerd.io/control-plane-ns":"linkerd"`, "", `,{"name":"linkerd-proxy"}`),
			want:    map[string]string{"meshLinkerd": "active", "meshServiceShare": `{"linkerd":50}`, "meshModes": `["linkerd:native-sidecar"]`, "meshGateway": `["linkerd"]`},
		},
		"Kuma": {
			lists:   map[string][]string{servicesPath: {named("kuma-control-plane", "")}, "/apis/kuma.io/v1alpha1/meshes": nil},
			objects: member(`"kuma.io/sidecar-injected":"true"`, "", `,{"name":"kuma-sidecar"}`, ""),
			want:    map[string]string{"meshKuma": "active", "meshKongMesh": "absent", "meshServiceShare": `{"kuma":50}`, "meshModes": `["kuma:sidecar"]`, "meshGateway": `["kuma"]`},
		},
		"Kong Mesh": {
			lists:   map[string][]string{servicesPath: {named("kong-mesh-control-plane", "")}, "/apis/kuma.io/v1alpha1/meshes": nil},
			objects: member(`"kuma.io/sidecar-injected":"true"`, "", `,{"name":"kuma-sidecar"}`, ""),
			want: map[string]string{
				"meshKuma": "present", "meshKongMesh": "active", "meshServiceShare": `{"kong-mesh":50}`, "meshModes": `["kong-mesh:sidecar"]`, "meshGateway": `["kong-mesh"]`,
			},
		},
		"Consul": {
			lists:   map[string][]string{servicesPath: {named("consul-server", "")}},
			objects: member(`"consul.hashicorp.com/connect-inject-status":"injected"`, "", `,{"name":"consul-dataplane"}`, ""),
			want:    map[string]string{"meshConsul": "active", "meshServiceShare": `{"consul":50}`, "meshModes": `["consul:sidecar"]`},
		},
		"Cilium is the network": {
			lists:   map[string][]string{"/apis/cilium.io/v2/ciliumnetworkpolicies": nil},
			objects: map[string]string{ciliumPath: `{"data":{"mesh-auth-enabled":"true","enable-ztunnel":"false"}}`},
			want:    map[string]string{"meshCilium": "present", "meshServiceShare": "{}", "meshGateway": "[]"},
		},
		"Cilium is a mesh": {
			lists:   map[string][]string{"/apis/cilium.io/v2/ciliumnetworkpolicies": nil},
			objects: map[string]string{ciliumPath: `{"data":{"enable-ztunnel":"true"}}`},
			want:    map[string]string{"meshCilium": "active", "meshEvidence": `["cilium:api-group","cilium:control-plane"]`},
		},
		"Cilium's configuration is forbidden": {
			lists:  map[string][]string{"/apis/cilium.io/v2/ciliumnetworkpolicies": nil},
			status: map[string]int{ciliumPath: 403},
			want:   map[string]string{"meshCilium": "", "meshCiliumOutcome": "forbidden", "meshIstio": "absent", "meshEvidence": `["cilium:api-group"]`},
		},
		"Cilium's configuration is forbidden beside Istio": {
			lists:  map[string][]string{"/apis/cilium.io/v2/ciliumnetworkpolicies": nil, servicesPath: {named("istiod", "")}},
			status: map[string]int{ciliumPath: 403},
			want:   map[string]string{"meshCiliumOutcome": "forbidden", "meshIstio": "active", "meshServiceShare": "{}"}, // no namespace asks for it
		},
		"Cilium is a mesh for some namespaces": {
			lists:   map[string][]string{"/apis/cilium.io/v2/ciliumnetworkpolicies": nil, "/api/v1/namespaces": {`{"metadata":{"name":"n","labels":{"io.cilium/mtls-enabled":"true"}}}`, named("other", "")}},
			objects: withPod(map[string]string{ciliumPath: `{"data":{"enable-ztunnel":"true"}}`}, member("", "", "", "")),
			want: map[string]string{
				"meshCilium": "active", "meshNamespaces": `{"cilium":1}`, "meshServiceShare": `{"cilium":100}`, "meshModes": `["cilium:node-proxy"]`, "meshGateway": `["cilium"]`,
			},
		},
		"Traefik Mesh": {
			lists: map[string][]string{servicesPath: {
				named("traefik-mesh-controller", ""), `{"metadata":{"namespace":"n","name":"gateway","annotations":{"mesh.traefik.io/traffic-type":"HTTP"}}}`,
				`{"metadata":{"namespace":"n","name":"secret-name","annotations":{"mesh.traefik.io/traffic-type":"secret-name"}}}`,
			}},
			objects: member("", "", "", ""),
			want:    map[string]string{"meshTraefik": "active", "meshServiceShare": `{"traefik":50}`, "meshModes": `["traefik:node-proxy"]`, "meshGateway": `["traefik"]`},
		},
		"App Mesh": {
			lists: map[string][]string{
				servicesPath:         {named("appmesh-controller-webhook-service", "")},
				"/api/v1/namespaces": {`{"metadata":{"name":"n","labels":{"appmesh.k8s.aws/sidecarInjectorWebhook":"enabled"}}}`},
				podsPath:             {`{"metadata":{"namespace":"n","name":"pod-1","annotations":{"appmesh.k8s.aws/sidecarInjectorWebhook":"disabled"}}}`},
			},
			objects: member("", "", `,{"name":"envoy","image":"public.ecr.aws/appmesh/aws-appmesh-envoy:v1"}`, ""),
			want: map[string]string{
				"meshAppMesh": "active", "meshNamespaces": `{"app-mesh":1}`, "meshServiceShare": `{"app-mesh":50}`, "meshModes": `["app-mesh:sidecar"]`, "meshGateway": `["app-mesh"]`,
			},
		},
		"App Mesh's namespace, another's envoy": {
			lists: map[string][]string{
				servicesPath:         {named("appmesh-controller-webhook-service", "")},
				"/api/v1/namespaces": {`{"metadata":{"name":"n","labels":{"appmesh.k8s.aws/sidecarInjectorWebhook":"enabled"}}}`},
			},
			objects: member("", "", `,{"name":"envoy","image":"envoyproxy/envoy"}`, ""),
			want:    map[string]string{"meshServiceShare": `{"app-mesh":100}`, "meshModes": "[]"},
		},
		"OSM": {
			lists:   map[string][]string{servicesPath: {named("osm-controller", "")}, "/api/v1/namespaces": {named("n", `"openservicemesh.io/monitored-by":"secret-name"`)}},
			objects: member("", `"osm-proxy-uuid":"0b1f"`, `,{"name":"envoy","image":"envoyproxy/envoy"}`, ""),
			want:    map[string]string{"meshOsm": "active", "meshNamespaces": `{"osm":1}`, "meshServiceShare": `{"osm":50}`, "meshModes": `["osm:sidecar"]`, "meshGateway": `["osm"]`},
		},
		"namespaces that ask for Istio, ambient, Linkerd and Kong Mesh": {
			lists: map[string][]string{servicesPath: {named("kong-mesh-control-plane", "")}, "/api/v1/namespaces": {
				named("a", `"istio-injection":"enabled"`), named("b", `"istio.io/rev":"1-28"`), named("c", `"istio.io/rev":"1-28","istio-injection":"disabled"`),
				named("d", `"istio.io/dataplane-mode":"ambient"`), named("e", `"kuma.io/sidecar-injection":"enabled"`),
				`{"metadata":{"name":"f","annotations":{"linkerd.io/inject":"enabled"}}}`, `{"metadata":{"name":"g","annotations":{"linkerd.io/inject":"disabled"}}}`,
			}},
			want: map[string]string{"meshNamespaces": `{"istio":2,"istio-ambient":1,"linkerd":1,"kong-mesh":1}`, "meshServiceShare": "{}"},
		},
		"namespaces forbidden, App Mesh shows": {
			lists:  map[string][]string{servicesPath: {named("appmesh-controller-webhook-service", "")}},
			status: map[string]int{"/api/v1/namespaces": 403},
			want:   map[string]string{"meshAppMesh": "active", "meshNamespacesOutcome": "forbidden", "meshServiceShareOutcome": "forbidden", "meshGatewayOutcome": "forbidden"},
		},
		"App Mesh and OSM, left over": {
			lists: map[string][]string{"/apis/appmesh.k8s.aws/v1beta2/meshes": nil, "/api/v1/namespaces": {named("osm-system", "")}},
			want:  map[string]string{"meshAppMesh": "present", "meshOsm": "present", "meshEvidence": `["app-mesh:api-group","osm:namespace"]`},
		},
		"services forbidden, nothing shows": {
			status: map[string]int{servicesPath: 403},
			want: map[string]string{
				"meshIstio": "", "meshIstioOutcome": "forbidden", "meshIstioAmbient": "absent", "meshCilium": "absent",
				"meshServiceShareOutcome": "forbidden", "meshGatewayOutcome": "forbidden", "meshModesOutcome": "forbidden",
			},
		},
		"pods forbidden": {
			lists:  map[string][]string{servicesPath: {named("istiod", "")}},
			status: map[string]int{podsPath: 403},
			want: map[string]string{
				"meshIstio": "active", "meshLinkerd": "absent", "meshServiceShareOutcome": "forbidden", "meshGatewayOutcome": "forbidden", "meshModesOutcome": "forbidden",
			},
		},
		"a pod is gone": {
			lists:   map[string][]string{servicesPath: {named("istiod", "")}},
			objects: member(`"sidecar.istio.io/status":"{}"`, "", `,{"name":"istio-proxy"}`, ""),
			status:  map[string]int{"/api/v1/namespaces/n/pods/pod-0": 404},
			want:    map[string]string{"meshModes": "[]", "meshServiceShare": `{"istio":50}`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{
				lists:   map[string][]string{servicesPath: nil, "/api/v1/namespaces": nil, podsPath: {named("pod-1", "")}, slicesPath: slices, daemonsPath: nil, hooksPath: nil},
				objects: map[string]string{}, status: tt.status,
			}
			maps.Copy(c.lists, tt.lists)
			maps.Copy(c.objects, tt.objects)
			if pod := c.objects["pod"]; pod != "" {
				c.lists[podsPath] = append(c.lists[podsPath], pod)
				c.objects["/api/v1/namespaces/n/pods/pod-0"] = pod
			}
			found := collect(t, kube.Mesh(c.client(t), kube.ServiceName{Namespace: "n", Name: "gateway"}))
			expect(t, found, tt.want)
			for property, value := range found {
				if strings.Contains(value, "secret-name") {
					t.Errorf("%s holds a name", property)
				}
			}
		})
	}
}
