// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	gateways          = kind{gatewayAPI, "gateways"}
	customResources   = kind{"apiextensions.k8s.io", "customresourcedefinitions"}
	listenerProtocols = []string{"HTTP", "HTTPS", "TLS", "TCP", "UDP"}
	tlsModes          = []string{"Terminate", "Passthrough"}
	channels          = []string{"standard", "experimental"}
)

const gatewayDefinition = "gateways." + gatewayAPI

// Gateways tells how the Gateway API is used: how many GatewayClasses, Gateways,
// ListenerSets and BackendTLSPolicies there are, which listeners, and which release of
// the API is installed.
func Gateways(c *Client) *Provider {
	const reason, question = "Tells how people set up gateways.", "How are Gateways used?"
	numbers := countProvider(c, "gateways", reason, question, []counted{
		{kind: kind{gatewayAPI, "gatewayclasses"}, stem: "gatewayClass"},
		{gateways, "gateway", gatewayV},
		{kind: kind{gatewayAPI, "listenersets"}, stem: "listenerSet"},
		{kind: kind{"gateway.networking.x-k8s.io", "xlistenersets"}, stem: "experimentalListenerSet"},
		{kind: kind{gatewayAPI, "backendtlspolicies"}, stem: "backendTlsPolicy"},
	})
	p := &Provider{name: "gateways", rules: append(numbers.rules, customResources.rule("get", gatewayDefinition))}
	p.metrics = append(numbers.metrics,
		technical(telemetry.PropertySpec{
			Name: "listenerCount", Type: telemetry.TypeInteger, Unit: "listeners", Reason: reason, Question: question, Source: "number of spec.listeners of all Gateways",
		}),
		technical(telemetry.PropertySpec{
			Name: "listenerProtocols", Type: telemetry.TypeCounts, Unit: "listeners", Words: withOther(listenerProtocols),
			Reason: "Tells which protocols matter.", Question: "Which routing protocols are used most?", Source: "protocol in spec.listeners of all Gateways",
		}),
		technical(telemetry.PropertySpec{
			Name: "listenerTlsModes", Type: telemetry.TypeCounts, Unit: "listeners", Words: withOther(tlsModes),
			Reason: "Tells how TLS is used.", Question: "Which routing protocols are used most?", Source: "tls.mode in spec.listeners of all Gateways, Terminate unless it says otherwise",
		}),
		technical(telemetry.PropertySpec{
			Name: "gatewayApiVersion", Type: telemetry.TypeVersion,
			Reason: "Tells which releases of the Gateway API have to be supported.", Question: question,
			Source: "annotation gateway.networking.k8s.io/bundle-version of CustomResourceDefinition " + gatewayDefinition,
		}),
		technical(telemetry.PropertySpec{
			Name: "gatewayApiChannel", Type: telemetry.TypeEnum, Words: withOther(channels),
			Reason: "Tells whether people use what is experimental.", Question: question,
			Source: "annotation gateway.networking.k8s.io/channel of CustomResourceDefinition " + gatewayDefinition,
		}),
	)
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		if err := numbers.collect(ctx, readings); err != nil {
			return err
		}
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		collectListeners(ctx, served, readings)
		return collectBundle(ctx, served, readings)
	}
	return p
}

func collectListeners(ctx context.Context, served *discovery, readings *telemetry.Readings) {
	type gateway struct {
		Spec struct {
			Listeners []struct {
				Protocol string `json:"protocol"`
				TLS      *struct {
					Mode string `json:"mode"`
				} `json:"tls"`
			} `json:"listeners"`
		} `json:"spec"`
	}
	type tally struct {
		listeners        int64
		protocols, modes map[string]int64
	}
	t, err := foldKind(ctx, served, gateways, func(t *tally, g *gateway) {
		if t.protocols == nil {
			t.protocols, t.modes = map[string]int64{}, map[string]int64{}
		}
		for _, l := range g.Spec.Listeners {
			t.listeners++
			t.protocols[listedOr(listenerProtocols, l.Protocol, other)]++
			if l.TLS != nil {
				mode := l.TLS.Mode
				if mode == "" {
					mode = tlsModes[0]
				}
				t.modes[listedOr(tlsModes, mode, other)]++
			}
		}
	})
	if err != nil {
		failAll(readings, err, "listenerCount", "listenerProtocols", "listenerTlsModes")
		return
	}
	readings.Integer("listenerCount", t.listeners)
	readings.Counts("listenerProtocols", t.protocols)
	readings.Counts("listenerTlsModes", t.modes)
}

// collectBundle tells which release of the Gateway API is installed. The error is that
// of both metrics.
func collectBundle(ctx context.Context, served *discovery, readings *telemetry.Readings) error {
	if _, _, err := served.find(ctx, gateways); err != nil {
		return err
	}
	var definition object
	if err := served.client.Get(ctx, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+gatewayDefinition, &definition); err != nil {
		return err
	}
	marks := definition.Metadata.Annotations
	v, err := plainVersion(marks[gatewayAPI+"/bundle-version"])
	if err != nil {
		readings.Fail("gatewayApiVersion", err)
	} else {
		readings.Version("gatewayApiVersion", v)
	}
	readings.Word("gatewayApiChannel", listedOr(channels, marks[gatewayAPI+"/channel"], other))
	return nil
}
