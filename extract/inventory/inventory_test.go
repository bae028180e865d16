// SPDX-License-Identifier: Apache-2.0

package inventory_test

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/inventory"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	window = record.Window{Since: noon.Add(-4 * time.Hour), Until: noon}
)

// source looks at a cluster of pods, of which the first metric is the number and the
// second is missing for a reason.
func source(t *testing.T, now time.Time, asked *int, pods, nodes error) *inventory.Source {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("cluster-1")
	if err != nil {
		t.Fatal(err)
	}
	spec := func(name string) telemetry.PropertySpec {
		return telemetry.PropertySpec{Name: name, Type: telemetry.TypeInteger, Reason: "r", Source: "s", Sensitivity: telemetry.SensitivityTechnical, Since: "1"}
	}
	s, err := inventory.New(names, func() time.Time { return now },
		telemetry.NewProvider("objects", []telemetry.PropertySpec{spec("podCount"), spec("nodeCount")}, func(_ context.Context, r *telemetry.Readings) error {
			*asked++
			if pods == nil {
				r.Integer("podCount", 50)
			} else {
				r.Fail("podCount", pods)
			}
			return nodes
		}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExtract(t *testing.T) {
	number := telemetry.Property{Name: "podCount", Value: telemetry.IntegerValue(50)}
	missing := func(name string, outcome record.SourceOutcome) telemetry.Property {
		return telemetry.Property{Name: name + "Outcome", Value: telemetry.EnumValue(outcome)}
	}
	tests := map[string]struct {
		now         time.Time
		pods, nodes error
		want        []telemetry.Property
		outcome     record.SourceOutcome // of the source
		not         bool                 // asked
	}{
		"all but one":           {now: noon.Add(time.Minute), nodes: fs.ErrPermission, want: []telemetry.Property{number, missing("nodeCount", record.OutcomeForbidden)}},
		"nothing is installed":  {now: noon, pods: fs.ErrNotExist, nodes: fs.ErrNotExist, want: []telemetry.Property{missing("podCount", record.OutcomeAbsent), missing("nodeCount", record.OutcomeAbsent)}},
		"nothing is allowed":    {now: noon, pods: fs.ErrPermission, nodes: fs.ErrPermission, outcome: record.OutcomeForbidden},
		"nothing comes in time": {now: noon, pods: context.DeadlineExceeded, nodes: context.DeadlineExceeded, outcome: record.OutcomeTimeout},
		"nothing works":         {now: noon, pods: errors.New("secret-name"), nodes: errors.New("secret-name"), outcome: record.OutcomeError},
		"a window of last week": {now: noon.Add(7 * 24 * time.Hour), not: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			asked := 0
			var got []record.Record
			reports, err := extract.Run(t.Context(), []extract.Source{source(t, tt.now, &asked, tt.pods, tt.nodes)}, window, extract.Options{}, func(r record.Record) error {
				got = append(got, r)
				return nil
			})
			if failed := tt.outcome != (record.SourceOutcome{}); failed != errors.Is(err, extract.ErrAllFailed) || failed && reports[0].Outcome != tt.outcome {
				t.Errorf("reports are %+v, %v, want %s", reports, err, tt.outcome)
			}
			var want []record.Record
			if tt.want != nil {
				want = []record.Record{&record.Inventory{Taken: tt.now, Metrics: tt.want}}
			}
			if !reflect.DeepEqual(got, want) || (asked == 0) != tt.not {
				t.Errorf("records are %+v, asked %d times, want %+v", got, asked, want)
			}
		})
	}
}

func TestExtractStops(t *testing.T) {
	asked := 0
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := source(t, noon, &asked, nil, nil)
	if err := s.Extract(ctx, window, new(extract.Stats), func(record.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
	full := errors.New("full")
	if err := s.Extract(t.Context(), window, new(extract.Stats), func(record.Record) error { return full }); !errors.Is(err, full) {
		t.Errorf("error is %v, want that of emit", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	names, err := telemetry.NewPseudonymizer("cluster-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inventory.New(names, time.Now, telemetry.NewProvider("No Slug", nil, nil)); err == nil {
		t.Error("a provider with a wrong name is no error")
	}
}
