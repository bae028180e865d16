// SPDX-License-Identifier: Apache-2.0

package catalogue_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
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

// What the plan says of the inventory is what the providers say.
func TestInventoryIsFresh(t *testing.T) {
	var providers []telemetry.Provider
	for _, p := range kube.Environment(nil) {
		providers = append(providers, p)
	}
	inventory, err := telemetry.NewInventory(0, providers...)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.MarshalIndent(inventory.Properties(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("inventory.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("inventory.json"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("inventory.json is stale (%v): run make generate", err)
	}
}

// The view of the inventory has each metric, typed, by the name that its column would have.
func TestViewIsFresh(t *testing.T) {
	const file = "../../docs/analysis/inventory/columns.sql"
	var b strings.Builder
	b.WriteString("-- SPDX-License-Identifier: Apache-2.0\n--\n" +
		"-- What clusters were like, with a column for each metric, for DuckDB: read it after ../views.sql. Sets and counts are JSON, such as\n" +
		"-- node_architectures ->> '$.arm64'. Where a metric has no value, the column of its outcome says why. Generated from the tracking plan.\n" +
		"CREATE OR REPLACE TEMP VIEW inventory AS\nSELECT\n  message_id, timestamp, cluster_id_hash, konflux_version, kubernetes_version")
	for _, p := range catalogue.Plan().Event(catalogue.Inventory).Properties {
		if !p.PayloadOnly && !slices.ContainsFunc(catalogue.Plan().Event(catalogue.Inventory).Properties, func(o telemetry.PropertySpec) bool { return o.Name == p.Name+"Outcome" }) {
			continue // every event has it
		}
		value := "payload ->> '$.properties." + p.Name + "'"
		if as := map[telemetry.Type]string{telemetry.TypeInteger: "BIGINT", telemetry.TypeBoolean: "BOOLEAN"}[p.Type]; as != "" {
			value = "CAST(" + value + " AS " + as + ")"
		}
		fmt.Fprintf(&b, ",\n  %s AS %s", value, snake(p.Name))
	}
	b.WriteString("\nFROM events\nWHERE event = '" + catalogue.Inventory + "';\n")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is stale: run make generate", file)
	}
}

// snake turns platformCloud into platform_cloud.
func snake(camel string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(camel, "${1}_${2}"))
}
