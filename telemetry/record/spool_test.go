// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func TestSpoolRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	want := everyKind(t)
	w, err := record.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range want {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	report := record.Report{
		Producer: "test 1", Window: record.Window{Since: until.Add(-time.Hour), Until: until},
		Sources: []record.SourceReport{{Name: record.SourceDir, Outcome: record.OutcomeOK, Objects: 4, Records: 4}},
	}
	if err := w.Commit(report); err != nil {
		t.Fatal(err)
	}
	report.Format = record.ReportFormat
	if got, err := record.ReadReport(dir); err != nil || !reflect.DeepEqual(got, report) {
		t.Errorf("got report %+v, %v\nwant %+v", got, err, report)
	}
	if got, err := readAll(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got records %+v, %v\nwant %+v", got, err, want)
	}
}

// An extraction that was cut off, be it the first or a later one into the same
// folder, is never taken for a complete one.
func TestSpoolWithoutReportIsIncomplete(t *testing.T) {
	dir := t.TempDir()
	if _, err := record.ReadReport(dir); !errors.Is(err, record.ErrIncomplete) {
		t.Errorf("empty folder: %v", err)
	}
	w, err := record.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(record.Report{}); err != nil {
		t.Fatal(err)
	}
	again, err := record.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Abort()
	if _, err := record.ReadReport(dir); !errors.Is(err, record.ErrIncomplete) {
		t.Errorf("after an extraction that was cut off: %v", err)
	}
}

func TestSpoolOfAnotherReleaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "report.json"), []byte(`{"format": 99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := record.ReadReport(dir); err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("got %v", err)
	}
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	for name, content := range map[string][]byte{
		"not compressed": []byte("{}\n"),
		"no record":      compress("{}\n"),
		"two records":    compress(`{"namespace":{"uid":"a"},"component":{"uid":"b"}}`),
		"a name":         compress(`{"namespace":{"uid":"a","namespace":"team-a"}}`),
		"unknown field":  compress(`{"namespace":{"uid":"a","name":"team-a"}}`),
		"cut off":        compress(strings.Repeat(`{"namespace":{"uid":"a"}}`, 100))[:40],
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "records.ndjson.gz"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(dir); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "team-a") {
			t.Errorf("%s: the error repeats a name: %v", name, err)
		}
	}
}

func FuzzSpool(f *testing.F) {
	f.Add(compress(`{"namespace":{"uid":"a","namespace":"0123456789ab","created":"2026-03-01T12:00:00Z"}}`))
	f.Add([]byte("{}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, "records.ndjson.gz"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := readAll(dir)
		for _, r := range records {
			if r == nil {
				t.Errorf("a nil record came before error %v", err)
			}
		}
	})
}

func readAll(dir string) (records []record.Record, err error) {
	for r, err := range record.Read(dir) {
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func compress(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.Bytes()
}
