// SPDX-License-Identifier: Apache-2.0

package dir

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func testNames(t testing.TB) *telemetry.Pseudonymizer {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("0f8fad5b-d9cb-469f-a165-70867728950e")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A folder maps the paths of files to what they hold.
type folder map[string]string

func (f folder) write(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range f {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// read returns the UIDs of what a source passes on, in order.
func read(t *testing.T, path string) (uids string, stats extract.Stats, err error) {
	t.Helper()
	var all []string
	err = New(path, testNames(t)).Extract(t.Context(), record.Window{}, &stats, func(r record.Record) error {
		all = append(all, uidOf(r))
		return nil
	})
	return strings.Join(all, " "), stats, err
}

func uidOf(r record.Record) string {
	switch r := r.(type) {
	case *record.PipelineRun:
		return r.UID.String()
	case *record.Component:
		return r.UID.String()
	case *record.Namespace:
		return r.UID.String()
	case *record.Installation:
		return r.UID.String()
	default:
		return "?"
	}
}

// tenant is a namespace in JSON, bare the same without its kind.
func tenant(uid string) string {
	return `{"apiVersion":"v1","kind":"Namespace",` + bare(uid)[1:]
}

func bare(uid string) string {
	return `{"metadata":{"uid":"` + uid + `","name":"secret","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"konflux-ci.dev/type":"tenant"}}}`
}

// tenantYAML is the same in YAML, with a text that looks like markers.
func tenantYAML(uid string) string {
	return `apiVersion: v1
kind: Namespace
metadata:
  annotations:
    text: |
      ---
      ...
      --- not a marker
  creationTimestamp: 2026-01-01T00:00:00Z
  labels: {konflux-ci.dev/type: tenant}
  name: secret
  uid: ` + uid + "\n"
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestShapes(t *testing.T) {
	row := func(value string) string {
		return `{"name":"secret/results/x/records/y","data":{"type":"tekton.dev/v1.PipelineRun","value":` + value + `}}`
	}
	run := `{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"uid":"run","namespace":"secret"}}`
	encoded := `"` + base64.StdEncoding.EncodeToString([]byte(run)) + `"`
	tests := map[string]struct {
		files folder
		want  string
	}{
		"object":           {folder{"a.json": tenant("a")}, "a"},
		"byte order mark":  {folder{"a.json": "\uFEFF" + tenant("a")}, "a"},
		"lines":            {folder{"a.ndjson": tenant("a") + "\n" + tenant("b") + "\n", "b.jsonl": tenant("c")}, "a b c"},
		"list":             {folder{"a.json": `{"kind":"List","items":[` + tenant("a") + `,` + tenant("b") + `]}`}, "a b"},
		"typed list":       {folder{"a.json": `{"kind":"NamespaceList","apiVersion":"v1","items":[` + bare("a") + `,` + bare("b") + `]}`}, "a b"},
		"array":            {folder{"a.json": `[` + tenant("a") + `,` + tenant("b") + `]`}, "a b"},
		"other kinds":      {folder{"a.json": `{"apiVersion":"v1","kind":"Secret","data":{"value":"x"}} ` + tenant("a") + ` {"name":"x"}`}, "a"},
		"page, snake case": {folder{"a.json": `{"records":[` + row(encoded) + `],"next_page_token":"x"}`}, "run"},
		"page, camel case": {folder{"a.json": `{"records":[` + row(encoded) + `],"nextPageToken":"x"}`}, "run"},
		"page, decoded":    {folder{"a.json": `{"records":[` + row(run) + `]}`}, "run"},
		"page in YAML":     {folder{"a.yaml": "records:\n- data:\n    type: tekton.dev/v1.PipelineRun\n    value: " + encoded + "\n"}, "run"},
		"gzip":             {folder{"a.json.gz": zipped(t, tenant("a")), "b.yaml.gz": zipped(t, tenantYAML("b"))}, "a b"},
		"capitals":         {folder{"A.JSON": tenant("a"), "B.Yaml": tenantYAML("b")}, "a b"},
		"YAML":             {folder{"a.yaml": tenantYAML("a"), "b.yml": tenantYAML("b")}, "a b"},
		"YAML documents":   {folder{"a.yaml": "---\n" + tenantYAML("a") + "--- # two\n" + tenantYAML("b") + "---\n---\n" + tenantYAML("c") + "---"}, "a b c"},
		"YAML with ends":   {folder{"a.yaml": "%YAML 1.1\n# one\n---\n" + tenantYAML("a") + "...\n" + tenantYAML("b") + "...\n%YAML 1.1\n---\n" + tenantYAML("c")}, "a b c"},
		"YAML in one line": {folder{"a.yaml": "--- " + tenant("a") + "\n--- " + tenant("b") + "\n"}, "a b"},
		"YAML from DOS":    {folder{"a.yaml": strings.ReplaceAll(tenantYAML("a")+"---\n"+tenantYAML("b"), "\n", "\r\n")}, "a b"},
		"YAML list": {folder{"a.yaml": "apiVersion: v1\nitems:\n- metadata: {uid: a, name: secret, creationTimestamp: \"2026-01-01T00:00:00Z\", " +
			"labels: {konflux-ci.dev/type: tenant}}\nkind: NamespaceList\n"}, "a"},
		"nothing":      {folder{"a.json": "", "b.yaml": "", "c.yaml": "# comment\n"}, ""},
		"order":        {folder{"b/a.json": tenant("2"), "a/z.json": tenant("1"), "b.json": tenant("3"), "c.json": tenant("4")}, "1 2 3 4"},
		"other files":  {folder{"a.json": tenant("a"), "a.log": "x", "json": "x", "b.gz": "x", "c.json.bak": "x"}, "a"},
		"a long line":  {folder{"a.yaml": "# " + strings.Repeat("x", 100_000) + "\n---\n" + tenantYAML("a")}, "a"},
		"many objects": {folder{"a.json": strings.Repeat(tenant("a"), 2000)}, strings.TrimSpace(strings.Repeat("a ", 2000))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, stats, err := read(t, test.files.write(t))
			if err != nil || got != test.want {
				t.Errorf("got %.100q, %v, want %.100q", got, err, test.want)
			}
			if stats.Invalid != 0 {
				t.Errorf("%d objects are invalid", stats.Invalid)
			}
		})
	}
}

func TestBrokenFiles(t *testing.T) {
	const rest = "; the others were read; files are numbered in the order of their paths"
	tests := map[string]struct {
		files folder
		want  string
		hint  string
	}{
		"not JSON": {
			folder{"a.json": tenant("a"), "secret.json": tenant("b") + ` secret`, "z.json": tenant("c")},
			"a b c",
			"file 2 of 3 is not JSON at byte " + strconv.Itoa(len(tenant("b"))+1) + rest,
		},
		"half an object": {folder{"a.json": `{"kind":"secret`, "b.json": tenant("b")}, "b", "file 1 of 2 ends too early, after 15 bytes" + rest},
		"too deep":       {folder{"a.json": strings.Repeat("[", 100)}, "", "file 1 of 1 ends too early, after 100 bytes" + rest},
		"not YAML": {
			folder{"a.yaml": tenantYAML("a") + "---\nsecret: 1\n  secret: [\n", "b.yaml": tenantYAML("b")},
			"a b",
			"file 1 of 2 is not YAML at line 15" + rest,
		},
		"not gzip":       {folder{"a.json.gz": "secret", "b.json": tenant("b")}, "b", "file 1 of 2 is not gzip" + rest},
		"half of a gzip": {folder{"a.json.gz": zipped(t, tenant("a")+strings.Repeat(" ", 1<<20))[:700]}, "a", "file 1 of 1 ends too early, after "},
		"many": {
			folder{"1.json": "x", "2.json": "x", "3.json": "x", "4.json": "x", "5.json": "x", "6.json": "x", "7.json": "x", "8.json": tenant("a")},
			"a",
			"file 1 of 8 is not JSON at byte 0; file 2 of 8 is not JSON at byte 0; file 3 of 8 is not JSON at byte 0; file 4 of 8 is not JSON at byte 0; " +
				"file 5 of 8 is not JSON at byte 0; and 2 more" + rest,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := read(t, test.files.write(t))
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			checkFailure(t, err, test.hint)
		})
	}
}

// checkFailure wants an error whose hint begins so.
func checkFailure(t *testing.T, err error, hint string) {
	t.Helper()
	failure, ok := errors.AsType[*extract.Error](err)
	if !ok || failure.Outcome != record.OutcomeError || !strings.HasPrefix(failure.Hint, hint) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got  %v\nwant %s", err, hint)
	}
}

func TestNothingToRead(t *testing.T) {
	root := folder{"secret.log": "x", "a/secret.txt": "x"}.write(t)
	for path, hint := range map[string]string{
		filepath.Join(root, "missing-secret"): "the file or folder does not exist",
		root:                                  "none of the 2 files there ends in .json, .ndjson, .jsonl, .yaml, .yml, with or without .gz",
		filepath.Join(root, "secret.log"):     "none of the 1 files there ends in",
		t.TempDir():                           "none of the 0 files there ends in",
	} {
		_, _, err := read(t, path)
		checkFailure(t, err, hint)
	}
}

func TestOneFile(t *testing.T) {
	root := folder{"a/a.json": tenant("a"), "b/b.json": tenant("b")}.write(t)
	link := filepath.Join(root, "b", "link.json")
	if err := os.Symlink(filepath.Join(root, "a", "a.json"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(root, "a", "a.json"), link} {
		if got, _, err := read(t, path); got != "a" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestLinks has links of all sorts in a folder: only those to files below are followed.
func TestLinks(t *testing.T) {
	outside := folder{"out.json": tenant("outside"), "more/out.json": tenant("outside")}.write(t)
	root := folder{"data/a.json": tenant("a"), "b.json": tenant("b")}.write(t)
	for link, target := range map[string]string{
		"1.json":          "data/a.json",
		"data/2.json":     "../b.json",
		"3.json":          filepath.Join(outside, "out.json"),
		"4.json":          "../" + filepath.Base(outside) + "/out.json",
		"5.json":          "missing.json",
		"6.json":          "6.json",
		"folder":          "data",
		"folder.json":     "data",
		"outside":         filepath.Join(outside, "more"),
		"data/up-and-out": "..",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if got, _, err := read(t, root); err != nil || got != "a b b a" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, _, err := read(t, filepath.Join(root, "folder")); err != nil || got != "a" {
		t.Errorf("a linked folder makes %q, %v", got, err)
	}
}

func TestStops(t *testing.T) {
	root := folder{"a.json": tenant("a") + tenant("b"), "b.json": tenant("c")}.write(t)
	var stats extract.Stats
	full := errors.New("disk is full")
	err := New(root, testNames(t)).Extract(t.Context(), record.Window{}, &stats, func(record.Record) error { return full })
	if !errors.Is(err, full) || stats.Objects != 1 {
		t.Errorf("got %v after %d objects", err, stats.Objects)
	}

	ctx, cancel := context.WithCancel(t.Context())
	err = New(root, testNames(t)).Extract(ctx, record.Window{}, &stats, func(record.Record) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

func TestStats(t *testing.T) {
	files := folder{"a.json": tenant("a") + ` {"kind":"Pod"} 5`, "b.json.gz": zipped(t, tenant("b"))}
	_, stats, err := read(t, files.write(t))
	want := extract.Stats{Objects: 4, Invalid: 1, Bytes: int64(len(files["a.json"]) + len(tenant("b")))}
	if err != nil || stats != want {
		t.Errorf("got %+v, %v, want %+v", stats, err, want)
	}
}

// TestSampleCluster reads the folder of a whole cluster and wants each object of it
// once and each stored run once.
func TestSampleCluster(t *testing.T) {
	cluster := samplecluster.New(samplecluster.Config{Runs: 60})
	root := t.TempDir()
	if err := cluster.WriteDir(root); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{cluster.Installation.UID: 1}
	for _, tenant := range cluster.Tenants {
		want[tenant.UID]++
	}
	for _, component := range cluster.Components {
		want[component.UID]++
	}
	for run := range cluster.Runs() {
		if !run.Pruned {
			want[run.UID]++
		}
		if run.Stored {
			want[run.UID]++
		}
	}
	got := map[string]int{}
	var stats extract.Stats
	err := New(root, testNames(t)).Extract(t.Context(), record.Window{}, &stats, func(r record.Record) error {
		got[uidOf(r)]++
		return nil
	})
	if err != nil || stats.Invalid != 0 || !maps.Equal(got, want) {
		t.Errorf("got %d objects (%d invalid) in place of %d, %v", len(got), stats.Invalid, len(want), err)
	}
}
