// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// inMemory has the events of one batch at hand: the decoder of Parquet files keeps goroutines and channels
// between its uses, which a bubble of testing/synctest does not allow.
type inMemory struct {
	*stage.Ledger
	tracks []telemetry.Track
}

func newInMemory(t *testing.T, events int) *inMemory {
	t.Helper()
	ledger, _ := newLedger(t, events)
	m := &inMemory{Ledger: ledger}
	for b, err := range ledger.Batches(t.Context(), stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := ledger.Manifest(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for track, err := range ledger.Tracks(t.Context(), manifest) {
			if err != nil {
				t.Fatal(err)
			}
			m.tracks = append(m.tracks, track)
		}
	}
	return m
}

func (m *inMemory) Tracks(context.Context, *stage.Manifest) iter.Seq2[telemetry.Track, error] {
	return func(yield func(telemetry.Track, error) bool) {
		for _, t := range m.tracks {
			if !yield(t, nil) {
				return
			}
		}
	}
}

func TestRateLimit(t *testing.T) {
	ledger := newInMemory(t, 5_500)
	for _, tt := range []struct {
		rate int
		want time.Duration // the first second's worth goes at once
	}{
		{0, 0}, {1000, 4500 * time.Millisecond}, {7, 784 * time.Second}, {100_000, 20 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			s := &sink{}
			if _, err := load.Run(t.Context(), ledger, s, load.Options{Rate: tt.rate, DryRun: true}); err != nil || len(s.got) != 5_500 {
				t.Fatalf("%d delivered, %v", len(s.got), err)
			}
			if took := time.Since(start); took < tt.want-tt.want/100 || took > tt.want+tt.want/100+20*time.Millisecond {
				t.Errorf("5,500 events at %d a second took %v, want about %v", tt.rate, took, tt.want)
			}
		})
	}
}

func TestDeliveriesAreBounded(t *testing.T) {
	ledger := newInMemory(t, 7_000)
	synctest.Test(t, func(t *testing.T) {
		s := &sink{before: func(context.Context, []telemetry.Track) error { time.Sleep(time.Second); return nil }}
		if _, err := load.Run(t.Context(), ledger, s, load.Options{InFlight: 3, DryRun: true}); err != nil || len(s.got) != 7_000 {
			t.Fatalf("%d delivered, %v", len(s.got), err)
		}
		if s.busiest != 3 || s.largest > 470_000 || s.largest < 400_000 {
			t.Errorf("%d deliveries at once, of at most %d bytes", s.busiest, s.largest)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the first error ends the others
		down, start := errors.New("down"), time.Now()
		s := &sink{before: func(ctx context.Context, events []telemetry.Track) error {
			if strings.HasPrefix(events[0].MessageID, "00-000000") {
				time.Sleep(time.Second)
				return down
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		summary, err := load.Run(t.Context(), ledger, s, load.Options{})
		if !errors.Is(err, down) || summary.Pending != 7_000 || time.Since(start) != time.Second {
			t.Errorf("summary %+v, %v after %v", summary, err, time.Since(start))
		}
	})
}
