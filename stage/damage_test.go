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
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// hourly is a job whose runs end so many hours after noon.
type hourly struct {
	*testing.T
	bucket mem.Bucket
	ledger *stage.Ledger
}

func newHourly(t *testing.T) *hourly {
	h := &hourly{T: t}
	h.ledger = stagetest.NewLedger(t, &h.bucket)
	return h
}

func (h *hourly) report(n int) record.Report {
	h.Helper()
	head, err := h.ledger.Head(h.Context(), stagetest.Names().Cluster())
	if err != nil {
		h.Fatal(err)
	}
	w := stage.NextWindow(head, []record.SourceName{record.SourceResults}, hour(n), 4*time.Hour, 7*24*time.Hour, 15*time.Minute)
	return stagetest.Report(w.Since, w.Until)
}

func (h *hourly) stage(report record.Report, events ...*telemetry.Event) stage.Staged {
	h.Helper()
	staged, err := h.ledger.Stage(h.Context(), report, stagetest.Of(append(events, stagetest.Heartbeat(report.Window.Until))...))
	if err != nil {
		h.Fatal(err)
	}
	return staged
}

// harm replaces the objects in the folder of the batch.
func (h *hourly) harm(m *stage.Manifest, folder, text string) (key, before string) {
	h.Helper()
	all := content(h.T, &h.bucket)
	for key, before = range all {
		if strings.HasPrefix(key, folder) && strings.Contains(key, m.Batch) {
			if err := stagetest.Tamper(h.Context(), &h.bucket, key, text); err != nil {
				h.Fatal(err)
			}
			return key, before
		}
	}
	h.Fatalf("nothing of %s is in %s", m.Batch, folder)
	return "", ""
}

// What happens once in the life of an object is learnt from the data where the
// manifest is damaged, and handed on.
func TestDamagedManifestForgetsNothing(t *testing.T) {
	h := newHourly(t)
	h.stage(h.report(0), stagetest.Installed("first", hour(-1)))
	second := h.stage(h.report(1), stagetest.Installed("second", hour(0)))
	h.harm(second.Manifest, "v1/manifests/", "{}")
	third := h.stage(h.report(2))
	if want := []string{"first-completed", "second-completed"}; !slices.Equal(third.Manifest.Carried.Once, want) || len(third.Damaged) != 1 {
		t.Errorf("carried %q, damaged %v", third.Manifest.Carried.Once, third.Damaged)
	}
	if again := h.stage(h.report(30*24), stagetest.Installed("second", hour(30*24-1))); again.AlreadyStaged != 1 {
		t.Errorf("ready again a month later: %+v", again)
	}
}

func TestWindowWhenNoManifestCanBeRead(t *testing.T) {
	h := newHourly(t)
	h.harm(h.stage(h.report(0)).Manifest, "v1/manifests/", "{}")
	if w := h.report(24).Window; !w.Since.Equal(hour(24).AddDate(0, 0, -7)) {
		t.Errorf("a day later the window is %v", w)
	}
	started, _ := stagetest.Run(1, hour(2), 1)
	if staged := h.stage(h.report(24), started, stagetest.Heartbeat(hour(0))); staged.Events != 2 || staged.AlreadyStaged != 1 || len(staged.Damaged) != 1 {
		t.Errorf("staged %+v", staged)
	}
}

// Runs come back to what was withheld until every source was read for it again.
func TestWithheldEventsWaitForTheirSource(t *testing.T) {
	h := newHourly(t)
	started, completed := stagetest.Run(1, hour(-1), 1)
	late, _ := stagetest.Run(2, hour(-1).Add(time.Minute), 1)
	m := h.stage(h.report(0), started, completed).Manifest
	key, whole := h.harm(m, "v1/events/", "x")
	if staged := h.stage(h.report(1), started, completed, late); staged.Withheld != 3 || staged.Events != 1 {
		t.Errorf("staged %+v", staged)
	}
	if err := stagetest.Tamper(t.Context(), &h.bucket, key, whole); err != nil {
		t.Fatal(err)
	}
	report := h.report(24)
	report.Sources[2].Outcome = record.OutcomeTimeout
	if staged := h.stage(report, started); staged.AlreadyStaged != 1 || len(staged.Damaged) != 0 || len(staged.Manifest.Damaged) != 1 {
		t.Errorf("staged %+v, %+v", staged, staged.Manifest.Damaged)
	}
	report = h.report(25)
	if staged := h.stage(report, started, completed, late); staged.Events != 2 || !report.Window.Since.Equal(hour(-1)) || len(staged.Manifest.Damaged) != 0 {
		t.Errorf("window %v, staged %+v", report.Window, staged)
	}
	if w := h.report(26).Window; !w.Since.Equal(hour(22)) {
		t.Errorf("the window is still %v", w)
	}
}

// Two batches may have the same size and number of rows.
func TestSwappedDataOfTheSameSize(t *testing.T) {
	h := newHourly(t)
	first, second := h.stage(h.report(0)).Manifest, h.stage(h.report(1)).Manifest
	if first.Files[0].Size != second.Files[0].Size || first.Files[0].Rows != 1 {
		t.Fatalf("files are %+v and %+v", first.Files, second.Files)
	}
	_, other := h.harm(first, "v1/events/", "x")
	h.harm(second, "v1/events/", other)
	if staged := h.stage(h.report(2), stagetest.Heartbeat(hour(1))); staged.Withheld != 1 || len(staged.Damaged) != 2 {
		t.Errorf("staged %+v", staged)
	}
}

// A file that no manifest or receipt names yet is written anew where it is damaged.
func TestDamagedOrphansAreWrittenAnew(t *testing.T) {
	h := newHourly(t)
	m := h.stage(h.report(0)).Manifest
	rows := []stage.Rejection{{MessageID: stagetest.Heartbeat(hour(0)).MessageID, Reason: "HTTP 400"}}
	for range 2 {
		if _, err := h.ledger.Reject(t.Context(), "segment", m, rows); err != nil {
			t.Fatal(err)
		}
		h.harm(m, "v1/rejected/", "x")
	}
	want := content(t, &h.bucket)
	key, _ := h.harm(m, "v1/events/", "x")
	if err := h.bucket.Delete(t.Context(), "v1/manifests/"+m.ID().String()+".json"); err != nil {
		t.Fatal(err)
	}
	h.stage(h.report(0))
	if got := content(t, &h.bucket); got[key] != want[key] {
		t.Error("the data is still damaged")
	}
}

// Compaction and expiry pass over what they cannot read, and do the rest.
func TestHygieneBesideDamage(t *testing.T) {
	for name, test := range map[string]struct {
		harm      []int // batches whose manifests are damaged
		text      string
		compacted stage.Compacted
		expired   int // what was damaged late, or after the head, stays until it can be told
	}{
		"a batch":                        {[]int{1}, "{}", stage.Compacted{Days: 1, Replaced: 2, Merged: 1, Corrupt: 1}, 2},
		"a batch of a newer release":     {[]int{1}, `{"format":2}`, stage.Compacted{Days: 1, Replaced: 2, Merged: 1, Corrupt: 1}, 2},
		"the head":                       {[]int{5}, "{}", stage.Compacted{Days: 1, Replaced: 3, Merged: 1}, 2},
		"the head, of a newer release":   {[]int{5}, `{"format":2}`, stage.Compacted{Days: 2, Replaced: 5, Merged: 2}, 0},
		"all":                            {[]int{0, 1, 2, 3, 4, 5}, "{}", stage.Compacted{}, 0},
		"the head and all of day two":    {[]int{3, 4, 5}, "{}", stage.Compacted{}, 2},
		"the head and one of day one":    {[]int{0, 5}, "{}", stage.Compacted{Corrupt: 1}, 3},
		"nothing, so that this is right": {nil, "", stage.Compacted{Days: 2, Replaced: 5, Merged: 2}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := archive(t)
			manifests, err := stagetest.Keys(t.Context(), b, "v1/manifests/")
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range test.harm {
				if err := stagetest.Tamper(t.Context(), b, manifests[i], test.text); err != nil {
					t.Fatal(err)
				}
			}
			done, err := stagetest.NewLedger(t, b).Compact(t.Context(), compactAll)
			if done.Events, done.Removed, done.Bytes = 0, 0, 0; done != test.compacted || (err != nil) != (done.Corrupt > 0) {
				t.Errorf("compacted %+v, %v, want %+v", done, err, test.compacted)
			}
			if err != nil && !strings.Contains(err.Error(), manifests[test.harm[0]]) {
				t.Errorf("the error names another object: %v", err)
			}
			if done := expire(t, b, upTo(afterArchive)); done.Batches != test.expired {
				t.Errorf("expired %+v, want %d batches", done, test.expired)
			}
		})
	}
}

// Beside a newer release nothing is staged, and the rest of a range can be read.
func TestNewerReleases(t *testing.T) {
	h := newHourly(t)
	first := h.stage(h.report(0)).Manifest
	second := h.stage(h.report(1)).Manifest
	report := h.report(2)
	h.harm(second, "v1/manifests/", `{"format":2}`)
	if _, err := h.ledger.Stage(t.Context(), report, stagetest.Of(stagetest.Heartbeat(hour(2)))); !errors.Is(err, stage.ErrNewer) {
		t.Errorf("staged: %v", err)
	}
	if _, err := h.ledger.Head(t.Context(), first.Cluster); !errors.Is(err, stage.ErrNewer) {
		t.Errorf("head: %v", err)
	}
	n := 0
	for _, err := range h.ledger.Batches(t.Context(), stage.Range{Until: hour(1)}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("%d batches are in the range", n)
	}
}
