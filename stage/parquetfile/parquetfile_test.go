// SPDX-License-Identifier: Apache-2.0

package parquetfile_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	parquetformat "github.com/parquet-go/parquet-go/format"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

var update = flag.Bool("update", false, "write the golden files")

var library = telemetry.Library{Name: "segment-bridge", Version: "1.2.3"}

func schema(t testing.TB, plan *telemetry.Plan) *parquetfile.Schema {
	t.Helper()
	s, err := parquetfile.NewSchema(plan)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, plan *telemetry.Plan, events []*telemetry.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquetfile.NewWriter(&b, schema(t, plan), library)
	for _, e := range events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sorted(events []*telemetry.Event) []*telemetry.Event {
	slices.SortFunc(events, func(a, b *telemetry.Event) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.MessageID, b.MessageID)
	})
	return events
}

func runs(n int) []*telemetry.Event {
	var events []*telemetry.Event
	for e, err := range stagetest.Runs(n, stagetest.Noon, time.Second) {
		if err != nil {
			panic(err)
		}
		events = append(events, e)
	}
	return sorted(events)
}

// The columns are a contract with everybody who queries the files: they are only
// ever added.
func TestSchemaIsTheGoldenOne(t *testing.T) {
	got := schema(t, catalogue.Plan()).String()
	const golden = "testdata/schema.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the schema has changed; if columns were added, run the test with -update:\n%s", got)
	}
}

func TestSchemaRefusesColumnsThatClash(t *testing.T) {
	if _, err := parquetfile.NewSchema(nil); err == nil {
		t.Error("no plan: no error")
	}
	for _, names := range [][]string{{"event"}, {"payload"}, {"reason"}, {"messageId"}, {"someID", "someId"}} {
		e := telemetry.EventSpec{Name: "E", MessageID: "<uid>", Timestamp: "t", Question: "q", Source: "s", Since: "1"}
		for _, name := range names {
			e.Properties = append(e.Properties, telemetry.PropertySpec{Name: name, Type: telemetry.TypeInteger, Reason: "r", Source: "s", Sensitivity: "technical", Since: "1"})
		}
		plan, err := telemetry.NewPlan("test", e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parquetfile.NewSchema(plan); err == nil {
			t.Errorf("properties %q: no error", names)
		}
	}
}

func TestSnake(t *testing.T) {
	for camel, want := range map[string]string{
		"": "", "status": "status", "clusterIdHash": "cluster_id_hash", "clusterIDHash": "cluster_id_hash", "hasPipelineLabel": "has_pipeline_label",
		"ID": "id", "k8sVersion": "k8s_version", "uiURL": "ui_url", "HTTPRoutesV1": "http_routes_v1",
	} {
		if got := parquetfile.Snake(camel); got != want {
			t.Errorf("parquetfile.Snake(%q) = %q, want %q", camel, got, want)
		}
	}
}

func TestTracksComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 1000} {
		events := runs(n)
		data := write(t, catalogue.Plan(), events)
		i := 0
		for track, err := range parquetfile.Tracks(bytes.NewReader(data), int64(len(data))) {
			if err != nil {
				t.Fatal(err)
			}
			want := events[i].Track(library)
			if track.MessageID != want.MessageID || track.Event != want.Event || !track.Time.Equal(want.Time) || !bytes.Equal(track.Payload, want.Payload) {
				t.Fatalf("%d runs: track %d is\n%v\nwant\n%v", n, i, track, want)
			}
			i++
		}
		var ids []string
		for id, err := range parquetfile.MessageIDs(bytes.NewReader(data), int64(len(data))) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, string(id))
		}
		if i != 2*n || len(ids) != 2*n || n > 0 && ids[n] != events[n].MessageID {
			t.Errorf("%d runs: %d tracks and %d message IDs came back", n, i, len(ids))
		}
	}
}

// every returns an event for each entry of the plan, with a value of each type,
// nulls where they are allowed, and the optional properties if all is true.
func every(all bool) []*telemetry.Event {
	var events []*telemetry.Event
	names := stagetest.Names()
	for i, spec := range catalogue.Plan().Events {
		started, _ := stagetest.Run(i, stagetest.Noon, 3)
		e := &telemetry.Event{Name: spec.Name, MessageID: started.MessageID, Time: stagetest.Noon, Cluster: names.Cluster()}
		for j, p := range spec.Properties {
			if p.Optional && !all {
				continue
			}
			v := telemetry.Null
			switch version, _ := telemetry.ParseVersion("1.2"); {
			case p.Nullable && !all:
			case p.Type == telemetry.TypePseudonym:
				v = telemetry.PseudonymValue(names.Namespace(fmt.Append(nil, j)))
			case p.Type == telemetry.TypeInteger:
				v = telemetry.IntegerValue(int64(i * j))
			case p.Type == telemetry.TypeBoolean:
				v = telemetry.BooleanValue(j%2 == 0)
			case p.Type == telemetry.TypeTime:
				v = telemetry.TimeValue(stagetest.Noon.Add(time.Duration(j) * time.Second))
			case p.Type == telemetry.TypeVersion:
				v = telemetry.VersionValue(version)
			case p.Type == telemetry.TypeEnum && p.Name == catalogue.Outcome:
				v = telemetry.EnumValue(catalogue.RunTimeout)
			}
			e.Properties = append(e.Properties, telemetry.Property{Name: p.Name, Value: v})
		}
		events = append(events, e)
	}
	return sorted(events)
}

// Each cell is the value of the property, in the type of the column, or null.
func TestCellsHoldTheProperties(t *testing.T) {
	columns := map[string]bool{}
	for _, p := range catalogue.Plan().Columns() {
		columns[p.Name] = true
	}
	for _, all := range []bool{false, true} {
		events := every(all)
		data := write(t, catalogue.Plan(), events)
		file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		rows := make([]parquet.Row, len(events))
		reader := file.RowGroups()[0].Rows()
		defer reader.Close()
		if n, err := reader.ReadRows(rows); n != len(rows) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(n, err)
		}
		for i, e := range events {
			cells := map[string]string{}
			for _, cell := range rows[i] {
				if name := file.Schema().Columns()[cell.Column()][0]; !cell.IsNull() {
					cells[name] = cell.String()
				}
			}
			want := map[string]string{
				"message_id": e.MessageID, "event": e.Name, "timestamp": fmt.Sprint(e.Time.UnixMicro()), "payload": string(e.AppendTrack(nil, library)),
			}
			for _, p := range e.Properties {
				if !columns[p.Name] {
					continue
				}
				switch p.Value.Type() {
				case "":
				case telemetry.TypeTime:
					want[parquetfile.Snake(p.Name)] = fmt.Sprint(p.Value.Integer() * 1_000_000)
				default:
					want[parquetfile.Snake(p.Name)] = p.Value.String()
				}
			}
			if fmt.Sprint(cells) != fmt.Sprint(want) {
				t.Errorf("event %d:\ngot  %v\nwant %v", i, cells, want)
			}
		}
	}
}

// What readers other than ours rely on.
func TestFileIsPlainParquet(t *testing.T) {
	checkPlain(t, catalogue.Plan(), runs(100), 200)
	var many []*telemetry.Event
	for i := range parquetfile.MaxRowsPerGroup + 10 {
		many = append(many, stagetest.Heartbeat(stagetest.Noon.Add(time.Duration(i)*time.Second)))
	}
	checkPlain(t, oldPlan(t), many, parquetfile.MaxRowsPerGroup, 10)
}

func checkPlain(t *testing.T, plan *telemetry.Plan, events []*telemetry.Event, groups ...int64) {
	t.Helper()
	data := write(t, plan, events)
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	meta := file.Metadata()
	var rows []int64
	for _, group := range meta.RowGroups {
		rows = append(rows, group.NumRows)
	}
	if !slices.Equal(rows, groups) || meta.NumRows != int64(len(events)) {
		t.Errorf("%d rows, in groups %d", meta.NumRows, rows)
	}
	if meta.CreatedBy != "segment-bridge version 1(build 1)" {
		t.Errorf("created by %q", meta.CreatedBy)
	}
	if hash, _ := file.Lookup(parquetfile.MetadataPlan); hash != plan.Hash() {
		t.Errorf("plan %q", hash)
	}
	for _, group := range meta.RowGroups {
		if len(group.SortingColumns) != 3 || group.SortingColumns[0].ColumnIdx != 1 || group.SortingColumns[1].ColumnIdx != 2 || group.SortingColumns[2].ColumnIdx != 0 {
			t.Errorf("sorted by %+v", group.SortingColumns)
		}
		for _, c := range group.Columns {
			if c.MetaData.Codec != parquetformat.Zstd {
				t.Errorf("column %v is compressed by %v", c.MetaData.PathInSchema, c.MetaData.Codec)
			}
			for _, encoding := range c.MetaData.Encoding {
				if encoding != parquetformat.Plain && encoding != parquetformat.RLE && encoding != parquetformat.RLEDictionary {
					t.Errorf("column %v is encoded by %v, which not every reader knows", c.MetaData.PathInSchema, encoding)
				}
			}
			for _, stats := range c.MetaData.EncodingStats {
				if stats.PageType == parquetformat.DataPageV2 {
					t.Errorf("column %v has pages of version 2", c.MetaData.PathInSchema)
				}
			}
			if c.ColumnIndexOffset == 0 || c.OffsetIndexOffset == 0 {
				t.Errorf("column %v has no page index", c.MetaData.PathInSchema)
			}
		}
	}
}

func TestBytesAreDeterministic(t *testing.T) {
	first := write(t, catalogue.Plan(), runs(600))
	for range 3 {
		if !bytes.Equal(write(t, catalogue.Plan(), runs(600)), first) {
			t.Fatal("the same events made other bytes")
		}
	}
}

func TestWriterRefusesWhatHasNoColumn(t *testing.T) {
	w := parquetfile.NewWriter(io.Discard, schema(t, catalogue.Plan()), library)
	e := runs(1)[0]
	e.Properties = append(e.Properties, telemetry.Property{Name: "new", Value: telemetry.IntegerValue(1)})
	if err := w.Write(e); err == nil {
		t.Error("no error")
	}
}

// oldPlan is a plan from before most properties were added.
func oldPlan(t testing.TB) *telemetry.Plan {
	t.Helper()
	spec := *catalogue.Plan().Event(catalogue.Heartbeat)
	spec.Properties = spec.Properties[len(spec.Properties)-3:]
	plan, err := telemetry.NewPlan("old", spec)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestRejectedRowsKeepTheirColumns(t *testing.T) {
	for name, data := range map[string][]byte{
		"this plan":    write(t, catalogue.Plan(), append(runs(500), stagetest.Heartbeat(stagetest.Noon))),
		"an old plan":  write(t, oldPlan(t), []*telemetry.Event{stagetest.Heartbeat(stagetest.Noon), stagetest.Heartbeat(stagetest.Noon.Add(time.Hour))}),
		"only one row": write(t, oldPlan(t), []*telemetry.Event{stagetest.Heartbeat(stagetest.Noon)}),
	} {
		t.Run(name, func(t *testing.T) {
			bad := stagetest.Heartbeat(stagetest.Noon).MessageID
			var b bytes.Buffer
			n, err := parquetfile.CopyRejected(&b, bytes.NewReader(data), int64(len(data)), func(id string) (string, bool) { return "HTTP 400", id == bad })
			if err != nil || n != 1 {
				t.Fatalf("%d rows, %v", n, err)
			}
			before, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			after, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(before.Schema().String(), "\n}", "\n\trequired binary reason (STRING);\n}", 1)
			if got := after.Schema().String(); got != want {
				t.Errorf("schema:\n%s\nwant\n%s", got, want)
			}
			for track, err := range parquetfile.Tracks(bytes.NewReader(b.Bytes()), int64(b.Len())) { // readable like any other
				if err != nil || track.MessageID != bad || !bytes.Equal(track.Payload, stagetest.Heartbeat(stagetest.Noon).AppendTrack(nil, library)) {
					t.Errorf("track %v, %v", track, err)
				}
			}
			rows := make([]parquet.Row, 1)
			reader := after.RowGroups()[0].Rows()
			defer reader.Close()
			if _, err := reader.ReadRows(rows); err != nil && !errors.Is(err, io.EOF) || rows[0][len(rows[0])-1].String() != "HTTP 400" {
				t.Errorf("last column is %v, %v", rows[0], err)
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	events := runs(50_000)
	s := schema(b, catalogue.Plan())
	b.ReportAllocs()
	var size countingWriter
	for b.Loop() {
		size = 0
		w := parquetfile.NewWriter(&size, s, library)
		for _, e := range events {
			if err := w.Write(e); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(events)*b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(size)/float64(len(events)), "B/event")
}

type countingWriter int64

func (c *countingWriter) Write(p []byte) (int, error) {
	*c += countingWriter(len(p))
	return len(p), nil
}
