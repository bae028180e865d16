// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	serviceTypes = []string{"ClusterIP", "headless", "NodePort", "LoadBalancer", "ExternalName"}
	// appProtocols are those of the IANA registry that are met, and those that Kubernetes
	// defines, without their prefix.
	appProtocols = []string{"http", "https", "http2", "grpc", "h2c", "ws", "wss", "tcp", "tls", "udp", "mongo", "mysql", "postgresql", "redis", "kafka", "amqp", "mqtt"}
)

// Services tells of which types services are, and what they say their ports speak. It
// reads them whole.
func Services(c *Client) *Provider {
	p := &Provider{name: "services", rules: lists(services)}
	p.metrics = []telemetry.PropertySpec{
		technical(telemetry.PropertySpec{
			Name: "serviceTypes", Type: telemetry.TypeCounts, Words: withOther(serviceTypes),
			Reason: "Tells how clusters let traffic in.", Question: "How large are the clusters?",
			Source: "spec.type of all services; headless where spec.clusterIP is None",
		}),
		technical(telemetry.PropertySpec{
			Name: "serviceAppProtocols", Type: telemetry.TypeCounts, Unit: "ports", Words: withOther(appProtocols),
			Reason: "Tells which protocols matter.", Question: "Which routing protocols are used most?",
			Source: "appProtocol in spec.ports of all services, where it is set",
		}),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		type service struct {
			Spec struct {
				Type      string `json:"type"`
				ClusterIP string `json:"clusterIP"`
				Ports     []struct {
					AppProtocol string `json:"appProtocol"`
				} `json:"ports"`
			} `json:"spec"`
		}
		type tally struct{ types, protocols tallies }
		t, err := fold(ctx, c, "/api/v1/services", whole, func(t *tally, s *service) {
			kind := s.Spec.Type
			switch {
			case kind == "":
				kind = serviceTypes[0]
			case kind == serviceTypes[0] && s.Spec.ClusterIP == "None":
				kind = "headless"
			}
			t.types.add(listedOr(serviceTypes, kind, other))
			for _, port := range s.Spec.Ports {
				if port.AppProtocol != "" {
					t.protocols.add(listedOr(appProtocols, strings.ToLower(strings.TrimPrefix(port.AppProtocol, "kubernetes.io/")), other))
				}
			}
		})
		if err != nil {
			return err
		}
		readings.Counts("serviceTypes", t.types)
		readings.Counts("serviceAppProtocols", t.protocols)
		return nil
	}
	return p
}
