// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// newLedger stages batches of the given numbers of events, an hour apart, and returns the bucket as well.
func newLedger(t testing.TB, sizes ...int) (*stage.Ledger, *mem.Bucket) {
	t.Helper()
	bucket := &mem.Bucket{}
	ledger := stage.NewLedger(bucket, stage.Options{
		Plan: catalogue.Plan(), Library: telemetry.Library{Name: "segment-bridge", Version: "test"}, WorkDir: t.TempDir(),
	})
	hider, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for hour, n := range sizes {
		since := end
		end = end.Add(time.Hour)
		events := func(yield func(*telemetry.Event, error) bool) {
			for i := range n {
				e := telemetry.Event{
					Name: catalogue.NamespaceCreated, MessageID: fmt.Sprintf("%02d-%06d-namespace-created", hour, i),
					Time: since.Add(time.Duration(i%3600) * time.Second), Cluster: hider.Cluster(),
					Properties: []telemetry.Property{
						{Name: catalogue.NamespaceHash, Value: telemetry.PseudonymValue(hider.Namespace(fmt.Append(nil, "ns", i%12)))},
						{Name: catalogue.ClusterIDHash, Value: telemetry.PseudonymValue(hider.Cluster())},
					},
				}
				if !yield(&e, nil) {
					return
				}
			}
		}
		report := record.Report{
			Cluster: hider.Cluster(), Window: record.Window{Since: since, Until: end}, Scheme: telemetry.SchemeSHA256,
			Sources: []record.SourceReport{{Name: record.SourceNamespaces, Outcome: record.OutcomeOK}},
		}
		if staged, err := ledger.Stage(t.Context(), report, events); err != nil || staged.Events != int64(n) {
			t.Fatalf("staged %+v, %v", staged, err)
		}
	}
	return ledger, bucket
}

// A sink is a destination that remembers, and does what the test wants.
type sink struct {
	verdict func(telemetry.Track) telemetry.Verdict        // nil: Delivered
	before  func(context.Context, []telemetry.Track) error // may fail the delivery

	mu            sync.Mutex
	got           []string
	busy, busiest int
	largest       int // bytes of payloads in one delivery
}

func (*sink) Name() string { return "sink" }
func (*sink) Close() error { return nil }

func (s *sink) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	s.mu.Lock()
	s.busy++
	s.busiest = max(s.busiest, s.busy)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.busy--; s.mu.Unlock() }()
	verdicts := make([]telemetry.Verdict, len(events))
	if s.before != nil {
		if err := s.before(ctx, events); err != nil {
			return verdicts, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	for i, e := range events {
		verdicts[i].Status = telemetry.Delivered
		if s.verdict != nil {
			verdicts[i] = s.verdict(e)
		}
		size += len(e.Payload)
		s.got = append(s.got, e.MessageID)
	}
	s.largest = max(s.largest, size)
	return verdicts, nil
}

func keys(t *testing.T, b stage.Bucket, prefix string) (keys []string) {
	t.Helper()
	for info, err := range b.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func TestRunDeliversOldestFirstAndOnce(t *testing.T) {
	ledger, bucket := newLedger(t, 3, 1, 4)
	s := &sink{}
	summary, err := load.Run(t.Context(), ledger, s, load.Options{})
	want := load.Summary{Destination: "sink", Batches: 3, Events: 8, Delivered: 8}
	if err != nil || summary != want {
		t.Errorf("summary %+v, %v", summary, err)
	}
	if len(s.got) != 8 || !slices.IsSorted(s.got) {
		t.Errorf("delivered %v", s.got)
	}
	if receipts := keys(t, bucket, "v1/receipts/sink/"); len(receipts) != 3 {
		t.Errorf("receipts %v", receipts)
	}
	if summary, err = load.Run(t.Context(), ledger, s, load.Options{}); err != nil || summary.Events != 0 || len(s.got) != 8 {
		t.Errorf("a second run sent %d events: %+v, %v", len(s.got)-8, summary, err)
	}
}

func TestRunStopsAtAnErrorOfTheDestination(t *testing.T) {
	ledger, bucket := newLedger(t, 3, 5, 4)
	down := errors.New("down")
	s := &sink{}
	s.before = func(_ context.Context, events []telemetry.Track) error {
		if strings.HasPrefix(events[0].MessageID, "01-") {
			return down
		}
		return nil
	}
	summary, err := load.Run(t.Context(), ledger, s, load.Options{})
	want := load.Summary{Destination: "sink", Batches: 1, Events: 8, Delivered: 3, Pending: 5}
	if !errors.Is(err, down) || summary != want {
		t.Errorf("summary %+v, %v", summary, err)
	}
	if receipts := keys(t, bucket, "v1/receipts/sink/"); len(receipts) != 1 {
		t.Errorf("receipts %v", receipts)
	}
	s.before = nil
	if summary, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil || summary.Delivered != 9 || len(s.got) != 12 {
		t.Errorf("afterwards %+v, %v, %d delivered in all", summary, err, len(s.got))
	}
}

func TestRunWritesDownWhatIsRejected(t *testing.T) {
	ledger, bucket := newLedger(t, 6)
	s := &sink{verdict: func(e telemetry.Track) telemetry.Verdict {
		if e.MessageID < "00-000002" {
			return telemetry.Verdict{Status: telemetry.Rejected, Reason: "HTTP 400"}
		}
		return telemetry.Verdict{Status: telemetry.Delivered}
	}}
	summary, err := load.Run(t.Context(), ledger, s, load.Options{})
	if want := (load.Summary{Destination: "sink", Batches: 1, Events: 6, Delivered: 4, Rejected: 2}); err != nil || summary != want {
		t.Errorf("summary %+v, %v", summary, err)
	}
	receipt := onlyReceipt(t, ledger)
	if receipt.Delivered != 4 || receipt.Rejected != 2 || receipt.Reasons["HTTP 400"] != 2 || receipt.Replay {
		t.Errorf("receipt %+v", receipt)
	}
	if rejected := keys(t, bucket, "v1/rejected/sink/"); len(rejected) != 1 || receipt.Rejections == nil || receipt.Rejections.Key != rejected[0] {
		t.Errorf("rejected events in %v, receipt %+v", rejected, receipt.Rejections)
	}
}

func onlyReceipt(t *testing.T, ledger *stage.Ledger) *stage.Receipt {
	t.Helper()
	for b, err := range ledger.Batches(t.Context(), stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := ledger.Receipt(t.Context(), "sink", b)
		if err != nil {
			t.Fatal(err)
		}
		return receipt
	}
	t.Fatal("there is no batch")
	return nil
}

func TestCorruptBatchesBlockNothing(t *testing.T) {
	for _, folder := range []string{"v1/manifests/", "v1/events/"} {
		t.Run(folder, func(t *testing.T) {
			ledger, bucket := newLedger(t, 3, 5, 4)
			damaged := keys(t, bucket, folder)[1]
			if _, err := bucket.Put(t.Context(), damaged, strings.NewReader("{}"), stage.Condition{}); err != nil {
				t.Fatal(err)
			}
			s := &sink{}
			summary, err := load.Run(t.Context(), ledger, s, load.Options{})
			if !errors.Is(err, stage.ErrCorrupt) || summary.Batches != 2 || summary.Corrupt != 1 || summary.Delivered != 7 || len(s.got) != 7 {
				t.Errorf("summary %+v, %v", summary, err)
			}
			if err == nil || !strings.Contains(err.Error(), damaged) {
				t.Errorf("the error does not name %s: %v", damaged, err)
			}
		})
	}
}

func TestForceSendsAgain(t *testing.T) {
	ledger, bucket := newLedger(t, 3, 5, 4, 2)
	s := &sink{}
	if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s.got = nil
	var last load.Summary
	progress := 0
	summary, err := load.Run(t.Context(), ledger, s, load.Options{
		Force: true, Range: stage.Range{Since: first.Add(time.Hour), Until: first.Add(3 * time.Hour)},
		Progress: func(s load.Summary) { progress++; last = s },
	})
	if err != nil || summary.Batches != 2 || summary.Delivered != 9 || len(s.got) != 9 || progress != 2 || last.Delivered != 9 {
		t.Errorf("summary %+v, %v, delivered %v, %d calls, the last with %+v", summary, err, s.got, progress, last)
	}
	var replays int
	for _, key := range keys(t, bucket, "v1/receipts/sink/") {
		if strings.Contains(key, "replay") {
			replays++
		}
	}
	if replays != 2 {
		t.Errorf("%d receipts of replays", replays)
	}
	// Without Force, the range only narrows what has no receipt.
	s.got = nil
	for _, receipt := range keys(t, bucket, "v1/receipts/sink/") {
		if err := bucket.Delete(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := load.Run(t.Context(), ledger, s, load.Options{Range: stage.Range{Since: first.Add(2 * time.Hour)}, Wait: instantly}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.got) != 6 || s.got[0] < "02" {
		t.Errorf("delivered %v", s.got)
	}
	// A batch that was never delivered is delivered by a replay, and has its receipt.
	fresh, _ := newLedger(t, 1)
	if _, err := load.Run(t.Context(), fresh, &sink{}, load.Options{Force: true}); err != nil {
		t.Fatal(err)
	}
	if onlyReceipt(t, fresh).Replay {
		t.Error("the first receipt is that of a replay")
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	ledger, bucket := newLedger(t, 3)
	before := keys(t, bucket, "")
	s := &sink{verdict: func(telemetry.Track) telemetry.Verdict {
		return telemetry.Verdict{Status: telemetry.Rejected, Reason: "no"}
	}}
	summary, err := load.Run(t.Context(), ledger, s, load.Options{DryRun: true})
	if err != nil || summary.Rejected != 3 || len(s.got) != 3 {
		t.Errorf("summary %+v, %v", summary, err)
	}
	if after := keys(t, bucket, ""); !slices.Equal(before, after) {
		t.Errorf("the bucket has %v", after)
	}
}

// TestAnExpiredBatchIsNoError deletes a batch between the listing and the reading.
func TestAnExpiredBatchIsNoError(t *testing.T) {
	ledger, bucket := newLedger(t, 1, 2)
	expired := keys(t, bucket, "v1/manifests/")[0]
	summary, err := load.Run(t.Context(), expiring{ledger, bucket, expired}, &sink{}, load.Options{})
	if err != nil || summary.Batches != 1 || summary.Delivered != 2 {
		t.Errorf("summary %+v, %v", summary, err)
	}
}

type expiring struct {
	*stage.Ledger
	bucket  stage.Bucket
	expired string
}

func (e expiring) Pending(ctx context.Context, destination string) iter.Seq2[stage.Batch, error] {
	return func(yield func(stage.Batch, error) bool) {
		for b, err := range e.Ledger.Pending(ctx, destination) {
			if err := e.bucket.Delete(ctx, e.expired); err != nil && !errors.Is(err, fs.ErrNotExist) {
				yield(b, err)
				return
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// TestEveryEventNeedsAVerdict holds destinations to their contract.
func TestEveryEventNeedsAVerdict(t *testing.T) {
	ledger, bucket := newLedger(t, 3)
	s := &sink{verdict: func(telemetry.Track) telemetry.Verdict { return telemetry.Verdict{} }}
	if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err == nil || !strings.Contains(err.Error(), "settled 0 of 3") {
		t.Errorf("error %v", err)
	}
	if receipts := keys(t, bucket, "v1/receipts/"); len(receipts) != 0 {
		t.Errorf("receipts %v", receipts)
	}
}
