// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

var noon = time.Date(2026, time.January, 15, 12, 0, 0, 0, time.UTC)

// try runs the program with an environment of its own.
func try(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = program{
		stdout: &out, stderr: &errs, now: func() time.Time { return noon },
		getenv:         func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		terminationLog: "/nonexistent",
	}.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// A mistake of usage ends with exit code 2 and a sentence that says what to do.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stage := "file://" + dir + "/stage"
	for _, test := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{args: []string{"run"}, want: "--stage is required, environment variable SEGMENT_BRIDGE_STAGE"},
		{args: []string{"run", "--stage", stage, "--source", "dir:" + dir}, want: "--cluster-id is required with --source dir"},
		{args: []string{"run", "--stage", stage, "--source", "cluster"}, want: "use kube, inventory, results or dir:PATH"},
		{args: []string{"run", "--stage", stage, "--source", "dir:"}, want: "use kube, inventory, results or dir:PATH"},
		{args: []string{"run", "--stage", "ftp://x", "--source", "dir:" + dir, "--cluster-id", "c"}, want: "file://"},
		{args: []string{"run", "--stage", stage, "--destination", "kafka"}, want: "use segment, file:PATH or stdout"},
		{args: []string{"run", "--stage", stage, "--destination", "segment"}, want: "SEGMENT_WRITE_KEY"},
		{args: []string{"load", "--stage", stage, "--lease", "2h"}, want: "between 1s and 1h"},
		{args: []string{"run", "--stage", stage, "--since", "yesterday"}, want: "a span before now such as 24h"},
		{
			args: []string{"run", "--stage", stage, "--source", "dir:" + dir, "--cluster-id", "c", "--since", "2026-01-02", "--until", "2026-01-01"},
			want: "--since is not before --until",
		},
		{args: []string{"extract", "--out", dir, "--source", "dir:" + dir, "--cluster-id", "c", "--shard-index", "0"}, want: "without --shards"},
		{args: []string{"extract", "--out", dir, "--source", "dir:" + dir, "--cluster-id", "c", "--shards", "2", "--since", "2h"}, want: "--shard-index is required"},
		{args: []string{"extract", "--out", dir, "--source", "dir:" + dir, "--cluster-id", "c", "--shards", "2", "--since", "2h"}, env: map[string]string{"JOB_COMPLETION_INDEX": "0"}, want: "give both"},
		{
			args: []string{"extract", "--out", dir, "--source", "dir:" + dir, "--cluster-id", "c", "--shards", "2", "--since", "2h", "--until", "1h"},
			env:  map[string]string{"JOB_COMPLETION_INDEX": "2"}, want: "not below --shards 2",
		},
		{args: []string{"run", "--stage", stage, "--source", "dir:" + dir, "--cluster-id", "c", "--shards", "2"}, want: "give both"},
		{args: []string{"run", "--stage", stage, "--source", "dir:" + dir, "--cluster-id", "c", "--shards", "121", "--since", "2h"}, want: "a minute for each"},
		{args: []string{"run", "--stage", stage, "--no-such-flag"}, want: "unknown flag"},
		{args: []string{"run", "--stage", stage, "extra"}, want: "takes no arguments"},
		{args: []string{"run", "--stage", stage, "--config", filepath.Join(dir, "missing.yaml")}, want: "read configuration file"},
		{args: []string{"run", "--stage", stage, "--config", write("unknown.yaml", "stages: x\n")}, want: `unknown key \"stages\"`},
		{args: []string{"run", "--stage", stage, "--config", write("nested.yaml", "stage: {url: x}\n")}, want: `the value of \"stage\"`},
		{args: []string{"run", "--stage", stage, "--config", write("list.yaml", "- stage\n")}, want: "not a YAML mapping"},
		{args: []string{"run", "--stage", stage, "--config", write("rate.yaml", "rate: fast\n")}, want: "configuration file: not a valid value for rate"},
		{args: []string{"run", "--stage", stage, "--log-level", "loud"}, want: "use debug, info, warn or error"},
		{args: []string{"run", "--stage", stage, "--pseudonym-key-file", write("key", "short"), "--source", "dir:" + dir, "--cluster-id", "c"}, want: "at least 16"},
		{args: []string{"transform", "--stage", stage, "--in", dir}, want: "run extract"},
		{args: []string{"replay", "--stage", stage}, want: "--since is required"},
		{args: []string{"plan", "--format", "pdf"}, want: "use markdown, jsonschema or json"},
		{args: []string{"extract", "--out", dir, "--source", "results", "--cluster-id", "c"}, want: "address is empty"},
	} {
		code, _, stderr := try(t, test.env, test.args...)
		if code != cli.ExitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d, want 2 and %q in:\n%s", strings.Join(test.args, " "), code, test.want, stderr)
		}
	}
}

// Flags win over the environment, the environment over the file.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	text := "cluster-id: from-file\nsource: [\"dir:" + dir + "/a\", \"dir:" + dir + "/b\"]\nrate: 1000000\nout: " + dir + "/out\nstrict: true\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"file", nil, nil, "from-file"},
		{"environment", map[string]string{"CLUSTER_ID": "from-env"}, nil, "from-env"},
		{"empty environment", map[string]string{"CLUSTER_ID": ""}, nil, "from-file"},
		{"flag", map[string]string{"CLUSTER_ID": "from-env"}, []string{"--cluster-id", "from-flag"}, "from-flag"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := program{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, now: time.Now, getenv: func(name string) (string, bool) {
				value, ok := test.env[name]
				return value, ok
			}}
			root := p.root()
			c, _, err := root.Find([]string{"run"})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.ParseFlags(append([]string{"--config", config}, test.args...)); err != nil {
				t.Fatal(err)
			}
			if err := cli.Settle(c, p.getenv); err != nil {
				t.Fatal(err)
			}
			if got := c.Flags().Lookup("cluster-id").Value.String(); got != test.want {
				t.Errorf("cluster ID: %q, want %q", got, test.want)
			}
			if got, _ := c.Flags().GetStringSlice("source"); len(got) != 2 || got[1] != "dir:"+dir+"/b" {
				t.Errorf("sources: %q", got)
			}
			if got, _ := c.Flags().GetInt("rate"); got != 1e6 {
				t.Errorf("rate: %v", got)
			}
		})
	}
}

// The whole job over a folder, twice: the second run finds nothing new, a replay
// sends all again, and secrets are nowhere.
func TestRunOverFolder(t *testing.T) {
	dir := t.TempDir()
	sample := samplecluster.New(samplecluster.Config{Seed: 7, Now: noon, Runs: 50})
	if err := sample.WriteDir(filepath.Join(dir, "cluster")); err != nil {
		t.Fatal(err)
	}
	receiver := segmenttest.New(segmenttest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	out := filepath.Join(dir, "events.ndjson")
	env := map[string]string{"SEGMENT_WRITE_KEY": segmenttest.Key, "SEGMENT_BATCH_API": address + "/v1/batch", "CLUSTER_ID": sample.ID}
	args := []string{
		"run", "--source", "dir:" + filepath.Join(dir, "cluster"), "--stage", "file://" + filepath.Join(dir, "stage"),
		"--since", "2020-01-01T00:00:00Z", "--destination", "segment", "--destination", "file:" + out, "--log-level", "debug",
	}

	code, printed, stderr := try(t, env, append(args, "--dry-run")...)
	if code != 0 || len(receiver.Events()) > 0 || !strings.Contains(printed, `"batch":[{"type":"track"`) {
		t.Fatalf("dry run: exit code %d, %d events sent\n%s", code, len(receiver.Events()), stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "stage", "v1")); err == nil {
		t.Error("a dry run wrote to the stage")
	}

	code, stdout, stderr := try(t, env, args...)
	var s summary
	if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil || !s.OK {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	events := receiver.Events()
	if s.Staged.Events == 0 || int64(len(events)) != s.Staged.Events || s.Staged.Rejected > 0 {
		t.Errorf("staged %+v, received %d", s.Staged, len(events))
	}
	lines := readLines(t, out)
	if len(lines) != len(events) {
		t.Errorf("the file has %d lines, the receiver %d events", len(lines), len(events))
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) || !strings.Contains(line, `"type":"track"`) {
			t.Errorf("line is no track call: %s", line)
		}
	}
	for _, text := range []string{stdout, stderr, printed} {
		if strings.Contains(text, segmenttest.Key) || strings.Contains(text, sample.ID) || strings.Contains(text, samplecluster.Marker) {
			t.Errorf("a secret, the cluster's ID or a name was printed:\n%s", text)
		}
	}

	code, stdout, _ = try(t, env, args...)
	s = summary{}
	if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil || s.Staged.Events != 0 || s.Staged.Batch != "" {
		t.Errorf("second run: exit code %d, %+v", code, s.Staged)
	}
	if n := len(receiver.Events()) + len(receiver.Duplicates()); n != len(events) {
		t.Errorf("the second run sent %d events", n-len(events))
	}

	code, _, stderr = try(t, env, "replay", "--stage", "file://"+filepath.Join(dir, "stage"), "--since", "2025-12-01", "--force")
	if code != 0 || len(receiver.Duplicates()) != len(events) {
		t.Errorf("forced replay: exit code %d, %d of %d events came again\n%s", code, len(receiver.Duplicates()), len(events), stderr)
	}
}

// A broken file among good ones is an error, and costs none of the others' events.
func TestBrokenFile(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a.json": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","uid":"u","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"konflux-ci.dev/type":"tenant"}}}`,
		"b.json": "not JSON",
	} {
		if err := os.WriteFile(filepath.Join(in, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out.ndjson")
	code, stdout, _ := try(t, nil, "run", "--source", "dir:"+in, "--cluster-id", "c", "--stage", "file://"+dir+"/stage", "--since", "2026-01-01", "--destination", "file:"+out)
	if code != cli.ExitFailed || !strings.Contains(stdout, "file 2 of 2") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if lines := readLines(t, out); len(lines) != 2 || !strings.Contains(lines[0], "Namespace Created") || !strings.Contains(lines[1], `"dirOutcome":"error"`) {
		t.Errorf("got %q", lines)
	}
}

// The heartbeat's time is the end of the window.
func TestHeartbeatFollowsUntil(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "one.json"), []byte(`{"apiVersion":"v1","kind":"List","items":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.ndjson")
	code, stdout, stderr := try(t, nil, "run", "--source", "dir:"+dir+"/one.json", "--cluster-id", "c", "--stage", "file://"+dir+"/stage",
		"--since", "2026-01-01", "--until", "2026-01-02T03:04:05Z", "--destination", "file:"+out)
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	lines := readLines(t, out)
	if len(lines) != 1 || !strings.Contains(lines[0], `"timestamp":"2026-01-02T03:04:05Z"`) || !strings.Contains(lines[0], `-heartbeat-2026-01-02T03:04:05Z"`) {
		t.Errorf("got %q", lines)
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
