// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

// A typo in the URL of the stage does not look like a success: whoever loads from a
// place where nothing is staged hears of it, and whoever loads what is staged does not.
func TestLoadFromNowhere(t *testing.T) {
	dir := t.TempDir()
	object := `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","uid":"u","creationTimestamp":"2026-01-15T11:00:00Z","labels":{"konflux-ci.dev/type":"tenant"}}}`
	if err := os.WriteFile(filepath.Join(dir, "namespace.json"), []byte(object), 0o600); err != nil {
		t.Fatal(err)
	}
	place := "file://" + filepath.Join(dir, "stage")
	if code, _, stderr := try(t, nil, "run", "--source", "dir:"+dir, "--cluster-id", "c", "--since", "2026-01-15", "--stage", place); code != cli.ExitDone {
		t.Fatalf("run: exit code %d\n%s", code, stderr)
	}
	for stage, empty := range map[string]bool{"file://" + filepath.Join(dir, "stages"): true, place: false} {
		for _, command := range [][]string{{"load"}, {"load", "--dry-run"}, {"load"}, {"replay", "--rejected"}} { // the second load has nothing to do either
			code, stdout, stderr := try(t, nil, append(command, "--stage", stage, "--destination", "file:"+filepath.Join(dir, "events"))...)
			var s summary
			if !strings.Contains(strings.Join(command, " "), "dry") { // there it stands beside the events
				if err := json.Unmarshal([]byte(stdout), &s); err != nil || s.Empty != empty {
					t.Errorf("%q of %s: empty is %t, want %t (error %v)", command, stage, s.Empty, empty, err)
				}
			}
			if warned := strings.Contains(stderr, "nothing is staged here"); code != cli.ExitDone || warned != empty {
				t.Errorf("%q of %s: exit code %d, warned is %t, want %t\n%s", command, stage, code, warned, empty, stderr)
			}
		}
	}
}
