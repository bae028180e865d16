// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A loader that is stopped in the middle of a request, for longer than its lease, and
// goes on afterwards: it sends nothing any more, and writes no receipt.
func TestALateLoader(t *testing.T) {
	const events = 10
	for name, frozenAt := range map[string]int{"the first request": 0, "in the middle": 4, "the last request": events - 1} {
		t.Run(name, func(t *testing.T) {
			all, bucket := loaders(t, 2, events)
			synctest.Test(t, func(t *testing.T) {
				freeze := make(chan struct{})
				var isFrozen atomic.Bool
				frozen := func() {
					if isFrozen.Load() {
						<-freeze
					}
				}
				all[0].swap = func() error { frozen(); return nil }
				late, other := &sink{}, &sink{}
				calls := 0
				late.before = func(context.Context, []telemetry.Track) error {
					if calls++; calls == frozenAt+1 {
						isFrozen.Store(true)
						frozen()
					}
					return nil
				}
				done := make(chan load.Summary)
				go func() {
					summary, err := load.Run(t.Context(), all[0], late, load.Options{Rate: 1, InFlight: 1})
					if err != nil {
						t.Error(err)
					}
					done <- summary
				}()
				time.Sleep(15 * time.Second)
				summary, err := load.Run(t.Context(), all[1], other, load.Options{})
				if err != nil || summary.Batches != 1 || summary.Delivered != events {
					t.Errorf("the other: %+v, %v", summary, err)
				}
				receipts := keys(t, bucket, "v1/receipts/")
				close(freeze)
				summary = <-done
				if summary.Batches != 0 || summary.Delivered+summary.Pending != events || len(late.got) != frozenAt+1 {
					t.Errorf("the late one sent %d events and says %+v", len(late.got), summary)
				}
				if repeats(t, events, late, other) != frozenAt+1 || !slices.Equal(receipts, keys(t, bucket, "v1/receipts/")) {
					t.Errorf("receipts %v, afterwards %v", receipts, keys(t, bucket, "v1/receipts/"))
				}
			})
		})
	}
}

var errBucket = errors.New("bucket is down")

// A loader that cannot renew goes on while nobody else can have taken over, and no longer.
func TestLeaseThatCannotBeRenewed(t *testing.T) {
	for name, test := range map[string]struct {
		outage    time.Duration
		delivered int
	}{"for a while": {90 * time.Second, 20}, "for too long": {time.Hour, 13}} {
		t.Run(name, func(t *testing.T) {
			all, bucket := loaders(t, 1, 20)
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				all[0].swap = func() error {
					if since := time.Since(began); since > 0 && since < test.outage {
						return errBucket
					}
					return nil
				}
				s := taking(10 * time.Second)
				// The first request takes the time of the outage, up to what remains of the lease.
				summary, err := load.Run(t.Context(), all[0], s, load.Options{Rate: 1, InFlight: 1})
				if (err == nil) != (test.delivered == 20) || err != nil && !errors.Is(err, errBucket) || len(s.got) > test.delivered || len(s.got) < test.delivered-1 {
					t.Errorf("%d events after %v: %+v, %v", len(s.got), time.Since(began), summary, err)
				}
				if receipts := keys(t, bucket, "v1/receipts/"); len(receipts) != summary.Batches {
					t.Errorf("receipts %v", receipts)
				}
			})
		})
	}
}

// Whatever ends a run, the next one need not wait.
func TestLeasesAreReleased(t *testing.T) {
	for name, end := range map[string]func(stop func()) error{
		"the destination is down": func(func()) error { return errors.New("down") },
		"it is time to stop":      func(stop func()) error { stop(); return context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			all, _ := loaders(t, 1, 3, 3)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			s := &sink{before: func(context.Context, []telemetry.Track) error { return end(stop) }}
			if _, err := load.Run(ctx, all[0], s, load.Options{Wait: never}); err == nil {
				t.Fatal("no error")
			}
			s.before = nil
			if summary, err := load.Run(t.Context(), all[0], s, load.Options{Wait: never}); err != nil || summary.Batches != 2 {
				t.Errorf("afterwards %+v, %v", summary, err)
			}
		})
	}
}

// A holder that dies after the receipt has done its work: a list that is older does not have it done again.
func TestADeadLoaderThatWasDone(t *testing.T) {
	all, _ := loaders(t, 2, 3)
	first, second := &sink{}, &sink{}
	stale := staleList{loader: all[1]}
	for b, err := range all[1].Pending(t.Context(), "sink") {
		if err != nil {
			t.Fatal(err)
		}
		stale.batches = append(stale.batches, b)
	}
	if _, err := load.Run(t.Context(), all[0], first, load.Options{}); err != nil {
		t.Fatal(err)
	}
	summary, err := load.Run(t.Context(), stale, second, load.Options{Wait: instantly})
	if err != nil || summary != (load.Summary{Destination: "sink"}) || repeats(t, 3, first, second) != 0 {
		t.Errorf("summary %+v, %v", summary, err)
	}
}
