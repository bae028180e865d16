// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

const (
	operateV1beta1 = "/apis/gateway-operator.konghq.com/v1beta1/"
	konnectV1alpha = "/apis/konnect.konghq.com/v1alpha1/"
	kongV1         = "/apis/configuration.konghq.com/v1/"
	gatewaysV1     = "/apis/gateway.networking.k8s.io/v1/"
)

func TestKongStatus(t *testing.T) {
	const ready, not = `"status":{"conditions":[{"type":"Ready","status":"True"}]}`, `"status":{"conditions":[{"type":"Ready","status":"False"},{"type":"secret-name","status":"True"}]}`
	c := &cluster{
		lists: map[string][]string{
			operateV1beta1 + "dataplanes": {
				`{"metadata":{"ownerReferences":[{"kind":"Gateway"}]},"spec":{"deployment":{"replicas":3}},` + ready + `}`,
				`{"spec":{"deployment":{"scaling":{"horizontal":{"minReplicas":2,"maxReplicas":7}}}},` + not + `}`, `{}`, `{"spec":{"deployment":{"replicas":0}}}`,
			},
			kongV1 + "kongplugins":                              {`{"status":{"conditions":[{"type":"Programmed","status":"Unknown"}]}}`, `{"status":{"conditions":[{"type":"Programmed","status":"True"}]}}`},
			kongV1 + "kongvaults":                               times(2, "{}"),
			kongV1 + "kongkeys":                                 nil,
			konnectV1alpha + "konnectapiauthconfigurations":     {`{"status":{"conditions":[{"type":"APIAuthValid","status":"False"}]}}`},
			konnectV1alpha + "konnectgatewaycontrolplanes":      nil,
			"/apis/gateway-operator.konghq.com/v1beta1/unknown": nil,
		},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.KongStatus(c.client(t))), map[string]string{
		"kongDataPlaneStates": `{"true":1,"false":1,"unknown":2}`, "kongDataPlaneReplicaCount": "11", "kongStandaloneDataPlaneCount": "3",
		"kongControlPlaneStatesOutcome": "absent", "kongStandaloneControlPlaneCountOutcome": "absent",
		"kongPluginStates": `{"true":1,"unknown":1}`, "kongConsumerStatesOutcome": "absent",
		"konnectAccountStates": `{"false":1}`, "konnectControlPlaneStates": "{}", "kongEntities": `{"keys":0,"vaults":2}`,
	})
	c.status[operateV1beta1+"dataplanes"], c.status[kongV1+"kongkeys"] = 403, 403
	expect(t, collect(t, kube.KongStatus(c.client(t))), map[string]string{
		"kongDataPlaneStatesOutcome": "forbidden", "kongDataPlaneReplicaCountOutcome": "forbidden", "kongEntitiesOutcome": "forbidden", "kongPluginStates": `{"true":1,"unknown":1}`,
	})
	expect(t, collect(t, kube.KongStatus((&cluster{}).client(t))), map[string]string{"kongPluginStatesOutcome": "absent", "kongEntitiesOutcome": "absent"})
}

func TestKonnect(t *testing.T) {
	const programmed = `"status":{"conditions":[{"type":"Programmed","status":"True"}],"listeners":[{"attachedRoutes":4}]}`
	ofClass := func(name, parameters string) string {
		return `{"metadata":{"name":"` + name + `"},"spec":{"controllerName":"konghq.com/gateway-operator","parametersRef":{` + parameters + `}}}`
	}
	const ours = `"group":"gateway-operator.konghq.com","kind":"GatewayConfiguration","namespace":"secret-name",`
	c := &cluster{
		lists: map[string][]string{
			konnectV1alpha + "konnectgatewaycontrolplanes":                    times(2, "{}"),
			konnectV1alpha + "konnectextensions":                              nil,
			"/apis/gateway-operator.konghq.com/v2beta1/gatewayconfigurations": {`{"metadata":{"namespace":"secret-name","name":"hybrid"},"spec":{"konnect":{"authRef":{"name":"secret-name"}}}}`, `{"metadata":{"namespace":"secret-name","name":"plain"}}`},
			gatewaysV1 + "gatewayclasses":                                     {ofClass("a", ours+`"name":"hybrid"`), ofClass("b", ours+`"name":"plain"`), ofClass("c", `"group":"example.com","kind":"GatewayConfiguration","namespace":"secret-name","name":"hybrid"`)},
			gatewaysV1 + "gateways":                                           {`{"spec":{"gatewayClassName":"a"},` + programmed + `}`, `{"spec":{"gatewayClassName":"a"}}`, `{"spec":{"gatewayClassName":"b"},` + programmed + `}`, `{"spec":{"gatewayClassName":"c"},` + programmed + `}`},
		},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.Konnect(c.client(t))), map[string]string{
		"konnectControlPlaneCount": "2", "konnectControlPlaneVersion": "v1alpha1", "konnectExtensionCount": "0", "konnectNetworkCountOutcome": "absent",
		"konnectGatewayCount": "2", "konnectProgrammedGatewayCount": "1", "konnectAttachedRouteCount": "4",
	})
	c.status[gatewaysV1+"gatewayclasses"] = 403
	expect(t, collect(t, kube.Konnect(c.client(t))), map[string]string{"konnectControlPlaneCount": "2", "konnectGatewayCountOutcome": "forbidden"})
	expect(t, collect(t, kube.Konnect((&cluster{}).client(t))), map[string]string{"konnectGatewayCountOutcome": "absent", "konnectControlPlaneCountOutcome": "absent"})
}

func TestKongAnnotations(t *testing.T) {
	with := func(annotations string) string {
		return `{"metadata":{"name":"secret-name","annotations":{` + annotations + `}}}`
	}
	c := &cluster{
		lists: map[string][]string{
			"/api/v1/services":                     {with(`"konghq.com/plugins":"secret-name","konghq.com/protocol":"grpc"`), with(""), with(`"konghq.com/protocol":"secret-name"`)},
			"/apis/networking.k8s.io/v1/ingresses": {with(`"konghq.com/plugins":"a,b","konghq.com/protocols":"http, grpc,https,"`), with(`"konghq.com/plugins":""`)},
			kongV1 + "kongconsumers":               {with(`"konghq.com/plugins":"a"`)},
		},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.KongAnnotations(c.client(t))), map[string]string{
		"kongPluginAttachments": `{"service":1,"ingress":1,"consumer":1}`, "kongProtocols": `{"http":1,"https":1,"grpc":2,"other":1}`,
	})
	c.status[kongV1+"kongconsumers"] = 403
	expect(t, collect(t, kube.KongAnnotations(c.client(t))), map[string]string{"kongPluginAttachmentsOutcome": "forbidden", "kongProtocolsOutcome": "forbidden"})
}
