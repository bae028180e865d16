// SPDX-License-Identifier: Apache-2.0

package parquetfile_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// A reader gives every cell, with the columns that the plan says.
func TestReaderGivesEveryCell(t *testing.T) {
	events := every(true)
	data := write(t, catalogue.Plan(), events)
	r, err := parquetfile.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string]int{}
	for i, c := range r.Columns {
		columns[c.Name] = i
	}
	if r.Plan != catalogue.Plan().Hash() || r.Reason != -1 || r.Columns[r.Payload].Name != "payload" {
		t.Errorf("plan %s, reader %+v", r.Plan, r)
	}
	row := 0
	err = r.Rows(func(cells parquetfile.Row) error {
		e := events[row]
		row++
		if string(cells.Text(r.MessageID)) != e.MessageID || string(cells.Text(r.Event)) != e.Name || cells.Integer(r.Timestamp) != e.Time.UnixMicro() ||
			string(cells.Text(r.Payload)) != string(e.AppendTrack(nil, library)) {
			t.Errorf("row %d is not %s", row, e.MessageID)
		}
		plan := catalogue.Plan().Event(e.Name)
		for i := range plan.Properties {
			p := &plan.Properties[i]
			want := parquetfile.ColumnOf(p)
			at, ok := columns[want.Name]
			if p.PayloadOnly {
				if ok {
					t.Errorf("property %s has a column, although it is for the payload alone", p.Name)
				}
				continue
			}
			if !ok || r.Columns[at] != want {
				t.Fatalf("property %s: column %+v, want %+v", p.Name, r.Columns[at], want)
			}
			v := e.Properties[i].Value
			if cells.Null(at) != v.IsNull() {
				t.Errorf("row %d: column %s is null: %t", row, want.Name, cells.Null(at))
			}
			if v.IsNull() {
				continue
			}
			same := true
			switch want.Type {
			case parquetfile.TextColumn:
				same = string(cells.Text(at)) == v.String()
			case parquetfile.IntegerColumn:
				same = cells.Integer(at) == v.Integer()
			case parquetfile.BooleanColumn:
				same = cells.Boolean(at) == (v.Integer() == 1)
			case parquetfile.TimeColumn:
				same = cells.Integer(at) == v.Integer()*1_000_000
			}
			if !same {
				t.Errorf("row %d: column %s is not %s", row, want.Name, v)
			}
		}
		return nil
	})
	if err != nil || row != len(events) {
		t.Errorf("%d rows of %d: %v", row, len(events), err)
	}
	index, err := r.Index()
	if err != nil || !bytes.HasSuffix(index, []byte("PAR1")) || !bytes.Contains(index, []byte(catalogue.Plan().Hash())) || bytes.Contains(index, []byte(`{"type":"track"`)) {
		t.Errorf("index has %d bytes: %v", len(index), err)
	}
}

func TestReaderOfRejected(t *testing.T) {
	data := write(t, catalogue.Plan(), sorted(runs(3)))
	var b bytes.Buffer
	n, err := parquetfile.CopyRejected(&b, bytes.NewReader(data), int64(len(data)), func(string) (string, bool) { return "HTTP 400", true })
	if err != nil || n != 6 {
		t.Fatal(n, err)
	}
	r, err := parquetfile.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || r.Reason != len(r.Columns)-1 {
		t.Errorf("reader %+v, %v", r, err)
	}
	stop := errors.New("stop")
	if err := r.Rows(func(parquetfile.Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of visit: %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	whole := write(t, catalogue.Plan(), sorted(runs(3)))
	for name, data := range map[string][]byte{
		"half a file": whole[:len(whole)/2], "text": []byte(strings.Repeat("team-a\n", 100)),
		"a float":       foreign(t, parquet.Leaf(parquet.DoubleType)),
		"a list":        foreign(t, parquet.Repeated(parquet.String())),
		"too few":       foreign(t, parquet.String()),
		"nothing there": nil,
	} {
		if _, err := parquetfile.NewReader(bytes.NewReader(data), int64(len(data))); !errors.Is(err, parquetfile.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// foreign writes a file that has one column.
func foreign(t *testing.T, column parquet.Node) []byte {
	t.Helper()
	var b bytes.Buffer
	schema := parquet.NewSchema("events", parquet.Group{"message_id": column})
	w := parquet.NewGenericWriter[any](&b, schema, parquet.KeyValueMetadata(parquetfile.MetadataFormat, parquetfile.Format))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
