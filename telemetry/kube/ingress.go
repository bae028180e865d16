// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Rules of routes are counted in the objects themselves, whole.
var (
	ingresses  = kind{networking, "ingresses"}
	httpRoutes = kind{gatewayAPI, "httproutes"}
	grpcRoutes = kind{gatewayAPI, "grpcroutes"}
	filters    = []string{"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "CORS", "ExternalAuth", "ExtensionRef"}
)

// RouteRules counts what is in the Ingresses and routes: rules, paths, matches and
// filters. Classes are the ingress classes that the program serves; with none, the
// metric of its own share is left out.
func RouteRules(c *Client, classes ...string) *Provider {
	const reason, question = "Tells which sizes of configurations have to be tested.", "How many ingress rules do clusters have?"
	number := func(name, unit, source string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{Name: name, Type: telemetry.TypeInteger, Unit: unit, Reason: reason, Question: question, Source: source})
	}
	p := &Provider{name: "route-rules", rules: lists(ingresses, httpRoutes, grpcRoutes)}
	p.metrics = []telemetry.PropertySpec{
		number("ingressRuleCount", "rules", "number of spec.rules of all Ingresses"),
		number("ingressPathCount", "paths", "number of paths in spec.rules of all Ingresses"),
		number("ingressHostCount", "rules", "number of spec.rules of all Ingresses that name a host"),
		number("ingressTlsCount", "objects", "number of Ingresses with spec.tls"),
		number("httpRouteRuleCount", "rules", "number of spec.rules of all HTTPRoutes"),
		number("httpRouteHostCount", "hosts", "number of spec.hostnames of all HTTPRoutes"),
		number("httpRouteMatchCount", "matches", "number of matches in spec.rules of all HTTPRoutes"),
		technical(telemetry.PropertySpec{
			Name: "httpRouteFilters", Type: telemetry.TypeCounts, Unit: "filters", Words: withOther(filters),
			Reason: "Tells which filters people need.", Question: "Which filters of HTTPRoutes are used?", Source: "type of the filters in spec.rules of all HTTPRoutes",
		}),
		number("grpcRouteRuleCount", "rules", "number of spec.rules of all GRPCRoutes"),
		number("meshRouteCount", "objects", "number of HTTPRoutes and GRPCRoutes of which a parent is a Service"),
	}
	if len(classes) > 0 {
		p.metrics = append(p.metrics, number("ownIngressCount", "objects", "number of Ingresses of the program's classes, by spec.ingressClassName or annotation kubernetes.io/ingress.class"))
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		collectIngresses(ctx, served, readings, classes)
		http, httpErr := foldRoutes(ctx, served, httpRoutes)
		if httpErr != nil {
			failAll(readings, httpErr, "httpRouteRuleCount", "httpRouteHostCount", "httpRouteMatchCount", "httpRouteFilters")
		} else {
			readings.Integer("httpRouteRuleCount", http.rules)
			readings.Integer("httpRouteHostCount", http.hosts)
			readings.Integer("httpRouteMatchCount", http.matches)
			readings.Counts("httpRouteFilters", http.filters)
		}
		grpc, grpcErr := foldRoutes(ctx, served, grpcRoutes)
		if grpcErr != nil {
			readings.Fail("grpcRouteRuleCount", grpcErr)
		} else {
			readings.Integer("grpcRouteRuleCount", grpc.rules)
		}
		absent := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
		switch { // a kind that is not served has no routes, and both not served is absent
		case httpErr != nil && (!absent(httpErr) || absent(grpcErr)):
			readings.Fail("meshRouteCount", httpErr)
		case grpcErr != nil && !absent(grpcErr):
			readings.Fail("meshRouteCount", grpcErr)
		default:
			readings.Integer("meshRouteCount", http.ofServices+grpc.ofServices)
		}
		return ctx.Err()
	}
	return p
}

func collectIngresses(ctx context.Context, served *discovery, readings *telemetry.Readings, classes []string) {
	type ingress struct {
		Metadata objectMeta `json:"metadata"`
		Spec     struct {
			ClassName string `json:"ingressClassName"`
			Rules     []struct {
				Host string `json:"host"`
				HTTP struct {
					Paths []struct{} `json:"paths"`
				} `json:"http"`
			} `json:"rules"`
			TLS []struct{} `json:"tls"`
		} `json:"spec"`
	}
	type tally struct{ rules, paths, hosts, tls, own int64 }
	t, err := foldKind(ctx, served, ingresses, func(t *tally, i *ingress) {
		t.rules += int64(len(i.Spec.Rules))
		for _, r := range i.Spec.Rules {
			t.paths += int64(len(r.HTTP.Paths))
			if r.Host != "" {
				t.hosts++
			}
		}
		if len(i.Spec.TLS) > 0 {
			t.tls++
		}
		class := i.Spec.ClassName
		if annotated := i.Metadata.Annotations["kubernetes.io/ingress.class"]; annotated != "" {
			class = annotated
		}
		if slices.Contains(classes, class) {
			t.own++
		}
	})
	metrics := map[string]int64{"ingressRuleCount": t.rules, "ingressPathCount": t.paths, "ingressHostCount": t.hosts, "ingressTlsCount": t.tls}
	if len(classes) > 0 {
		metrics["ownIngressCount"] = t.own
	}
	recordNumbers(readings, err, metrics)
}

type routes struct {
	rules, hosts, matches, ofServices int64
	filters                           tallies
}

func foldRoutes(ctx context.Context, served *discovery, k kind) (routes, error) {
	type route struct {
		Spec struct {
			Hostnames  []skipped `json:"hostnames"`
			ParentRefs []struct {
				Kind string `json:"kind"`
			} `json:"parentRefs"`
			Rules []struct {
				Matches []struct{} `json:"matches"`
				Filters []struct {
					Type string `json:"type"`
				} `json:"filters"`
			} `json:"rules"`
		} `json:"spec"`
	}
	return foldKind(ctx, served, k, func(all *routes, r *route) {
		all.rules += int64(len(r.Spec.Rules))
		all.hosts += int64(len(r.Spec.Hostnames))
		for _, rule := range r.Spec.Rules {
			all.matches += int64(len(rule.Matches))
			for _, f := range rule.Filters {
				all.filters.add(listedOr(filters, f.Type, other))
			}
		}
		for _, parent := range r.Spec.ParentRefs {
			if parent.Kind == "Service" {
				all.ofServices++
				break
			}
		}
	})
}

// recordNumbers records the numbers, or why there are none.
func recordNumbers(readings *telemetry.Readings, err error, numbers map[string]int64) {
	for metric, n := range numbers {
		if err != nil {
			readings.Fail(metric, err)
		} else {
			readings.Integer(metric, n)
		}
	}
}

// foldKind folds the objects of a kind, whole, in the version that is served.
func foldKind[T, S any](ctx context.Context, served *discovery, k kind, add func(*S, *T)) (S, error) {
	path, _, err := served.find(ctx, k)
	if err != nil {
		var none S
		return none, err
	}
	return fold(ctx, served.client, path, whole, add)
}
