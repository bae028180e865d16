// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

const konnect = "konnect.konghq.com"

var (
	dataPlanes            = kind{kongOperate, "dataplanes"}
	controlPlanes         = kind{kongOperate, "controlplanes"}
	gatewayConfigurations = kind{kongOperate, "gatewayconfigurations"}
	kongConsumers         = kind{kong, "kongconsumers"}
	konnectControlPlanes  = kind{konnect, "konnectgatewaycontrolplanes"}
	konnectAccounts       = kind{konnect, "konnectapiauthconfigurations"}

	// entities are the kinds of Kong's configuration that are counted as words of one
	// metric.
	entities = []trait{
		{"kongconsumergroups", "consumer-groups"},
		{"kongupstreampolicies", "upstream-policies"},
		{"kongupstreams", "upstreams"},
		{"kongtargets", "targets"},
		{"kongcertificates", "certificates"},
		{"kongcacertificates", "ca-certificates"},
		{"kongsnis", "snis"},
		{"kongkeys", "keys"},
		{"kongkeysets", "key-sets"},
		{"kongvaults", "vaults"},
		{"konglicenses", "licenses"},
		{"kongcustomentities", "custom-entities"},
		{"kongingresses", "kong-ingresses"},
		{"kongcredentialacls", "credential-acls"},
		{"kongcredentialapikeys", "credential-api-keys"},
		{"kongcredentialbasicauths", "credential-basic-auths"},
		{"kongcredentialhmacs", "credential-hmacs"},
		{"kongcredentialjwts", "credential-jwts"},
		{"kongdataplaneclientcertificates", "client-certificates"},
	}
)

// KongStatus tells what became of Kong's objects: whether they work, as their conditions
// say, how many replicas are asked for, and which of its operator's objects nobody owns.
func KongStatus(c *Client) *Provider {
	const reason, question = "Tells objects that work from those that do not.", "Do Kong's resources work?"
	conditions := []struct {
		metric string
		kind
		condition string
	}{
		{"kongDataPlaneStates", dataPlanes, "Ready"},
		{"kongControlPlaneStates", controlPlanes, "Ready"},
		{"kongPluginStates", kongPlugins, "Programmed"},
		{"kongConsumerStates", kongConsumers, "Programmed"},
		{"konnectControlPlaneStates", konnectControlPlanes, "Programmed"},
		{"konnectAccountStates", konnectAccounts, "APIAuthValid"},
	}
	number := func(name, unit, source string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{
			Name: name, Type: telemetry.TypeInteger, Unit: unit, Reason: "Tells how the operator is used.", Question: question, Source: source,
		})
	}
	p := &Provider{name: "kong-status"}
	for _, of := range conditions {
		p.rules = append(p.rules, of.rule("list"))
		p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
			Name: of.metric, Type: telemetry.TypeCounts, Words: states,
			Reason: reason, Question: question, Source: "condition " + of.condition + " of all " + of.text(),
		}))
	}
	p.metrics = append(p.metrics,
		number("kongDataPlaneReplicaCount", "pods", "sum of the replicas that all "+dataPlanes.text()+" ask for, the most where they may scale"),
		number("kongStandaloneDataPlaneCount", "objects", "number of "+dataPlanes.text()+" without an owner"),
		number("kongStandaloneControlPlaneCount", "objects", "number of "+controlPlanes.text()+" without an owner"),
		technical(telemetry.PropertySpec{
			Name: "kongEntities", Type: telemetry.TypeCounts, Words: words("", entities),
			Reason: "Tells which parts of the product people use.", Question: "Which of Kong's resources are used?", Source: "number of objects of each further kind in " + kong + " that is served",
		}),
	)
	for _, e := range entities {
		p.rules = append(p.rules, kind{kong, e.has}.rule("list"))
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		type tally struct {
			states               tallies
			replicas, standalone int64
		}
		for _, of := range conditions {
			t, err := foldKind(ctx, served, of.kind, func(t *tally, o *kongObject) {
				t.states.add(o.state(of.condition))
				t.replicas += o.replicas()
				if len(o.Metadata.OwnerReferences) == 0 {
					t.standalone++
				}
			})
			if err != nil {
				readings.Fail(of.metric, err)
			} else {
				readings.Counts(of.metric, t.states)
			}
			switch of.kind {
			case dataPlanes:
				recordNumbers(readings, err, map[string]int64{"kongDataPlaneReplicaCount": t.replicas, "kongStandaloneDataPlaneCount": t.standalone})
			case controlPlanes:
				recordNumbers(readings, err, map[string]int64{"kongStandaloneControlPlaneCount": t.standalone})
			}
		}
		return countEntities(ctx, served, readings)
	}
	return p
}

// A kongObject is an object of Kong's with conditions; a DataPlane asks for replicas.
type kongObject struct {
	conditioned
	Spec struct {
		Deployment struct {
			Replicas *int64 `json:"replicas"`
			Scaling  struct {
				Horizontal struct {
					MaxReplicas int64 `json:"maxReplicas"`
				} `json:"horizontal"`
			} `json:"scaling"`
		} `json:"deployment"`
	} `json:"spec"`
}

func (o *kongObject) replicas() int64 {
	if d := &o.Spec.Deployment; d.Replicas == nil {
		return cmp.Or(d.Scaling.Horizontal.MaxReplicas, 1)
	}
	return *o.Spec.Deployment.Replicas
}

// countEntities counts the kinds that are served. The error is that of the metric; where
// not one of them is served, it is absent.
func countEntities(ctx context.Context, served *discovery, readings *telemetry.Readings) error {
	numbers := map[string]int64{}
	var absent error
	for _, e := range entities {
		path, _, err := served.find(ctx, kind{kong, e.has})
		if errors.Is(err, fs.ErrNotExist) {
			absent = err
			continue
		}
		var n int64
		if err == nil {
			n, err = served.client.count(ctx, path)
		}
		if err != nil {
			return err
		}
		numbers[e.word] = n
	}
	if len(numbers) == 0 {
		return absent
	}
	readings.Counts("kongEntities", numbers)
	return nil
}

// Konnect tells how Kong's operator is used with Konnect: its objects, and the Gateways
// whose class is configured by a GatewayConfiguration that names an account.
func Konnect(c *Client) *Provider {
	const reason, question = "Tells how the product is used with Konnect.", "How is Konnect used?"
	numbers := countProvider(c, "konnect", reason, question, []counted{
		{konnectControlPlanes, "konnectControlPlane", []string{"v1alpha2", "v1alpha1"}},
		{kind: konnectAccounts, stem: "konnectAccount"},
		{kind: kind{konnect, "konnectextensions"}, stem: "konnectExtension"},
		{kind: kind{konnect, "konnectcloudgatewaynetworks"}, stem: "konnectNetwork"},
		{kind: kind{konnect, "konnectcloudgatewaydataplanegroupconfigurations"}, stem: "konnectDataPlaneGroup"},
		{kind: kind{konnect, "konnectcloudgatewaytransitgateways"}, stem: "konnectTransitGateway"},
	})
	number := func(name, unit, source string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{Name: name, Type: telemetry.TypeInteger, Unit: unit, Reason: reason, Question: question, Source: source})
	}
	const hybrid = "Gateways whose class has a GatewayConfiguration with spec.konnect"
	p := &Provider{name: "konnect", rules: append(numbers.rules, lists(gatewayConfigurations, gatewayClasses, gateways)...)}
	p.metrics = append(numbers.metrics,
		number("konnectGatewayCount", "objects", "number of "+hybrid),
		number("konnectProgrammedGatewayCount", "objects", "number of "+hybrid+" that are programmed"),
		number("konnectAttachedRouteCount", "routes", "sum of attachedRoutes in status.listeners of "+hybrid+" that are programmed"),
	)
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		if err := numbers.collect(ctx, readings); err != nil {
			return err
		}
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		s, err := hybridGateways(ctx, served)
		recordNumbers(readings, err, map[string]int64{
			"konnectGatewayCount": s.gateways, "konnectProgrammedGatewayCount": s.programmed, "konnectAttachedRouteCount": s.routes,
		})
		return ctx.Err()
	}
	return p
}

// hybridGateways follows Gateways by their class to the configuration of that.
func hybridGateways(ctx context.Context, served *discovery) (share, error) {
	type configuration struct {
		Metadata objectMeta `json:"metadata"`
		Spec     struct {
			Konnect *struct {
				Account *skipped `json:"authRef"`
			} `json:"konnect"`
		} `json:"spec"`
	}
	type names map[ServiceName]bool
	configured, err := foldKind(ctx, served, gatewayConfigurations, func(set *names, g *configuration) {
		if g.Spec.Konnect != nil && g.Spec.Konnect.Account != nil {
			if *set == nil {
				*set = names{}
			}
			(*set)[ServiceName{g.Metadata.Namespace, g.Metadata.Name}] = true
		}
	})
	if err != nil {
		return share{}, err
	}
	classes, err := foldKind(ctx, served, gatewayClasses, func(set *map[string]bool, class *class) {
		ref := &class.Spec.ParametersRef
		if ref.Group == kongOperate && ref.Kind == "GatewayConfiguration" && configured[ServiceName{ref.Namespace, ref.Name}] {
			if *set == nil {
				*set = map[string]bool{}
			}
			(*set)[class.Metadata.Name] = true
		}
	})
	if err != nil {
		return share{}, err
	}
	return foldKind(ctx, served, gateways, func(s *share, g *gatewayObject) {
		if classes[g.Spec.Class] {
			s.add(g)
		}
	})
}
