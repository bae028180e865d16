// SPDX-License-Identifier: Apache-2.0

package catalogue_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

var update = flag.Bool("update", false, "write the generated files")

// The data dictionary is generated from the plan; a stale one fails here.
func TestDictionaryIsFresh(t *testing.T) {
	plan := catalogue.Plan()
	for file, want := range map[string][]byte{
		"../PLAN.md":          plan.Markdown(),
		"../plan.schema.json": plan.JSONSchema(),
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run make generate", file)
		}
	}
}

// Every source has its property in the heartbeat: a new source cannot be forgotten.
func TestEverySourceHasAHeartbeatProperty(t *testing.T) {
	heartbeat := catalogue.Plan().Event(catalogue.Heartbeat)
	listed := map[string]bool{}
	for _, p := range heartbeat.Properties {
		listed[p.Name] = true
	}
	for _, word := range (record.SourceName{}).Words() {
		var source record.SourceName
		if err := source.UnmarshalText([]byte(word)); err != nil {
			t.Fatal(err)
		}
		if property := catalogue.SourceProperty(source); !listed[property] {
			t.Errorf("source %s: property %q is not in the heartbeat", word, property)
		}
	}
}
