// SPDX-License-Identifier: Apache-2.0

package stage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestBatchesInRange(t *testing.T) {
	l := stagetest.NewLedger(t, new(mem.Bucket))
	for day := range 5 { // windows of 6 hours, one a day
		from := stagetest.Noon.AddDate(0, 0, day)
		if _, err := l.Stage(t.Context(), stagetest.Report(from, from.Add(6*time.Hour)), stagetest.Runs(day+1, from, time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(day, hours int) time.Time {
		return stagetest.Noon.AddDate(0, 0, day).Add(time.Duration(hours) * time.Hour)
	}
	for _, test := range []struct {
		since, until time.Time
		want         string // days
	}{
		{time.Time{}, time.Time{}, "01234"},
		{at(2, 0), time.Time{}, "234"},
		{at(2, 5), time.Time{}, "234"},
		{at(2, 6), time.Time{}, "34"},
		{time.Time{}, at(2, 0), "01"},
		{time.Time{}, at(2, 1), "012"},
		{time.Time{}, at(2, 6), "012"},
		{at(1, 1), at(3, 1), "123"},
		{at(1, 7), at(1, 8), ""},
		{at(9, 0), at(10, 0), ""},
	} {
		for _, cluster := range []telemetry.Pseudonym{{}, stagetest.Names().Cluster()} {
			got := ""
			for b, err := range l.Batches(t.Context(), stage.Range{Cluster: cluster, Since: test.since, Until: test.until}) {
				if err != nil {
					t.Fatal(err)
				}
				got += fmt.Sprint(int(b.End().Sub(stagetest.Noon).Hours()) / 24)
			}
			if got != test.want {
				t.Errorf("%v to %v: batches of days %q, want %q", test.since, test.until, got, test.want)
			}
		}
	}
	var other telemetry.Pseudonym
	if err := other.UnmarshalText([]byte("0123456789ab")); err != nil {
		t.Fatal(err)
	}
	for b, err := range l.Batches(t.Context(), stage.Range{Cluster: other}) {
		t.Errorf("another cluster has batch %v, %v", b, err)
	}
}

// The listings of manifests and receipts are merged: whatever else lies there does
// not confuse it.
func TestPendingPassesOverStrangers(t *testing.T) {
	b := new(mem.Bucket)
	l := stagetest.NewLedger(t, b)
	var all []stage.Batch
	for day := range 6 {
		from := stagetest.Noon.AddDate(0, 0, day)
		staged, err := l.Stage(t.Context(), stagetest.Report(from, from.Add(time.Hour)), stagetest.Runs(day+1, from, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, staged.Manifest.ID())
	}
	for _, i := range []int{1, 4} {
		r := &stage.Receipt{Destination: "d", Cluster: all[i].Cluster, Batch: all[i].Name, Started: since, Finished: since, Events: 2, Delivered: 2}
		if err := l.PutReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		r.Replay = true
		if err := l.PutReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	folder := "v1/receipts/d/" + strings.TrimSuffix(all[0].String(), all[0].Name)
	for _, key := range []string{
		"v1/receipts/d/README", "v1/receipts/d/zzz", folder + "zzz.json", folder + all[2].Name + ".replay-1.json", folder + all[2].Name,
		"v1/manifests/README", "v1/manifests/cluster=zz/x.json", "v1/manifests/" + all[0].String() + ".json.bak",
	} {
		if err := stagetest.Tamper(t.Context(), b, key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	var got []stage.Batch
	for b, err := range l.Pending(t.Context(), "d") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b)
	}
	if want := []stage.Batch{all[0], all[2], all[3], all[5]}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pending %v, want %v", got, want)
	}
	for _, destination := range []string{"", "../x", "A", "a/b", "a b"} {
		for _, err := range l.Pending(t.Context(), destination) {
			if err == nil {
				t.Errorf("destination %q: no error", destination)
			}
		}
	}
}

func TestReceiptsThatDoNotAddUpAreRefused(t *testing.T) {
	l := stagetest.NewLedger(t, new(mem.Bucket))
	good := stage.Receipt{
		Destination: "d", Cluster: stagetest.Names().Cluster(), Batch: "20261122T170000Z-0123456789abcdef",
		Started: since, Finished: until, Events: 3, Delivered: 3,
	}
	for name, change := range map[string]func(*stage.Receipt){
		"destination": func(r *stage.Receipt) { r.Destination = "D" },
		"batch":       func(r *stage.Receipt) { r.Batch = "x" },
		"day":         func(r *stage.Receipt) { r.Batch = "20261332T170000Z-0123456789abcdef" },
		"times":       func(r *stage.Receipt) { r.Finished = r.Started.Add(-1) },
		"delivered":   func(r *stage.Receipt) { r.Delivered = 2 },
		"rejected":    func(r *stage.Receipt) { r.Delivered, r.Rejected = 2, 1 },
		"reasons":     func(r *stage.Receipt) { r.Reasons = map[string]int64{"HTTP 400": 1} },
		"file":        func(r *stage.Receipt) { r.Rejections = &stage.File{Key: "k"} },
		"nothing":     func(r *stage.Receipt) { r.Events, r.Delivered = 0, 0 },
	} {
		r := good
		change(&r)
		if err := l.PutReceipt(t.Context(), &r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := l.PutReceipt(t.Context(), &good); err != nil {
		t.Errorf("good receipt: %v", err)
	}
}
