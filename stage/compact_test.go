// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The archive of package stagetest, in memory.
var (
	firstDay     = stagetest.FirstDay
	afterArchive = stagetest.AfterArchive
	compactAll   = stagetest.CompactAll
)

func archive(t testing.TB) *mem.Bucket { return archiveOf(t) }

func archiveOf(t testing.TB, hours ...int) *mem.Bucket {
	t.Helper()
	b := new(mem.Bucket)
	stagetest.Archive(t, b, hours...)
	return b
}

func mustStage(t testing.TB, l *stage.Ledger, from time.Time, number int) *stage.Manifest {
	t.Helper()
	return stagetest.StageHour(t, l, from, number)
}

func deliver(t testing.TB, l *stage.Ledger, m *stage.Manifest) {
	t.Helper()
	stagetest.Deliver(t, l, m)
}

func look(t testing.TB, b stage.Bucket) stagetest.View {
	t.Helper()
	return stagetest.Look(t, b)
}

func compact(t testing.TB, b stage.Bucket, o stage.CompactOptions) stage.Compacted {
	t.Helper()
	done, err := stagetest.NewLedger(t, b).Compact(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return done
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
