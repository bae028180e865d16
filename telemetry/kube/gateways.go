// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"slices"

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
// ListenerSets and BackendTLSPolicies there are, which listeners, what became of them, and
// which release of the API is installed. Controllers are the names under which the
// program's own GatewayClasses know it; with none, the metrics of its own share are left
// out.
func Gateways(c *Client, controllers ...string) *Provider {
	const reason, question = "Tells how people set up gateways.", "How are Gateways used?"
	numbers := countProvider(c, "gateways", reason, question, []counted{
		{kind: gatewayClasses, stem: "gatewayClass"},
		{gateways, "gateway", gatewayV},
		{kind: kind{gatewayAPI, "listenersets"}, stem: "listenerSet"},
		{kind: kind{"gateway.networking.x-k8s.io", "xlistenersets"}, stem: "experimentalListenerSet"},
		{kind: kind{gatewayAPI, "backendtlspolicies"}, stem: "backendTlsPolicy"},
	})
	number := func(name, unit, source string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{Name: name, Type: telemetry.TypeInteger, Unit: unit, Reason: reason, Question: question, Source: source})
	}
	p := &Provider{name: "gateways", rules: append(numbers.rules, customResources.rule("get", gatewayDefinition))}
	p.metrics = append(numbers.metrics,
		number("listenerCount", "listeners", "number of spec.listeners of all Gateways"),
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
		technical(telemetry.PropertySpec{
			Name: "gatewayStates", Type: telemetry.TypeCounts, Words: states,
			Reason: "Tells Gateways that work from those that were given up.", Question: question, Source: "condition Programmed of all Gateways",
		}),
		number("attachedRouteCount", "routes", "sum of attachedRoutes in status.listeners of all Gateways that are programmed"),
		number("waypointCount", "objects", "number of Gateways of class istio-waypoint, which are part of a mesh"),
	)
	if len(controllers) > 0 {
		p.metrics = append(p.metrics,
			number("ownGatewayCount", "objects", "number of Gateways of the program's own classes"),
			number("ownProgrammedGatewayCount", "objects", "number of Gateways of the program's own classes that are programmed"),
			number("ownAttachedRouteCount", "routes", "sum of attachedRoutes in status.listeners of Gateways of the program's own classes that are programmed"),
		)
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		if err := numbers.collect(ctx, readings); err != nil {
			return err
		}
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		collectGateways(ctx, served, readings, controllers)
		return collectBundle(ctx, served, readings)
	}
	return p
}

// A gatewayObject is what is read of a Gateway.
type gatewayObject struct {
	conditioned
	Spec struct {
		Class     string `json:"gatewayClassName"`
		Listeners []struct {
			Protocol string `json:"protocol"`
			TLS      *struct {
				Mode string `json:"mode"`
			} `json:"tls"`
		} `json:"listeners"`
	} `json:"spec"`
}

// attached returns how many routes are attached, once the Gateway is programmed.
func (g *gatewayObject) attached() (programmed, routes int64) {
	if g.state("Programmed") != stateTrue {
		return 0, 0
	}
	for _, l := range g.Status.Listeners {
		routes += l.AttachedRoutes
	}
	return 1, routes
}

// share is what there is of some Gateways.
type share struct{ gateways, programmed, routes int64 }

func (s *share) add(g *gatewayObject) {
	programmed, routes := g.attached()
	s.gateways++
	s.programmed += programmed
	s.routes += routes
}

func collectGateways(ctx context.Context, served *discovery, readings *telemetry.Readings, controllers []string) {
	own := map[string]bool{}
	var ownErr error
	if len(controllers) > 0 {
		own, ownErr = foldKind(ctx, served, gatewayClasses, func(own *map[string]bool, class *class) {
			if slices.Contains(controllers, class.Spec.ControllerName) {
				if *own == nil {
					*own = map[string]bool{}
				}
				(*own)[class.Metadata.Name] = true
			}
		})
	}
	type tally struct {
		listeners, waypoints     int64
		protocols, modes, states tallies
		all, own                 share
	}
	t, err := foldKind(ctx, served, gateways, func(t *tally, g *gatewayObject) {
		for _, l := range g.Spec.Listeners {
			t.listeners++
			t.protocols.add(listedOr(listenerProtocols, l.Protocol, other))
			if l.TLS != nil {
				t.modes.add(listedOr(tlsModes, cmp.Or(l.TLS.Mode, tlsModes[0]), other))
			}
		}
		t.states.add(g.state("Programmed"))
		t.all.add(g)
		if own[g.Spec.Class] {
			t.own.add(g)
		}
		if g.Spec.Class == "istio-waypoint" {
			t.waypoints++
		}
	})
	recordNumbers(readings, err, map[string]int64{"listenerCount": t.listeners, "attachedRouteCount": t.all.routes, "waypointCount": t.waypoints})
	if len(controllers) > 0 {
		recordNumbers(readings, cmp.Or(err, ownErr), map[string]int64{
			"ownGatewayCount": t.own.gateways, "ownProgrammedGatewayCount": t.own.programmed, "ownAttachedRouteCount": t.own.routes,
		})
	}
	if err != nil {
		failAll(readings, err, "listenerProtocols", "listenerTlsModes", "gatewayStates")
		return
	}
	readings.Counts("listenerProtocols", t.protocols)
	readings.Counts("listenerTlsModes", t.modes)
	readings.Counts("gatewayStates", t.states)
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
	v, err := telemetry.ParseRelease(marks[gatewayAPI+"/bundle-version"])
	if err != nil {
		readings.Fail("gatewayApiVersion", err)
	} else {
		readings.Version("gatewayApiVersion", v)
	}
	readings.Word("gatewayApiChannel", listedOr(channels, marks[gatewayAPI+"/channel"], other))
	return nil
}
