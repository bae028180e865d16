// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	ingressClasses = kind{networking, "ingressclasses"}
	gatewayClasses = kind{gatewayAPI, "gatewayclasses"}
)

// Controllers by the name that their classes give them; "/" at the end stands for all
// that begin so.
var (
	ingressControllers = []trait{
		{"ingress-controllers.konghq.com/kong", "kong"},
		{"k8s.io/ingress-nginx", "ingress-nginx"},
		{"nginx.org/ingress-controller", "nginx"},
		{"traefik.io/ingress-controller", "traefik"},
		{"haproxy-ingress.github.io/", "haproxy-ingress"},
		{"haproxy.org/ingress-controller", "haproxy"},
		{"haproxy.org/ingress-controller/", "haproxy"},
		{"projectcontour.io/", "contour"},
		{"istio.io/ingress-controller", "istio"},
		{"cilium.io/ingress-controller", "cilium"},
		{"openshift.io/ingress-to-route", "openshift"},
		{"ingress.k8s.aws/", "aws-load-balancer"},
		{"eks.amazonaws.com/", "aws-load-balancer"},
		{"azure/application-gateway", "azure-application-gateway"},
		{"webapprouting.kubernetes.azure.com/", "ingress-nginx"},
		{"apisix.apache.org/", "apisix"},
		{"getambassador.io/", "emissary"},
	}
	gatewayControllers = []trait{
		{"konghq.com/kic-gateway-controller", "kong"},
		{"konghq.com/gateway-operator", "kong-operator"},
		{"gateway.nginx.org/", "nginx"},
		{"traefik.io/gateway-controller", "traefik"},
		{"istio.io/mesh-controller", "istio-waypoint"},
		{"istio.io/", "istio"},
		{"gateway.envoyproxy.io/", "envoy-gateway"},
		{"io.cilium/gateway-controller", "cilium"},
		{"projectcontour.io/", "contour"},
		{"openshift.io/gateway-controller", "openshift"},
		{"openshift.io/gateway-controller/", "openshift"},
		{"networking.gke.io/", "gke"},
		{"application-networking.k8s.aws/", "aws-vpc-lattice"},
		{"gateway.k8s.aws/", "aws-load-balancer"},
		{"alb.networking.azure.io/", "azure-load-balancer"},
		{"haproxy-ingress.github.io/", "haproxy-ingress"},
		{"gateways.kuma.io/", "kuma"},
		{"consul.hashicorp.com/", "consul"},
		{"hashicorp.com/consul-api-gateway-controller", "consul"},
		{"kgateway.dev/", "kgateway"},
		{"apisix.apache.org/", "apisix"},
	}
)

// Controllers tells which ingress controllers and gateway controllers are set up, by the
// classes that name them. How many classes there are of one that is not in the list is one
// number.
func Controllers(c *Client) *Provider {
	const question = "With which other gateways does the product share clusters?"
	p := &Provider{name: "controllers", rules: lists(ingressClasses, gatewayClasses)}
	p.metrics = []telemetry.PropertySpec{
		technical(telemetry.PropertySpec{
			Name: "ingressControllers", Type: telemetry.TypeCounts, Words: words(other, ingressControllers), Buckets: telemetry.Scale(100),
			Reason: "Tells with which other controllers the product has to get along.", Question: question, Source: "spec.controller of all IngressClasses",
		}),
		technical(telemetry.PropertySpec{
			Name: "gatewayControllers", Type: telemetry.TypeCounts, Words: words(other, gatewayControllers), Buckets: telemetry.Scale(100),
			Reason: "Tells with which other controllers the product has to get along.", Question: question, Source: "spec.controllerName of all GatewayClasses",
		}),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		for _, of := range []struct {
			metric string
			kind   kind
			traits []trait
		}{{"ingressControllers", ingressClasses, ingressControllers}, {"gatewayControllers", gatewayClasses, gatewayControllers}} {
			t, err := foldKind(ctx, served, of.kind, func(t *tallies, class *class) { t.add(class.controller(of.traits)) })
			if err != nil {
				readings.Fail(of.metric, err)
			} else {
				readings.Counts(of.metric, t)
			}
		}
		return ctx.Err()
	}
	return p
}

// A class is an IngressClass or a GatewayClass: each calls its controller differently.
type class struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Controller     string `json:"controller"`
		ControllerName string `json:"controllerName"`
		ParametersRef  struct {
			Group     string `json:"group"`
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"parametersRef"`
	} `json:"spec"`
}

func (c *class) controller(traits []trait) string {
	name := c.Spec.Controller + c.Spec.ControllerName // it has one of the two
	word, _ := first(other, look{"", traits, func(has string) bool {
		return name == has || strings.HasSuffix(has, "/") && strings.HasPrefix(name, has)
	}})
	return word
}
