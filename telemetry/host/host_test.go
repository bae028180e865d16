// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/host"
)

func collect(t *testing.T, provider telemetry.Provider) string {
	t.Helper()
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := telemetry.NewInventory(0, provider)
	if err != nil {
		t.Fatal(err)
	}
	properties, err := inventory.Collect(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range properties {
		found = append(found, p.Name+"="+p.Value.String())
	}
	return strings.Join(found, " ")
}

func TestFeatureFlags(t *testing.T) {
	on := map[string]bool{"fill-ids": true, "secret-name": true}
	provider := host.FeatureFlags("1.0.0", []string{"fill-ids", "gateway-alpha"}, func(flag string) bool { return on[flag] })
	if got := collect(t, provider); got != `featureFlags=["fill-ids"]` {
		t.Errorf("got %s", got)
	}
	on["gateway-alpha"] = true // changed while the program runs
	if got := collect(t, provider); got != `featureFlags=["fill-ids","gateway-alpha"]` {
		t.Errorf("got %s", got)
	}
	clear(on)
	if got := collect(t, provider); got != `featureFlags=[]` {
		t.Errorf("got %s", got)
	}
}

func TestQuantiles(t *testing.T) {
	bounds := []float64{10, 100.5, 1000}
	tests := map[string]struct {
		snapshot host.Snapshot
		err      error
		want     string
	}{
		"spread":                {host.Snapshot{bounds, []uint64{50, 44, 6, 0}}, nil, "pushP50=10 pushP95=1000"},
		"one bucket":            {host.Snapshot{bounds, []uint64{0, 1, 0, 0}}, nil, "pushP50=100 pushP95=100"},
		"exactly at the rank":   {host.Snapshot{bounds, []uint64{95, 5, 0, 0}}, nil, "pushP50=10 pushP95=10"},
		"above all bounds":      {host.Snapshot{bounds, []uint64{60, 0, 0, 40}}, nil, "pushP50=10 pushP95Outcome=absent"},
		"infinite bound":        {host.Snapshot{[]float64{10, math.Inf(1)}, []uint64{60, 40, 0}}, nil, "pushP50=10 pushP95Outcome=absent"},
		"no values":             {host.Snapshot{bounds, make([]uint64, 4)}, nil, "pushP50Outcome=absent pushP95Outcome=absent"},
		"not whole":             {host.Snapshot{bounds, make([]uint64, 3)}, nil, "pushP50Outcome=error pushP95Outcome=error"},
		"does not ascend":       {host.Snapshot{[]float64{2, 1}, []uint64{1, 1, 1}}, nil, "pushP50Outcome=error pushP95Outcome=error"},
		"cannot be read":        {host.Snapshot{}, fmt.Errorf("ask: %w", fs.ErrPermission), "pushP50Outcome=forbidden pushP95Outcome=forbidden"},
		"nobody measures it":    {host.Snapshot{}, fs.ErrNotExist, "pushP50Outcome=absent pushP95Outcome=absent"},
		"less than any, or odd": {host.Snapshot{[]float64{-5, 5}, []uint64{9, 0, 0}}, nil, "pushP50Outcome=error pushP95Outcome=error"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			provider := host.Quantiles(host.Histogram{
				Metric: "push", Provider: "push", Unit: "milliseconds", Buckets: telemetry.Scale(100_000),
				Reason: "Tells how time grows with size.", Question: "How fast is it?", Source: "time of a push", Since: "1.0.0",
				Read: func(context.Context) (host.Snapshot, error) { return tt.snapshot, tt.err },
			})
			if got := collect(t, provider); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
