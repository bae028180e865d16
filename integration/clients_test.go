// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
	path, err := filepath.Abs(filepath.Join("clients", script))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{path}, args...)...)
	cmd.Dir, cmd.Stdin, cmd.Stderr = installClients(t), strings.NewReader(stdin), t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out
}

// installClients installs what clients/package-lock.json says into the cache, once for each such file, and returns
// the folder.
func installClients(t *testing.T) string {
	t.Helper()
	hash := sha256.New()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("clients", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
		fmt.Fprintf(hash, "%d %s", len(text), text)
	}
	cache := os.Getenv("SEGMENT_BRIDGE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "segment-bridge")
	}
	folder := filepath.Join(cache, "clients", fmt.Sprintf("%x", hash.Sum(nil)[:8]))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "installing-") //nolint:usetesting // it is renamed, which takes one file system
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir, cmd.Stdout, cmd.Stderr = fresh, t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("npm ci: %v: it needs node, npm and a registry; `make install` installs the first two", err)
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, missing := os.Stat(folder); missing != nil { // no other process was faster
			t.Fatal(err)
		}
	}
	return folder
}
