// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A counted is a kind of objects that is counted.
type counted struct {
	kind
	stem string // the metrics are stem+"Count" and stem+"Version"
	// versions are those that the kind is known to have had; nil leaves out the metric.
	versions []string
}

// countProvider returns a provider that counts objects, and says in which version each
// kind is served. A kind costs one request for its number, and one for all kinds of the
// same group and version.
func countProvider(c *Client, name, reason, question string, kinds []counted) *Provider {
	p := &Provider{name: name}
	for _, k := range kinds {
		p.rules = append(p.rules, k.rule("list"))
		p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
			Name: k.stem + "Count", Type: telemetry.TypeInteger, Reason: reason, Question: question,
			Source: "number of " + k.text() + " in the cluster",
		}))
		if k.versions != nil {
			p.metrics = append(p.metrics, technical(telemetry.PropertySpec{
				Name: k.stem + "Version", Type: telemetry.TypeEnum, Words: withOther(k.versions),
				Reason: "Tells which versions of the API have to be supported.", Question: "In which versions are routes served?",
				Source: "discovery: the version of " + k.text() + " that the server prefers",
			}))
		}
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		for _, k := range kinds {
			k.collect(ctx, served, readings)
		}
		return ctx.Err()
	}
	return p
}

func (k *counted) collect(ctx context.Context, served *discovery, readings *telemetry.Readings) {
	number, version := k.stem+"Count", k.stem+"Version"
	hasVersion := k.versions != nil && readings.Wants(version)
	if !hasVersion && !readings.Wants(number) {
		return
	}
	path, found, err := served.find(ctx, k.kind)
	if hasVersion {
		if err != nil {
			readings.Fail(version, err)
		} else {
			readings.Word(version, listedOr(k.versions, found, other))
		}
	}
	var n int64
	if err == nil && readings.Wants(number) {
		n, err = served.client.count(ctx, path)
	}
	if err != nil {
		readings.Fail(number, err)
		return
	}
	readings.Integer(number, n)
}
