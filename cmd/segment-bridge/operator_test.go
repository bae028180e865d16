// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

// The operator gets every argument as it was given, and one that is missing is a
// mistake for which the error says where it is to be had.
func TestOperator(t *testing.T) {
	path := filepath.Join(t.TempDir(), operatorProgram)
	t.Setenv("PATH", filepath.Dir(path))
	code, _, stderr := try(t, nil, "operator", "--image", "x")
	if code != cli.ExitUsage || !strings.Contains(stderr, "make build") || !strings.Contains(stderr, "image segment-bridge-operator:dev") {
		t.Errorf("without the program: exit code %d, %s", code, stderr)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var got []string
	p := program{stdout: t.Output(), stderr: t.Output(), getenv: os.LookupEnv, exec: func(path string, arguments, _ []string) error {
		got = append([]string{path}, arguments...)
		return errors.New("it is another system's")
	}}
	code = p.run(t.Context(), []string{"--log-level=debug", "operator", "--image", "x", "--config=none", "--help"})
	if want := []string{path, path, "--log-level=debug", "--image", "x", "--config=none", "--help"}; code != cli.ExitFailed || !slices.Equal(got, want) {
		t.Errorf("exit code %d, and it runs %q, want %q", code, got, want)
	}
	if _, help, _ := try(t, nil, "--help"); !strings.Contains(help, "operator    Install and watch") {
		t.Errorf("the help does not list it:\n%s", help)
	}
}
