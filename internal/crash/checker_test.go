// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Jobs that write in the wrong order are right as long as nobody kills them, and
// found out by the first kill.
func TestWrongOrderIsCaught(t *testing.T) {
	tests := map[string]struct {
		change func(*scenario)
		fault  string
	}{
		"the manifest before the data": {func(s *scenario) {
			s.brokenBucket = func(b stage.Bucket) stage.Bucket { return &manifestFirst{Bucket: b} }
		}, "a batch is committed and not whole"},
		"the receipt before the request": {func(s *scenario) {
			s.refused = ""
			s.brokenDestination = func(d load.Destination) load.Destination { return &receiptFirst{Destination: d} }
		}, "has a receipt, was taken 0 times"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExplorer(t, tt.change)
			if _, err := e.explore(e.begin(), 0); err != nil {
				t.Fatal(err)
			}
			e.report(t)
			// What is broken may also keep the job from coming to its end.
			_, err := e.explore(e.begin(), 1)
			if !slices.ContainsFunc(slices.Collect(maps.Keys(e.faults)), func(f string) bool { return strings.Contains(f, tt.fault) }) {
				t.Errorf("no fault says that %s: %v, %v", tt.fault, e.faults, err)
			}
		})
	}
}

// manifestFirst holds data back until its manifest is written.
type manifestFirst struct {
	stage.Bucket
	held mem.Bucket
	key  string
}

// Put implements [stage.Bucket].
func (b *manifestFirst) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if strings.HasPrefix(key, eventFolder) {
		b.key = key
		return b.held.Put(ctx, key, body, condition)
	}
	tag, err := b.Bucket.Put(ctx, key, body, condition)
	if err != nil || b.key == "" {
		return tag, err
	}
	text, err := read(ctx, &b.held, b.key)
	if err != nil {
		return "", err
	}
	_, err = b.Bucket.Put(ctx, b.key, strings.NewReader(string(text)), stage.Condition{IfAbsent: true})
	b.key = ""
	return tag, err
}

// Open implements [stage.Bucket].
func (b *manifestFirst) Open(ctx context.Context, key string) (stage.Object, error) {
	if key == b.key {
		return b.held.Open(ctx, key)
	}
	return b.Bucket.Open(ctx, key)
}

// receiptFirst says that it delivered, and delivers when it is closed.
type receiptFirst struct {
	load.Destination
	held []telemetry.Track
}

// Deliver implements [load.Destination].
func (d *receiptFirst) Deliver(_ context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	d.held = append(d.held, events...)
	return slices.Repeat([]telemetry.Verdict{{Status: telemetry.Delivered}}, len(events)), nil
}

// Close implements [load.Destination].
func (d *receiptFirst) Close() error {
	var err error
	if len(d.held) > 0 {
		_, err = d.Destination.Deliver(context.Background(), d.held)
	}
	return errors.Join(err, d.Destination.Close())
}
