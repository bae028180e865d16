// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

func TestParseKey(t *testing.T) {
	const (
		cluster = "cluster=2e7d2c03a950/"
		batch   = "20261122T170000Z-0f1e2d3c4b5a6978"
		merged  = "20261122T170000Z-merged-0f1e2d3c4b5a6978"
		other   = ""
	)
	for key, want := range map[string]stage.Kind{
		"v1/events/" + cluster + "date=2026-11-22/" + batch + ".parquet":          stage.KindEvents,
		"v1/events/" + cluster + "date=2026-11-22/" + merged + ".parquet":         stage.KindEvents,
		"v1/events/" + cluster + "date=2026-11-23/" + batch + ".parquet":          other,
		"v1/events/" + cluster + batch + ".parquet":                               other,
		"v1/manifests/" + cluster + batch + ".json":                               stage.KindManifest,
		"v1/manifests/" + cluster + batch + ".json.bak":                           other,
		"v1/manifests/cluster=team-a/" + batch + ".json":                          other,
		"v1/receipts/segment/" + cluster + batch + ".json":                        stage.KindReceipt,
		"v1/receipts/segment/" + cluster + batch + ".replay-1795366800.json":      stage.KindReceipt,
		"v1/receipts/segment/" + cluster + batch + ".rejected-1795366800000.json": stage.KindReceipt,
		"v1/receipts/segment/" + cluster + batch + ".replay-soon.json":            other,
		"v1/receipts/segment/" + cluster + batch + ".again-1.json":                other,
		"v1/receipts/Segment/" + cluster + batch + ".json":                        other,
		"v1/receipts/segment/x/" + cluster + batch + ".json":                      other,
		"v1/rejected/segment/" + cluster + batch + ".0f1e2d3c4b5a6978.parquet":    stage.KindRejected,
		"v1/rejected/segment/" + cluster + batch + ".0f1e.parquet":                other,
		"v1/rejected/segment/" + cluster + batch + ".parquet":                     other,
		"v1/leases/segment/" + cluster + batch + ".json":                          stage.KindLease,
		"v1/leases/segment/" + cluster + batch + ".replay-1.json":                 other,
		"v1/store.json":           stage.KindStore,
		"v1/store.json.old":       other,
		"v1/probe/contested-ABCD": stage.KindProbe,
		"v2/store.json":           other,
		"notes.txt":               other,
		"v1/receipts":             other,
		"v1/receipts/":            other,
		"v1/events/":              other,
	} {
		got, ok := stage.ParseKey(key)
		if ok != (want != other) || ok && got.Kind != want {
			t.Errorf("key %s: kind %q, %t, want %q", key, got.Kind, ok, want)
		}
		if ok && strings.Contains(key, batch) && (got.Batch.Name != batch || got.Batch.Cluster.String() != "2e7d2c03a950") {
			t.Errorf("key %s: batch %v", key, got.Batch)
		}
	}
}

// Whatever a key is, it is taken for an object of the stage only if it is the key of one.
func FuzzParseKey(f *testing.F) {
	f.Add("v1/receipts/segment/cluster=2e7d2c03a950/20261122T170000Z-0f1e2d3c4b5a6978.replay-1795366800.json")
	f.Add("v1/events/cluster=2e7d2c03a950/date=2026-11-22/20261122T170000Z-0f1e2d3c4b5a6978.parquet")
	f.Add("v1/rejected/segment/cluster=2e7d2c03a950/20261122T170000Z-merged-0f1e2d3c4b5a6978.0f1e2d3c4b5a6978.parquet")
	f.Fuzz(func(t *testing.T, key string) {
		k, ok := stage.ParseKey(key)
		switch {
		case !ok:
		case k.Kind == stage.KindEvents && key != k.Batch.DataKey(),
			k.Kind == stage.KindManifest && key != k.Batch.ManifestKey(),
			k.Kind == stage.KindReceipt && k.Suffix == "" && key != k.Batch.ReceiptKey(k.Destination),
			k.Kind != stage.KindEvents && k.Kind != stage.KindStore && k.Kind != stage.KindProbe && !strings.Contains(key, k.Batch.String()):
			t.Errorf("key %q was taken for %+v", key, k)
		}
	})
}

// Every object is in a holding or an orphan, and replaced batches are marked.
func TestHoldings(t *testing.T) {
	b := new(mem.Bucket)
	stagetest.Archive(t, b)
	l := stagetest.NewLedger(t, b)
	if _, err := l.Compact(t.Context(), stage.CompactOptions{Now: stagetest.AfterArchive, Grace: 100 * 365 * 24 * time.Hour}); err != nil {
		t.Fatal(err) // the grace is for the parts to stay
	}
	all, err := stagetest.Keys(t.Context(), b, "v1/")
	if err != nil {
		t.Fatal(err)
	}
	lost := all[0]
	if err := b.Delete(t.Context(), strings.NewReplacer("v1/events", "v1/manifests", "date=2024-11-22/", "", ".parquet", ".json").Replace(lost)); err != nil {
		t.Fatal(err)
	}
	if all, err = stagetest.Keys(t.Context(), b, "v1/"); err != nil {
		t.Fatal(err)
	}
	var held, orphans []string
	replaced := 0
	for h, err := range l.Holdings(t.Context(), func(info stage.ObjectInfo) error {
		orphans = append(orphans, info.Key)
		return nil
	}) {
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h.Manifest.Key)
		if h.Manifest.Key != h.ManifestKey() || h.Manifest.Size == 0 {
			t.Errorf("manifest of %s: %+v", h, h.Manifest)
		}
		for _, info := range h.Objects {
			held = append(held, info.Key)
		}
		if h.Replaced {
			replaced++
		}
	}
	got := slices.Concat(held, orphans)
	slices.Sort(got)
	if !slices.Equal(got, all) || !slices.Contains(orphans, lost) || replaced == 0 {
		t.Errorf("%d replaced, %d orphans; holdings and orphans are\n%s\nwant\n%s", replaced, len(orphans), strings.Join(got, "\n"), strings.Join(all, "\n"))
	}
}

func TestCopy(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	for _, text := range []string{"", "small", strings.Repeat("large", 1<<20)} {
		if err := stagetest.Tamper(t.Context(), b, "v1/x", text); err != nil {
			t.Fatal(err)
		}
		c, err := l.Copy(t.Context(), "v1/x")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, c.Size)
		if n, _ := c.ReadAt(got, 0); n != len(text) || string(got) != text || len(c.SHA256) != 64 {
			t.Errorf("copied %d bytes of %d, SHA-256 %s", c.Size, len(text), c.SHA256)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestParseStore(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	l.FirstUse(t.Context())
	text, err := l.Document(t.Context(), "v1/store.json")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := stage.ParseStore(text); err != nil || !s.CreateOnly || !s.Delete {
		t.Errorf("store: %+v, %v", s, err)
	}
	if _, err := stage.ParseStore([]byte(`{"format": 1, "more": 1}`)); !errors.Is(err, stage.ErrCorrupt) {
		t.Errorf("more than is known: %v", err)
	}
	if _, err := stage.ParseStore([]byte(`{"format": 2}`)); !errors.Is(err, stage.ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}
