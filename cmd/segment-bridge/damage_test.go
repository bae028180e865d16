// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// Summary and doctor name what is damaged and say what to do, and runs go on.
func TestDamageIsNamed(t *testing.T) {
	for _, damaged := range []struct{ files, advice, doctor string }{
		{"v1/events/*/*/*", "leave it: the batch was delivered to file-", "fix"},
		{"v1/manifests/*/*", "leave it: the batch was delivered to file-", "fix"},
		{"v1/receipts/*/*/*", "", "ok"},
	} {
		dir := t.TempDir()
		sample := samplecluster.New(samplecluster.Config{Seed: 7, Now: noon, Runs: 20})
		if err := sample.WriteDir(filepath.Join(dir, "cluster")); err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"CLUSTER_ID": sample.ID, "SEGMENT_BRIDGE_STAGE": "file://" + filepath.Join(dir, "stage")}
		run := func(until string) (s summary) {
			t.Helper()
			code, stdout, stderr := try(t, env, "run", "--source", "dir:"+filepath.Join(dir, "cluster"), "--until", until, "--destination", "file:"+filepath.Join(dir, "out"))
			if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil || s.Staged.Batch == "" {
				t.Fatalf("exit code %d, %v, %s", code, err, stderr)
			}
			return s
		}
		run("2026-01-15T10:00:00Z")
		files, err := filepath.Glob(filepath.Join(dir, "stage", damaged.files))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if err := os.WriteFile(files[0], []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := run("2026-01-15T11:00:00Z")
		key, _ := filepath.Rel(filepath.Join(dir, "stage"), files[0])
		_, statuses, said := diagnose(t, env, "--source", "dir:"+dir)
		if damaged.doctor != statuses["stage, history"] || strings.Contains(said, key) != (damaged.doctor == "fix") {
			t.Errorf("%s: doctor says %s", key, said)
		}
		all := strings.Join(s.Damaged, "\n")
		if damaged.advice == "" && all != "" || !strings.Contains(all, damaged.advice) || damaged.advice != "" && !strings.Contains(all, key) {
			t.Errorf("%s: the summary says %q", key, all)
		}
	}
}
