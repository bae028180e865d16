// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("image: x\nui-namespace: y\nleader-election: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unread := "--kubeconfig=" + filepath.Join(dir, "none")
	for name, test := range map[string]struct {
		args []string
		env  string
		code int
		says string
	}{
		"no image":               {args: []string{unread}, code: cli.ExitUsage, says: "--image is required, environment variable SEGMENT_BRIDGE_IMAGE"},
		"from a flag":            {args: []string{unread, "--image=x"}, code: cli.ExitUsage, says: "read the kubeconfig"},
		"from the environment":   {args: []string{unread}, env: "x", code: cli.ExitUsage, says: "read the kubeconfig"},
		"from the file":          {args: []string{unread, "--config=" + config}, code: cli.ExitUsage, says: "read the kubeconfig"},
		"an argument of the job": {args: []string{"--stage=x"}, code: cli.ExitUsage, says: "unknown flag: --stage"},
		"version":                {args: []string{"version"}, code: cli.ExitDone, says: "segment-bridge-operator dev (commit unknown)"},
		"help":                   {args: []string{"--help"}, code: cli.ExitDone, says: "docs/operator.md"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := cli.Execute(t.Context(), command(&out, &out, func(name string) (string, bool) {
				return test.env, name == "SEGMENT_BRIDGE_IMAGE"
			}), test.args)
			if code != test.code || !strings.Contains(out.String(), test.says) {
				t.Errorf("exit code %d, want %d; it says %q, want %q", code, test.code, out.String(), test.says)
			}
		})
	}
}

// That the lead is lost is an error, unless the program was told to end.
func TestEnding(t *testing.T) {
	var out bytes.Buffer
	told, tell := context.WithCancel(t.Context())
	log := slog.New(ending{slog.NewTextHandler(&out, nil), told}).With("a", 1).WithGroup("g")
	lost := errors.New("leader election lost")
	log.Error("stopped", "err", lost)
	if !strings.Contains(out.String(), "a=1 g.err=") {
		t.Errorf("it says %q of a lead that it lost", out.String())
	}
	tell()
	out.Reset()
	log.Error("stopped", "err", lost)
	if out.Len() > 0 {
		t.Errorf("it says %q of a lead that it gave up", out.String())
	}
	log.Error("stopped", "err", errors.New("another"))
	if !strings.Contains(out.String(), "another") {
		t.Errorf("it says %q of another error", out.String())
	}
}
