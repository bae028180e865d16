// SPDX-License-Identifier: Apache-2.0

// Package host has providers for what only the program itself knows: its feature flags,
// its own histograms, the gateway that it configures, and the resources of its process.
// They read no cluster, and are asked anew for each report, so a flag that is changed
// later is reported as it is then.
package host

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// FeatureFlags tells which of the registered flags are on. Since is the version of the
// program that first reports the list. Enabled is asked for each registered flag; others
// do not exist for it.
func FeatureFlags(since string, registered []string, enabled func(flag string) bool) telemetry.Provider {
	const metric = "featureFlags"
	flags := slices.Clone(registered)
	spec := telemetry.PropertySpec{
		Name: metric, Type: telemetry.TypeSet, Words: flags,
		Reason: "Tells which features can be made the default, or be removed.", Question: "Which features are switched on?",
		Source: "the program's feature flags that are on", Sensitivity: telemetry.SensitivityTechnical, Since: since,
	}
	return telemetry.NewProvider("feature-flags", []telemetry.PropertySpec{spec}, func(_ context.Context, readings *telemetry.Readings) error {
		var on []string
		for _, flag := range flags {
			if enabled(flag) {
				on = append(on, flag)
			}
		}
		readings.Set(metric, on...)
		return nil
	})
}

// A Snapshot is a histogram as it is now: Counts[i] is how many values were at most
// Bounds[i] and more than the bound before; the last of Counts, which is one longer, is
// how many were more than all bounds. Bounds ascend.
type Snapshot struct {
	Bounds []float64
	Counts []uint64
}

// A Histogram is one of the program's histograms.
type Histogram struct {
	// Metric begins the names of the metrics, such as "configurationPush"; they end in P50
	// and P95. Provider is the provider's name.
	Metric, Provider string
	// Unit is the unit of the values, such as "milliseconds". Buckets are the numbers
	// that may leave: lower ends of ranges, ascending from 0. See [telemetry.Scale].
	Unit    string
	Buckets []int64
	// Reason, Question, Source and Since are those of the entries in the plan.
	Reason, Question, Source, Since string
	// Read returns the histogram as it is now. Its error is that of both metrics.
	Read func(context.Context) (Snapshot, error)
}

// Quantiles tells the median and the 95th percentile of a histogram, each as the upper
// bound of the values it lies among. A histogram without values is absent, and so is a
// quantile above all bounds: it is not known.
func Quantiles(h Histogram) telemetry.Provider {
	spec := func(suffix, text string) telemetry.PropertySpec {
		return telemetry.PropertySpec{
			Name: h.Metric + suffix, Type: telemetry.TypeInteger, Unit: h.Unit, Buckets: h.Buckets,
			Reason: h.Reason, Question: h.Question, Source: text + " of " + h.Source,
			Sensitivity: telemetry.SensitivityTechnical, Since: h.Since,
		}
	}
	metrics := []telemetry.PropertySpec{spec("P50", "median"), spec("P95", "95th percentile")}
	return telemetry.NewProvider(h.Provider, metrics, func(ctx context.Context, readings *telemetry.Readings) error {
		snapshot, err := h.Read(ctx)
		if err != nil {
			return err
		}
		for suffix, q := range map[string]float64{"P50": 0.50, "P95": 0.95} {
			n, err := snapshot.quantile(q)
			if err != nil {
				readings.Fail(h.Metric+suffix, err)
			} else {
				readings.Integer(h.Metric+suffix, n)
			}
		}
		return nil
	})
}

func (s *Snapshot) quantile(q float64) (int64, error) {
	if len(s.Counts) != len(s.Bounds)+1 || !slices.IsSorted(s.Bounds) {
		return 0, fmt.Errorf("read a histogram: its bounds do not ascend, or it has %d counts for %d bounds instead of one more", len(s.Counts), len(s.Bounds))
	}
	total := uint64(0)
	for _, n := range s.Counts {
		total += n
	}
	if total == 0 {
		return 0, fmt.Errorf("read a histogram: it has no values: %w", fs.ErrNotExist)
	}
	rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i, n := range s.Counts {
		if seen += n; seen >= rank {
			if i == len(s.Bounds) {
				break
			}
			if bound := s.Bounds[i]; bound <= math.MaxInt32 { // false for NaN too
				return int64(math.Ceil(bound)), nil
			}
			break
		}
	}
	return 0, fmt.Errorf("read a histogram: the quantile is above all of its bounds: %w", fs.ErrNotExist)
}
