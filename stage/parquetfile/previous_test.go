// SPDX-License-Identifier: Apache-2.0

package parquetfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// Every column that the first release wrote is still there, under its name and of its type.
func TestColumnsStay(t *testing.T) {
	files, err := filepath.Glob("../../integration/testdata/previous/v1/events/*/*/*.parquet")
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v", files, err)
	}
	fields := func(data []byte) map[string]string {
		file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		columns := map[string]string{}
		for _, f := range file.Schema().Fields() {
			columns[f.Name()] = f.Type().String()
			if f.Optional() {
				columns[f.Name()] += ", optional"
			}
		}
		return columns
	}
	first, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	before, now := fields(first), fields(write(t, catalogue.Plan(), nil))
	for name, kind := range before {
		if now[name] != kind {
			t.Errorf("column %s was %s and is %q", name, kind, now[name])
		}
	}
	if len(now) <= len(before) {
		t.Errorf("there are %d columns, and there were %d: the file tells nothing of older ones", len(now), len(before))
	}
}
