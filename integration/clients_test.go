// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/clients"
)

// A row is what another reader says is in a table: integers as float64, times as text.
type row = map[string]any

// queryDuckDB runs the statements in a fresh DuckDB, and returns the rows of each that has a result.
func queryDuckDB(t *testing.T, statements string) [][]row {
	t.Helper()
	var results [][]row
	for line := range bytes.Lines(runClient(t, "query.mjs", statements)) {
		var rows []row
		if err := json.Unmarshal(line, &rows); err != nil {
			t.Fatalf("DuckDB printed %.200q: %v", line, err)
		}
		results = append(results, rows)
	}
	return results
}

// readHyparquet reads Parquet files, from paths or URLs, without what is null.
func readHyparquet(t *testing.T, files ...string) []row {
	t.Helper()
	var rows []row
	for line := range bytes.Lines(runClient(t, "read.mjs", "", files...)) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("hyparquet printed %.200q: %v", line, err)
		}
		rows = append(rows, r)
	}
	return rows
}

// runClient runs a script of the folder clients and returns what it prints.
func runClient(t *testing.T, script, stdin string, args ...string) []byte {
	t.Helper()
	cmd := clients.Command(t, script, args...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out
}
