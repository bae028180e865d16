// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/inventory"
	"github.com/segment-bridge/segment-bridge/extract/kube"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/telemetry"
	librarykube "github.com/segment-bridge/segment-bridge/telemetry/kube"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A clusterClient reads one cluster: what happened in it, and what it is like.
type clusterClient struct {
	*kube.Client
	config *rest.Config
}

// inventory returns the source that looks at the cluster as a whole.
func (c *clusterClient) inventory(names *telemetry.Pseudonymizer, now func() time.Time) (*inventory.Source, error) {
	authenticated, address, err := kube.HTTPClient(c.config)
	if err != nil {
		return nil, cli.Usage(err)
	}
	client, err := librarykube.NewClient(authenticated, address, "segment-bridge/"+cli.Version)
	if err != nil {
		return nil, cli.Usage(err)
	}
	var providers []telemetry.Provider
	for _, p := range librarykube.Environment(client) {
		providers = append(providers, p)
	}
	return inventory.New(names, now, providers...)
}

// inventory checks that the cluster may be looked at, by doing it.
func (d *doctor) inventory(ctx context.Context, client *clusterClient, names *telemetry.Pseudonymizer) {
	const check = "source inventory"
	source, err := client.inventory(names, d.program.now)
	if err != nil {
		d.found(check, err, "")
		return
	}
	now := d.program.now()
	var metrics []telemetry.Property
	_, err = extract.Run(ctx, []extract.Source{source}, record.Window{Since: now.Add(-time.Hour), Until: now.Add(time.Hour)},
		extract.Options{Timeout: 4 * checkTimeout, Strict: true}, func(r record.Record) error {
			if i, ok := r.(*record.Inventory); ok {
				metrics = i.Metrics
			}
			return nil
		})
	tally := inventory.Tally(metrics)
	forbidden := tally[telemetry.OutcomeForbidden]
	if err == nil && len(forbidden) > 0 {
		err = fmt.Errorf("%d of %d metrics may not be read, such as %s: grant what ClusterRole segment-bridge has for source inventory, or go without them",
			len(forbidden), len(metrics), forbidden[0])
	}
	d.found(check, err, "%d metrics may be read; %d are of what is not installed in this cluster", len(tally[telemetry.OutcomeOK]), len(tally[telemetry.OutcomeAbsent]))
	for _, outcome := range []telemetry.Outcome{telemetry.OutcomeTimeout, telemetry.OutcomeError} {
		if failed := tally[outcome]; len(failed) > 0 {
			d.note(check, fmt.Sprintf("%d metrics end in %s, such as %s: events will say so", len(failed), outcome, failed[0]))
		}
	}
}
