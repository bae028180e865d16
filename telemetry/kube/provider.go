// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Provider is a [telemetry.Provider] that reads the Kubernetes API, and knows which
// rights that takes.
type Provider struct {
	name    string
	metrics []telemetry.PropertySpec
	rules   []Rule
	collect func(context.Context, *telemetry.Readings) error
}

// Name implements [telemetry.Provider].
func (p *Provider) Name() string { return p.name }

// Metrics implements [telemetry.Provider].
func (p *Provider) Metrics() []telemetry.PropertySpec { return p.metrics }

// Collect implements [telemetry.Provider].
func (p *Provider) Collect(ctx context.Context, readings *telemetry.Readings) error {
	return p.collect(ctx, readings)
}

// Rules returns the rights that the provider needs. A right that is not granted makes
// the metrics which need it forbidden, and no others.
func (p *Provider) Rules() []Rule { return Rules(p) }

// A Rule is one rule of a ClusterRole, with the same JSON. Discovery and /version are
// not among them: everybody who is logged in may read those (ClusterRole
// system:discovery), unless an administrator took that away.
type Rule struct {
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
	Verbs           []string `json:"verbs"`
}

// Rules returns the rights that the providers need together, sorted, each once. They
// are the rules of a ClusterRole; there is none to write anything.
func Rules(providers ...*Provider) []Rule {
	var rules []Rule
	for _, p := range providers {
		for _, r := range p.rules {
			same := slices.IndexFunc(rules, func(other Rule) bool {
				return slices.Equal(other.APIGroups, r.APIGroups) && slices.Equal(other.ResourceNames, r.ResourceNames) &&
					slices.Equal(other.NonResourceURLs, r.NonResourceURLs) && slices.Equal(other.Verbs, r.Verbs)
			})
			if same < 0 {
				same = len(rules)
				rules = append(rules, r)
				rules[same].Resources = nil
			}
			rules[same].Resources = append(slices.Clone(rules[same].Resources), r.Resources...)
		}
	}
	for i := range rules {
		slices.Sort(rules[i].Resources)
		rules[i].Resources = slices.Compact(rules[i].Resources)
	}
	key := func(r Rule) string {
		return strings.Join([]string{strings.Join(r.NonResourceURLs, ","), strings.Join(r.APIGroups, ","), strings.Join(r.Verbs, ","), strings.Join(r.ResourceNames, ",")}, " ")
	}
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(key(a), key(b)) })
	return rules
}

// lists is the right to list kinds of objects.
func lists(kinds ...kind) []Rule {
	rules := make([]Rule, len(kinds))
	for i, k := range kinds {
		rules[i] = k.rule("list")
	}
	return rules
}

func (k kind) rule(verb string, names ...string) Rule {
	return Rule{APIGroups: []string{k.group}, Resources: []string{k.resource}, ResourceNames: names, Verbs: []string{verb}}
}

// since is the release that added the first metrics; later ones say their own.
const since = "0.1.0"

// technical completes the plan's entry of a fact about the platform.
func technical(p telemetry.PropertySpec) telemetry.PropertySpec {
	p.Sensitivity, p.Since = telemetry.SensitivityTechnical, since
	if p.Type == telemetry.TypeInteger || p.Type == telemetry.TypeCounts {
		p.Unit = cmp.Or(p.Unit, "objects")
		if p.Buckets == nil {
			p.Buckets = telemetry.Scale(100_000)
		}
	}
	return p
}
