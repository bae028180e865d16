// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// crashes runs staging and loading with a fault at the first operation, then with
// one at the second, and so on until there is none left to hit. After each, a run
// without faults must find every event staged once and loaded.
func crashes(t *testing.T, open func(t *testing.T) stage.Bucket, fault Fault) {
	points := 0
	for n := 0; ; n++ {
		b := open(t)
		if !crashed(t, b, n, fault) {
			break
		}
		points++
		recovers(t, b, fmt.Sprintf("operation %d", n))
	}
	if points < 10 {
		t.Errorf("only %d operations were hit", points)
	}
	t.Logf("%d operations", points)
}

// CrashPairs is like the crashes of Ledger, with a second crash, at every
// operation, of the run after the first.
func CrashPairs(t *testing.T, open func(t *testing.T) stage.Bucket) {
	points := 0
	for _, first := range []Fault{Before, After} {
		for _, second := range []Fault{Before, After} {
			for n, more := 0, true; more; n++ {
				for m := 0; ; m++ {
					b := open(t)
					if more = crashed(t, b, n, first); !more || !crashed(t, b, m, second) {
						break
					}
					points++
					recovers(t, b, fmt.Sprintf("operations %d and %d", n, m))
				}
			}
		}
	}
	t.Logf("%d pairs of operations", points)
}

// crashed runs staging and loading with a fault at operation n, and reports
// whether it came to that.
func crashed(t *testing.T, b stage.Bucket, n int, fault Fault) bool {
	t.Helper()
	decide, reached := FailNth(n, fault)
	err := stageAndLoad(t.Context(), NewLedger(t, &Faulty{b, decide}))
	if err != nil && (!errors.Is(err, ErrFault) || !reached() || fault == Lost) {
		t.Errorf("operation %d: %v", n, err)
	}
	return reached()
}

func recovers(t *testing.T, b stage.Bucket, what string) {
	t.Helper()
	l := NewLedger(t, b)
	if err := stageAndLoad(t.Context(), l); err != nil {
		t.Errorf("%s: again: %v", what, err)
	}
	wantTracks(t, l, crashSecond())
	if pending := batches(t, l.Pending(t.Context(), "segment")); len(pending) > 0 {
		t.Errorf("%s: pending: %v", what, pending)
	}
	orphans(t, b)
}

func crashFirst() iter.Seq2[*telemetry.Event, error] {
	return Runs(5, Noon.Add(-2*time.Hour), time.Second)
}

func crashSecond() iter.Seq2[*telemetry.Event, error] {
	return Runs(9, Noon.Add(-2*time.Hour), time.Second)
}

// stageAndLoad is two runs with overlapping windows.
func stageAndLoad(ctx context.Context, l *stage.Ledger) error {
	_, err1 := l.Stage(ctx, Report(Noon.Add(-4*time.Hour), Noon), crashFirst())
	_, err2 := l.Stage(ctx, Report(Noon.Add(-3*time.Hour), Noon.Add(time.Hour)), crashSecond())
	return errors.Join(err1, err2, load(ctx, l))
}

// load writes the receipt of every batch.
func load(ctx context.Context, l *stage.Ledger) error {
	for b, err := range l.Pending(ctx, "segment") {
		if err != nil {
			return err
		}
		m, err := l.Manifest(ctx, b)
		if err != nil {
			return err
		}
		n := m.Files[0].Rows
		err = l.PutReceipt(ctx, &stage.Receipt{Destination: "segment", Cluster: b.Cluster, Batch: b.Name, Started: Noon, Finished: Noon, Events: n, Delivered: n})
		if err != nil {
			return err
		}
	}
	return nil
}

// orphans checks that at most one data file has no manifest.
func orphans(t *testing.T, b stage.Bucket) {
	t.Helper()
	data, err := Keys(t.Context(), b, "v1/events/")
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := Keys(t.Context(), b, "v1/manifests/")
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > len(manifests)+1 {
		t.Errorf("%d data files for %d manifests", len(data), len(manifests))
	}
}
