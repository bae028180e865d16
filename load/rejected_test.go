// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// stageLater stages a batch of a later day, so that day can be compacted.
func stageLater(t *testing.T, ledger *stage.Ledger) {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		t.Fatal(err)
	}
	since := day.AddDate(0, 0, 2)
	event := func(yield func(*telemetry.Event, error) bool) {
		yield(&telemetry.Event{
			Name: catalogue.NamespaceCreated, MessageID: "99-000000-namespace-created", Time: since, Cluster: names.Cluster(),
			Properties: []telemetry.Property{
				{Name: catalogue.NamespaceHash, Value: telemetry.PseudonymValue(names.Namespace([]byte("ns")))},
				{Name: catalogue.ClusterIDHash, Value: telemetry.PseudonymValue(names.Cluster())},
			},
		}, nil)
	}
	report := record.Report{Cluster: names.Cluster(), Window: record.Window{Since: since, Until: since.Add(time.Hour)}, Scheme: telemetry.SchemeSHA256}
	if staged, err := ledger.Stage(t.Context(), report, event); err != nil || staged.Events != 1 {
		t.Fatalf("staged %+v, %v", staged, err)
	}
}

// A destination refuses events until it is fixed, piece by piece. What was refused
// is sent again under its ID, and only as long as it is refused; compacting the
// batches in between changes nothing.
func TestRejectedEventsAreReplayed(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		ledger, bucket := newLedger(t, 3, 4, 2)
		bad := "00-000001 01-000000 01-000003"
		s := &sink{verdict: func(e telemetry.Track) telemetry.Verdict {
			if strings.Contains(bad, e.MessageID[:9]) {
				return telemetry.Verdict{Status: telemetry.Rejected, Reason: "HTTP 400"}
			}
			return telemetry.Verdict{Status: telemetry.Delivered}
		}}
		if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
			t.Fatal(err)
		}
		if compacted {
			stageLater(t, ledger)
			if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
				t.Fatal(err)
			}
			if done, err := ledger.Compact(t.Context(), stage.CompactOptions{Now: day.AddDate(0, 0, 9)}); err != nil || done.Replaced != 3 {
				t.Fatalf("compacted %+v, %v", done, err)
			}
		}
		for _, step := range []struct {
			name, bad string
			options   load.Options
			sent      string
			want      load.Summary
		}{
			{"nothing is fixed", bad, load.Options{Rejected: true}, "00-000001 01-000000 01-000003", load.Summary{Batches: 2, Events: 3, Rejected: 3}},
			{"one is fixed, looked at without sending", "00-000001 01-000000", load.Options{Rejected: true, DryRun: true}, "00-000001 01-000000 01-000003", load.Summary{Batches: 2, Events: 3, Rejected: 2, Delivered: 1}},
			{"one is fixed", "00-000001 01-000000", load.Options{Rejected: true}, "00-000001 01-000000 01-000003", load.Summary{Batches: 2, Events: 3, Rejected: 2, Delivered: 1}},
			{"one is fixed and out of range", "01-000000", load.Options{Rejected: true, Range: stage.Range{Since: day.Add(3 * time.Hour)}}, "", load.Summary{}},
			{"all are fixed", "", load.Options{Rejected: true}, "00-000001 01-000000", load.Summary{Batches: 2, Events: 2, Delivered: 2}},
			{"nothing is left", "", load.Options{Rejected: true}, "", load.Summary{}},
			{"and nothing is pending", "", load.Options{}, "", load.Summary{}},
		} {
			bad, s.got = step.bad, nil
			time.Sleep(2 * time.Millisecond) // receipts of replays are named after the millisecond
			summary, err := load.Run(t.Context(), ledger, s, step.options)
			step.want.Destination = "sink"
			if compacted { // they are one now
				step.want.Batches = min(step.want.Batches, 1)
			}
			slices.Sort(s.got)
			sent := strings.ReplaceAll(strings.Join(s.got, " "), "-namespace-created", "")
			if err != nil || summary != step.want || sent != step.sent {
				t.Errorf("%s: %+v, %v, sent %s, want %+v, %s", step.name, summary, err, sent, step.want, step.sent)
			}
		}
		receipts := keys(t, bucket, "v1/receipts/sink/")
		if n := len(slices.DeleteFunc(receipts, func(key string) bool { return !strings.Contains(key, ".rejected-") })); n < 3 {
			t.Errorf("%d receipts of replays: %v", n, receipts)
		}
	}
}

// A forced replay that delivers all leaves nothing to be replayed, and a batch
// without a receipt is not its business.
func TestRejectedEventsAfterOtherDeliveries(t *testing.T) {
	ledger, bucket := newLedger(t, 3)
	refuse := true
	s := &sink{verdict: func(telemetry.Track) telemetry.Verdict {
		if refuse {
			return telemetry.Verdict{Status: telemetry.Rejected, Reason: "no"}
		}
		return telemetry.Verdict{Status: telemetry.Delivered}
	}}
	replay := func() load.Summary {
		t.Helper()
		summary, err := load.Run(t.Context(), ledger, s, load.Options{Rejected: true})
		if err != nil {
			t.Fatal(err)
		}
		return summary
	}
	if summary := replay(); summary.Events != 0 {
		t.Errorf("before delivery: %+v", summary)
	}
	if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
		t.Fatal(err)
	}
	refuse = false
	if _, err := load.Run(t.Context(), ledger, s, load.Options{Force: true}); err != nil {
		t.Fatal(err)
	}
	if summary := replay(); summary.Events != 0 {
		t.Errorf("after a forced replay: %+v", summary)
	}
	for _, key := range keys(t, bucket, "v1/receipts/") {
		if err := bucket.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if summary := replay(); summary.Events != 0 {
		t.Errorf("without a receipt: %+v", summary)
	}
}

func TestCorruptRejectedEventsAreReported(t *testing.T) {
	ledger, bucket := newLedger(t, 2, 2)
	s := &sink{verdict: func(telemetry.Track) telemetry.Verdict {
		return telemetry.Verdict{Status: telemetry.Rejected, Reason: "no"}
	}}
	if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
		t.Fatal(err)
	}
	damaged := keys(t, bucket, "v1/rejected/")[0]
	if _, err := bucket.Put(t.Context(), damaged, strings.NewReader("x"), stage.Condition{}); err != nil {
		t.Fatal(err)
	}
	summary, err := load.Run(t.Context(), ledger, s, load.Options{Rejected: true})
	if !errors.Is(err, stage.ErrCorrupt) || !strings.Contains(err.Error(), damaged) || summary.Corrupt != 1 || summary.Batches != 1 {
		t.Errorf("summary %+v, %v", summary, err)
	}
}
