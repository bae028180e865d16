// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

var update = flag.Bool("update", false, "write the golden files")

// planted are faults, each with the one kind of finding that it makes, on the objects whose keys have a part. A fault
// is planted after the stage was built, or before the second batch is delivered.
var planted = []struct {
	name  string
	kind  audit.Kind
	key   string
	row   int64
	after func(p *place)
	early func(p *place)
}{
	{name: "a note", kind: audit.ForeignObject, key: "v1/notes.txt", after: func(p *place) { p.put("v1/notes.txt", "todo") }},
	{name: "a manifest under another name", kind: audit.ForeignObject, key: ".json.bak", after: func(p *place) {
		p.put(p.m[1].ID().ManifestKey()+".bak", "{}")
	}},
	{name: "data without manifest", kind: audit.Orphan, key: "date=2026-11-21", after: func(p *place) {
		p.put(strings.Replace(strings.Replace(p.m[1].Files[0].Key, "date=2026-11-22", "date=2026-11-21", 1), "/20261122T", "/20261121T", 1), "x")
	}},
	{name: "a manifest that is deleted", kind: audit.Orphan, key: "T140000Z", after: func(p *place) { p.remove(p.m[1].ID().ManifestKey()) }},
	{name: "a manifest cut short", kind: audit.ManifestUnreadable, key: "/manifests/", after: func(p *place) {
		p.put(p.m[1].ID().ManifestKey(), p.get(p.m[1].ID().ManifestKey())[:200])
	}},
	{name: "a manifest of another batch", kind: audit.ManifestUnreadable, key: "/manifests/", after: func(p *place) {
		p.put(p.m[1].ID().ManifestKey(), p.get(p.m[0].ID().ManifestKey()))
	}},
	{name: "a newer manifest", kind: audit.NewerFormat, key: "/manifests/", after: func(p *place) {
		p.replace(p.m[1].ID().ManifestKey(), `"format": 1`, `"format": 2`)
	}},
	{name: "a newer receipt", kind: audit.NewerFormat, key: "/receipts/", after: func(p *place) {
		p.replace(p.m[1].ID().ReceiptKey("segment"), `"format": 1`, `"format": 2`)
	}},
	{name: "data that is missing", kind: audit.DataMissing, key: "/events/", after: func(p *place) { p.remove(p.m[1].Files[0].Key) }},
	{name: "rejected events that are missing", kind: audit.DataMissing, key: "/rejected/", after: func(p *place) { p.remove(p.rejected(1)) }},
	{name: "data with a flipped bit", kind: audit.DataChanged, key: "/events/", after: func(p *place) {
		text := []byte(p.get(p.m[1].Files[0].Key))
		text[len(text)/2] ^= 1
		p.put(p.m[1].Files[0].Key, string(text))
	}},
	{name: "data cut short", kind: audit.DataChanged, key: "/events/", after: func(p *place) {
		p.put(p.m[1].Files[0].Key, p.get(p.m[1].Files[0].Key)[:5000])
	}},
	{name: "rejected events that were changed", kind: audit.DataChanged, key: "/rejected/", after: func(p *place) { p.put(p.rejected(1), "x") }},
	{name: "data that is something else", kind: audit.DataUnreadable, key: "/events/", early: func(p *place) {
		p.renew(1, strings.Repeat("not Parquet ", 1000), func(*stage.Manifest) {})
	}},
	{name: "a column that no plan has", kind: audit.SchemaUnknown, key: "T140000Z", early: func(p *place) { p.withColumn("note", catalogue.Plan().Hash()) }},
	{name: "data of another plan than the manifest says", kind: audit.SchemaUnknown, key: "T140000Z", early: func(p *place) {
		p.edit(1, func(m *stage.Manifest) { m.Plan.Hash = "0000000000000000" })
	}},
	{name: "another number of rows", kind: audit.CountsDiffer, key: "/events/", early: func(p *place) {
		p.edit(1, func(m *stage.Manifest) { m.Files[0].Rows++; m.Events[catalogue.Heartbeat]++ })
	}},
	{name: "other numbers of events", kind: audit.CountsDiffer, key: "/events/", early: func(p *place) {
		p.edit(1, func(m *stage.Manifest) {
			m.Events[catalogue.PipelineRunStarted]++
			m.Events[catalogue.PipelineRunCompleted]--
		})
	}},
	{name: "another time of the first event", kind: audit.CountsDiffer, key: "/events/", early: func(p *place) {
		p.edit(1, func(m *stage.Manifest) { m.MinTime = m.MinTime.Add(-time.Second) })
	}},
	{name: "rows out of order", kind: audit.OrderBroken, key: "/events/", row: 4, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rows[2], c.rows[3] = c.rows[3], c.rows[2] })
	}},
	{name: "a name where a pseudonym belongs", kind: audit.PlanViolation, key: "/events/", row: 3, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rename(2, "namespace_hash", "team-a") })
	}},
	{name: "a word that is not in the list", kind: audit.PlanViolation, key: "/events/", row: 2, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rename(c.first(catalogue.PipelineRunCompleted), "status", "OutOfMoney") })
	}},
	{name: "a message ID of another form", kind: audit.PlanViolation, key: "T140000Z", row: 1, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rename(0, "message_id", "alice@example.com") })
	}},
	{name: "a version that is text", kind: audit.PlanViolation, key: "/events/", row: 3, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rename(2, "kubernetes_version", "the one of Alice") })
	}},
	{name: "an event that is not listed", kind: audit.PlanViolation, key: "/events/", row: 12, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rename(11, "event", "Zebra Seen") })
	}},
	{name: "another cluster's event", kind: audit.PlanViolation, key: "/events/", row: 3, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rename(2, "cluster_id_hash", "0123456789ab") })
	}},
	{name: "a column that the event does not have", kind: audit.PlanViolation, key: "/events/", row: 12, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.set(11, "component_hash", "0123456789ab") })
	}},
	{name: "a value that is missing", kind: audit.PlanViolation, key: "/events/", row: 3, early: func(p *place) {
		p.rewrite(1, func(c *cells) {
			c.rows[2][c.columns["task_count"]] = parquet.NullValue().Level(0, 0, c.columns["task_count"])
		})
	}},
	{name: "a negative number", kind: audit.PlanViolation, key: "/events/", row: 3, early: func(p *place) {
		p.rewrite(1, func(c *cells) {
			c.rows[2][c.columns["task_count"]] = parquet.Int64Value(-1).Level(0, 1, c.columns["task_count"])
		})
	}},
	{name: "a time between seconds", kind: audit.PlanViolation, key: "/events/", row: 3, early: func(p *place) {
		p.rewrite(1, func(c *cells) {
			at := c.columns["start_time"]
			c.rows[2][at] = parquet.Int64Value(c.rows[2][at].Int64()+1).Level(0, 1, at)
		})
	}},
	{name: "a payload with another value", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) { p.payload(`"taskCount":5`, `"taskCount":6`) }},
	{name: "a payload with one property more", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) {
		p.payload(`"taskCount":5`, `"taskCount":5,"note":"team-a"`)
	}},
	{name: "a payload with one property less", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) { p.payload(`"taskCount":5,`, ``) }},
	{name: "a payload with a property twice", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) {
		p.payload(`"taskCount":5`, `"taskCount":5,"taskCount":5`)
	}},
	{name: "a payload with another part", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) {
		p.payload(`"anonymousId"`, `"userId":"alice","anonymousId"`)
	}},
	{name: "a payload with a user", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) {
		p.payload(`"anonymousId":"anonymous"`, `"anonymousId":"alice"`)
	}},
	{name: "a payload of a program with a strange name", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) {
		p.payload(`"library":{"name":"segment-bridge"`, `"library":{"name":"Alice's laptop"`)
	}},
	{name: "a payload with more in its context", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) {
		p.payload(`"context":{`, `"context":{"ip":"10.0.0.1",`)
	}},
	{name: "a payload that is no JSON", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) { p.payload(`{`, ``) }},
	{name: "a payload with another after it", kind: audit.PayloadDiffers, key: "/events/", row: 3, early: func(p *place) { p.payload(`{"type"`, `{}{"type"`) }},
	{name: "an event in two batches", kind: audit.Duplicate, key: "T140000Z", row: 2, early: func(p *place) {
		var row parquet.Row
		p.read(0, func(c *cells) { row = c.rows[c.first(catalogue.PipelineRunCompleted)] })
		p.rewrite(1, func(c *cells) { c.rows = slices.Insert(c.rows, c.first(catalogue.PipelineRunCompleted), row) })
		p.edit(1, func(m *stage.Manifest) { m.MinTime = m.MinTime.Add(-55 * time.Minute) })
	}},
	{name: "an event twice in a batch", kind: audit.Duplicate, key: "T140000Z", row: 4, early: func(p *place) {
		p.rewrite(1, func(c *cells) { c.rows = slices.Insert(c.rows, 3, c.rows[2]) })
	}},
	{name: "an installation that is not carried on", kind: audit.NotCarried, key: "/events/", row: 1, after: func(p *place) {
		p.edit(1, func(m *stage.Manifest) { m.Carried.Once = []string{"install-0-completed"} })
	}},
	{name: "parts that do not add up", kind: audit.PartsDiffer, key: "merged-", after: func(p *place) {
		p.stage(stagetest.Noon.Add(3*time.Hour), stagetest.Noon.AddDate(0, 0, 1), 900)
		m := p.compact()
		m.Replaces[0].Rows++
		p.m[0] = m
		p.edit(0, func(*stage.Manifest) {})
	}},
	{name: "spans that are not in order", kind: audit.CoverageInvalid, key: "/manifests/", after: func(p *place) {
		p.edit(1, func(m *stage.Manifest) {
			spans := m.Coverage[record.SourceResults]
			m.Coverage[record.SourceResults] = append(slices.Clone(spans), spans[0])
		})
	}},
	{name: "a source that was read and is not covered", kind: audit.CoverageInvalid, key: "/manifests/", after: func(p *place) {
		p.edit(1, func(m *stage.Manifest) { delete(m.Coverage, record.SourceResults) })
	}},
	{name: "an hour that was not read", kind: audit.CoverageGap, after: func(p *place) {
		p.deliver(p.stage(stagetest.Noon.Add(4*time.Hour), stagetest.Noon.Add(5*time.Hour), 900))
	}},
	{name: "an object that runs could not use", kind: audit.Damaged, key: "/events/", after: func(p *place) {
		p.edit(2, func(m *stage.Manifest) { m.Damaged = []stage.Damage{{Key: p.m[1].Files[0].Key}} })
	}},
	{name: "a batch that is not delivered", kind: audit.Undelivered, key: "/manifests/", after: func(p *place) { p.remove(p.m[1].ID().ReceiptKey("file-x")) }},
	{name: "a receipt cut short", kind: audit.ReceiptUnreadable, key: "/receipts/", after: func(p *place) {
		p.put(p.m[1].ID().ReceiptKey("segment"), p.get(p.m[1].ID().ReceiptKey("segment"))[:100])
	}},
	{name: "a receipt of another batch", kind: audit.ReceiptUnreadable, key: "/receipts/", after: func(p *place) {
		p.put(p.m[1].ID().ReceiptKey("file-x"), p.get(p.m[0].ID().ReceiptKey("file-x")))
	}},
	{name: "a receipt of more events", kind: audit.ReceiptDiffers, key: "/receipts/", after: func(p *place) {
		p.replace(p.m[1].ID().ReceiptKey("file-x"), `"events": 12`, `"events": 13`)
		p.replace(p.m[1].ID().ReceiptKey("file-x"), `"delivered": 12`, `"delivered": 13`)
	}},
	{name: "a receipt that says to be of a replay", kind: audit.ReceiptDiffers, key: "/receipts/", after: func(p *place) {
		p.replace(p.m[1].ID().ReceiptKey("file-x"), `"events": 12`, `"replay": true, "events": 12`)
	}},
	{name: "a receipt with an assurance of its own", kind: audit.ReceiptDiffers, key: "/receipts/", after: func(p *place) {
		p.replace(p.m[1].ID().ReceiptKey("file-x"), `"events": 12`, `"assurance": "promised", "events": 12`)
	}},
	{name: "rejected events of another batch", kind: audit.RejectedDiffers, key: "/rejected/", row: 1, early: func(p *place) { p.rejectOther() }},
	{name: "other reasons than the receipt's", kind: audit.RejectedDiffers, key: "/rejected/", after: func(p *place) {
		p.replace(p.m[1].ID().ReceiptKey("segment"), `"HTTP 400"`, `"HTTP 413"`)
	}},
	{name: "a store record that is something else", kind: audit.StoreUnreadable, key: "v1/store.json", after: func(p *place) { p.put("v1/store.json", "{}") }},
	{name: "a newer store record", kind: audit.NewerFormat, key: "v1/store.json", after: func(p *place) { p.put("v1/store.json", `{"format": 2}`) }},
}

// Each fault is found, by its name and place, and nothing else is.
func TestEachFaultIsFound(t *testing.T) {
	for _, fault := range planted {
		t.Run(fault.name, func(t *testing.T) {
			p := build(t, new(mem.Bucket), func(p *place, number int) {
				if fault.early != nil && number == 1 {
					fault.early(p)
				}
			})
			if fault.after != nil {
				fault.after(p)
			}
			r := p.audit(audit.Options{})
			if r.Clean || len(r.Findings) == 0 || r.FindingsTotal != int64(len(r.Findings)) {
				t.Fatalf("%d findings, clean: %t", len(r.Findings), r.Clean)
			}
			for _, f := range r.Findings {
				if f.Kind != fault.kind || !strings.Contains(f.Key, fault.key) || fault.row != 0 && f.Row != fault.row && !strings.Contains(f.Key, "/rejected/") || f.Text == "" || f.Advice == "" {
					t.Errorf("found %+v, want %s in %s, row %d", f, fault.kind, fault.key, fault.row)
				}
				for _, raw := range []string{"team-a", "alice", "Alice", "Zebra", "OutOfMoney"} {
					if strings.Contains(f.Text+f.Advice, raw) {
						t.Errorf("the finding repeats what it found: %+v", f)
					}
				}
			}
		})
	}
}

// Every kind of finding is planted at least once.
func TestEveryKindIsPlanted(t *testing.T) {
	text, err := os.ReadFile("finding.go")
	if err != nil {
		t.Fatal(err)
	}
	block, _, _ := strings.Cut(string(text), "// The kinds of notices")
	for _, match := range regexp.MustCompile(`Kind = "([a-z-]+)"`).FindAllStringSubmatch(block, -1) {
		kind := audit.Kind(match[1])
		found := kind == audit.NameFound // which has tests of its own
		for _, fault := range planted {
			found = found || fault.kind == kind
		}
		if !found {
			t.Errorf("no test plants %s", kind)
		}
	}
}

// rejected returns the key of the rejected events of a batch.
func (p *place) rejected(number int) string {
	p.t.Helper()
	keys, err := stagetest.Keys(p.t.Context(), p.bucket, "v1/rejected/segment/"+p.m[number].ID().String())
	if err != nil || len(keys) != 1 {
		p.t.Fatal(keys, err)
	}
	return keys[0]
}

// payload changes a part of the payload of the third row of the second batch.
func (p *place) payload(old, with string) {
	p.t.Helper()
	const row = 2
	p.rewrite(1, func(c *cells) {
		text := c.get(row, "payload")
		if !strings.Contains(text, old) {
			p.t.Fatalf("the payload does not have %s: %s", old, text)
		}
		c.set(row, "payload", strings.Replace(text, old, with, 1))
	})
}

// read shows the rows of a batch.
func (p *place) read(number int, show func(*cells)) {
	p.t.Helper()
	scratch := &place{t: p.t, bucket: &aged{Bucket: mem.Over(p.bucket)}, m: []*stage.Manifest{clone(p.m[number])}}
	scratch.rewrite(0, show)
}

func clone(m *stage.Manifest) *stage.Manifest {
	copied := *m
	copied.Files, copied.Events = slices.Clone(m.Files), maps.Clone(m.Events)
	return &copied
}

// withColumn gives the second batch a column more.
func (p *place) withColumn(name, plan string) {
	p.t.Helper()
	data := p.get(p.m[1].Files[0].Key)
	f, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		p.t.Fatal(err)
	}
	group := parquet.Group{name: parquet.String()}
	for _, field := range f.Schema().Fields() {
		group[field.Name()] = field
	}
	schema := parquet.NewSchema("events", group)
	conversion, err := parquet.Convert(schema, f.Schema())
	if err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, schema, parquet.KeyValueMetadata("segment-bridge.format", "1"), parquet.KeyValueMetadata("segment-bridge.plan", plan))
	rows := make([]parquet.Row, f.NumRows())
	reader := f.RowGroups()[0].Rows()
	defer reader.Close()
	n, _ := reader.ReadRows(rows)
	if n, err = conversion.Convert(rows[:n]); err == nil {
		_, err = w.WriteRows(rows[:n])
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.renew(1, b.String(), func(*stage.Manifest) {})
}

// rejectOther writes a receipt of the second batch that has events of the first as rejected.
func (p *place) rejectOther() {
	p.t.Helper()
	m, other := p.m[1], *p.m[1]
	other.Files = p.m[0].Files
	for track, err := range p.ledger.Tracks(p.t.Context(), p.m[0]) {
		if err != nil {
			p.t.Fatal(err)
		}
		f, err := p.ledger.Reject(p.t.Context(), "segment", &other, []stage.Rejection{{MessageID: track.MessageID, Reason: "HTTP 400"}})
		if err != nil {
			p.t.Fatal(err)
		}
		err = p.ledger.PutReceipt(p.t.Context(), &stage.Receipt{
			Destination: "segment", Cluster: m.Cluster, Batch: m.Batch, Started: m.MinTime, Finished: m.MaxTime, Events: 12,
			Delivered: 11, Rejected: 1, Reasons: map[string]int64{"HTTP 400": 1}, Rejections: f,
		})
		if err != nil {
			p.t.Fatal(err)
		}
		return
	}
}

// compact delivers what is left, merges the first day, and returns the merged batch.
func (p *place) compact() *stage.Manifest {
	p.t.Helper()
	for b, err := range p.ledger.Pending(p.t.Context(), "segment") {
		if err != nil {
			p.t.Fatal(err)
		}
		m, err := p.ledger.Manifest(p.t.Context(), b)
		if err != nil {
			p.t.Fatal(err)
		}
		p.deliver(m)
	}
	if _, err := p.ledger.Compact(p.t.Context(), stage.CompactOptions{Now: now.AddDate(0, 0, 9), Grace: 1000 * time.Hour}); err != nil {
		p.t.Fatal(err)
	}
	for b, err := range p.ledger.Batches(p.t.Context(), stage.Range{}) {
		if err != nil {
			p.t.Fatal(err)
		}
		if b.Merged() {
			m, err := p.ledger.Manifest(p.t.Context(), b)
			if err != nil {
				p.t.Fatal(err)
			}
			return m
		}
	}
	p.t.Fatal("nothing was merged")
	return nil
}

func kinds(findings []audit.Finding) (kinds []string) {
	for _, f := range findings {
		kinds = append(kinds, string(f.Kind))
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// A stage that is as it should be has no finding, in memory and in a folder; the report adds up.
func TestSoundStage(t *testing.T) {
	for name, b := range map[string]stage.Bucket{"mem": new(mem.Bucket), "file": file.New(t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			p := build(t, b, nil)
			r := p.audit(audit.Options{})
			if !r.Clean || len(r.Findings) != 0 {
				t.Errorf("findings: %+v", r.Findings)
			}
			if got := kinds(r.Notices); !slices.Equal(got, []string{"rejected", "silent"}) {
				t.Errorf("notices: %q", got)
			}
			if r.Totals.Batches != 3 || r.Totals.Events != 36 || r.Totals.Objects != 17 || len(r.Clusters) != 1 || r.Clusters[0].Batches != 3 {
				t.Errorf("totals %+v, clusters %+v", r.Totals, r.Clusters)
			}
			for _, d := range r.Destinations {
				want := map[string]int64{"segment": 3}[d.Destination]
				if d.Batches != 3 || d.Staged != 36 || d.Rejected != want || d.Delivered != 36-want || d.Pending != 0 || d.Reasons["HTTP 400"] != want {
					t.Errorf("delivery %+v", d)
				}
			}
			if len(r.Days) != 1 || r.Days[0].Events[catalogue.PipelineRunCompleted] != 15 || r.Installations.Completed != 3 || r.Installations.Reasons["AllComponentsReady"] != 3 || len(r.Samples) != 4 {
				t.Errorf("days %+v, installations %+v, %d samples", r.Days, r.Installations, len(r.Samples))
			}
			var n int64
			for _, p := range r.Pipelines {
				n += p.Outcomes["succeeded"]
				if len(p.Durations) != len(r.DurationBuckets)+1 {
					t.Errorf("pipelines %+v", p)
				}
			}
			if n != 15 {
				t.Errorf("%d pipelines", n)
			}
		})
	}
}

// What is young may be unfinished.
func TestYoungIsNoFinding(t *testing.T) {
	p := sound(t)
	orphan := strings.Replace(strings.Replace(p.m[1].Files[0].Key, "date=2026-11-22", "date=2026-11-21", 1), "/20261122T", "/20261121T", 1)
	p.put(orphan, "x")
	p.bucket.young = "20261121"
	if r := p.audit(audit.Options{}); !r.Clean || !slices.Contains(kinds(r.Notices), "in-flight") {
		t.Errorf("an orphan of an hour: %+v, notices %q", r.Findings, kinds(r.Notices))
	}
	p.remove(orphan)
	p.remove(p.m[2].ID().ReceiptKey("file-x"))
	p.bucket.young = p.m[2].Batch
	r := p.audit(audit.Options{})
	if !r.Clean || !slices.Contains(kinds(r.Notices), "pending") || r.Destinations[0].Pending != 12 || r.Destinations[0].PendingBatches != 1 {
		t.Errorf("a batch of an hour without receipt: %+v, notices %q, %+v", r.Findings, kinds(r.Notices), r.Destinations)
	}
}

// A day that was compacted says the same, and what is left of its parts is looked at and does not count.
func TestCompacted(t *testing.T) {
	p := sound(t)
	p.deliver(p.stage(stagetest.Noon.Add(3*time.Hour), stagetest.Noon.AddDate(0, 0, 1), 900))
	before := p.audit(audit.Options{})
	p.compact()
	after := p.audit(audit.Options{})
	if !before.Clean || !after.Clean || after.Totals.Replaced != 3 || after.Totals.Batches != 2 || after.Totals.Events != before.Totals.Events {
		t.Errorf("totals %+v, then %+v: %+v", before.Totals, after.Totals, after.Findings)
	}
	if before.Destinations[1].Delivered != after.Destinations[1].Delivered || before.Destinations[1].Rejected != after.Destinations[1].Rejected {
		t.Errorf("delivered %+v, then %+v", before.Destinations, after.Destinations)
	}
	p.remove(p.m[1].Files[0].Key)
	if r := p.audit(audit.Options{}); !slices.Equal(kinds(r.Findings), []string{"data-missing"}) {
		t.Errorf("a part without data: %+v", r.Findings)
	}
}

// What was sent again, on purpose, is told and is no finding.
func TestReplays(t *testing.T) {
	p := sound(t)
	at := p.m[2].MaxTime
	replay := stage.Receipt{Destination: "segment", Cluster: p.m[0].Cluster, Batch: p.m[0].Batch, Replay: true, Started: at, Finished: at, Events: 12, Delivered: 12}
	mended := stage.Receipt{Destination: "segment", Cluster: p.m[1].Cluster, Batch: p.m[1].Batch, OfRejected: true, Started: at, Finished: at, Events: 1, Delivered: 1, Assurance: "accepted"}
	for _, r := range []*stage.Receipt{&replay, &mended} {
		if err := p.ledger.PutReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	r := p.audit(audit.Options{})
	d := r.Destinations[1]
	if !r.Clean || d.SentAgain != 12 || d.Rejected != 1 || d.Delivered != 35 || !slices.Contains(kinds(r.Notices), "sent-again") {
		t.Errorf("%+v, findings %+v", d, r.Findings)
	}
}

// A file that an older plan was made for has fewer columns, and is fine.
func TestOlderSchema(t *testing.T) {
	p := build(t, new(mem.Bucket), func(p *place, number int) {
		if number == 1 {
			p.withoutColumns(catalogue.Outcome)
		}
	})
	if r := p.audit(audit.Options{}); !r.Clean || r.Totals.Events != 36 {
		t.Errorf("an older plan: %+v", r.Findings)
	}
}

// withoutColumns makes the second batch one of an older plan, that had no outcome.
func (p *place) withoutColumns(property string) {
	p.t.Helper()
	p.payloads(1, `,"`+property+`":"succeeded"`, "")
	data := p.get(p.m[1].Files[0].Key)
	f, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		p.t.Fatal(err)
	}
	group := parquet.Group{}
	for _, field := range f.Schema().Fields() {
		if field.Name() != property {
			group[field.Name()] = field
		}
	}
	schema := parquet.NewSchema("events", group)
	conversion, err := parquet.Convert(schema, f.Schema())
	if err != nil {
		p.t.Fatal(err)
	}
	rows := make([]parquet.Row, f.NumRows())
	reader := f.RowGroups()[0].Rows()
	defer reader.Close()
	n, _ := reader.ReadRows(rows)
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, schema, parquet.KeyValueMetadata("segment-bridge.format", "1"), parquet.KeyValueMetadata("segment-bridge.plan", "0123456789abcdef"))
	if n, err = conversion.Convert(rows[:n]); err == nil {
		_, err = w.WriteRows(rows[:n])
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.renew(1, b.String(), func(m *stage.Manifest) { m.Plan.Hash = "0123456789abcdef" })
}

// payloads changes a part of every payload of a batch.
func (p *place) payloads(number int, old, with string) {
	p.t.Helper()
	p.rewrite(number, func(c *cells) {
		for i := range c.rows {
			c.set(i, "payload", strings.Replace(c.get(i, "payload"), old, with, 1))
		}
	})
}

// The limits choose batches.
func TestLimits(t *testing.T) {
	p := sound(t)
	p.put("v1/notes.txt", "x") // whatever the limits are
	for _, test := range []struct {
		r    stage.Range
		want int64
	}{
		{stage.Range{}, 3},
		{stage.Range{Since: stagetest.Noon.Add(time.Hour)}, 2},
		{stage.Range{Until: stagetest.Noon.Add(time.Hour)}, 1},
		{stage.Range{Since: stagetest.Noon.Add(time.Hour), Until: stagetest.Noon.Add(2 * time.Hour)}, 1},
		{stage.Range{Cluster: stagetest.Names().Cluster()}, 3},
		{stage.Range{Cluster: stagetest.Names().Namespace([]byte("x"))}, 0},
	} {
		r := p.audit(audit.Options{Range: test.r})
		if r.Totals.Batches != test.want || !slices.Equal(kinds(r.Findings), []string{"foreign-object"}) {
			t.Errorf("%+v: %d batches, want %d; %+v", test.r, r.Totals.Batches, test.want, r.Findings)
		}
		if test.want == 0 && !slices.Equal(kinds(r.Notices), []string{"cluster-unknown"}) {
			t.Errorf("notices %q", kinds(r.Notices))
		}
	}
}

// A bucket that fails is an error and no finding.
func TestFailingBucket(t *testing.T) {
	p := sound(t)
	for _, op := range []string{"list", "open"} {
		faulty := &stagetest.Faulty{Bucket: p.bucket, Fault: func(what, key string) stagetest.Fault {
			if what == op && strings.Contains(key, "v1/rejected") || what == op && op == "list" {
				return stagetest.Before
			}
			return stagetest.None
		}}
		r, err := audit.Run(t.Context(), faulty, audit.Options{Plan: catalogue.Plan(), Library: stagetest.Library, Now: now, WorkDir: t.TempDir()})
		if err == nil || r != nil {
			t.Errorf("%s fails: %v", op, err)
		}
	}
}

// The page and the document are what they were; hashes and sizes follow from the plan and are left out.
func TestGolden(t *testing.T) {
	p := build(t, new(mem.Bucket), func(p *place, number int) {
		if number == 1 {
			p.payload(`"taskCount":5`, `"taskCount":6`)
		}
	})
	p.put("v1/team-quokka.txt", "team-quokka")
	p.remove(p.m[2].ID().ReceiptKey("file-x"))
	r := p.audit(audit.Options{
		Names:   []string{"team-quokka", "", "no", "build"},
		Guesses: []audit.Guess{{Label: "namespace, sha256", Pseudonym: stagetest.Names().Namespace([]byte("tenant-1"))}, {Label: "user, sha256", Pseudonym: stagetest.Names().User([]byte("nobody"))}},
	})
	var text, document bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&document); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"report.txt": text.Bytes(), "report.json": document.Bytes()} {
		if bytes.Contains(b, []byte("quokka")) {
			t.Errorf("%s has a name:\n%s", name, b)
		}
		b = regexp.MustCompile(`\b[0-9a-f]{16}\b`).ReplaceAll(b, []byte("0000000000000000"))
		b = regexp.MustCompile(`[0-9]+ bytes`).ReplaceAll(b, []byte("9000 bytes"))
		b = regexp.MustCompile(`"bytes": [0-9]+`).ReplaceAll(b, []byte(`"bytes": 9000`))
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s has changed; if that is right, run the test with -update (%v):\n%s", golden, err, b)
		}
	}
}
