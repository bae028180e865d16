// SPDX-License-Identifier: Apache-2.0

// Package inventory looks at what the cluster is like: what the providers of the library
// find out becomes one record.
package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// timeout is how long one provider may take. The largest reads the metadata of all pods.
const timeout = 2 * time.Minute

// A Source looks at the cluster. It implements [extract.Source].
type Source struct {
	inventory *telemetry.Inventory
	names     *telemetry.Pseudonymizer
	now       func() time.Time
}

// New returns a Source that asks the providers. The error lists all that is wrong with
// their metrics.
func New(names *telemetry.Pseudonymizer, now func() time.Time, providers ...telemetry.Provider) (*Source, error) {
	i, err := telemetry.NewInventory(timeout, providers...)
	if err != nil {
		return nil, err
	}
	return &Source{inventory: i, names: names, now: now}, nil
}

// Name implements [extract.Source].
func (s *Source) Name() record.SourceName { return record.SourceInventory }

// Extract implements [extract.Source]. For a window that ended long ago nothing is looked
// at: what the cluster was like then, it does not tell. A metric that could not be read is
// represented by its outcome; when not one could, that is an error, and there is no record:
// the next attempt may find out more.
func (s *Source) Extract(ctx context.Context, window record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	taken := &record.Inventory{Taken: s.now().UTC()}
	if !taken.Touches(window) {
		return nil
	}
	metrics, err := s.inventory.Collect(ctx, s.names)
	if err != nil {
		return err
	}
	tally := Tally(metrics)
	stats.Objects = int64(len(metrics))
	if len(tally[telemetry.OutcomeOK])+len(tally[telemetry.OutcomeAbsent]) == 0 {
		return failure(tally)
	}
	taken.Metrics = metrics
	return emit(taken)
}

// Tally returns the names of the metrics by their outcome.
func Tally(metrics []telemetry.Property) map[telemetry.Outcome][]string {
	by := map[telemetry.Outcome][]string{}
	for _, m := range metrics {
		outcome := telemetry.OutcomeOK
		name, missing := strings.CutSuffix(m.Name, "Outcome")
		if missing {
			outcome = telemetry.Outcome(m.Value.String())
		}
		by[outcome] = append(by[outcome], name)
	}
	return by
}

// failure is the error when nothing could be read.
func failure(tally map[telemetry.Outcome][]string) error {
	const op = "look at the cluster"
	switch most := len(tally[telemetry.OutcomeError]); {
	case len(tally[telemetry.OutcomeForbidden]) > most:
		return &extract.Error{Outcome: record.OutcomeForbidden, Op: op, Hint: "grant what ClusterRole segment-bridge has for source inventory; doctor says what is missing"}
	case len(tally[telemetry.OutcomeTimeout]) > most:
		return &extract.Error{Outcome: record.OutcomeTimeout, Op: op, Hint: fmt.Sprintf("no answer came within %s: look at the load of the API server", timeout)}
	default:
		return &extract.Error{Outcome: record.OutcomeError, Op: op, Hint: "the API server cannot be reached, or answers what is not understood: check the kubeconfig and the network policies"}
	}
}
