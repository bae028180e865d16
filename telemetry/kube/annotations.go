// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	// annotated are the kinds to which plugins are attached, with their words.
	annotated = []struct {
		kind
		word string
	}{
		{services, "service"},
		{ingresses, "ingress"},
		{httpRoutes, "http-route"},
		{grpcRoutes, "grpc-route"},
		{kongConsumers, "consumer"},
		{kind{kong, "kongconsumergroups"}, "consumer-group"},
		{kind{kong, "tcpingresses"}, "tcp-ingress"},
		{kind{kong, "udpingresses"}, "udp-ingress"},
	}
	kongProtocols = []string{"http", "https", "grpc", "grpcs", "tcp", "tls", "tls_passthrough", "udp", "ws", "wss"}
)

// KongAnnotations tells to what Kong's plugins are attached, which is another thing than
// that they are defined, and which protocols annotations ask for. It reads metadata alone,
// of which it keeps no name.
func KongAnnotations(c *Client) *Provider {
	const attachments, protocols = "kongPluginAttachments", "kongProtocols"
	p := &Provider{name: "kong-annotations"}
	kinds := make([]string, len(annotated))
	for i, of := range annotated {
		kinds[i] = of.word
		p.rules = append(p.rules, of.rule("list"))
	}
	p.metrics = []telemetry.PropertySpec{
		technical(telemetry.PropertySpec{
			Name: attachments, Type: telemetry.TypeCounts, Words: kinds,
			Reason: "Tells plugins in use from those that are only defined.", Question: "Which plugins are used?",
			Source: "number of objects of each kind with annotation konghq.com/plugins",
		}),
		technical(telemetry.PropertySpec{
			Name: protocols, Type: telemetry.TypeCounts, Words: withOther(kongProtocols),
			Reason: "Tells which protocols matter.", Question: "Which routing protocols are used most?",
			Source: "annotations konghq.com/protocol and konghq.com/protocols of services, Ingresses and routes",
		}),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		type tally struct {
			attached  int64
			protocols tallies
		}
		attached, spoken := map[string]int64{}, tallies{}
		for _, of := range annotated {
			t, err := foldKindMetadata(ctx, served, of.kind, func(t *tally, o *object) {
				if o.Metadata.Annotations["konghq.com/plugins"] != "" {
					t.attached++
				}
				for _, list := range []string{o.Metadata.Annotations["konghq.com/protocol"], o.Metadata.Annotations["konghq.com/protocols"]} {
					for protocol := range strings.SplitSeq(list, ",") {
						if protocol = strings.TrimSpace(protocol); protocol != "" {
							t.protocols.add(listedOr(kongProtocols, protocol, other))
						}
					}
				}
			})
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil { // the sum would be short
				return err
			}
			attached[of.word] = t.attached
			for protocol, n := range t.protocols {
				spoken[protocol] += n
			}
		}
		readings.Counts(attachments, attached)
		readings.Counts(protocols, spoken)
		return nil
	}
	return p
}
