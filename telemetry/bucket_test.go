// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestScale(t *testing.T) {
	for most, want := range map[int64][]int64{
		0: {0, 1}, 1: {0, 1}, 3: {0, 1, 2, 5}, 100: {0, 1, 2, 5, 10, 20, 50, 100}, 101: {0, 1, 2, 5, 10, 20, 50, 100, 200},
	} {
		if got := telemetry.Scale(most); !slices.Equal(got, want) {
			t.Errorf("scale to %d: %v, want %v", most, got, want)
		}
	}
}

// Every type of metric: what a provider records, and what its event then holds.
func TestReadingsApplyThePlan(t *testing.T) {
	names, err := telemetry.NewKeyedPseudonymizer("0b1f", []byte("sixteen bytes are enough"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := telemetry.ParseVersion("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	of := func(typ telemetry.Type, words ...string) func(*telemetry.PropertySpec) {
		return func(p *telemetry.PropertySpec) { p.Type, p.Words = typ, words }
	}
	bucketed := func(typ telemetry.Type, words ...string) func(*telemetry.PropertySpec) {
		return func(p *telemetry.PropertySpec) { p.Type, p.Words, p.Buckets = typ, words, []int64{0, 10, 100} }
	}
	type R = *telemetry.Readings
	tests := map[string]struct {
		change func(*telemetry.PropertySpec)
		record func(R)
		want   string // of the value; "" is an error
	}{
		"integer":                  {nil, func(r R) { r.Integer("m", 17) }, `17`},
		"zero":                     {nil, func(r R) { r.Integer("m", 0) }, `0`},
		"negative":                 {nil, func(r R) { r.Integer("m", -1) }, ``},
		"bucket":                   {bucketed(telemetry.TypeInteger), func(r R) { r.Integer("m", 99) }, `10`},
		"bucket met":               {bucketed(telemetry.TypeInteger), func(r R) { r.Integer("m", 100) }, `100`},
		"bucket without end":       {bucketed(telemetry.TypeInteger), func(r R) { r.Integer("m", 1<<62) }, `100`},
		"bucket and negative":      {bucketed(telemetry.TypeInteger), func(r R) { r.Integer("m", -1) }, ``},
		"boolean":                  {of(telemetry.TypeBoolean), func(r R) { r.Boolean("m", false) }, `false`},
		"word":                     {of(telemetry.TypeEnum, "eks", "other"), func(r R) { r.Word("m", "eks") }, `"eks"`},
		"word not listed":          {of(telemetry.TypeEnum, "eks", "other"), func(r R) { r.Word("m", "acme") }, ``},
		"set":                      {of(telemetry.TypeSet, "a", "b", "c"), func(r R) { r.Set("m", "c", "a", "c") }, `["a","c"]`},
		"empty set":                {of(telemetry.TypeSet, "a", "b"), func(r R) { r.Set("m") }, `[]`},
		"set with another word":    {of(telemetry.TypeSet, "a", "b"), func(r R) { r.Set("m", "a", "acme") }, ``},
		"counts":                   {bucketed(telemetry.TypeCounts, "x", "y"), func(r R) { r.Counts("m", map[string]int64{"y": 9, "x": 11}) }, `{"x":10,"y":0}`},
		"no counts":                {of(telemetry.TypeCounts, "x", "y"), func(r R) { r.Counts("m", nil) }, `{}`},
		"counts with another word": {of(telemetry.TypeCounts, "x"), func(r R) { r.Counts("m", map[string]int64{"x": 1, "acme": 2}) }, ``},
		"counts below zero":        {of(telemetry.TypeCounts, "x"), func(r R) { r.Counts("m", map[string]int64{"x": -1}) }, ``},
		"version":                  {of(telemetry.TypeVersion), func(r R) { r.Version("m", version) }, `"v1.36.3"`},
		"no version":               {of(telemetry.TypeVersion), func(r R) { r.Version("m", telemetry.Version{}) }, ``},
		"name":                     {of(telemetry.TypePseudonym), func(r R) { r.Name("m", "acme") }, `"528ecccaf950"`},
		"no name":                  {of(telemetry.TypePseudonym), func(r R) { r.Name("m", "") }, ``},
		"another type":             {nil, func(r R) { r.Boolean("m", true) }, ``},
		"the last counts":          {nil, func(r R) { r.Integer("m", 1); r.Fail("m", errors.New("no")); r.Integer("m", 2) }, `2`},
		"failure without a cause":  {nil, func(r R) { r.Fail("m", nil) }, ``},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			provider := telemetry.NewProvider("p", []telemetry.PropertySpec{metric("m", tt.change)},
				func(_ context.Context, r *telemetry.Readings) error { tt.record(r); return nil })
			inventory, err := telemetry.NewInventory(0, provider)
			if err != nil {
				t.Fatal(err)
			}
			got, err := inventory.Collect(t.Context(), names)
			if err != nil || len(got) != 1 {
				t.Fatal(got, err)
			}
			want := telemetry.Property{Name: "m"}
			if tt.want == "" {
				if got[0].Name != "mOutcome" || got[0].Value.String() != "error" {
					t.Errorf("got %s %s, want an error", got[0].Name, got[0].Value)
				}
			} else if text := string(got[0].Value.AppendJSON(nil)); got[0].Name != want.Name || text != tt.want {
				t.Errorf("got %s %s, want %s", got[0].Name, text, tt.want)
			}

			// The event is in the plan, and survives its binary form.
			plan, err := telemetry.NewPlan("test", telemetry.EventSpec{
				Name: "E", MessageID: "<id>", Timestamp: "t", Question: "q", Source: "s", Since: "1", Properties: inventory.Properties(),
			})
			if err != nil {
				t.Fatal(err)
			}
			e := &telemetry.Event{Name: "E", MessageID: "1", Time: noon, Cluster: names.Cluster(), Properties: got}
			if err := plan.Check(e); err != nil {
				t.Error(err)
			}
			data, err := e.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			var again telemetry.Event
			if err := again.UnmarshalBinary(data); err != nil || fmt.Sprint(again) != fmt.Sprint(*e) {
				t.Errorf("binary: %v, %v", again, err)
			}
			if !json.Valid(e.AppendTrack(nil, telemetry.Library{})) {
				t.Errorf("not JSON: %s", e.AppendTrack(nil, telemetry.Library{}))
			}
		})
	}
}

// An event that was not made of readings is held to buckets and words all the same.
func TestCheckHoldsValuesToThePlan(t *testing.T) {
	names, err := telemetry.NewPseudonymizer("0b1f")
	if err != nil {
		t.Fatal(err)
	}
	values := func(words []string, buckets []int64) (set, counts telemetry.Value) {
		t.Helper()
		inventory, err := telemetry.NewInventory(0, telemetry.NewProvider("p", []telemetry.PropertySpec{
			metric("set", func(p *telemetry.PropertySpec) { p.Type, p.Words = telemetry.TypeSet, words }),
			metric("counts", func(p *telemetry.PropertySpec) { p.Type, p.Words, p.Buckets = telemetry.TypeCounts, words, buckets }),
		}, func(_ context.Context, r *telemetry.Readings) error {
			r.Set("set", words...)
			r.Counts("counts", map[string]int64{words[0]: 15})
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := inventory.Collect(t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		return got[0].Value, got[1].Value
	}
	set, counts := values([]string{"a", "b"}, []int64{0, 10})
	otherSet, otherCounts := values([]string{"b", "a"}, nil)
	strangeSet, strangeCounts := values([]string{"acme"}, nil)
	for name, tt := range map[string]struct {
		change func(*telemetry.PropertySpec)
		value  telemetry.Value
		ok     bool
	}{
		"number in a bucket":   {func(p *telemetry.PropertySpec) { p.Buckets = []int64{0, 10} }, telemetry.IntegerValue(10), true},
		"number in no bucket":  {func(p *telemetry.PropertySpec) { p.Buckets = []int64{0, 10} }, telemetry.IntegerValue(11), false},
		"set":                  {func(p *telemetry.PropertySpec) { p.Type, p.Words = telemetry.TypeSet, []string{"a", "b"} }, set, true},
		"set in another order": {func(p *telemetry.PropertySpec) { p.Type, p.Words = telemetry.TypeSet, []string{"a", "b"} }, otherSet, false},
		"set of other words":   {func(p *telemetry.PropertySpec) { p.Type, p.Words = telemetry.TypeSet, []string{"a", "b"} }, strangeSet, false},
		"counts": {func(p *telemetry.PropertySpec) {
			p.Type, p.Words, p.Buckets = telemetry.TypeCounts, []string{"a", "b"}, []int64{0, 10}
		}, counts, true},
		"counts in no bucket": {func(p *telemetry.PropertySpec) {
			p.Type, p.Words, p.Buckets = telemetry.TypeCounts, []string{"a", "b"}, []int64{0, 10}
		}, otherCounts, false},
		"counts of other words": {func(p *telemetry.PropertySpec) { p.Type, p.Words = telemetry.TypeCounts, []string{"a", "b"} }, strangeCounts, false},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := telemetry.NewPlan("test", telemetry.EventSpec{
				Name: "E", MessageID: "<id>", Timestamp: "t", Question: "q", Source: "s", Since: "1", Properties: []telemetry.PropertySpec{metric("m", tt.change)},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = plan.Check(&telemetry.Event{
				Name: "E", MessageID: "1", Time: noon, Cluster: names.Cluster(), Properties: []telemetry.Property{{Name: "m", Value: tt.value}},
			})
			if (err == nil) != tt.ok || err != nil && strings.Contains(err.Error(), "acme") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestExact(t *testing.T) {
	p := telemetry.NewProvider("p", []telemetry.PropertySpec{metric("m", func(p *telemetry.PropertySpec) { p.Buckets = telemetry.Scale(100) })},
		func(_ context.Context, r *telemetry.Readings) error { r.Integer("m", 17); return nil })
	names, err := telemetry.NewPseudonymizer("0b1f")
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[int64]telemetry.Provider{10: p, 17: telemetry.Exact(p)} {
		inventory, err := telemetry.NewInventory(0, p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := inventory.Collect(t.Context(), names); err != nil || got[0].Value.Integer() != want {
			t.Errorf("got %v, %v, want %d", got, err, want)
		}
	}
}
