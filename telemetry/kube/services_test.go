// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestServices(t *testing.T) {
	const path = "/api/v1/services"
	c := &cluster{
		lists: map[string][]string{path: append(times(600, `{"spec":{"type":"ClusterIP","clusterIP":"10.0.0.1","ports":[{"appProtocol":"kubernetes.io/h2c"},{"port":80}]}}`),
			`{"spec":{"type":"ClusterIP","clusterIP":"None","ports":[{"appProtocol":"HTTP"},{"appProtocol":"secret-name/x"}]}}`,
			`{"spec":{"type":"LoadBalancer"}}`, `{"spec":{"type":"ExternalName","externalName":"secret-name"}}`, `{"spec":{"type":"secret-name"}}`, `{}`)},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.Services(c.client(t))), map[string]string{
		"serviceTypes":        `{"ClusterIP":601,"headless":1,"LoadBalancer":1,"ExternalName":1,"other":1}`,
		"serviceAppProtocols": `{"http":1,"h2c":600,"other":1}`,
	})
	c.status[path] = 403
	expect(t, collect(t, kube.Services(c.client(t))), map[string]string{"serviceTypesOutcome": "forbidden", "serviceAppProtocolsOutcome": "forbidden"})
	c.lists, c.status = map[string][]string{path: nil}, nil
	expect(t, collect(t, kube.Services(c.client(t))), map[string]string{"serviceTypes": "{}", "serviceAppProtocols": "{}"})
}

func TestControllers(t *testing.T) {
	c := &cluster{
		lists: map[string][]string{
			"/apis/networking.k8s.io/v1/ingressclasses": {
				`{"spec":{"controller":"ingress-controllers.konghq.com/kong"}}`, `{"spec":{"controller":"k8s.io/ingress-nginx"}}`, `{"spec":{"controller":"k8s.io/ingress-nginx-of-secret-name"}}`,
				`{"spec":{"controller":"haproxy.org/ingress-controller/haproxy"}}`, `{"spec":{"controller":"secret-name"}}`,
			},
		},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.Controllers(c.client(t))), map[string]string{
		"ingressControllers": `{"kong":1,"ingress-nginx":1,"haproxy":1,"other":2}`, "gatewayControllersOutcome": "absent",
	})
	c.lists[gatewaysV1+"gatewayclasses"] = []string{
		`{"spec":{"controllerName":"konghq.com/gateway-operator"}}`, `{"spec":{"controllerName":"istio.io/mesh-controller"}}`, `{"spec":{"controllerName":"istio.io/gateway-controller"}}`,
		`{"spec":{"controllerName":"openshift.io/gateway-controller/v1"}}`, `{"spec":{"controllerName":"application-networking.k8s.aws/gateway-api-controller"}}`, `{"spec":{"controllerName":"secret-name"}}`,
	}
	c.status["/apis/networking.k8s.io/v1/ingressclasses"] = 403
	expect(t, collect(t, kube.Controllers(c.client(t))), map[string]string{
		"ingressControllersOutcome": "forbidden", "gatewayControllers": `{"kong-operator":1,"istio-waypoint":1,"istio":1,"openshift":1,"aws-vpc-lattice":1,"other":1}`,
	})
}

func TestFeatures(t *testing.T) {
	const gatePath = "/apis/config.openshift.io/v1/featuregates"
	c := &cluster{
		objects: map[string]string{"/metrics": `# HELP kubernetes_feature_enabled [BETA] state
apiserver_requests{name="SidecarContainers"} 1
kubernetes_feature_enabled{name="SidecarContainers",stage=""} 1
kubernetes_feature_enabled{name="secret-name",stage="ALPHA"} 1
kubernetes_feature_enabled{name="OffGate",stage="BETA"} 0
`},
		status: map[string]int{},
	}
	gates := []string{"OffGate", "SidecarContainers", "Unheard"}
	expect(t, collect(t, kube.Features(c.client(t), gates...)), map[string]string{
		"kubernetesFeatures": `["SidecarContainers"]`, "kubernetesFeaturesKnown": `["OffGate","SidecarContainers"]`, "openShiftFeatureSetOutcome": "absent",
	})
	c.lists = map[string][]string{gatePath: nil}
	c.objects["/metrics"] = "up 1\n"
	c.objects[gatePath+"/cluster"] = `{"spec":{"featureSet":"TechPreviewNoUpgrade"}}`
	expect(t, collect(t, kube.Features(c.client(t), gates...)), map[string]string{
		"kubernetesFeaturesOutcome": "absent", "kubernetesFeaturesKnownOutcome": "absent", "openShiftFeatureSet": "TechPreviewNoUpgrade",
	})
	c.status["/metrics"] = 403
	for set, want := range map[string]string{"": "Default", "secret-name": "other"} {
		c.objects[gatePath+"/cluster"] = `{"spec":{"featureSet":"` + set + `"}}`
		expect(t, collect(t, kube.Features(c.client(t), gates...)), map[string]string{"kubernetesFeaturesOutcome": "forbidden", "openShiftFeatureSet": want})
	}
	c.status[gatePath+"/cluster"] = 403
	found := collect(t, kube.Features(c.client(t)))
	expect(t, found, map[string]string{"openShiftFeatureSetOutcome": "forbidden", "kubernetesFeatures": "", "kubernetesFeaturesOutcome": ""})
	if rules := kube.Features(nil).Rules(); len(rules) != 1 {
		t.Errorf("rules without gates are %v, want no right to read metrics", rules)
	}
}
