// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// compacted compacts the archive, then once more after a back-fill.
func compacted(t *testing.T, b stage.Bucket) {
	Archive(t, b)
	l := NewLedger(t, b)
	before := Look(t, b)
	if len(before.Pending["segment"]) != 12 || len(before.Outstanding["segment"]) != 5 || len(before.Outstanding["file-x"]) > 0 || len(before.Tracks) != 72 {
		t.Fatalf("the archive is not what it should be: %v", before)
	}
	dry := CompactAll
	dry.DryRun = true
	said := compact(t, l, dry)
	done := compact(t, l, CompactAll)
	want := stage.Compacted{Days: 2, Replaced: 5, Merged: 2, Events: 60, Removed: 5 * 5, Bytes: done.Bytes}
	if done != want || said != want || done.Bytes == 0 {
		t.Errorf("compacted %+v, a dry run says %+v, want %+v", done, said, want)
	}
	if after := Look(t, b); after.String() != before.String() {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	manifests, err := Keys(t.Context(), b, "v1/manifests/")
	if err != nil || len(manifests) != 3 || !strings.Contains(manifests[0], "20241122T150000Z-merged-") || !strings.Contains(manifests[1], "20241123T150000Z-merged-") {
		t.Errorf("manifests %q, %v", manifests, err)
	}
	if again := compact(t, l, CompactAll); again != (stage.Compacted{}) {
		t.Errorf("compacted again: %+v", again)
	}
	m := firstManifest(t, l)
	if len(m.Replaces) != 3 || m.Replaces[0].Rows+m.Replaces[1].Rows+m.Replaces[2].Rows != 36 || m.Events["Segment Bridge Heartbeat"] != 3 ||
		!m.Window.Since.Equal(FirstDay.Add(-3*time.Hour)) || m.Extract.Sources[0].Objects != 3 || len(m.Carried.Once) != 3 {
		t.Errorf("manifest %+v", m)
	}

	// Later runs find what was merged, and a batch that comes late joins it.
	late := StageHour(t, l, FirstDay.Add(90*time.Minute), 900)
	before = Look(t, b)
	if done := compact(t, l, CompactAll); done != (stage.Compacted{Waiting: 1}) || Look(t, b).String() != before.String() {
		t.Errorf("a day waits for delivery: %+v", done)
	}
	Deliver(t, l, late)
	before = Look(t, b)
	if done := compact(t, l, CompactAll); done.Days != 1 || done.Replaced != 2 || done.Events != 48 {
		t.Errorf("compacted %+v", done)
	}
	if after := Look(t, b); after.String() != before.String() || len(after.Tracks) != 84 {
		t.Errorf("%v\nwant\n%v", after, before)
	}
	if m := firstManifest(t, l); len(m.Replaces) != 5 {
		t.Errorf("replaces %+v", m.Replaces)
	}
	var events []*telemetry.Event
	for _, hours := range []int{0, 1, 2, 24, 26} {
		for i := range 5 {
			started, completed := Run(5*hours+i, FirstDay.Add(time.Duration(hours)*time.Hour+time.Duration(i)*time.Minute), 5)
			events = append(events, started, completed)
		}
	}
	if staged := mustStage(t, l, FirstDay.Add(-time.Hour), FirstDay.AddDate(0, 0, 4), Of(events...)); staged.Events != 0 || staged.AlreadyStaged != 50 {
		t.Errorf("staged %+v", staged)
	}
}

func compact(t *testing.T, l *stage.Ledger, o stage.CompactOptions) stage.Compacted {
	t.Helper()
	done, err := l.Compact(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func firstManifest(t *testing.T, l *stage.Ledger) *stage.Manifest {
	t.Helper()
	m, err := l.Manifest(t.Context(), batches(t, l.Batches(t.Context(), stage.Range{}))[0])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// expired expires the archive, of which one batch is not delivered to every
// destination and another has lost its manifest.
func expired(t *testing.T, b stage.Bucket) {
	Archive(t, b)
	l := NewLedger(t, b)
	receipts, err := Keys(t.Context(), b, "v1/receipts/file-x/")
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := Keys(t.Context(), b, "v1/manifests/")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{receipts[0], manifests[1]} {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	before := Look(t, b)
	all, err := Keys(t.Context(), b, "")
	if err != nil {
		t.Fatal(err)
	}
	var removed []string
	o := stage.ExpireOptions{Now: AfterArchive, DryRun: true, Removed: func(info stage.ObjectInfo) { removed = append(removed, info.Key) }}
	want := stage.Expired{Batches: 2, Undelivered: 1, Orphans: 4, Objects: 2*5 + 4}
	for _, o.DryRun = range []bool{true, false} {
		removed = nil
		done, err := l.Expire(t.Context(), o)
		if want.Bytes = done.Bytes; err != nil || done != want || len(removed) != done.Objects || done.Bytes == 0 {
			t.Errorf("dry run %t: expired %+v, %v, want %+v", o.DryRun, done, err, want)
		}
		left, err := Keys(t.Context(), b, "")
		if !o.DryRun {
			all = slices.DeleteFunc(all, func(key string) bool { return slices.Contains(removed, key) })
		}
		if err != nil || !slices.Equal(left, all) {
			t.Errorf("dry run %t: %d objects are left, want %d, %v", o.DryRun, len(left), len(all), err)
		}
	}
	after := Look(t, b)
	if after.Head.Batch != before.Head.Batch || after.Next != before.Next || !slices.Equal(after.Pending["segment"], before.Pending["segment"]) || len(after.Tracks) != 36 {
		t.Errorf("left are %v", after)
	}
	o.Undelivered = true
	if done, err := l.Expire(t.Context(), o); err != nil || done.Batches != 1 || done.Undelivered != 0 {
		t.Errorf("told to, expired %+v, %v", done, err)
	}
}
