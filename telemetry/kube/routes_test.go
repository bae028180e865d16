// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"maps"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestRouteRules(t *testing.T) {
	const (
		ingressPath = "/apis/networking.k8s.io/v1/ingresses"
		httpPath    = "/apis/gateway.networking.k8s.io/v1/httproutes"
		grpcPath    = "/apis/gateway.networking.k8s.io/v1/grpcroutes"
	)
	ingresses := append(times(600, `{"metadata":{"name":"secret-name"},"spec":{"ingressClassName":"kong","rules":[{"host":"secret-name","http":{"paths":[{"path":"/a"},{"path":"/b"}]}},{"host":"x"}]}}`),
		`{"metadata":{"annotations":{"kubernetes.io/ingress.class":"kong"}},"spec":{"defaultBackend":{},"tls":[{"hosts":["secret-name"]}]}}`,
		`{"spec":{"ingressClassName":"secret-name","rules":[{}]}}`)
	routes := []string{
		`{"spec":{"hostnames":["secret-name.example.com","x"],"parentRefs":[{"kind":"Gateway","name":"g"}],"rules":[{"matches":[{},{}],"filters":[{"type":"URLRewrite"},{"type":"secret-name"}]},{}]}}`,
		`{"spec":{"parentRefs":[{"kind":"Service","name":"s"},{"kind":"Service","name":"t"}],"rules":[{"filters":[{"type":"URLRewrite"}]}]}}`,
	}
	all := map[string][]string{ingressPath: ingresses, httpPath: routes, grpcPath: times(2, `{"spec":{"rules":[{}]}}`)}
	tests := map[string]struct {
		without []string
		status  map[string]int
		classes []string
		want    map[string]string
	}{
		"all": {classes: []string{"kong", "kong-internal"}, want: map[string]string{
			"ingressRuleCount": "1201", "ingressPathCount": "1200", "ingressHostCount": "1200", "ingressTlsCount": "1", "ownIngressCount": "601",
			"httpRouteRuleCount": "3", "httpRouteHostCount": "2", "httpRouteMatchCount": "2", "httpRouteFilters": `{"URLRewrite":2,"other":1}`, "grpcRouteRuleCount": "2", "meshRouteCount": "1",
		}},
		"no Gateway API": {without: []string{httpPath, grpcPath}, want: map[string]string{
			"ingressRuleCount": "1201", "ownIngressCount": "", "ownIngressCountOutcome": "",
			"httpRouteRuleCountOutcome": "absent", "httpRouteFiltersOutcome": "absent", "grpcRouteRuleCountOutcome": "absent", "meshRouteCountOutcome": "absent",
		}},
		"ingresses forbidden": {status: map[string]int{ingressPath: 403}, classes: []string{"kong"}, want: map[string]string{
			"ingressRuleCountOutcome": "forbidden", "ingressTlsCountOutcome": "forbidden", "ownIngressCountOutcome": "forbidden", "httpRouteRuleCount": "3",
		}},
		"gRPC forbidden": {status: map[string]int{grpcPath: 403}, want: map[string]string{
			"grpcRouteRuleCountOutcome": "forbidden", "meshRouteCountOutcome": "forbidden", "httpRouteRuleCount": "3",
		}},
		"gRPC absent": {without: []string{grpcPath}, want: map[string]string{"grpcRouteRuleCountOutcome": "absent", "meshRouteCount": "1"}},
		"HTTP absent": {without: []string{httpPath}, want: map[string]string{"httpRouteRuleCountOutcome": "absent", "meshRouteCount": "0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{lists: maps.Clone(all), status: tt.status}
			for _, path := range tt.without {
				delete(c.lists, path)
			}
			expect(t, collect(t, kube.RouteRules(c.client(t), tt.classes...)), tt.want)
		})
	}
}

func TestGateways(t *testing.T) {
	const root, definition = "/apis/gateway.networking.k8s.io/v1", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io"
	c := &cluster{
		lists: map[string][]string{
			root + "/gatewayclasses": {
				`{"metadata":{"name":"secret-name"},"spec":{"controllerName":"example.com/acme"}}`, `{"metadata":{"name":"theirs"},"spec":{"controllerName":"example.com/other"}}`,
			},
			root + "/gateways": {
				`{"status":{"conditions":[{"type":"Accepted","status":"False"},{"type":"Programmed","status":"True"}],"listeners":[{"attachedRoutes":3},{"attachedRoutes":4}]},
					"spec":{"gatewayClassName":"secret-name","listeners":[{"protocol":"HTTP"},{"protocol":"HTTPS","tls":{}},{"protocol":"TLS","tls":{"mode":"Passthrough"}}]}}`,
				`{"status":{"conditions":[{"type":"Programmed","status":"True"}],"listeners":[{"attachedRoutes":5}]},"spec":{"gatewayClassName":"theirs","listeners":[{"protocol":"HTTP"},{"protocol":"secret-name/x"}]}}`,
				`{"status":{"conditions":[{"type":"Programmed","status":"False"}],"listeners":[{"attachedRoutes":6}]},"spec":{"gatewayClassName":"secret-name"}}`,
				`{"spec":{"gatewayClassName":"istio-waypoint"}}`,
			},
		},
		objects: map[string]string{definition: `{"metadata":{"annotations":{"gateway.networking.k8s.io/bundle-version":"v1.4.1","gateway.networking.k8s.io/channel":"experimental"}}}`},
		status:  map[string]int{},
	}
	expect(t, collect(t, kube.Gateways(c.client(t), "example.com/acme", "example.com/older")), map[string]string{
		"gatewayStates": `{"true":2,"false":1,"unknown":1}`, "attachedRouteCount": "12", "waypointCount": "1",
		"ownGatewayCount": "2", "ownProgrammedGatewayCount": "1", "ownAttachedRouteCount": "7",
		"gatewayClassCount": "2", "gatewayCount": "4", "gatewayVersion": "v1", "listenerSetCountOutcome": "absent", "backendTlsPolicyCountOutcome": "absent",
		"listenerCount": "5", "listenerProtocols": `{"HTTP":2,"HTTPS":1,"TLS":1,"other":1}`, "listenerTlsModes": `{"Terminate":1,"Passthrough":1}`,
		"gatewayApiVersion": "v1.4.1", "gatewayApiChannel": "experimental",
	})
	c.status[definition], c.status[root+"/gateways"] = 403, 403
	expect(t, collect(t, kube.Gateways(c.client(t))), map[string]string{
		"ownGatewayCount": "", "ownGatewayCountOutcome": "", "gatewayStatesOutcome": "forbidden", "attachedRouteCountOutcome": "forbidden",
		"gatewayClassCount": "2", "gatewayCountOutcome": "forbidden", "listenerCountOutcome": "forbidden", "listenerProtocolsOutcome": "forbidden",
		"gatewayApiVersionOutcome": "forbidden", "gatewayApiChannelOutcome": "forbidden",
	})
	delete(c.status, root+"/gateways")
	c.status[root+"/gatewayclasses"] = 403
	expect(t, collect(t, kube.Gateways(c.client(t), "example.com/acme")), map[string]string{"gatewayCount": "4", "attachedRouteCount": "12", "ownGatewayCountOutcome": "forbidden"})
	expect(t, collect(t, kube.Gateways((&cluster{}).client(t))), map[string]string{
		"gatewayCountOutcome": "absent", "listenerCountOutcome": "absent", "gatewayApiVersionOutcome": "absent", "gatewayApiChannelOutcome": "absent",
	})
}

func TestKongPlugins(t *testing.T) {
	const local, global = "/apis/configuration.konghq.com/v1/kongplugins", "/apis/configuration.konghq.com/v1/kongclusterplugins"
	c := &cluster{
		lists: map[string][]string{
			local:  {`{"plugin":"key-auth","config":{"key_names":["secret-name"]}}`, `{"plugin":"cors","disabled":true}`, `{"plugin":"secret-name"}`, `{}`, `{"plugin":"openid-connect"}`},
			global: {`{"plugin":"key-auth"}`, `{"plugin":"prometheus"}`},
		},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.KongPlugins(c.client(t))), map[string]string{
		"kongPluginCount": "5", "kongClusterPluginCount": "2", "kongPlugins": `{"cors":1,"key-auth":2,"prometheus":1}`,
		"kongEnterprisePluginCount": "1", "kongCustomPluginCount": "2", "kongDisabledPluginCount": "1",
	})
	c.status[global] = 403
	expect(t, collect(t, kube.KongPlugins(c.client(t))), map[string]string{
		"kongPluginCount": "5", "kongClusterPluginCountOutcome": "forbidden", "kongPluginsOutcome": "forbidden", "kongCustomPluginCountOutcome": "forbidden",
	})
	expect(t, collect(t, kube.KongPlugins((&cluster{}).client(t))), map[string]string{
		"kongPluginCountOutcome": "absent", "kongPluginsOutcome": "absent", "kongDisabledPluginCountOutcome": "absent",
	})
	c.lists, c.status = map[string][]string{local: nil, global: nil}, nil
	expect(t, collect(t, kube.KongPlugins(c.client(t))), map[string]string{"kongPluginCount": "0", "kongPlugins": "{}", "kongCustomPluginCount": "0"})
}
