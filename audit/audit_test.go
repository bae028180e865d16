// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"flag"
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
)

var update = flag.Bool("update", false, "write the golden files")

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
