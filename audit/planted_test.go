// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

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
