// SPDX-License-Identifier: Apache-2.0

package parquetfile_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

func merge(files ...[]byte) ([]byte, []string, error) {
	var m parquetfile.Merger
	var rows [][]byte
	for _, f := range files {
		err := m.Read(bytes.NewReader(f), int64(len(f)), func(row []byte) error {
			rows = append(rows, bytes.Clone(row))
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(rows, bytes.Compare)
	var b bytes.Buffer
	var ids []string
	for _, row := range rows {
		e, err := m.Write(&b, row)
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, e.Name+e.Time.String()+e.MessageID)
	}
	err := m.Close()
	return b.Bytes(), ids, err
}

// Parts that are merged are the file that would have been written at once, typed
// columns, nulls and payloads included.
func TestMergedIsWrittenAtOnce(t *testing.T) {
	all := append(runs(150), stagetest.Installed("a", stagetest.Noon), stagetest.Heartbeat(stagetest.Noon))
	var parts [3][]*telemetry.Event
	random := rand.New(rand.NewPCG(3, 4))
	for _, e := range all {
		i := random.IntN(len(parts))
		parts[i] = append(parts[i], e)
	}
	var files [][]byte
	for _, p := range parts {
		files = append(files, write(t, catalogue.Plan(), sorted(p)))
	}
	got, ids, err := merge(files...)
	if err != nil {
		t.Fatal(err)
	}
	if want := write(t, catalogue.Plan(), sorted(all)); !bytes.Equal(got, want) {
		t.Errorf("merged file has %d bytes and differs from the one of %d bytes written at once", len(got), len(want))
	}
	if len(ids) != len(all) {
		t.Errorf("%d events, want %d", len(ids), len(all))
	}
	for i, e := range all {
		if ids[i] != e.Name+e.Time.String()+e.MessageID {
			t.Fatalf("row %d is %s", i, ids[i])
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	whole := write(t, catalogue.Plan(), sorted(runs(3)))
	small, err := telemetry.NewPlan("small", catalogue.Plan().Events[:1]...)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := merge(whole, write(t, small, nil)); err == nil {
		t.Error("files of two plans: no error")
	}
	if _, _, err := merge(whole[:len(whole)-9]); !errors.Is(err, parquetfile.ErrMalformed) {
		t.Errorf("half a file: %v", err)
	}
	if _, _, err := merge(); err == nil {
		t.Error("no file: no error")
	}
	var m parquetfile.Merger
	if err := m.Read(bytes.NewReader(whole), int64(len(whole)), func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"", "abc", "\x00\x00\x00\x00", "\x00\x00\x00\xff", "\x01\x7f\x00\x00\x00\x00"} {
		if _, err := m.Write(io.Discard, []byte(row)); err == nil {
			t.Errorf("row %q: no error", row)
		}
	}
}
