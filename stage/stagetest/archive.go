// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// The archive begins on FirstDay and is older than AfterArchive, when CompactAll
// compacts all that can be.
var (
	FirstDay     = Noon.AddDate(-2, 0, 0)
	AfterArchive = FirstDay.AddDate(0, 0, 30)
	CompactAll   = stage.CompactOptions{Now: AfterArchive}
)

// Archive fills a bucket with three days of a cluster: on the first two, batches of
// overlapping windows that end these hours after the first (by default three of them
// on the first day and two on the second), delivered to two destinations of which
// one rejects an event of each; on the third the head, which is pending.
func Archive(t testing.TB, b stage.Bucket, hours ...int) {
	t.Helper()
	if hours == nil {
		hours = []int{0, 1, 2, 24, 26}
	}
	l := NewLedger(t, b)
	for _, hours := range hours {
		from := FirstDay.Add(time.Duration(hours) * time.Hour)
		Deliver(t, l, StageHour(t, l, from, 5*hours))
	}
	StageHour(t, l, FirstDay.Add(48*time.Hour), 500)
}

// StageHour stages four new runs, one that is staged already, an installation and a
// heartbeat.
func StageHour(t testing.TB, l *stage.Ledger, from time.Time, number int) *stage.Manifest {
	t.Helper()
	var events []*telemetry.Event
	for i := range 5 {
		started, completed := Run(number+i, from.Add(time.Duration(i)*time.Minute), 5)
		events = append(events, started, completed)
	}
	if number >= 5 && number < 15 {
		started, _ := Run(number-5, from, 5)
		events = append(events, started)
	}
	events = append(events, Installed(fmt.Sprint("install-", number), from), Heartbeat(from))
	staged, err := l.Stage(t.Context(), Report(from.Add(-3*time.Hour), from.Add(time.Hour)), Of(events...))
	if err != nil || staged.Events != 12 {
		t.Fatalf("staged %+v, %v", staged, err)
	}
	return staged.Manifest
}

// Deliver writes the receipts of a batch at both destinations; the first, "segment", has rejected
// an event.
func Deliver(t testing.TB, l *stage.Ledger, m *stage.Manifest) {
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

// A View is what a ledger says, whatever files it says it with.
type View struct {
	Tracks      map[string]string
	Pending     map[string][]string // IDs of events, by destination
	Outstanding map[string][]string
	Delivered   map[string]int64
	Head        *stage.Manifest
	Next        record.Window
}

// Look returns what a bucket says, and fails if an event counts twice.
func Look(t testing.TB, b stage.Bucket) View {
	t.Helper()
	l := NewLedger(t, b)
	v := View{Tracks: map[string]string{}, Pending: map[string][]string{}, Outstanding: map[string][]string{}, Delivered: map[string]int64{}}
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
	if v.Head, err = l.Head(ctx, Names().Cluster()); err != nil {
		t.Fatal(err)
	}
	v.Next = stage.NextWindow(v.Head, []record.SourceName{record.SourceResults}, AfterArchive, 4*time.Hour, 7*24*time.Hour, 0)
	return v
}

// String returns the view as JSON, to compare it.
func (v View) String() string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
