// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
)

// marker is in every name in testdata that is nobody's business.
const marker = "quokka"

// taken is all that Segment took, by message ID.
func (p *product) taken(t *testing.T) map[string][]segmenttest.Event {
	t.Helper()
	all := map[string][]segmenttest.Event{}
	for _, event := range slices.Concat(p.past, p.segment.Events(t)) {
		all[event.MessageID] = append(all[event.MessageID], event)
	}
	return all
}

// check wants what had happened when the last job was triggered told of exactly once, rightly and without a name, in the
// bucket and at Segment; and of what has happened since at most that.
func (p *product) check(t *testing.T) {
	t.Helper()
	taken := p.taken(t)
	want, due := map[string]map[string]any{}, map[string]bool{}
	known := p.runs.all()
	for uid, run := range known {
		at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
		want[uid+"-started"] = map[string]any{"timestamp": at(run.start)}
		want[uid+"-completed"] = map[string]any{
			"timestamp": at(run.end), "startTime": at(run.start), "completionTime": at(run.end), "durationSeconds": run.end.Sub(run.start).Seconds(),
			"status": run.reason, "outcome": outcomes[run.kind][1],
		}
		due[uid+"-started"], due[uid+"-completed"] = !p.due[uid].start.IsZero(), !p.due[uid].end.IsZero()
	}
	for object, suffixes := range map[string][]string{
		"namespace/quokka-tenant": {"-namespace-created"}, "component/quokka-component": {"-component-created"}, "konflux/konflux": {"-started", "-completed"},
	} {
		uid := p.Kubectl(t, "get", "-n", "quokka-tenant", object, "-o", "jsonpath={.metadata.uid}")
		for _, suffix := range suffixes {
			want[uid+suffix], due[uid+suffix] = nil, true
		}
	}
	for id := range want {
		if n := len(taken[id]); n != 1 && (n != 0 || due[id]) {
			t.Errorf("Segment took %s %d times", id, n)
		}
	}
	for id, events := range taken {
		_, expected := want[id]
		ofTheCluster := strings.Contains(id, "-heartbeat-") || strings.Contains(id, "-inventory-")
		if !expected && !ofTheCluster || len(events) != 1 {
			t.Errorf("Segment took %s %d times, expected %t", id, len(events), expected)
		}
		for name, value := range want[id] {
			if got := callOf(t, events[0])[name]; got != value {
				t.Errorf("%s tells %s %v, want %v", id, name, got, value)
			}
		}
		p.hasNoName(t, id, events[0].JSON)
	}
	p.checkBucket(t, taken)
	report := p.segment.Report(t)
	if report.Duplicates != p.repeated || len(report.Drops)+len(report.Refusals)+len(report.Violations) != 0 {
		t.Errorf("the receiver's report is %+v, want %d duplicates", report, p.repeated)
	}
	t.Logf("%d events of %d runs, each once; %d came again within a retry", len(taken), len(known), report.Duplicates)
}

// callOf returns the properties of a track call, and its timestamp.
func callOf(t *testing.T, event segmenttest.Event) map[string]any {
	t.Helper()
	var call struct {
		Timestamp  string
		Properties map[string]any
	}
	if err := json.Unmarshal(event.JSON, &call); err != nil {
		t.Fatal(err)
	}
	call.Properties["timestamp"] = call.Timestamp
	return call.Properties
}

func (p *product) hasNoName(t *testing.T, place string, content []byte) {
	t.Helper()
	if at := bytes.Index(bytes.ToLower(content), []byte(marker)); at >= 0 {
		t.Errorf("%s has a name in it: ...%s...", place, content[max(0, at-100):min(len(content), at+50)])
	}
}

// checkBucket wants staged once what was taken, no more and no less, as it was sent, and no name in any object.
func (p *product) checkBucket(t *testing.T, taken map[string][]segmenttest.Event) {
	t.Helper()
	ledger := stage.NewLedger(file.New(p.download(t)), stage.Options{WorkDir: t.TempDir()})
	staged := map[string]int{}
	for batch, err := range ledger.Batches(t.Context(), stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := ledger.Manifest(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for track, err := range ledger.Tracks(t.Context(), manifest) {
			if err != nil {
				t.Fatal(err)
			}
			id := track.MessageID
			if staged[id]++; len(taken[id]) > 0 && !bytes.Equal(taken[id][0].Raw, track.Payload) {
				t.Errorf("%s is staged as\n%s\nand was sent as\n%s", id, track.Payload, taken[id][0].Raw)
			}
		}
		if receipt, err := ledger.Receipt(t.Context(), "segment", batch); err != nil || receipt == nil {
			t.Errorf("batch %s has the receipt %v, error %v", batch, receipt, err)
		}
	}
	for id := range maps.Keys(taken) {
		if staged[id] != 1 {
			t.Errorf("%s is staged %d times", id, staged[id])
		}
	}
	if len(staged) != len(taken) {
		t.Errorf("%d events are staged and %d were taken", len(staged), len(taken))
	}
}

// download copies the bucket into a folder, and looks for names on the way.
func (p *product) download(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for object := range p.bucket.Client.ListObjects(t.Context(), p.bucket.Name, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		path := filepath.Join(dir, object.Key)
		if err := p.bucket.Client.FGetObject(t.Context(), p.bucket.Name, object.Key, path, minio.GetObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(path) == ".parquet" {
			content = append(content, columns(t, content)...)
		}
		p.hasNoName(t, object.Key, append(content, object.Key...))
	}
	return dir
}

// columns returns all values of a Parquet file, unpacked.
func columns(t *testing.T, content []byte) (values []byte) {
	t.Helper()
	parsed, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	rows := parquet.NewReader(parsed)
	defer rows.Close() //nolint:errcheck // it reads from memory
	buffer := make([]parquet.Row, 100)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			values = fmt.Appendf(values, "%v\n", row)
		}
		if err == io.EOF { //nolint:errorlint // as io.Reader documents it
			return values
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
