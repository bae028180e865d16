// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

// Library is who stages the test events.
var Library = telemetry.Library{Name: "segment-bridge", Version: "1.2.3"}

// NewLedger returns a ledger for tests in the bucket.
func NewLedger(t testing.TB, b stage.Bucket) *stage.Ledger {
	t.Helper()
	return stage.NewLedger(b, stage.Options{Plan: catalogue.Plan(), Library: Library, WorkDir: t.TempDir()})
}

// Ledger tests the whole protocol of staging and loading in a kind of bucket; open
// returns a new and empty one.
func Ledger(t *testing.T, open func(t *testing.T) stage.Bucket) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, stage.Bucket)
	}{
		{"a batch from staging to receipt", lifecycle},
		{"each event is staged once", stagedOnce},
		{"what happens once is remembered", rememberedOnce},
		{"rejected events", rejected},
		{"tampering is found", tampering},
		{"compaction changes the files alone", compacted},
		{"expiry keeps what others build on", expired},
		{"loaders that race", racingLoaders},
		{"runs on the same input at the same time", twins},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("damage", func(t *testing.T) { someDamage(t, open) })
	for _, fault := range []Fault{Before, After, Lost} {
		t.Run(fmt.Sprintf("crashes of kind %d at every operation", fault), func(t *testing.T) { crashes(t, open, fault) })
	}
}

func mustStage(t *testing.T, l *stage.Ledger, since, until time.Time, events iter.Seq2[*telemetry.Event, error]) stage.Staged {
	t.Helper()
	staged, err := l.Stage(t.Context(), Report(since, until), events)
	if err != nil {
		t.Fatalf("stage: %v", err)
	}
	return staged
}

func batches(t *testing.T, seq iter.Seq2[stage.Batch, error]) []stage.Batch {
	t.Helper()
	var all []stage.Batch
	for b, err := range seq {
		if err != nil {
			t.Fatalf("list batches: %v", err)
		}
		all = append(all, b)
	}
	return all
}

// tracks returns the payload of each staged event by message ID, and fails if one
// is staged twice.
func tracks(t *testing.T, l *stage.Ledger) map[string]string {
	t.Helper()
	staged := map[string]string{}
	for _, b := range batches(t, l.Batches(t.Context(), stage.Range{})) {
		m, err := l.Manifest(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for track, err := range l.Tracks(t.Context(), m) {
			if err != nil {
				t.Fatalf("tracks: %v", err)
			}
			if _, twice := staged[track.MessageID]; twice {
				t.Errorf("event %s is staged twice", track.MessageID)
			}
			staged[track.MessageID] = string(track.Payload)
		}
	}
	return staged
}

func wantTracks(t *testing.T, l *stage.Ledger, seqs ...iter.Seq2[*telemetry.Event, error]) {
	t.Helper()
	want := map[string]string{}
	for _, seq := range seqs {
		for e, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			want[e.MessageID] = string(e.AppendTrack(nil, Library))
		}
	}
	if got := tracks(t, l); !maps.Equal(got, want) {
		t.Errorf("%d events are staged, want %d, or they differ", len(got), len(want))
	}
}

func lifecycle(t *testing.T, b stage.Bucket) {
	l := NewLedger(t, b)
	if head, err := l.Head(t.Context(), Names().Cluster()); head != nil || err != nil {
		t.Fatalf("head of nothing: %v, %v", head, err)
	}
	since, until := Noon.Add(-time.Hour), Noon.Add(time.Hour)
	staged := mustStage(t, l, since, until, Runs(50, Noon, time.Second))
	m := staged.Manifest
	if m == nil || staged.Events != 100 || m.Files[0].Rows != 100 || m.Events[catalogue.PipelineRunStarted] != 50 ||
		!m.MinTime.Equal(Noon) || !strings.HasPrefix(m.Batch, "20261122T130000Z-") {
		t.Fatalf("staged %+v: %+v", staged, m)
	}
	keys, err := Keys(t.Context(), b, "")
	want := []string{
		"v1/events/cluster=" + m.Cluster.String() + "/date=2026-11-22/" + m.Batch + ".parquet",
		"v1/manifests/cluster=" + m.Cluster.String() + "/" + m.Batch + ".json",
	}
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("the bucket has %q, %v", keys, err)
	}
	head, err := l.Head(t.Context(), m.Cluster)
	if err != nil || head.ID() != m.ID() || fmt.Sprint(head) != fmt.Sprint(m) {
		t.Errorf("head is\n%+v, %v, want\n%+v", head, err, m)
	}
	wantTracks(t, l, Runs(50, Noon, time.Second))

	// The same input again costs nothing and changes nothing.
	if again := mustStage(t, l, since, until, Runs(50, Noon, time.Second)); again.Manifest != nil || again.AlreadyStaged != 100 || again.Events != 0 {
		t.Errorf("staged again: %+v", again)
	}
	second := mustStage(t, l, since, until.Add(time.Hour), Runs(60, Noon, time.Second))
	if second.Events != 20 || second.AlreadyStaged != 100 {
		t.Errorf("second batch: %+v", second)
	}

	const destination = "segment"
	pending := batches(t, l.Pending(t.Context(), destination))
	if !slices.Equal(pending, []stage.Batch{m.ID(), second.Manifest.ID()}) {
		t.Errorf("pending: %v", pending)
	}
	if _, err := l.Receipt(t.Context(), destination, m.ID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("receipt of nothing: %v", err)
	}
	receipt := &stage.Receipt{Destination: destination, Cluster: m.Cluster, Batch: m.Batch, Started: Noon, Finished: Noon, Events: 100, Delivered: 100}
	replay := *receipt
	replay.Replay = true
	for _, r := range []*stage.Receipt{receipt, receipt, &replay} { // repeating is success
		if err := l.PutReceipt(t.Context(), r); err != nil {
			t.Errorf("put receipt: %v", err)
		}
	}
	if got, err := l.Receipt(t.Context(), destination, m.ID()); err != nil || fmt.Sprint(got) != fmt.Sprint(receipt) {
		t.Errorf("receipt: %+v, %v", got, err)
	}
	if pending := batches(t, l.Pending(t.Context(), destination)); !slices.Equal(pending, []stage.Batch{second.Manifest.ID()}) {
		t.Errorf("pending after one receipt: %v", pending)
	}
	if pending := batches(t, l.Pending(t.Context(), "splunk")); len(pending) != 2 {
		t.Errorf("pending for another destination: %v", pending)
	}
	keys, err = Keys(t.Context(), b, "v1/receipts/")
	want = []string{
		"v1/receipts/segment/cluster=" + m.Cluster.String() + "/" + m.Batch + ".json",
		fmt.Sprintf("v1/receipts/segment/cluster=%s/%s.replay-%d.json", m.Cluster, m.Batch, Noon.Unix()),
	}
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("receipts: %q, %v", keys, err)
	}
}

func stagedOnce(t *testing.T, b stage.Bucket) {
	l := NewLedger(t, b)
	// Hourly runs that look back 4 hours, and a back-fill in the end.
	start := Noon.Add(-6 * time.Hour)
	events := func(since, until time.Time) iter.Seq2[*telemetry.Event, error] {
		return func(yield func(*telemetry.Event, error) bool) {
			for e, err := range Runs(80, start, 7*time.Minute) {
				if !e.Time.Before(since) && e.Time.Before(until) && !yield(e, err) {
					return
				}
			}
		}
	}
	for hour := range 4 {
		until := Noon.Add(time.Duration(hour) * time.Hour)
		mustStage(t, l, until.Add(-4*time.Hour), until, events(until.Add(-4*time.Hour), until))
	}
	fill := mustStage(t, l, start, Noon, events(start, Noon))
	if fill.Manifest == nil || fill.AlreadyStaged == 0 || len(batches(t, l.Batches(t.Context(), stage.Range{}))) != 5 {
		t.Errorf("back-fill: %+v", fill)
	}
	wantTracks(t, l, events(start, Noon.Add(3*time.Hour)))
}

func rememberedOnce(t *testing.T, b stage.Bucket) {
	l := NewLedger(t, b)
	window := func(day int) (since, until time.Time) {
		until = Noon.AddDate(0, 0, day)
		return until.Add(-4 * time.Hour), until
	}
	for day, events := range [][]*telemetry.Event{
		{Installed("install-1", Noon.Add(-time.Hour)), Heartbeat(Noon)},
		{Heartbeat(Noon.AddDate(0, 0, 1))},
		{Installed("install-1", Noon.AddDate(0, 0, 2).Add(-time.Hour)), Installed("install-2", Noon.AddDate(0, 0, 2).Add(-time.Hour))}, // ready again
	} {
		since, until := window(day)
		mustStage(t, l, since, until, Of(events...))
	}
	head, err := l.Head(t.Context(), Names().Cluster())
	if err != nil || !slices.Equal(head.Carried.Once, []string{"install-1-completed", "install-2-completed"}) || !head.Carried.Heartbeat.Equal(Noon.AddDate(0, 0, 1)) {
		t.Errorf("carried: %+v, %v", head.Carried, err)
	}
	// A batch of an older window, written after the head, is not forgotten either.
	since, until := window(-30)
	mustStage(t, l, since, until, Of(Installed("install-3", until.Add(-time.Hour))))
	since, until = window(3)
	if staged := mustStage(t, l, since, until, Of(Installed("install-3", until.Add(-time.Hour)), Installed("install-2", until.Add(-time.Hour)))); staged.AlreadyStaged != 2 {
		t.Errorf("ready again: %+v", staged)
	}
}

func rejected(t *testing.T, b stage.Bucket) {
	l := NewLedger(t, b)
	m := mustStage(t, l, Noon.Add(-time.Hour), Noon.Add(time.Hour), Runs(20, Noon, time.Second)).Manifest
	var rows []stage.Rejection
	payloads := map[string]string{}
	for track, err := range l.Tracks(t.Context(), m) {
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) < 3 {
			rows = append(rows, stage.Rejection{MessageID: track.MessageID, Reason: "HTTP 400"})
			payloads[track.MessageID] = string(track.Payload)
		}
	}
	var file *stage.File
	for range 2 { // repeating is success
		var err error
		if file, err = l.Reject(t.Context(), "segment", m, rows); err != nil || file.Rows != 3 {
			t.Fatalf("reject: %+v, %v", file, err)
		}
	}
	receipt := &stage.Receipt{
		Destination: "segment", Cluster: m.Cluster, Batch: m.Batch, Started: Noon, Finished: Noon, Events: 40,
		Delivered: 37, Rejected: 3, Reasons: map[string]int64{"HTTP 400": 3}, Rejections: file,
	}
	if err := l.PutReceipt(t.Context(), receipt); err != nil {
		t.Fatalf("put receipt: %v", err)
	}
	if keys, err := Keys(t.Context(), b, "v1/rejected/segment/"); err != nil || !slices.Equal(keys, []string{file.Key}) {
		t.Errorf("rejected: %q, %v", keys, err)
	}
	read := *m
	read.Files = []stage.File{*file} // the file reads like that of a batch
	got := map[string]string{}
	for track, err := range l.Tracks(t.Context(), &read) {
		if err != nil {
			t.Fatal(err)
		}
		got[track.MessageID] = string(track.Payload)
	}
	if !maps.Equal(got, payloads) {
		t.Errorf("rejected events: %v, want %v", got, payloads)
	}
	if file, err := l.Reject(t.Context(), "segment", m, nil); file != nil || err != nil {
		t.Errorf("reject nothing: %v, %v", file, err)
	}
	if _, err := l.Reject(t.Context(), "segment", m, []stage.Rejection{{MessageID: "other"}}); err == nil {
		t.Error("reject what is not in the batch: no error")
	}
}

func tampering(t *testing.T, b stage.Bucket) {
	l := NewLedger(t, b)
	m := mustStage(t, l, Noon.Add(-time.Hour), Noon.Add(time.Hour), Runs(20, Noon, time.Second)).Manifest
	data := m.Files[0]
	manifest := strings.Replace(strings.Replace(data.Key, "v1/events/", "v1/manifests/", 1), "date=2026-11-22/", "", 1)
	manifest = strings.TrimSuffix(manifest, ".parquet") + ".json"
	text, _ := get(t, b, data.Key)
	flipped := []byte(text)
	flipped[len(flipped)/2] ^= 1
	for _, bad := range []string{string(flipped), text[:len(text)-1], text + "x"} {
		if err := Tamper(t.Context(), b, data.Key, bad); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range l.Tracks(t.Context(), m) {
			if n++; !errors.Is(err, stage.ErrCorrupt) || !strings.Contains(err.Error(), data.Key) {
				t.Errorf("tracks: %v, want ErrCorrupt with the key", err)
			}
		}
		if n != 1 {
			t.Errorf("%d events came out of tampered data", n-1)
		}
	}
	whole, _ := get(t, b, manifest)
	newer := strings.Replace(whole, `"format": 1`, `"format": 2`, 1)
	for _, bad := range []string{
		"", "{}", newer, whole + "{}", whole[:len(whole)-10],
		strings.Replace(whole, `"format": 1`, `"format": 0`, 1),
		strings.Replace(whole, `"format": 1`, `"format": 1, "more": 1`, 1),
		strings.Replace(whole, data.SHA256, strings.Repeat("0", 64), 1),
		strings.Replace(whole, `"rows": 40`, `"rows": 41`, 1),
	} {
		if err := Tamper(t.Context(), b, manifest, bad); err != nil {
			t.Fatal(err)
		}
		_, err := l.Manifest(t.Context(), m.ID())
		if errors.Is(err, stage.ErrNewer) != (bad == newer) || errors.Is(err, stage.ErrCorrupt) == (bad == newer) || !strings.Contains(err.Error(), manifest) {
			t.Errorf("manifest: %v, want ErrCorrupt, or ErrNewer, with the key", err)
		}
	}
	// Under another name it is another batch's.
	other := stage.Batch{Cluster: m.Cluster, Name: "20261122T140000Z" + m.Batch[16:]}
	if err := Tamper(t.Context(), b, strings.Replace(manifest, m.Batch, other.Name, 1), whole); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Manifest(t.Context(), other); !errors.Is(err, stage.ErrCorrupt) {
		t.Errorf("manifest under another name: %v", err)
	}
}

func racingLoaders(t *testing.T, b stage.Bucket) {
	l := NewLedger(t, b)
	m := mustStage(t, l, Noon.Add(-time.Hour), Noon.Add(time.Hour), Runs(1, Noon, time.Second)).Manifest
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			at := Noon.Add(time.Duration(i) * time.Second)
			r := &stage.Receipt{Destination: "segment", Cluster: m.Cluster, Batch: m.Batch, Started: at, Finished: at, Events: 2, Delivered: 2}
			if err := l.PutReceipt(context.WithoutCancel(t.Context()), r); err != nil {
				t.Errorf("put receipt: %v", err)
			}
		})
	}
	wg.Wait()
	if keys, err := Keys(t.Context(), b, "v1/receipts/"); err != nil || len(keys) != 1 {
		t.Errorf("receipts: %q, %v", keys, err)
	}
}
