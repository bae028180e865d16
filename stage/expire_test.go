// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
)

// sweep removes orphans alone.
var sweep = stage.ExpireOptions{Now: afterArchive, OlderThan: 1000 * time.Hour}

// upTo removes what ended before the time, and orphans.
func upTo(limit time.Time) stage.ExpireOptions { return stage.ExpireOptions{Now: limit} }

func expire(t testing.TB, b stage.Bucket, o stage.ExpireOptions) stage.Expired {
	t.Helper()
	done, err := stagetest.NewLedger(t, b).Expire(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestExpire(t *testing.T) {
	for name, test := range map[string]struct {
		compacted, undelivered bool
		limit                  time.Time
		strip                  string // folder of which the first object is deleted before
		want                   stage.Expired
		tracks                 int
	}{
		"nothing is old":           {limit: firstDay, tracks: 72},
		"one ended at the limit":   {limit: firstDay.Add(time.Hour), tracks: 72},
		"the first":                {limit: firstDay.Add(time.Hour + 1), want: stage.Expired{Batches: 1, Objects: 5}, tracks: 60},
		"the first day":            {limit: firstDay.AddDate(0, 0, 1), want: stage.Expired{Batches: 3, Objects: 15}, tracks: 36},
		"all that can":             {limit: afterArchive, want: stage.Expired{Batches: 4, Objects: 20}, tracks: 24},
		"the first day, compacted": {compacted: true, limit: firstDay.AddDate(0, 0, 1), want: stage.Expired{Batches: 1, Objects: 5}, tracks: 36},
		"without a receipt":        {limit: afterArchive, strip: "v1/receipts/file-x/", want: stage.Expired{Batches: 3, Undelivered: 1, Objects: 15}, tracks: 36},
		"without a receipt, but told so": {
			limit: afterArchive, strip: "v1/receipts/file-x/", undelivered: true, want: stage.Expired{Batches: 4, Objects: 19}, tracks: 24,
		},
		"orphans": {limit: firstDay, strip: "v1/manifests/", want: stage.Expired{Orphans: 4, Objects: 4}, tracks: 60},
	} {
		t.Run(name, func(t *testing.T) {
			b := archive(t)
			if test.compacted {
				compact(t, b, compactAll)
			}
			if test.strip != "" {
				keys, err := stagetest.Keys(t.Context(), b, test.strip)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Delete(t.Context(), keys[0]); err != nil {
					t.Fatal(err)
				}
			}
			before := look(t, b)
			var removed []string
			o := upTo(test.limit)
			o.Undelivered = test.undelivered
			o.Removed = func(info stage.ObjectInfo) { removed = append(removed, info.Key) }
			o.DryRun = true
			all := content(t, b)
			dry := expire(t, b, o)
			if !maps.Equal(content(t, b), all) {
				t.Error("a dry run changes the bucket")
			}
			for _, key := range removed {
				delete(all, key)
			}
			removed, o.DryRun = nil, false
			done := expire(t, b, o)
			test.want.Bytes = done.Bytes
			if done != test.want || dry != done || len(removed) != done.Objects || (done.Bytes > 0) != (done.Objects > 0) {
				t.Errorf("expired %+v, a dry run says %+v, want %+v", done, dry, test.want)
			}
			after := look(t, b)
			if len(after.Tracks) != test.tracks || after.Next != before.Next || after.Head.Batch != before.Head.Batch {
				t.Errorf("%d events are left, want %d", len(after.Tracks), test.tracks)
			}
			if kept := content(t, b); !maps.Equal(kept, all) {
				t.Error("the dry run named other objects")
			}
			again := expire(t, b, o)
			if again.Objects > 0 {
				t.Errorf("expired again: %+v", again)
			}
		})
	}
}

// Without any receipt nobody knows what was delivered.
func TestExpireWithoutDestinations(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	mustStage(t, l, firstDay, 0)
	mustStage(t, l, firstDay.AddDate(0, 0, 1), 500)
	if done := expire(t, b, upTo(afterArchive)); done != (stage.Expired{Undelivered: 1}) {
		t.Errorf("expired %+v", done)
	}
	o := upTo(afterArchive)
	o.Undelivered = true
	if done := expire(t, b, o); done.Batches != 1 || done.Objects != 2 {
		t.Errorf("expired %+v", done)
	}
}

// A destination that is out for longer than batches are kept is not forgotten.
func TestExpireRemembersDestinations(t *testing.T) {
	b := archive(t)
	keys, err := stagetest.Keys(t.Context(), b, "v1/receipts/file-x/")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys[1:] {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if done := expire(t, b, upTo(afterArchive)); done.Batches != 0 || done.Undelivered != 3 {
			t.Errorf("expired %+v", done)
		}
	}
}

// A back-fill's batch is old and young at once: the head does not know of it yet.
func TestExpireKeepsWhatTheHeadDoesNotKnow(t *testing.T) {
	b := archive(t)
	l := stagetest.NewLedger(t, b)
	late := mustStage(t, l, firstDay.AddDate(0, 0, -9), 900)
	deliver(t, l, late)
	if done := expire(t, b, upTo(afterArchive)); done.Batches != 4 {
		t.Errorf("expired %+v", done)
	}
	next := mustStage(t, l, firstDay.AddDate(0, 0, 3), 1000)
	if !slices.Contains(next.Carried.Once, "install-900-completed") {
		t.Errorf("carried %q", next.Carried.Once)
	}
	if done := expire(t, b, upTo(firstDay)); done.Batches != 1 {
		t.Errorf("expired %+v", done)
	}
}

// What is young may be half of a batch that is being written; what has another
// shape is not ours.
func TestExpireLeavesAlone(t *testing.T) {
	b := archive(t)
	keys, err := stagetest.Keys(t.Context(), b, "v1/manifests/")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), keys[0]); err != nil {
		t.Fatal(err)
	}
	strangers := []string{"README", "v1/events/x", "v1/events/cluster=zz/date=2024-11-22/x.parquet", "v1/receipts/README", "v1/receipts/segment/x/y", "v1/other/z"}
	for _, key := range strangers {
		if err := stagetest.Tamper(t.Context(), b, key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	o := stage.ExpireOptions{Now: time.Now(), OlderThan: 1e6 * time.Hour, Grace: time.Hour}
	if done := expire(t, b, o); done != (stage.Expired{}) {
		t.Errorf("expired %+v", done)
	}
	o.Now = o.Now.Add(2 * time.Hour)
	if done := expire(t, b, o); done.Orphans != 4 {
		t.Errorf("expired %+v", done)
	}
	left := content(t, b)
	for _, key := range strangers {
		if left[key] != "x" {
			t.Errorf("%s is gone", key)
		}
	}
}

// A crash at any operation, of a compaction or of the expiry after it, delivers
// nothing again, lets nothing count twice, and leaves nothing behind.
func TestExpireSurvivesCrashes(t *testing.T) {
	whole := archiveOf(t, 0, 1, 24)
	half := mem.Over(whole) // a compaction that stopped with everything still there
	o := compactAll
	o.Now, o.Grace = time.Now(), 1000*time.Hour
	compact(t, half, o)
	points := 0
	for name, base := range map[string]*mem.Bucket{"archive": whole, "compacted": half} {
		before := look(t, base)
		complete := mem.Over(base)
		expire(t, complete, upTo(afterArchive))
		if done := expire(t, complete, upTo(afterArchive)); done.Objects > 0 {
			t.Errorf("%s: expired again: %+v", name, done)
		}
		final := content(t, complete)
		for _, fault := range []stagetest.Fault{stagetest.Before, stagetest.After} {
			for n := 0; ; n++ {
				b := mem.Over(base)
				decide, reached, hit := failNth(n, fault)
				_, err := stagetest.NewLedger(t, &stagetest.Faulty{Bucket: b, Fault: decide}).Expire(t.Context(), upTo(afterArchive))
				if !reached() {
					break
				}
				points++
				if err == nil && fault == stagetest.Before {
					t.Errorf("%s: operation %d: no error", name, n)
				}
				if !*hit { // nothing has changed
					continue
				}
				manifests, err := stagetest.Keys(t.Context(), b, "v1/manifests/")
				first := strings.Join(manifests[:1], "")
				if strings.Contains(first, "/20241122") != strings.Contains(strings.Join(manifests, " "), "-merged-") && name == "compacted" || err != nil {
					t.Errorf("operation %d: what was replaced counts again: %q, %v", n, manifests, err)
				}
				after := look(t, b)
				for id := range after.Tracks {
					if before.Tracks[id] != after.Tracks[id] {
						t.Errorf("%s: operation %d: event %s has changed", name, n, id)
					}
				}
				if !slices.Equal(after.Pending["segment"], before.Pending["segment"]) || after.Next != before.Next {
					t.Errorf("%s: operation %d: pending are %d events, next window %v", name, n, len(after.Pending["segment"]), after.Next)
				}
				expire(t, b, upTo(afterArchive))
				if left := content(t, b); !maps.Equal(left, final) {
					t.Errorf("%s: operation %d: left are %s", name, n, strings.Join(slices.Sorted(maps.Keys(left)), "\n"))
				}
			}
		}
	}
	t.Logf("%d operations", points)
}
