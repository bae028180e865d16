// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io/fs"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	pods     = kind{"", "pods"}
	services = kind{"", "services"}
)

// Objects counts pods, of every phase, and services.
func Objects(c *Client) *Provider {
	return countProvider(c, "objects",
		"Tells which sizes of clusters have to be tested.", "How large are the clusters?",
		[]counted{{kind: pods, stem: "pod"}, {kind: services, stem: "service"}})
}

// The versions in which a kind may be served, the newest first.
var (
	onlyV1      = []string{"v1"}
	ingressV    = []string{"v1", "v1beta1"}
	gatewayV    = []string{"v1", "v1beta1", "v1alpha2"}
	tlsRouteV   = []string{"v1", "v1alpha3", "v1alpha2"}
	kongV1beta1 = []string{"v1", "v1beta1"}
	kongAlpha   = []string{"v1", "v1beta1", "v1alpha1"}
	knativeV    = []string{"v1alpha1"}
)

const (
	networking  = "networking.k8s.io"
	gatewayAPI  = "gateway.networking.k8s.io"
	kong        = "configuration.konghq.com"
	kongOperate = "gateway-operator.konghq.com"
)

// Routes counts the objects of each kind of route, whatever controller they are for,
// and says in which version each kind is served.
func Routes(c *Client) *Provider {
	return countProvider(c, "routes",
		"Tells which kinds of routes people use.", "Which routing protocols are used most?",
		[]counted{
			{kind{networking, "ingresses"}, "ingress", ingressV},
			{kind{gatewayAPI, "httproutes"}, "httpRoute", gatewayV},
			{kind{gatewayAPI, "grpcroutes"}, "grpcRoute", gatewayV},
			{kind{gatewayAPI, "tlsroutes"}, "tlsRoute", tlsRouteV},
			{kind{gatewayAPI, "tcproutes"}, "tcpRoute", gatewayV},
			{kind{gatewayAPI, "udproutes"}, "udpRoute", gatewayV},
			{kind{gatewayAPI, "referencegrants"}, "referenceGrant", gatewayV},
			{kind{kong, "tcpingresses"}, "kongTcpIngress", kongV1beta1},
			{kind{kong, "udpingresses"}, "kongUdpIngress", kongV1beta1},
			{kind{kong, "kongroutes"}, "kongRoute", kongAlpha},
			{kind{"networking.internal.knative.dev", "ingresses"}, "knativeIngress", knativeV},
		})
}

// Kong counts the other objects of Kong's controllers.
func Kong(c *Client) *Provider {
	return countProvider(c, "kong",
		"Tells which parts of the product people use.", "Which of Kong's resources are used?",
		[]counted{
			{kongConsumers, "kongConsumer", onlyV1},
			{kind{kong, "kongservices"}, "kongService", kongAlpha},
			{kind{kong, "kongpluginbindings"}, "kongPluginBinding", kongAlpha},
			{kind{kongOperate, "kongplugininstallations"}, "kongPluginInstallation", kongAlpha},
			{dataPlanes, "kongDataPlane", kongV1beta1},
			{controlPlanes, "kongControlPlane", []string{"v2beta1", "v2alpha1", "v1beta1"}},
			{kind{kongOperate, "aigateways"}, "kongAiGateway", kongAlpha},
		})
}

// Fleet counts the clusters that are managed from this one, where it is a hub: those
// of Cluster API, Open Cluster Management and its sets, Rancher and its Fleet, Karmada,
// KubeFleet, and the inventories of SIG Multicluster. How many clusters there are
// altogether only who receives the reports can say: each names its cluster by a pseudonym
// that stays the same. Whether this cluster is itself in a set, its ClusterProperty tells;
// which one is not read.
func Fleet(c *Client) *Provider {
	const member, reason, question = "fleetMember", "Tells clusters that stand alone from those of a fleet.", "How many clusters are managed from a hub?"
	p := countProvider(c, "fleet", reason, question, []counted{
		{kind: kind{"cluster.x-k8s.io", "clusters"}, stem: "fleetClusterApi"},
		{kind: kind{"cluster.open-cluster-management.io", "managedclusters"}, stem: "fleetOpenClusterManagement"},
		{kind: kind{"cluster.open-cluster-management.io", "managedclustersets"}, stem: "fleetClusterSet"},
		{kind: kind{"management.cattle.io", "clusters"}, stem: "fleetRancher"},
		{kind: kind{"fleet.cattle.io", "clusters"}, stem: "fleetRancherFleet"},
		{kind: kind{"cluster.karmada.io", "clusters"}, stem: "fleetKarmada"},
		{kind: kind{"cluster.kubernetes-fleet.io", "memberclusters"}, stem: "fleetKubeFleet"},
		{kind: kind{"multicluster.x-k8s.io", "clusterprofiles"}, stem: "fleetClusterProfile"},
	})
	p.rules = append(p.rules, clusterProperties.rule("get", clusterSet))
	p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
		Name: member, Type: telemetry.TypeBoolean, Reason: reason, Question: question,
		Source: "whether there is ClusterProperty " + clusterSet + " (about.k8s.io)",
	}))
	numbers := p.collect
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		if err := numbers(ctx, readings); err != nil {
			return err
		}
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		path, _, err := served.find(ctx, clusterProperties)
		if err != nil {
			return err
		}
		switch err := c.Get(ctx, path+"/"+clusterSet, new(skipped)); {
		case errors.Is(err, fs.ErrNotExist):
			readings.Boolean(member, false)
		case err != nil:
			return err
		default:
			readings.Boolean(member, true)
		}
		return nil
	}
	return p
}

var clusterProperties = kind{"about.k8s.io", "clusterproperties"}

// clusterSet is the well-known property of a cluster that is in a set.
const clusterSet = "clusterset.k8s.io"
