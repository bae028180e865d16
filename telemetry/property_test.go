// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestPropertiesAsJSON(t *testing.T) {
	want := values(t)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got []telemetry.Property
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s is read as %v, %v, want %v", text, got, err, want)
	}
}

// values returns a property of each type but time, as a provider makes them.
func values(t *testing.T) []telemetry.Property {
	t.Helper()
	spec := func(name string, typ telemetry.Type, words ...string) telemetry.PropertySpec {
		return telemetry.PropertySpec{Name: name, Type: typ, Words: words, Reason: "r", Source: "s", Sensitivity: telemetry.SensitivityTechnical, Since: "1"}
	}
	version, err := telemetry.ParseVersion("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := telemetry.NewInventory(0, telemetry.NewProvider("p", []telemetry.PropertySpec{
		spec("integer", telemetry.TypeInteger), spec("boolean", telemetry.TypeBoolean), spec("word", telemetry.TypeEnum, "a"), spec("set", telemetry.TypeSet, "a", "b<"),
		spec("counts", telemetry.TypeCounts, "a", "b"), spec("version", telemetry.TypeVersion), spec("name", telemetry.TypePseudonym), spec("absent", telemetry.TypeInteger),
	}, func(_ context.Context, r *telemetry.Readings) error {
		r.Integer("integer", 7)
		r.Boolean("boolean", true)
		r.Word("word", "a")
		r.Set("set", "b<", "a")
		r.Counts("counts", map[string]int64{"a": 0, "b": 3})
		r.Version("version", version)
		r.Name("name", "secret-name")
		return context.DeadlineExceeded
	}))
	if err != nil {
		t.Fatal(err)
	}
	names, err := telemetry.NewPseudonymizer("cluster-1")
	if err != nil {
		t.Fatal(err)
	}
	properties, err := inventory.Collect(t.Context(), names)
	if err != nil || len(properties) != 8 {
		t.Fatalf("properties are %v, %v", properties, err)
	}
	return properties
}

func FuzzProperty(f *testing.F) {
	for _, seed := range []string{
		`{"name":"n","type":"integer","value":1}`, `{"name":"n","type":"set","value":["a"]}`, `{"name":"n","type":"counts","value":{"a":1}}`,
		`{"name":"n","type":"version","value":"secret name"}`, `{"name":"n","type":"pseudonym","value":"secret-name"}`, `{"name":"n","type":"time","value":"2026-03-01T12:00:00Z"}`,
		`{"name":"n","type":"","value":null}`, `{"name":"n","type":"boolean","value":[]}`, `{"name":"n","type":"integer","value":1e2}`, `{"name":"n","type":"set","value":[ "a" ]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var p, again telemetry.Property
		err := json.Unmarshal(text, &p)
		if err != nil {
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats what it read: %v", err)
			}
			return
		}
		written, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &again); err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%s is %+v, and %+v, %v, read again", text, p, again, err)
		}
	})
}
