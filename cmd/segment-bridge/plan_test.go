// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

func TestPlanDiff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	written := func(text string) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	plan := catalogue.Plan()
	code, text, stderr := try(t, nil, "plan", "--format", "json")
	if code != cli.ExitDone || text != string(plan.JSON()) {
		t.Fatalf("plan: exit code %d\n%s", code, stderr)
	}
	for _, test := range []struct {
		old, want string
		code      int
	}{
		{text, "Nothing changed.", cli.ExitDone},
		{strings.Replace(text, `"name": "taskCount"`, `"name": "taskNumber"`, 1), "## Added\n\n- `taskCount` of PipelineRun Started\n  - is: integer, tasks. Tells how large pipelines are.", cli.ExitDone},
		{"{}x", "write it with plan --format json", cli.ExitUsage},
	} {
		code, stdout, stderr := try(t, nil, "plan", "--diff", written(test.old))
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("exit code %d, want %d and %q in:\n%s%s", code, test.code, test.want, stdout, stderr)
		}
	}
	if code, _, _ := try(t, nil, "plan", "--diff", file+".missing"); code != cli.ExitUsage {
		t.Errorf("a file that is missing: exit code %d", code)
	}
	if code, _, _ := try(t, nil, "plan", "--format", "json", "--diff", file); code != cli.ExitUsage {
		t.Errorf("--format with --diff: exit code %d", code)
	}
}
