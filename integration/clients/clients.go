// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package clients has what others read and write with, to check ours against: Segment's own client for Node.js,
// DuckDB, and hyparquet. They come from npm, in the versions of package-lock.json.
package clients

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed package.json package-lock.json *.mjs
var files embed.FS

// Command is a command that runs a script of this folder, such as query.mjs, which says what it takes and prints.
func Command(tb testing.TB, script string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "node", append([]string{script}, args...)...)
	cmd.Dir = Install(tb)
	return cmd
}

// Install installs the clients into the cache, once for each change of this folder, and returns where they are.
func Install(tb testing.TB) string {
	tb.Helper()
	names, err := fs.Glob(files, "*")
	if err != nil {
		tb.Fatal(err)
	}
	hash := sha256.New()
	for _, name := range names {
		text := read(tb, name)
		fmt.Fprintf(hash, "%s %d %s", name, len(text), text)
	}
	cache := os.Getenv("SEGMENT_BRIDGE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			tb.Fatal(err)
		}
		cache = filepath.Join(user, "segment-bridge")
	}
	folder := filepath.Join(cache, "clients", fmt.Sprintf("%x", hash.Sum(nil)[:8]))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		tb.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "installing-") //nolint:usetesting // it is renamed, which takes one file system
	if err != nil {
		tb.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(fresh, name), read(tb, name), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	cmd := exec.CommandContext(tb.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir, cmd.Stdout, cmd.Stderr = fresh, tb.Output(), tb.Output()
	if err := cmd.Run(); err != nil {
		tb.Fatalf("npm ci: %v: it needs node, npm and a registry; `make install` installs the first two", err)
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, missing := os.Stat(folder); missing != nil { // no other process was faster
			tb.Fatal(err)
		}
	}
	return folder
}

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := files.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
