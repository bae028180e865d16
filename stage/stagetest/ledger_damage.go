// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

type damageKind struct {
	name string
	harm func(text, other string) string
}

// damages are the ways in which an object comes to harm: from its text, and that of
// the same object of another batch, to what is there then; "" deletes it.
var damages = []damageKind{
	{"deleted", func(string, string) string { return "" }},
	{"truncated", func(text, _ string) string { return text[:len(text)*2/3] }},
	{"with a flipped bit", func(text, _ string) string {
		flipped := []byte(text)
		flipped[len(flipped)/2] ^= 1 << 6
		return string(flipped)
	}},
	{"swapped", func(_, other string) string { return other }},
	{"emptied", func(string, string) string { return empty }},
	{"of a newer release", func(text, _ string) string {
		return strings.NewReplacer(`"format": 1`, `"format": 2`, "segment-bridge.format\x18\x011", "segment-bridge.format\x18\x012").Replace(text)
	}},
}

const empty = "\x00empty"

// Damage harms an object of one of two batches in every way, before or after it was
// delivered, and lets the hourly job go on. Then the object is restored, or its batch
// given up. Nothing may be lost for good, nothing be staged twice that can be read,
// and the rest has to be staged and delivered in any case. Ledger does some of this.
func Damage(t *testing.T, open func(t *testing.T) stage.Bucket) {
	for _, victim := range []int{0, 1} {
		for _, objects := range []string{"manifest", "data", "manifest and data"} {
			for _, how := range damages {
				for _, delivered := range []bool{false, true} {
					for _, restored := range []bool{false, true} {
						damage(t, open(t), victim, objects, how.name, delivered, restored)
					}
				}
			}
		}
	}
}

func someDamage(t *testing.T, open func(t *testing.T) stage.Bucket) {
	damage(t, open(t), 1, "manifest", "truncated", false, true)
	damage(t, open(t), 1, "data", "deleted", true, true)
	damage(t, open(t), 1, "data", "swapped", false, false)
	damage(t, open(t), 1, "manifest and data", "with a flipped bit", true, true)
	damage(t, open(t), 0, "manifest", "of a newer release", true, true)
}

// damage harms the first batch or the second, which is the head.
func damage(t *testing.T, b stage.Bucket, victim int, objects, how string, delivered, restored bool) {
	t.Run(fmt.Sprintf("batch %d/%s %s/delivered %t/restored %t", victim, objects, how, delivered, restored), func(t *testing.T) {
		d := &damaged{t: t, bucket: b, ledger: NewLedger(t, b), sent: map[string]int{}}
		d.run(victim, objects, how, delivered, restored)
	})
}

// damaged is an hourly job of which an object is damaged.
type damaged struct {
	t      *testing.T
	bucket stage.Bucket
	ledger *stage.Ledger
	late   *telemetry.Event // shows up after its hour was read
	since  time.Time        // where windows begin, if it was said
	sent   map[string]int   // how often each event was delivered
}

func (d *damaged) run(victim int, objects, name string, delivered, restored bool) {
	t := d.t
	harm := damages[slices.IndexFunc(damages, func(how damageKind) bool { return how.name == name })].harm
	batches := []*stage.Manifest{d.hour(0).Manifest, d.hour(1).Manifest}
	if delivered {
		if err := d.load(); err != nil {
			t.Fatal(err)
		}
	}
	m, other := batches[victim], batches[1-victim]
	d.late, _ = Run(900, m.MaxTime.Add(-30*time.Minute), 3)
	var keys []string
	whole := map[string]string{}
	for kind, key := range map[string]string{"manifest": manifestKey(m), "data": m.Files[0].Key} {
		if !strings.Contains(objects, kind) {
			continue
		}
		keys = append(keys, key)
		whole[key], _ = get(t, d.bucket, key)
		swap, _ := get(t, d.bucket, map[string]string{"manifest": manifestKey(other), "data": other.Files[0].Key}[kind])
		d.put(key, harm(whole[key], swap))
	}
	exists := name != "deleted" || objects == "data"
	known := objects == "manifest" || !exists

	staged, err := d.stage(2)
	if name == "of a newer release" && objects != "data" {
		if !errors.Is(err, stage.ErrNewer) || !strings.Contains(err.Error(), manifestKey(m)) {
			t.Fatalf("staged beside a newer release: %+v, %v", staged, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("damage keeps a run from staging: %v", err)
	}
	var found []string
	for _, damage := range staged.Damaged {
		found = append(found, damage.Key)
		if to := "the batch was delivered to segment"; strings.Contains(damage.String(), to) != delivered || !strings.Contains(damage.String(), damage.Key) {
			t.Errorf("advice: %s", &damage)
		}
	}
	slices.Sort(keys)
	slices.Sort(found)
	if !exists {
		keys = nil
	}
	if !slices.Equal(found, keys) || known != (staged.Withheld == 0) || staged.Events < 9 {
		t.Errorf("staged %d events, withheld %d, found damaged %q, want %q", staged.Events, staged.Withheld, found, keys)
	}
	if err := d.load(); exists && !delivered != errors.Is(err, stage.ErrCorrupt) {
		t.Errorf("load: %v", err)
	}
	if still := d.hour(3); known != (still.Withheld == 0) {
		t.Errorf("an hour later, %d events are withheld in place of %d", still.Withheld, staged.Withheld)
	}

	for _, key := range keys {
		if restored {
			d.put(key, whole[key])
		} else {
			d.put(manifestKey(m), "")
		}
	}
	given := !exists || !restored
	if given && objects != "data" {
		d.since = m.Window.Since // as the advice says; nobody else knows how far back
	}
	// Half a day later, when windows have moved on.
	if last := d.hour(12); last.Withheld != 0 || len(last.Manifest.Damaged) != 0 {
		t.Errorf("withheld %d, damaged %v", last.Withheld, last.Manifest.Damaged)
	}
	if err := d.load(); err != nil {
		t.Errorf("load: %v", err)
	}
	// Only who gives up what was delivered delivers it again.
	d.check(given && delivered)
}

// check checks that all events are staged, once, and delivered, once or again.
func (d *damaged) check(again bool) {
	staged := tracks(d.t, d.ledger)
	for e, err := range d.events(Noon.Add(-4*time.Hour), Noon.Add(12*time.Hour)) {
		if err != nil {
			d.t.Fatal(err)
		}
		_, ok := staged[e.MessageID]
		if n := d.sent[e.MessageID]; !ok || n == 0 || n > 1 && !again {
			d.t.Errorf("event %s of %s is staged: %t, was delivered %d times", e.MessageID, e.Time, ok, n)
		}
	}
}

// events yields what happened in a window.
func (d *damaged) events(since, until time.Time) iter.Seq2[*telemetry.Event, error] {
	return func(yield func(*telemetry.Event, error) bool) {
		for e, err := range Runs(100, Noon.Add(-3*time.Hour), 7*time.Minute) {
			if !e.Time.Before(since) && e.Time.Before(until) && !yield(e, err) {
				return
			}
		}
		if d.late != nil && !d.late.Time.Before(since) {
			yield(d.late, nil)
		}
	}
}

// stage is the run so many hours after noon.
func (d *damaged) stage(hour int) (stage.Staged, error) {
	until := Noon.Add(time.Duration(hour) * time.Hour)
	head, err := d.ledger.Head(d.t.Context(), Names().Cluster())
	if err != nil {
		return stage.Staged{}, err
	}
	w := stage.NextWindow(head, []record.SourceName{record.SourceResults}, until, 4*time.Hour, 7*24*time.Hour, 15*time.Minute)
	if !d.since.IsZero() {
		w.Since = d.since
	}
	return d.ledger.Stage(d.t.Context(), Report(w.Since, w.Until), d.events(w.Since, w.Until))
}

func (d *damaged) hour(hour int) stage.Staged {
	d.t.Helper()
	staged, err := d.stage(hour)
	if err != nil || staged.Manifest == nil {
		d.t.Fatalf("staged %+v, %v", staged, err)
	}
	return staged
}

// load delivers what is pending and passes over what is corrupt.
func (d *damaged) load() (corrupt error) {
	ctx := context.WithoutCancel(d.t.Context())
	for b, err := range d.ledger.Pending(ctx, "segment") {
		if err != nil {
			d.t.Fatal(err)
		}
		if err := d.deliver(ctx, b); errors.Is(err, stage.ErrCorrupt) {
			corrupt = err
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
	return corrupt
}

func (d *damaged) deliver(ctx context.Context, b stage.Batch) error {
	m, err := d.ledger.Manifest(ctx, b)
	if err != nil {
		return err
	}
	for track, err := range d.ledger.Tracks(ctx, m) {
		if err != nil {
			return err
		}
		d.sent[track.MessageID]++
	}
	n := m.Files[0].Rows
	return d.ledger.PutReceipt(ctx, &stage.Receipt{
		Destination: "segment", Cluster: b.Cluster, Batch: b.Name, Started: Noon, Finished: Noon, Events: n, Delivered: n,
	})
}

// put replaces or deletes an object.
func (d *damaged) put(key, text string) {
	d.t.Helper()
	err := d.bucket.Delete(d.t.Context(), key)
	if text != "" {
		err = Tamper(d.t.Context(), d.bucket, key, strings.ReplaceAll(text, empty, ""))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func manifestKey(m *stage.Manifest) string { return "v1/manifests/" + m.ID().String() + ".json" }
