// SPDX-License-Identifier: Apache-2.0

package stagetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
)

// A Careless bucket is in a store that does not keep conditions.
type Careless struct {
	stage.Bucket
	// Looks makes it look whether the condition holds before it writes. So it does
	// hold, unless two writers meet.
	Looks bool
}

// lookTime passes between looking and writing.
const lookTime = time.Millisecond

// Put implements [stage.Bucket], but for the condition.
func (c *Careless) Put(ctx context.Context, key string, body io.ReadSeeker, condition stage.Condition) (string, error) {
	if c.Looks && condition != (stage.Condition{}) {
		if err := c.look(ctx, key, condition); err != nil {
			return "", err
		}
		time.Sleep(lookTime)
	}
	return c.Bucket.Put(ctx, key, body, stage.Condition{})
}

func (c *Careless) look(ctx context.Context, key string, condition stage.Condition) error {
	o, err := c.Open(ctx, key)
	exists := err == nil
	if exists {
		defer o.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case condition.IfAbsent && exists:
		return fs.ErrExist
	case condition.IfMatch != "" && (!exists || o.Tag() != condition.IfMatch):
		return stage.ErrChanged
	}
	return nil
}

// twins are runs on the same input at the same time: whatever the store keeps of
// conditions, there is one batch, with each event once.
func twins(t *testing.T, b stage.Bucket) {
	since, until := Noon.Add(-time.Hour), Noon.Add(time.Hour)
	ledgers := make([]*stage.Ledger, 8)
	for i := range ledgers {
		ledgers[i] = NewLedger(t, b)
	}
	var runs sync.WaitGroup
	for i, l := range ledgers {
		runs.Go(func() {
			report := Report(since, until)
			report.Sources[0].Seconds = float64(i) // one run is slower than the other
			if _, err := l.Stage(context.WithoutCancel(t.Context()), report, Runs(50, Noon, time.Second)); err != nil {
				t.Errorf("stage: %v", err)
			}
		})
	}
	runs.Wait()
	wantTracks(t, ledgers[0], Runs(50, Noon, time.Second))
	if keys, err := Keys(t.Context(), b, "v1/"); err != nil || len(keys) != 2 {
		t.Errorf("the bucket has %q, want one batch: %v", keys, err)
	}
}
