// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/plancheck"
)

// checkAnswers asks every query of docs/analysis.
func (a *analysis) checkAnswers(folder string, want map[string][]row) {
	a.t.Helper()
	const docs = "../docs/analysis"
	files, err := filepath.Glob(docs + "/*.sql")
	if err != nil || len(files) == 0 {
		a.t.Fatalf("no queries: %v", err)
	}
	script := "SET VARIABLE stage = '" + folder + "';\n" + read(a.t, docs+"/views.sql")
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		if name == "views" || name == "delivery" && want[name] == nil {
			continue
		}
		names = append(names, name)
		script += read(a.t, file)
	}
	// A query of what the earlier release had no column for.
	previous := oracle{clusterID: "previous"}.hash()
	script += "SELECT count(*) AS events FROM events WHERE cluster_id_hash = '" + previous + "' AND platform_distribution IS NULL;"
	want["of an earlier release"], names = []row{{"events": 21.0}}, append(names, "of an earlier release")
	if known := slices.Sorted(maps.Keys(want)); !slices.Equal(known, slices.Sorted(slices.Values(names))) {
		a.t.Fatalf("there are queries %q and answers %q", names, known)
	}
	for i, got := range queryDuckDB(a.t, script) {
		name := names[i]
		if len(got) == 0 {
			a.t.Errorf("%s: no rows", name)
		}
		for i := range max(len(got), len(want[name])) {
			if g, w := rowAt(got, i), rowAt(want[name], i); !reflect.DeepEqual(g, w) {
				a.t.Errorf("%s, row %d:\n got %v\nwant %v", name, i, g, w)
			}
		}
	}
}

func rowAt(rows []row, i int) row {
	if i < len(rows) {
		return rows[i]
	}
	return nil
}

var upper = regexp.MustCompile(`[A-Z]`)

// checkRows compares each row that hyparquet reads with the event it is to be.
func (a *analysis) checkRows() {
	a.t.Helper()
	rows := readHyparquet(a.t, a.dataFiles()...)
	if len(rows) != len(a.events) {
		a.t.Errorf("%d rows, want %d", len(rows), len(a.events))
	}
	for _, got := range rows {
		id := str(got, "message_id")
		e, ok := a.events[id]
		payload, _ := got["payload"].(string)
		delete(got, "payload")
		want := row{"message_id": id, "event": e.Event, "timestamp": millis(e.Timestamp)}
		for name, value := range e.Properties {
			if text, is := value.(string); is && strings.HasSuffix(name, "Time") {
				value = millis(text)
			}
			if e.Event == "Cluster Inventory" && !slices.Contains(inventoryColumns, name) {
				continue
			}
			if counts, is := value.(map[string]any); is {
				value = compact(a.t, counts)
			}
			if value != nil {
				want[upper.ReplaceAllStringFunc(name, func(c string) string { return "_" + strings.ToLower(c) })] = value
			}
		}
		if !ok || !reflect.DeepEqual(got, want) {
			a.t.Errorf("event %s:\n got %v\nwant %v", id, got, want)
		}
		call := decodeJSON(a.t, []byte(payload))
		if sent := decoded(a.t, []byte(payload)); !reflect.DeepEqual(get(sent, "properties"), any(e.Properties)) ||
			str(call, "messageId") != id || str(call, "event") != e.Event || str(call, "timestamp") != e.Timestamp || str(call, "context", "device", "id") != e.Device {
			a.t.Errorf("the payload of event %s is %s", id, payload)
		}
		if err := plancheck.Track([]byte(payload)); err != nil {
			a.t.Errorf("event %s: %v", id, err)
		}
	}
	a.t.Logf("%d rows are as expected", len(rows))
}

// inventoryColumns are those properties here that have a column of their own; the others are in the payload alone.
var inventoryColumns = []string{"clusterIdHash", "konfluxVersion", "kubernetesVersion", "platformDistribution", "openShiftVersion", "nodeCount", "nodeArchitectures"}

func compact(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// millis is a time as JavaScript writes it.
func millis(stamp string) string { return strings.TrimSuffix(stamp, "Z") + ".000Z" }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
