// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// instantly is waiting that takes no time.
func instantly(context.Context, time.Duration) error { return nil }

// never is for loaders that have no reason to wait.
func never(context.Context, time.Duration) error { return errors.New("it waits") }

// A loader is one with seams: how it writes leases, and events that were read before
// the bubble began, since the Parquet library keeps decoders that must not belong to
// one.
type loader struct {
	*stage.Ledger
	tracks map[stage.Batch][]telemetry.Track
	swap   func() error // before a lease is written
	swaps  atomic.Int64
}

func (l *loader) SwapLease(ctx context.Context, old *stage.Lease, next stage.Lease) (*stage.Lease, error) {
	l.swaps.Add(1)
	if l.swap != nil {
		if err := l.swap(); err != nil {
			return nil, err
		}
	}
	return l.Ledger.SwapLease(ctx, old, next)
}

func (l *loader) Tracks(ctx context.Context, m *stage.Manifest) iter.Seq2[telemetry.Track, error] {
	return func(yield func(telemetry.Track, error) bool) {
		for _, track := range l.tracks[m.ID()] {
			if err := ctx.Err(); err != nil || !yield(track, err) {
				return
			}
		}
	}
}

// loaders returns n loaders of one stage with batches of these sizes.
func loaders(t *testing.T, n int, sizes ...int) ([]*loader, *mem.Bucket) {
	t.Helper()
	ledger, bucket := newLedger(t, sizes...)
	tracks := map[stage.Batch][]telemetry.Track{}
	for b, err := range ledger.Batches(t.Context(), stage.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := ledger.Manifest(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		for track, err := range ledger.Tracks(t.Context(), m) {
			if err != nil {
				t.Fatal(err)
			}
			tracks[b] = append(tracks[b], track)
		}
	}
	all := make([]*loader, n)
	for i := range all {
		all[i] = &loader{Ledger: ledger, tracks: tracks}
	}
	return all, bucket
}

// taking returns a sink whose deliveries take a time.
func taking(d time.Duration) *sink {
	return &sink{before: func(context.Context, []telemetry.Track) error {
		time.Sleep(d)
		return nil
	}}
}

// repeats returns how many events came how much too often, and fails unless all came.
func repeats(t *testing.T, events int, sinks ...*sink) int {
	t.Helper()
	var all []string
	for _, s := range sinks {
		all = append(all, s.got...)
	}
	n := len(all)
	slices.Sort(all)
	if distinct := len(slices.Compact(all)); distinct != events {
		t.Errorf("%d of %d events were delivered", distinct, events)
	}
	return n - events
}

func TestLoadersShareTheWork(t *testing.T) {
	const batches = 80
	all, bucket := loaders(t, 4, slices.Repeat([]int{2}, batches)...)
	synctest.Test(t, func(t *testing.T) {
		sinks, summaries := make([]*sink, len(all)), make([]load.Summary, len(all))
		var group sync.WaitGroup
		for i, l := range all {
			sinks[i] = taking(time.Duration(100+7*i) * time.Millisecond)
			group.Go(func() {
				var err error
				if summaries[i], err = load.Run(t.Context(), l, sinks[i], load.Options{}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := repeats(t, 2*batches, sinks...); n != 0 {
			t.Errorf("%d events were delivered twice", n)
		}
		done, swaps := 0, int64(0)
		for i, s := range summaries {
			done += s.Batches
			swaps += all[i].swaps.Load()
			if s.Batches < batches/8 || s.Held != 0 {
				t.Errorf("loader %d: %+v", i, s)
			}
		}
		if done != batches || swaps > 2*batches {
			t.Errorf("%d batches were delivered by %d writes of leases", done, swaps)
		}
		if receipts := keys(t, bucket, "v1/receipts/"); len(receipts) != batches {
			t.Errorf("%d receipts", len(receipts))
		}
	})
}

// A loader that is alone writes one lease a batch, and none when there is no batch.
func TestLeasesCostLittle(t *testing.T) {
	_, bucket := newLedger(t, 3, 3)
	var operations []string
	ledger := stage.NewLedger(&stagetest.Faulty{Bucket: bucket, Fault: func(op, key string) stagetest.Fault {
		operations = append(operations, op+" "+key[:strings.LastIndexByte(key, '/')])
		return stagetest.None
	}}, stage.Options{})
	for _, test := range []struct{ leases, all int }{{2, 2 + 2*4}, {0, 2}} {
		operations = nil
		if _, err := load.Run(t.Context(), ledger, &sink{}, load.Options{Wait: never}); err != nil {
			t.Fatal(err)
		}
		leases := 0
		for _, o := range operations {
			if strings.Contains(o, "v1/leases") {
				leases++
			}
		}
		if leases != test.leases || len(operations) != test.all {
			t.Errorf("%d operations, %d of them on leases: %v", len(operations), leases, operations)
		}
	}
}

// What is sent on purpose is sent whoever else sends it, and what is not sent at all needs no lease.
func TestNoLeases(t *testing.T) {
	for name, o := range map[string]load.Options{"dry run": {DryRun: true}, "force": {Force: true}, "rejected": {Rejected: true}} {
		t.Run(name, func(t *testing.T) {
			all, bucket := loaders(t, 1, 3)
			claim(t, all[0], bucket)
			before := keys(t, bucket, "v1/leases/")
			if _, err := load.Run(t.Context(), all[0], &sink{}, o); err != nil || !slices.Equal(keys(t, bucket, "v1/leases/"), before) || all[0].swaps.Load() > 1 {
				t.Errorf("leases %v, %v", keys(t, bucket, "v1/leases/"), err)
			}
		})
	}
}

// claim lets somebody hold the first batch, and never hear of it again.
func claim(t *testing.T, l *loader, bucket stage.Bucket) {
	t.Helper()
	for b, err := range l.Pending(t.Context(), "sink") {
		if err != nil {
			t.Fatal(err)
		}
		lease := stage.Lease{Destination: "sink", Cluster: b.Cluster, Batch: b.Name, Holder: "somebody", Seconds: 120}
		if _, err := l.SwapLease(t.Context(), nil, lease); err != nil || len(keys(t, bucket, "v1/leases/")) != 1 {
			t.Fatal(err)
		}
		return
	}
}

// Others are delivered at once, that of a dead loader when nobody has heard of it for so
// long as its lease says.
func TestADeadLoader(t *testing.T) {
	all, bucket := loaders(t, 1, 2, 2, 2)
	claim(t, all[0], bucket)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var times []time.Duration
		s := &sink{before: func(context.Context, []telemetry.Track) error {
			times = append(times, time.Since(began))
			return nil
		}}
		summary, err := load.Run(t.Context(), all[0], s, load.Options{})
		if want := (load.Summary{Destination: "sink", Batches: 3, Events: 6, Delivered: 6}); err != nil || summary != want {
			t.Errorf("summary %+v, %v", summary, err)
		}
		if len(times) != 3 || times[1] != 0 || times[2] < 2*time.Minute || times[2] > 3*time.Minute {
			t.Errorf("delivered after %v", times)
		}
		if repeats(t, 6, s) != 0 || !strings.HasPrefix(s.got[4], "00-") {
			t.Errorf("delivered %v", s.got)
		}
	})
}

// What a loader that is alive holds is left to it, as soon as it shows that it is.
func TestALivingLoader(t *testing.T) {
	all, _ := loaders(t, 2, 2, 2)
	synctest.Test(t, func(t *testing.T) {
		busy, other := taking(time.Hour), &sink{}
		done := make(chan load.Summary)
		go func() {
			summary, err := load.Run(t.Context(), all[0], busy, load.Options{})
			if err != nil {
				t.Error(err)
			}
			done <- summary
		}()
		time.Sleep(time.Second)
		began := time.Now()
		summary, err := load.Run(t.Context(), all[1], other, load.Options{})
		if took := time.Since(began); err != nil || summary.Batches != 1 || summary.Held != 1 || took > 2*time.Minute {
			t.Errorf("after %v: %+v, %v", took, summary, err)
		}
		if summary := <-done; summary.Batches != 1 || summary.Held != 0 || repeats(t, 4, busy, other) != 0 {
			t.Errorf("the first delivered %+v", summary)
		}
	})
}

type staleList struct {
	*loader
	batches []stage.Batch
}

func (s staleList) Pending(context.Context, string) iter.Seq2[stage.Batch, error] {
	return func(yield func(stage.Batch, error) bool) {
		for _, b := range s.batches {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Where conditions do not hold, leases are advice: two may deliver the same, and the receipts are right.
func TestLoadersWithoutConditions(t *testing.T) {
	for name, spoil := range map[string]func(stage.Bucket) stage.Bucket{
		"ignored":     func(b stage.Bucket) stage.Bucket { return &stagetest.Careless{Bucket: b} },
		"looks first": func(b stage.Bucket) stage.Bucket { return &stagetest.Careless{Bucket: b, Looks: true} },
		"unsupported": func(b stage.Bucket) stage.Bucket { return unsupported{b} },
	} {
		t.Run(name, func(t *testing.T) {
			_, bucket := newLedger(t, 5, 5, 5, 5)
			sinks := []*sink{taking(time.Millisecond), taking(time.Millisecond)}
			var group sync.WaitGroup
			for _, s := range sinks {
				group.Go(func() {
					ledger := stage.NewLedger(spoil(bucket), stage.Options{WorkDir: t.TempDir()})
					if _, err := load.Run(t.Context(), ledger, s, load.Options{Wait: instantly}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if n := repeats(t, 20, sinks...); n > 20 {
				t.Errorf("%d events came too often", n)
			}
			if receipts := keys(t, bucket, "v1/receipts/"); len(receipts) != 4 {
				t.Errorf("receipts %v", receipts)
			}
		})
	}
}

// unsupported is a store that creates, and knows no condition on what it replaces.
type unsupported struct{ stage.Bucket }

func (b unsupported) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if condition.IfMatch != "" {
		return "", errors.ErrUnsupported
	}
	return b.Bucket.Put(ctx, key, body, condition)
}
