// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// The archive is three days of a cluster: on the first two, batches of overlapping
// windows, delivered to two destinations of which one rejects an event of each; on
// the third the head, which is pending.
var (
	firstDay     = stagetest.Noon.AddDate(-2, 0, 0)
	afterArchive = firstDay.AddDate(0, 0, 30)
	compactAll   = stage.CompactOptions{Now: afterArchive}
)

func archive(t testing.TB) *mem.Bucket { return archiveOf(t, 0, 1, 2, 24, 26) }

// archiveOf has batches of windows that end these hours after the first.
func archiveOf(t testing.TB, hours ...int) *mem.Bucket {
	t.Helper()
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	for _, hours := range hours {
		from := firstDay.Add(time.Duration(hours) * time.Hour)
		deliver(t, l, mustStage(t, l, from, 5*hours))
	}
	mustStage(t, l, firstDay.Add(48*time.Hour), 500)
	return b
}

// mustStage stages four new runs, one that is staged already, an installation and a
// heartbeat.
func mustStage(t testing.TB, l *stage.Ledger, from time.Time, number int) *stage.Manifest {
	t.Helper()
	var events []*telemetry.Event
	for i := range 5 {
		started, completed := stagetest.Run(number+i, from.Add(time.Duration(i)*time.Minute), 5)
		events = append(events, started, completed)
	}
	if number >= 5 && number < 15 {
		started, _ := stagetest.Run(number-5, from, 5)
		events = append(events, started)
	}
	events = append(events, stagetest.Installed(fmt.Sprint("install-", number), from), stagetest.Heartbeat(from))
	staged, err := l.Stage(t.Context(), stagetest.Report(from.Add(-3*time.Hour), from.Add(time.Hour)), stagetest.Of(events...))
	if err != nil || staged.Events != 12 {
		t.Fatalf("staged %+v, %v", staged, err)
	}
	return staged.Manifest
}

// deliver writes the receipts of a batch at both destinations; segment has rejected
// an event.
func deliver(t testing.TB, l *stage.Ledger, m *stage.Manifest) {
	t.Helper()
	rows := m.Files[0].Rows
	for _, d := range []string{"segment", "file-x"} {
		r := &stage.Receipt{Destination: d, Cluster: m.Cluster, Batch: m.Batch, Started: m.MinTime, Finished: m.MaxTime, Events: rows, Delivered: rows}
		if d == "segment" {
			for track, err := range l.Tracks(t.Context(), m) {
				if err != nil {
					t.Fatal(err)
				}
				f, err := l.Reject(t.Context(), d, m, []stage.Rejection{{MessageID: track.MessageID, Reason: "HTTP 400"}})
				if err != nil {
					t.Fatal(err)
				}
				r.Delivered, r.Rejected, r.Rejections, r.Reasons = rows-1, 1, f, map[string]int64{"HTTP 400": 1}
				break
			}
		}
		if err := l.PutReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// A view is what a ledger says, whatever files it says it with.
type view struct {
	Tracks      map[string]string
	Pending     map[string][]string // IDs of events, by destination
	Outstanding map[string][]string
	Delivered   map[string]int64
	Head        *stage.Manifest
	Next        record.Window
}

func look(t testing.TB, b stage.Bucket) view {
	t.Helper()
	l := stagetest.NewLedger(t, b)
	v := view{Tracks: map[string]string{}, Pending: map[string][]string{}, Outstanding: map[string][]string{}, Delivered: map[string]int64{}}
	ctx := context.WithoutCancel(t.Context())
	ids := func(m stage.Manifest, f stage.File) (ids []string) {
		m.Files = []stage.File{f}
		for track, err := range l.Tracks(ctx, &m) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, track.MessageID)
		}
		return ids
	}
	manifest := func(b stage.Batch) *stage.Manifest {
		m, err := l.Manifest(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for b, err := range l.Batches(ctx, stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		for track, err := range l.Tracks(ctx, manifest(b)) {
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := v.Tracks[track.MessageID]; twice {
				t.Fatalf("event %s counts twice", track.MessageID)
			}
			v.Tracks[track.MessageID] = string(track.Payload)
		}
		for _, d := range []string{"segment", "file-x"} {
			if r, err := l.Receipt(ctx, d, b); err == nil {
				v.Delivered[d] += r.Delivered
			}
		}
	}
	for _, d := range []string{"segment", "file-x"} {
		for b, err := range l.Pending(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			m := manifest(b)
			v.Pending[d] = append(v.Pending[d], ids(*m, m.Files[0])...)
		}
		for b, err := range l.Rejected(ctx, d, stage.Range{}) {
			if err != nil {
				t.Fatal(err)
			}
			if f, err := l.Outstanding(ctx, d, b); err != nil {
				t.Fatal(err)
			} else if f != nil {
				v.Outstanding[d] = append(v.Outstanding[d], ids(*manifest(b), *f)...)
			}
		}
		slices.Sort(v.Pending[d])
		slices.Sort(v.Outstanding[d])
	}
	var err error
	if v.Head, err = l.Head(ctx, stagetest.Names().Cluster()); err != nil {
		t.Fatal(err)
	}
	v.Next = stage.NextWindow(v.Head, []record.SourceName{record.SourceResults}, afterArchive, 4*time.Hour, 7*24*time.Hour, 0)
	return v
}

func (v view) String() string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func compact(t testing.TB, b stage.Bucket, o stage.CompactOptions) stage.Compacted {
	t.Helper()
	done, err := stagetest.NewLedger(t, b).Compact(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestCompactChangesTheFilesAlone(t *testing.T) {
	b := archive(t)
	before := look(t, b)
	if len(before.Pending["segment"]) != 12 || len(before.Outstanding["segment"]) != 5 || len(before.Outstanding["file-x"]) > 0 || len(before.Tracks) != 72 {
		t.Fatalf("the archive is not what it should be: %v", before)
	}
	dry := compact(t, b, stage.CompactOptions{Now: afterArchive, DryRun: true})
	other := compact(t, mem.Over(b), compactAll) // the same again, into a layer
	done := compact(t, b, compactAll)
	want := stage.Compacted{Days: 2, Replaced: 5, Merged: 2, Events: 60, Removed: 5 * 5, Bytes: done.Bytes}
	if done != want || other != want || dry != want || done.Bytes == 0 {
		t.Errorf("compacted %+v, a dry run says %+v, want %+v", done, dry, want)
	}
	if after := look(t, b); after.String() != before.String() {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	manifests, err := stagetest.Keys(t.Context(), b, "v1/manifests/")
	if err != nil || len(manifests) != 3 || !strings.Contains(manifests[0], "20241122T150000Z-merged-") || !strings.Contains(manifests[1], "20241123T150000Z-merged-") {
		t.Errorf("manifests %q, %v", manifests, err)
	}
	kept := content(t, b)
	if again := compact(t, b, compactAll); again != (stage.Compacted{}) || !maps.Equal(content(t, b), kept) {
		t.Errorf("compacted again: %+v", again)
	}
	// The batch says where it comes from, and is the one that staging at once makes.
	for batch, err := range stagetest.NewLedger(t, b).Batches(t.Context(), stage.Range{Until: firstDay}) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := stagetest.NewLedger(t, b).Manifest(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Replaces) != 3 || m.Replaces[0].Rows+m.Replaces[1].Rows+m.Replaces[2].Rows != 36 || m.Events["Segment Bridge Heartbeat"] != 3 ||
			!m.Window.Since.Equal(firstDay.Add(-3*time.Hour)) || m.Extract.Sources[0].Objects != 3 || len(m.Carried.Once) != 3 {
			t.Errorf("manifest %+v", m)
		}
	}
}

// What is merged is found by later runs, whose windows overlap it.
func TestCompactedEventsAreStagedOnce(t *testing.T) {
	b := archive(t)
	compact(t, b, compactAll)
	var events []*telemetry.Event
	for _, hours := range []int{0, 1, 2, 24, 26} {
		for i := range 5 {
			started, completed := stagetest.Run(5*hours+i, firstDay.Add(time.Duration(hours)*time.Hour+time.Duration(i)*time.Minute), 5)
			events = append(events, started, completed)
		}
	}
	staged, err := stagetest.NewLedger(t, b).Stage(t.Context(), stagetest.Report(firstDay.Add(-time.Hour), firstDay.AddDate(0, 0, 4)), stagetest.Of(events...))
	if err != nil || staged.Events != 0 || staged.AlreadyStaged != 50 {
		t.Errorf("staged %+v, %v", staged, err)
	}
}

// failNth is stagetest.FailNth for the operations at which the fault differs from
// Before, and tells whether the operation that was hit changes the bucket.
func failNth(n int, fault stagetest.Fault) (decide func(op, key string) stagetest.Fault, reached func() bool, changes *bool) {
	inner, reached := stagetest.FailNth(n, fault)
	changes = new(bool)
	return func(op, key string) stagetest.Fault {
		if fault == stagetest.After && op == "open" || fault == stagetest.Lost && op != "put" {
			return stagetest.None
		}
		f := inner(op, key)
		*changes = *changes || f != stagetest.None && (op == "put" || op == "delete")
		return f
	}, reached, changes
}

// A crash at any operation leaves the old or the new, and the next run goes on.
func TestCompactSurvivesCrashes(t *testing.T) {
	base := archiveOf(t, 0, 1)
	want := look(t, base).String()
	whole := mem.Over(base)
	compact(t, whole, compactAll)
	final := content(t, whole)
	points := 0
	for _, fault := range []stagetest.Fault{stagetest.Before, stagetest.After, stagetest.Lost} {
		for n := 0; ; n++ {
			b := mem.Over(base)
			decide, reached, hit := failNth(n, fault)
			_, err := stagetest.NewLedger(t, &stagetest.Faulty{Bucket: b, Fault: decide}).Compact(t.Context(), compactAll)
			if !reached() {
				break
			}
			points++
			if err != nil && !errors.Is(err, stagetest.ErrFault) {
				t.Errorf("fault %d at operation %d: %v", fault, n, err)
			}
			if !*hit || fault == stagetest.Lost && err == nil { // nothing has changed, or all
				continue
			}
			if got := look(t, b).String(); got != want {
				t.Fatalf("fault %d at operation %d:\n%s\nwant\n%s", fault, n, got, want)
			}
			compact(t, b, compactAll)
			if _, err := stagetest.NewLedger(t, b).Expire(t.Context(), sweep); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(content(t, b), final) {
				t.Errorf("fault %d at operation %d: compacted again and swept, the bucket is not the same as without a crash", fault, n)
			}
		}
	}
	if points < 60 {
		t.Errorf("only %d operations were hit", points)
	}
	t.Logf("%d operations", points)
}

// Batches that come late, from a back-fill, join the merged one.
func TestCompactAgainAfterABackfill(t *testing.T) {
	b := archive(t)
	compact(t, b, compactAll)
	l := stagetest.NewLedger(t, b)
	late := mustStage(t, l, firstDay.Add(90*time.Minute), 900)
	before := look(t, b).String()
	if done := compact(t, b, compactAll); done != (stage.Compacted{Waiting: 1}) || look(t, b).String() != before {
		t.Errorf("a day waits for delivery: %+v", done)
	}
	deliver(t, l, late)
	want := look(t, b)
	if done := compact(t, b, compactAll); done.Days != 1 || done.Replaced != 2 || done.Events != 48 {
		t.Errorf("compacted %+v", done)
	}
	if got := look(t, b); got.String() != want.String() || len(got.Tracks) != 84 {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	for batch, err := range l.Batches(t.Context(), stage.Range{Until: firstDay}) {
		if err != nil {
			t.Fatal(err)
		}
		if m, err := l.Manifest(t.Context(), batch); err != nil || len(m.Replaces) != 5 {
			t.Errorf("replaces %+v, %v", m, err)
		}
	}
}

// Of two compactions at the same time, of which one knew less, one counts.
func TestCompactionsThatRace(t *testing.T) {
	less := archive(t)
	more := mem.Over(less)
	l := stagetest.NewLedger(t, more)
	deliver(t, l, mustStage(t, l, firstDay.Add(90*time.Minute), 900))
	want := look(t, more).String()
	o := compactAll
	o.Grace = 1000 * time.Hour // parts stay
	o.Now = time.Now()
	layer := mem.Over(less)
	compact(t, layer, o)
	compact(t, more, o)
	for key, text := range content(t, layer) {
		if err := stagetest.Tamper(t.Context(), more, key, text); err != nil {
			t.Fatal(err)
		}
	}
	if got := look(t, more).String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	compact(t, more, compactAll)
	manifests, err := stagetest.Keys(t.Context(), more, "v1/manifests/")
	if got := look(t, more).String(); got != want || err != nil || len(manifests) != 3 {
		t.Errorf("cleaned up: %q, %v\n%s\nwant\n%s", manifests, err, got, want)
	}
}

// What is replaced stays for its readers for a while.
func TestCompactLeavesReadersTime(t *testing.T) {
	b := archive(t)
	want := look(t, b).String()
	o := stage.CompactOptions{Now: time.Now(), Grace: time.Hour}
	for _, step := range []struct {
		after           time.Duration
		merged, removed int
	}{{0, 2, 0}, {time.Minute, 0, 0}, {2 * time.Hour, 0, 25}, {3 * time.Hour, 0, 0}} {
		o.Now = time.Now().Add(step.after)
		if done := compact(t, b, o); done.Merged != step.merged || done.Removed != step.removed {
			t.Errorf("after %v: %+v", step.after, done)
		}
		if got := look(t, b).String(); got != want {
			t.Errorf("after %v:\n%s\nwant\n%s", step.after, got, want)
		}
	}
}

func TestCompactLeavesAlone(t *testing.T) {
	for name, test := range map[string]struct {
		options stage.CompactOptions
		change  func(*testing.T, *mem.Bucket)
		want    stage.Compacted
		err     error
	}{
		"days that ended lately": {
			options: stage.CompactOptions{Now: firstDay.Add(12*time.Hour + 47*time.Hour), After: 48 * time.Hour},
		},
		"days with a batch that one destination has no receipt of": {
			options: compactAll,
			change: func(t *testing.T, b *mem.Bucket) {
				keys, err := stagetest.Keys(t.Context(), b, "v1/receipts/file-x/")
				if err != nil || len(keys) != 5 {
					t.Fatal(keys, err)
				}
				for _, key := range []string{keys[0], keys[4]} {
					if err := b.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				}
			},
			want: stage.Compacted{Waiting: 2},
		},
		"corrupt days, and does the others": {
			options: compactAll,
			change: func(t *testing.T, b *mem.Bucket) {
				keys, err := stagetest.Keys(t.Context(), b, "v1/events/")
				if err != nil {
					t.Fatal(err)
				}
				if err := stagetest.Tamper(t.Context(), b, keys[1], "x"); err != nil {
					t.Fatal(err)
				}
			},
			want: stage.Compacted{Days: 2, Replaced: 5, Merged: 2, Events: 60, Corrupt: 1, Removed: 10},
			err:  stage.ErrCorrupt,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := archive(t)
			if test.change != nil {
				test.change(t, b)
			}
			done, err := stagetest.NewLedger(t, b).Compact(t.Context(), test.options)
			done.Bytes = 0
			if done != test.want || !errors.Is(err, test.err) {
				t.Errorf("compacted %+v, %v, want %+v", done, err, test.want)
			}
		})
	}
}

// Pseudonyms of two keys never meet in one file.
func TestCompactKeepsPseudonymsApart(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	for i := range 5 {
		from := firstDay.Add(time.Duration(i) * time.Hour)
		if i == 4 {
			from = from.AddDate(0, 0, 1)
		}
		report := stagetest.Report(from, from.Add(time.Hour))
		if i%2 == 1 {
			report.Scheme, report.KeyID = telemetry.SchemeHMAC, "k"
		}
		started, completed := stagetest.Run(i, from, 1)
		if _, err := l.Stage(t.Context(), report, stagetest.Of(started, completed)); err != nil {
			t.Fatal(err)
		}
	}
	want := look(t, b).String()
	for range 2 {
		compact(t, b, compactAll)
		manifests, err := stagetest.Keys(t.Context(), b, "v1/manifests/")
		if got := look(t, b).String(); got != want || err != nil || len(manifests) != 3 {
			t.Errorf("manifests %q, %v\n%s\nwant\n%s", manifests, err, got, want)
		}
	}
}

func TestMergedManifestsThatDoNotAddUpAreRefused(t *testing.T) {
	b := archive(t)
	compact(t, b, compactAll)
	keys, err := stagetest.Keys(t.Context(), b, "v1/manifests/")
	if err != nil {
		t.Fatal(err)
	}
	whole := content(t, b)[keys[0]]
	var good stage.Manifest
	if err := json.Unmarshal([]byte(whole), &good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*stage.Manifest){
		"replaces nothing": func(m *stage.Manifest) { m.Replaces = nil },
		"itself":           func(m *stage.Manifest) { m.Replaces[0].Batch = m.Batch },
		"no batch":         func(m *stage.Manifest) { m.Replaces[0].Batch = "x" },
		"another day":      func(m *stage.Manifest) { m.Replaces[0].Batch = "20241121" + m.Replaces[0].Batch[8:] },
		"a later one":      func(m *stage.Manifest) { m.Replaces[0].Batch = "20241122T2" + m.Replaces[0].Batch[10:] },
		"another hash":     func(m *stage.Manifest) { m.Replaces[0].SHA256 = m.Files[0].SHA256 },
		"no rows":          func(m *stage.Manifest) { m.Replaces[0].Rows = 0 },
		"another window":   func(m *stage.Manifest) { m.Replaces[0].Window = m.Window },
	} {
		m := good
		m.Replaces = slices.Clone(good.Replaces)
		change(&m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := stagetest.Tamper(t.Context(), b, keys[0], string(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := stagetest.NewLedger(t, b).Manifest(t.Context(), good.ID()); !errors.Is(err, stage.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Neither the memory for sorting nor a second try leaves a trace in the bytes, or
// on the disk.
func TestCompactInLittleMemory(t *testing.T) {
	base := archive(t)
	var want map[string]string
	for _, memory := range []int{0, 5_000} {
		dir := t.TempDir()
		b := mem.Over(base)
		l := stage.NewLedger(b, stage.Options{Library: stagetest.Library, WorkDir: dir, MemoryBytes: memory})
		if _, err := l.Compact(t.Context(), compactAll); err != nil {
			t.Fatal(err)
		}
		got := content(t, b)
		if want == nil {
			want = got
		}
		if !maps.Equal(got, want) {
			t.Errorf("with %d bytes of memory the bucket differs", memory)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("temporary files are left: %v, %v", left, err)
		}
	}
}
