// SPDX-License-Identifier: Apache-2.0

package binaries

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPathSaysWhatToDo(t *testing.T) {
	t.Setenv("SEGMENT_BRIDGE_CACHE", t.TempDir())
	for _, s := range Servers {
		path, key, err := Path(s.Name)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "run `make servers`") {
			t.Errorf("%s: %v, want a missing file and what to do", s.Name, err)
		}
		if filepath.Base(path) != s.Name+"-"+key || len(key) != 16 {
			t.Errorf("%s is kept as %s under the key %s", s.Name, path, key)
		}
	}
	if _, _, err := Path("another"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a server nobody knows: %v", err)
	}
}

func TestKeyHoldsAllThatABinaryDependsOn(t *testing.T) {
	t.Setenv("SEGMENT_BRIDGE_CACHE", t.TempDir())
	root := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "x", name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := Server{Name: "x", Folder: "x", Package: "example.com/x"}
	seen := map[string]string{}
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"nothing", func() { write("go.mod", "module x\n"); write("go.sum", "a\n") }},
		{"go.mod", func() { write("go.mod", "module y\n") }},
		{"go.sum", func() { write("go.sum", "b\n") }},
		{"a line moved between them", func() { write("go.mod", "module y\nb\n"); write("go.sum", "") }},
		{"a source of ours", func() { write("main.go", "package main\n") }},
		{"package", func() { server.Package = "example.com/x/y" }},
		{"stamp", func() { server.Stamp = "example.com/version" }},
	} {
		step.change()
		_, key, err := server.path(root)
		if err != nil {
			t.Fatal(err)
		}
		if _, again, err := server.path(root); err != nil || again != key {
			t.Errorf("after %s the key is %s and then %s, %v", step.name, key, again, err)
		}
		if other, found := seen[key]; found {
			t.Errorf("changing %s leaves the key of %s", step.name, other)
		}
		seen[key] = step.name
	}
}
