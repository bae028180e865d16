// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
)

func TestRetentionUsage(t *testing.T) {
	place := "file://" + t.TempDir()
	for _, test := range []struct{ args, want string }{
		{"compact", "--stage is required"},
		{"compact --stage " + place + " --after -1h", "cannot be negative"},
		{"compact --stage " + place + " --grace soon", "invalid argument"},
		{"compact --stage ftp://x", "file://"},
		{"expire --older-than 2000h", "--stage is required"},
		{"expire --stage " + place, "--older-than is required"},
		{"expire --stage " + place + " --older-than 24h", "less than 8 days"},
		{"expire --stage " + place + " --older-than 2027-01-01", "less than 8 days"},
		{"expire --stage " + place + " --older-than 2000h --grace -1s", "cannot be negative"},
		{"replay --stage " + place + " --rejected --force", "exclude each other"},
		{"replay --stage " + place + " --force", "--since is required"},
	} {
		code, _, stderr := try(t, nil, strings.Fields(test.args)...)
		if code != cli.ExitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d, want 2 and %q in:\n%s", test.args, code, test.want, stderr)
		}
	}
}

// Three days of staging and delivering, then compaction and expiry from the command
// line.
func TestCompactAndExpire(t *testing.T) {
	dir := t.TempDir()
	sample := samplecluster.New(samplecluster.Config{Seed: 7, Now: noon, Runs: 20})
	if err := sample.WriteDir(filepath.Join(dir, "cluster")); err != nil {
		t.Fatal(err)
	}
	receiver := segmenttest.New(segmenttest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	env := map[string]string{
		"SEGMENT_WRITE_KEY": segmenttest.Key, "SEGMENT_BATCH_API": address + "/v1/batch", "CLUSTER_ID": sample.ID,
		"SEGMENT_BRIDGE_STAGE": "file://" + filepath.Join(dir, "stage"),
	}
	do := func(args ...string) (s summary, stdout string) {
		t.Helper()
		code, stdout, stderr := try(t, env, args...)
		text := stdout
		if strings.Contains(strings.Join(args, " "), "expire") && strings.Contains(strings.Join(args, " "), "--dry-run") {
			text = stderr
		}
		if err := json.Unmarshal([]byte(text), &s); code != 0 || err != nil || !s.OK {
			t.Fatalf("%s: exit code %d, %v\n%s%s", args, code, err, stdout, stderr)
		}
		return s, stdout
	}
	for _, until := range []string{"2026-01-04T10:00:00Z", "2026-01-04T11:00:00Z", "2026-01-05T10:00:00Z", "2026-01-06T10:00:00Z"} {
		if s, _ := do("run", "--source", "dir:"+filepath.Join(dir, "cluster"), "--since", "2026-01-01", "--until", until); s.Staged.Batch == "" {
			t.Fatalf("nothing is staged until %s: %+v", until, s.Staged)
		}
	}
	count := func() (n int) {
		t.Helper()
		err := filepath.WalkDir(filepath.Join(dir, "stage", "v1"), func(_ string, d os.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(d.Name(), "2026") { // batches, as opposed to what was found out about the store
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := len(receiver.Events())
	if count() != 16 {
		t.Fatalf("%d objects, want 4 batches of 4", count())
	}
	want := stage.Compacted{Days: 1, Replaced: 2, Merged: 1, Removed: 8}
	for _, args := range []string{"compact --grace 0 --dry-run", "compact --grace 0"} {
		s, _ := do(strings.Fields(args)...)
		want.Events, want.Bytes = s.Compacted.Events, s.Compacted.Bytes
		if *s.Compacted != want || want.Events == 0 || want.Bytes == 0 {
			t.Errorf("%s: %+v", args, s.Compacted)
		}
	}
	if s, _ := do("compact"); *s.Compacted != (stage.Compacted{}) || count() != 11 {
		t.Errorf("compacted again: %+v, %d objects", s.Compacted, count())
	}
	if do("load"); len(receiver.Events())+len(receiver.Duplicates()) != all {
		t.Error("compaction made a load send something")
	}
	s, stdout := do("expire", "--older-than", "2026-01-07", "--dry-run")
	if *s.Expired != (stage.Expired{Batches: 2, Objects: 7, Bytes: s.Expired.Bytes}) || strings.Count(stdout, "\n") != 7 || count() != 11 {
		t.Errorf("dry run: %+v, %d objects\n%s", s.Expired, count(), stdout)
	}
	if s, _ := do("expire", "--older-than", "2026-01-07"); s.Expired.Batches != 2 || count() != 4 {
		t.Errorf("expired %+v, %d objects are left", s.Expired, count())
	}
}

// What Segment refuses is sent again, once it is fixed, and only then.
func TestReplayRejected(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "one.json"), []byte(`{"apiVersion":"v1","kind":"List","items":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	receiver := segmenttest.New(segmenttest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	env := map[string]string{
		"SEGMENT_WRITE_KEY": segmenttest.Key, "SEGMENT_BATCH_API": address + "/v1/batch", "CLUSTER_ID": "c",
		"SEGMENT_BRIDGE_STAGE": "file://" + filepath.Join(dir, "stage"),
	}
	for _, step := range []struct {
		args                string
		refuse              bool
		delivered, rejected int64
	}{
		{"run --source dir:" + dir + "/one.json --since 2026-01-01", true, 0, 1},
		{"load", false, 0, 0},
		{"replay --rejected", true, 0, 1},
		{"replay --rejected --until 2025-01-01", false, 0, 0},
		{"replay --rejected", false, 1, 0},
		{"replay --rejected", false, 0, 0},
	} {
		receiver.Refuse(func(segmenttest.Event) bool { return step.refuse })
		code, stdout, stderr := try(t, env, strings.Fields(step.args)...)
		var s summary
		if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil || len(s.Destinations) != 1 ||
			s.Destinations[0].Delivered != step.delivered || s.Destinations[0].Rejected != step.rejected {
			t.Errorf("%s: exit code %d, %v, %+v\n%s", step.args, code, err, s.Destinations, stderr)
		}
	}
	if len(receiver.Events()) != 1 || len(receiver.Duplicates()) > 0 {
		t.Errorf("%d events, %d again", len(receiver.Events()), len(receiver.Duplicates()))
	}
}
