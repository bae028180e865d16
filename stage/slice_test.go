// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// past is what a back-fill reads: 100 days before anything that the hourly job has read.
var past = record.Window{Since: stagetest.Noon.AddDate(0, 0, -110), Until: stagetest.Noon.AddDate(0, 0, -10)}

const parts = 8

// stageSlice stages a slice of the past. How long it took and what else was read differ each time.
func stageSlice(t *testing.T, b stage.Bucket, number int) {
	t.Helper()
	window := past.Slice(number, parts)
	report := stagetest.Report(window.Since, window.Until)
	report.Slice = true
	for i := range report.Sources {
		s := &report.Sources[i]
		s.Objects, s.Invalid, s.Bytes, s.Seconds = rand.Int64N(1e6), rand.Int64N(10), rand.Int64N(1e6), rand.Float64()
	}
	if _, err := stagetest.NewLedger(t, b).Stage(t.Context(), report, eventsOf(window)); err != nil {
		t.Error(err)
	}
}

// eventsOf yields what happened within a window: runs that reach from one slice into the next, an installation that became
// ready in each slice, and the heartbeat.
func eventsOf(window record.Window) iter.Seq2[*telemetry.Event, error] {
	return func(yield func(*telemetry.Event, error) bool) {
		emit := func(e *telemetry.Event) bool { return !window.Contains(e.Time) || yield(e, nil) }
		for e, err := range stagetest.Runs(2000, past.Since.Add(-time.Hour), 73*time.Minute) {
			if err != nil || !emit(e) {
				return
			}
		}
		for i := range parts {
			if !emit(stagetest.Installed(fmt.Sprintf("install-%d", i), past.Slice(i, parts).Since)) {
				return
			}
		}
		yield(stagetest.Heartbeat(window.Until), nil)
	}
}

// stageHour stages what the hourly job does.
func stageHour(t *testing.T, b stage.Bucket, hour int, more ...*telemetry.Event) *stage.Manifest {
	t.Helper()
	until := stagetest.Noon.Add(time.Duration(hour) * time.Hour)
	staged, err := stagetest.NewLedger(t, b).Stage(t.Context(), stagetest.Report(until.Add(-4*time.Hour), until), stagetest.Of(append(more, stagetest.Heartbeat(until))...))
	if err != nil || staged.Manifest == nil {
		t.Fatalf("staged %+v, %v", staged, err)
	}
	return staged.Manifest
}

// objects returns what is in a bucket.
func objects(t *testing.T, b stage.Bucket) map[string]string {
	t.Helper()
	all := map[string]string{}
	for info, err := range b.List(t.Context(), "v1/", "") {
		if err != nil {
			t.Fatal(err)
		}
		object, err := b.Open(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = string(text)
	}
	return all
}

// Slices that are staged at the same time, in any order and more than once make the very objects that one process makes which
// stages one after the other, whatever the hourly job does meanwhile.
func TestSlices(t *testing.T) {
	alone := new(mem.Bucket)
	for i := range parts {
		stageSlice(t, alone, i)
	}
	want := objects(t, alone)
	if len(want) != 2*parts {
		t.Fatalf("%d objects for %d slices", len(want), parts)
	}
	t.Run("any order, twice", func(t *testing.T) {
		for range 5 {
			b := new(mem.Bucket)
			for _, i := range append(rand.Perm(parts), rand.Perm(parts)...) {
				stageSlice(t, b, i)
			}
			if got := objects(t, b); !maps.Equal(got, want) {
				t.Errorf("objects differ: %d, want %d", len(got), len(want))
			}
		}
	})
	t.Run("at the same time", func(t *testing.T) {
		b := new(mem.Bucket)
		stageHour(t, b, 0)
		var all sync.WaitGroup
		for i := range 2 * parts { // each twice: a pod that was taken for dead
			all.Go(func() { stageSlice(t, b, i%parts) })
		}
		all.Go(func() { stageHour(t, b, 1) })
		all.Wait()
		got := objects(t, b)
		maps.DeleteFunc(got, func(key, _ string) bool { return want[key] == "" })
		if !maps.Equal(got, want) || len(objects(t, b)) != len(want)+4 {
			t.Error("the objects are not those of one process and of the hourly job")
		}
	})
}

// The hourly job goes on where it was, and knows what was read by then: what is missing, and what happens once.
func TestSlicesAndTheHourlyJob(t *testing.T) {
	const first, missing = 3, 5 // the slice that an hourly run comes after, and the one that is lost
	days := func(from, to float64) string {
		return fmt.Sprintf("%v-%v", -24*from, -24*to)
	}
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("a head before: %v", before), func(t *testing.T) {
			b := new(mem.Bucket)
			l := stagetest.NewLedger(t, b)
			now := "0-5"
			if before {
				stageHour(t, b, 0)
				now = "-4-5"
			}
			stageSlice(t, b, first)
			// The head is always one of the hourly job, and tells of the slice too.
			head, err := l.Head(t.Context(), stagetest.Names().Cluster())
			if err != nil || head.Extract.Slice || len(head.Coverage[record.SourceResults]) != map[bool]int{true: 2, false: 1}[before] {
				t.Fatalf("head %+v, %v", head, err)
			}
			for i := range parts {
				if i != first && i != missing {
					stageSlice(t, b, i)
				}
			}
			// An installation of the past that is ready once more is no second one.
			again := stagetest.Installed("install-2", stagetest.Noon.Add(4*time.Hour))
			m := stageHour(t, b, 4, again)
			if m.Events[again.Name] != 0 || len(m.Carried.Once) != parts-1 {
				t.Errorf("once: %q, staged %v", m.Carried.Once, m.Events)
			}
			m = stageHour(t, b, 5)
			hole := past.Slice(missing, parts)
			want := days(110, stagetest.Noon.Sub(hole.Since).Hours()/24) + " " + days(stagetest.Noon.Sub(hole.Until).Hours()/24, 10) + " " + now
			if got := spans(m, record.SourceResults); got != want {
				t.Errorf("covered %s, want %s", got, want)
			}
			// Once it is read the hole is closed.
			stageSlice(t, b, missing)
			m = stageHour(t, b, 6)
			if got := m.Coverage[record.SourceResults]; len(got) != 2 || got[0] != past {
				t.Errorf("covered %v", got)
			}
		})
	}
}

// What only slices know stays until the hourly job knows it, however old they are.
func TestSlicesDoNotExpireUnknown(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	stageHour(t, b, 0)
	for i := range parts {
		stageSlice(t, b, i)
	}
	for batch, err := range l.Batches(t.Context(), stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := l.Manifest(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		rows := m.Files[0].Rows
		if err := l.PutReceipt(t.Context(), &stage.Receipt{Destination: "segment", Cluster: m.Cluster, Batch: m.Batch, Started: stagetest.Noon, Finished: stagetest.Noon, Events: rows, Delivered: rows}); err != nil {
			t.Fatal(err)
		}
	}
	expire := func() int {
		done, err := l.Expire(t.Context(), stage.ExpireOptions{Now: stagetest.Noon.AddDate(0, 0, 30), OlderThan: 8 * 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return done.Batches
	}
	if n := expire(); n != 0 {
		t.Errorf("%d batches expired that the head does not know", n)
	}
	stageHour(t, b, 1)
	if n := expire(); n != parts {
		t.Errorf("%d batches expired, want %d", n, parts)
	}
}

func TestSliceOfWindow(t *testing.T) {
	w := record.Window{Since: stagetest.Noon, Until: stagetest.Noon.Add(10 * time.Second)}
	var bounds []int
	for i := range 3 {
		s := w.Slice(i, 3)
		bounds = append(bounds, s.Until.Second(), s.Since.Second())
	}
	if !slices.Equal(bounds, []int{10, 6, 6, 3, 3, 0}) {
		t.Errorf("slices are bounded by %v", bounds)
	}
}
