// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/dir"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
	"github.com/segment-bridge/segment-bridge/transform"
)

var update = flag.Bool("update", false, "write the golden files")

// The whole path of each kind on one page: the object as the cluster has it, the
// record that extract makes of it, and the events that transform makes of that.
func TestKinds(t *testing.T) {
	pages, err := filepath.Glob("testdata/kinds/*.txtar")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			archive, err := txtar.ParseFile(page)
			if err != nil {
				t.Fatal(err)
			}
			records, events := path(t, archive.Files[0].Data)
			want := &txtar.Archive{Comment: archive.Comment, Files: []txtar.File{
				archive.Files[0], {Name: "record.json", Data: records}, {Name: "event.json", Data: events},
			}}
			text := txtar.Format(want)
			if *update {
				if err := os.WriteFile(page, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(text, txtar.Format(archive)) {
				t.Errorf("%s is not what comes out now:\n%s", page, text)
			}
		})
	}
}

// path takes objects through extract and transform, and checks the events against
// the plan.
func path(t *testing.T, objects []byte) (records, events []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.ndjson")
	if err := os.WriteFile(file, objects, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := telemetry.NewPseudonymizer("cluster-1")
	if err != nil {
		t.Fatal(err)
	}
	window := record.Window{Since: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), Until: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	transformer := transform.New(transform.Config{Window: window, Cluster: names.Cluster()})
	var stats extract.Stats
	err = dir.New(file, names).Extract(t.Context(), window, &stats, func(r record.Record) error {
		records = appendIndented(t, records, r)
		return transformer.Record(r, func(e *telemetry.Event) error {
			track := e.Track(telemetry.Library{Name: "segment-bridge", Version: "0.0.0"})
			events = appendIndented(t, events, json.RawMessage(track.Payload))
			return catalogue.Plan().Check(e)
		})
	})
	if err != nil || stats.Invalid > 0 {
		t.Fatalf("%d objects are invalid, error %v", stats.Invalid, err)
	}
	return records, events
}

func appendIndented(t *testing.T, b []byte, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(append(b, text...), '\n')
}
