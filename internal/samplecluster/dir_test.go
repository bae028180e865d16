// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestWriteDir(t *testing.T) {
	t.Parallel()
	c, dir := New(Config{}), t.TempDir()
	if err := c.WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	want, wantStored := map[string]int{}, map[string]int{}
	for object := range c.Objects() {
		want[object.UID]++
	}
	for record := range c.Records() {
		wantStored[record.Object.UID]++
	}

	got, stored, shapes := map[string]int{}, map[string]int{}, map[string]int{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count := got
		if entry.Name() == "records.json" {
			count = stored
		}
		shapes[filepath.Ext(path)]++
		for _, uid := range uidsIn(t, path, text) {
			count[uid]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(shapes)
	if !maps.Equal(got, want) {
		t.Errorf("files hold %d objects, want the cluster's %d, each once", len(got), len(want))
	}
	if !maps.Equal(stored, wantStored) {
		t.Errorf("the saved page holds %d runs, want the %d in Tekton Results, each once", len(stored), len(wantStored))
	}
	if shapes[".yaml"] < singleRuns || shapes[".json"] < 15 || shapes[".ndjson"] != 1 {
		t.Errorf("files by ending: %v", shapes)
	}
}

// uidsIn reads a file without the help of the code that wrote it.
func uidsIn(t *testing.T, path string, text []byte) (uids []string) {
	t.Helper()
	type object struct{ Metadata struct{ UID string } }
	if strings.HasSuffix(path, ".yaml") {
		var single object
		if err := yaml.Unmarshal(text, &single); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return []string{single.Metadata.UID}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for decoder.More() {
		var file struct {
			object
			Items   []object
			Records []struct{ Data struct{ Value []byte } }
		}
		if err := decoder.Decode(&file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if uid := file.Metadata.UID; uid != "" {
			uids = append(uids, uid)
		}
		for _, item := range file.Items {
			uids = append(uids, item.Metadata.UID)
		}
		for _, record := range file.Records {
			var run object
			if err := json.Unmarshal(record.Data.Value, &run); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			uids = append(uids, run.Metadata.UID)
		}
	}
	return uids
}
