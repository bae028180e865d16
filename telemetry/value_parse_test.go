// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestParseText(t *testing.T) {
	for _, test := range []struct {
		spec telemetry.PropertySpec
		text string
		want bool
	}{
		{telemetry.PropertySpec{Type: telemetry.TypePseudonym}, "2e7d2c03a950", true},
		{telemetry.PropertySpec{Type: telemetry.TypePseudonym}, "2E7D2C03A950", false},
		{telemetry.PropertySpec{Type: telemetry.TypePseudonym}, "", false},
		{telemetry.PropertySpec{Type: telemetry.TypePseudonym}, "team-a-tenan", false},
		{telemetry.PropertySpec{Type: telemetry.TypeEnum, Words: []string{"build", "test"}}, "test", true},
		{telemetry.PropertySpec{Type: telemetry.TypeEnum, Words: []string{"build", "test"}}, "team-a", false},
		{telemetry.PropertySpec{Type: telemetry.TypeVersion}, "v1.36.3", true},
		{telemetry.PropertySpec{Type: telemetry.TypeVersion}, "", false},
		{telemetry.PropertySpec{Type: telemetry.TypeVersion}, "team-a", false},
		{telemetry.PropertySpec{Type: telemetry.TypeSet, Words: []string{"a", "b"}}, `["a","b"]`, true},
		{telemetry.PropertySpec{Type: telemetry.TypeSet, Words: []string{"a", "b"}}, `["b","a"]`, false},
		{telemetry.PropertySpec{Type: telemetry.TypeSet, Words: []string{"a", "b"}}, `["team-a"]`, false},
		{telemetry.PropertySpec{Type: telemetry.TypeCounts, Words: []string{"a", "b"}}, `{"a":1}`, true},
		{telemetry.PropertySpec{Type: telemetry.TypeCounts, Words: []string{"a", "b"}}, `{"a":1,"team-a":2}`, false},
		{telemetry.PropertySpec{Type: telemetry.TypeCounts, Words: []string{"a", "b"}, Buckets: []int64{0, 10}}, `{"a":1}`, false},
		{telemetry.PropertySpec{Type: telemetry.TypeInteger}, "1", false},
	} {
		v, ok := test.spec.ParseText([]byte(test.text))
		if ok != test.want || ok && (v.String() != test.text || v.Type() != test.spec.Type) {
			t.Errorf("%s of %q: %q, %t", test.spec.Type, test.text, v, ok)
		}
	}
}

// Whatever the text is, a value is what the plan lists, and is written as it was read.
func FuzzParseText(f *testing.F) {
	f.Add("2e7d2c03a950")
	f.Add(`["a"]`)
	f.Add(`{"a":1,"a":2}`)
	f.Add("v1.2.3-x")
	f.Fuzz(func(t *testing.T, text string) {
		for _, spec := range []telemetry.PropertySpec{
			{Name: "p", Type: telemetry.TypePseudonym},
			{Name: "p", Type: telemetry.TypeEnum, Words: []string{"a", "b"}},
			{Name: "p", Type: telemetry.TypeVersion},
			{Name: "p", Type: telemetry.TypeSet, Words: []string{"a", "b"}},
			{Name: "p", Type: telemetry.TypeCounts, Words: []string{"a", "b"}, Buckets: []int64{0, 10}},
		} {
			if v, ok := spec.ParseText([]byte(text)); ok && (v.String() != text || v.Type() != spec.Type) {
				t.Errorf("%s of %q: %q", spec.Type, text, v)
			}
		}
	})
}
