// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// now is when the stages of the tests are audited, two days after they were made.
var now = stagetest.Noon.AddDate(0, 0, 2)

// aged is a bucket whose objects were all written when it says, but for young ones.
type aged struct {
	stage.Bucket
	written time.Time
	young   string // part of keys
}

func (a *aged) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		for info, err := range a.Bucket.List(ctx, prefix, after) {
			info.Modified = a.written
			if a.young != "" && strings.Contains(info.Key, a.young) {
				info.Modified = now.Add(-time.Hour)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// A place is a stage of one cluster with three batches of an hour each, delivered to segment, which has
// rejected an event of each, and to file-x.
type place struct {
	t      testing.TB
	bucket *aged
	ledger *stage.Ledger
	// m are the manifests of the batches.
	m []*stage.Manifest
}

// base is a place of which the second batch is not delivered: making one takes a while.
var base struct {
	once   sync.Once
	bucket mem.Bucket
	ids    []stage.Batch
}

// build makes a place in an empty bucket; plant may change the second batch, number 1, before it is delivered.
func build(t testing.TB, b stage.Bucket, plant func(p *place, number int)) *place {
	t.Helper()
	base.once.Do(func() {
		p := &place{t: t, bucket: &aged{Bucket: &base.bucket}, ledger: stagetest.NewLedger(t, &base.bucket)}
		p.ledger.FirstUse(t.Context())
		for hour := range 3 {
			from := stagetest.Noon.Add(time.Duration(hour) * time.Hour)
			m := p.stage(from, from.Add(time.Hour), 10*hour)
			base.ids = append(base.ids, m.ID())
			if hour != 1 {
				p.deliver(m)
			}
		}
		_, err := p.ledger.SwapLease(t.Context(), nil, stage.Lease{Destination: "segment", Cluster: base.ids[0].Cluster, Batch: base.ids[0].Name, Holder: "x", Seconds: 60})
		if err != nil {
			t.Fatal(err)
		}
	})
	p := &place{t: t, bucket: &aged{Bucket: &base.bucket}}
	if _, inMemory := b.(*mem.Bucket); inMemory {
		b = mem.Over(&base.bucket)
	} else {
		keys, err := stagetest.Keys(t.Context(), p.bucket, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if err := stagetest.Tamper(t.Context(), b, key, p.get(key)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.bucket, p.ledger = &aged{Bucket: b, written: stagetest.Noon}, stagetest.NewLedger(t, b)
	for _, id := range base.ids {
		m, err := p.ledger.Manifest(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		p.m = append(p.m, m)
	}
	if plant != nil {
		plant(p, 1)
	}
	p.deliver(p.m[1])
	return p
}

// stage stages the events of five runs, an installation and a heartbeat.
func (p *place) stage(since, until time.Time, number int) *stage.Manifest {
	p.t.Helper()
	events := []*telemetry.Event{stagetest.Installed(fmt.Sprint("install-", number), since.Add(30*time.Minute)), stagetest.Heartbeat(until.Add(-time.Second))}
	for i := range 5 {
		started, completed := stagetest.Run(number+i, since.Add(time.Duration(i)*time.Minute), 5)
		events = append(events, started, completed)
	}
	staged, err := p.ledger.Stage(p.t.Context(), stagetest.Report(since, until), stagetest.Of(events...))
	if err != nil || staged.Events != 12 {
		p.t.Fatalf("staged %+v, %v", staged, err)
	}
	return staged.Manifest
}

// deliver writes the receipts of a batch. A batch that cannot be read has no rejected events.
func (p *place) deliver(m *stage.Manifest) {
	p.t.Helper()
	rows := m.Files[0].Rows
	for _, d := range []string{"segment", "file-x"} {
		r := &stage.Receipt{Destination: d, Cluster: m.Cluster, Batch: m.Batch, Started: m.MinTime, Finished: m.MaxTime, Events: rows, Delivered: rows}
		for track, err := range p.ledger.Tracks(p.t.Context(), m) {
			if d == "segment" && err == nil {
				f, err := p.ledger.Reject(p.t.Context(), d, m, []stage.Rejection{{MessageID: track.MessageID, Reason: "HTTP 400"}})
				if err != nil {
					p.t.Fatal(err)
				}
				r.Delivered, r.Rejected, r.Rejections, r.Reasons = rows-1, 1, f, map[string]int64{"HTTP 400": 1}
			}
			break
		}
		if err := p.ledger.PutReceipt(p.t.Context(), r); err != nil {
			p.t.Fatal(err)
		}
	}
}

// audit audits the place.
func (p *place) audit(o audit.Options) *audit.Report {
	p.t.Helper()
	o.Plan, o.Library, o.Now, o.WorkDir = catalogue.Plan(), stagetest.Library, now, p.t.TempDir()
	r, err := audit.Run(p.t.Context(), p.bucket, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *place) get(key string) string {
	p.t.Helper()
	object, err := p.bucket.Open(p.t.Context(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	defer object.Close()
	text, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p *place) put(key, text string) {
	p.t.Helper()
	if err := stagetest.Tamper(p.t.Context(), p.bucket, key, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) remove(key string) {
	p.t.Helper()
	if err := p.bucket.Delete(p.t.Context(), key); err != nil {
		p.t.Fatal(err)
	}
}

// replace replaces a part of an object, which has to be there.
func (p *place) replace(key, old, with string) {
	p.t.Helper()
	text := p.get(key)
	if !strings.Contains(text, old) {
		p.t.Fatalf("%s does not have %q:\n%s", key, old, text)
	}
	p.put(key, strings.Replace(text, old, with, 1))
}

// edit changes the manifest of a batch.
func (p *place) edit(number int, change func(m *stage.Manifest)) {
	p.t.Helper()
	change(p.m[number])
	text, err := json.Marshal(p.m[number])
	if err != nil {
		p.t.Fatal(err)
	}
	p.put(p.m[number].ID().ManifestKey(), string(text))
}

// A cell is in a row and a column.
type cells struct {
	rows    []parquet.Row
	columns map[string]int
}

// set sets a text.
func (c *cells) set(row int, column, text string) {
	at := c.columns[column]
	level := 1
	if column == "message_id" || column == "payload" || column == "event" {
		level = 0
	}
	c.rows[row][at] = parquet.ByteArrayValue([]byte(text)).Level(0, level, at)
}

func (c *cells) get(row int, column string) string { return c.rows[row][c.columns[column]].String() }

// rename replaces a text in a column and in the payload.
func (c *cells) rename(row int, column, text string) {
	old := c.get(row, column)
	c.set(row, "payload", strings.ReplaceAll(c.get(row, "payload"), `"`+old+`"`, `"`+text+`"`))
	c.set(row, column, text)
}

// first returns the first row of an event.
func (c *cells) first(event string) int {
	return slices.IndexFunc(c.rows, func(row parquet.Row) bool { return row[c.columns["event"]].String() == event })
}

// rewrite changes the rows of a batch as somebody would who can write the bucket: name, hash, size and
// counts are right again.
func (p *place) rewrite(number int, change func(*cells)) {
	p.t.Helper()
	data := p.get(p.m[number].Files[0].Key)
	file, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		p.t.Fatal(err)
	}
	c := &cells{columns: map[string]int{}}
	for i, column := range file.Schema().Columns() {
		c.columns[column[0]] = i
	}
	c.rows = make([]parquet.Row, file.NumRows())
	rows := file.RowGroups()[0].Rows()
	if n, err := rows.ReadRows(c.rows); n != len(c.rows) || err != nil && !errors.Is(err, io.EOF) {
		p.t.Fatal(n, err)
	}
	for i := range c.rows {
		c.rows[i] = c.rows[i].Clone()
	}
	change(c)
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, file.Schema(), parquet.KeyValueMetadata("segment-bridge.format", "1"),
		parquet.KeyValueMetadata("segment-bridge.plan", catalogue.Plan().Hash()))
	if _, err := w.WriteRows(c.rows); err != nil {
		p.t.Fatal(err)
	}
	if err := errors.Join(w.Close(), rows.Close()); err != nil {
		p.t.Fatal(err)
	}
	p.renew(number, b.String(), func(m *stage.Manifest) {
		m.Files[0].Rows, m.Events = int64(len(c.rows)), map[string]int64{}
		for i := range c.rows {
			m.Events[c.get(i, "event")]++
		}
	})
}

// renew gives a batch other data, under the name that belongs to it.
func (p *place) renew(number int, data string, change func(m *stage.Manifest)) {
	p.t.Helper()
	m := p.m[number]
	p.remove(m.Files[0].Key)
	p.remove(m.ID().ManifestKey())
	hash := sha256.Sum256([]byte(data))
	sum := hex.EncodeToString(hash[:])
	m.Batch = m.Batch[:len(m.Batch)-16] + sum[:16]
	m.Files = []stage.File{{Key: m.ID().DataKey(), Size: int64(len(data)), SHA256: sum, Rows: m.Files[0].Rows}}
	p.put(m.Files[0].Key, data)
	p.edit(number, change)
}

// sound makes a place without a fault.
func sound(t testing.TB) *place { return build(t, new(mem.Bucket), nil) }
