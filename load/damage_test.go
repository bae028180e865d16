// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
)

// A batch of a newer release waits for it, and the others do not.
func TestNewerBatchesBlockNothing(t *testing.T) {
	ledger, bucket := newLedger(t, 3, 5, 4)
	newer := keys(t, bucket, "v1/manifests/")[1]
	put(t, bucket, newer, `{"format":2}`)
	s := &sink{}
	for _, want := range []int{7, 0} {
		s.got = nil
		summary, err := load.Run(t.Context(), ledger, s, load.Options{})
		if !errors.Is(err, stage.ErrNewer) || errors.Is(err, stage.ErrCorrupt) || !strings.Contains(err.Error(), newer) || summary.Corrupt != 1 || len(s.got) != want {
			t.Errorf("summary %+v, %v", summary, err)
		}
	}
}

// A receipt that nobody can read says all the same that its batch was delivered, and a
// manifest that nobody can read stops no replay of a range.
func TestDamageStopsNoReplay(t *testing.T) {
	ledger, bucket := newLedger(t, 3, 5, 4)
	s := &sink{}
	if _, err := load.Run(t.Context(), ledger, s, load.Options{}); err != nil {
		t.Fatal(err)
	}
	receipts := keys(t, bucket, "v1/receipts/sink/")
	for key, text := range map[string]string{receipts[0]: "", receipts[1]: `{"format":2}`} {
		put(t, bucket, key, text)
	}
	all := stage.Range{Since: day.AddDate(0, 0, -1), Until: day.AddDate(0, 0, 1)}
	for name, options := range map[string]load.Options{"all": {}, "a range": {Range: all}} {
		s.got = nil
		if summary, err := load.Run(t.Context(), ledger, s, options); err != nil || len(s.got) > 0 {
			t.Errorf("%s: %d events are sent again: %+v, %v", name, len(s.got), summary, err)
		}
	}
	damaged := keys(t, bucket, "v1/manifests/")[0]
	put(t, bucket, damaged, "{}")
	all.Until = day.Add(90 * time.Minute)
	s.got = nil
	summary, err := load.Run(t.Context(), ledger, s, load.Options{Range: all, Force: true})
	if !errors.Is(err, stage.ErrCorrupt) || !strings.Contains(err.Error(), damaged) || summary.Corrupt != 1 || len(s.got) == 0 {
		t.Errorf("%d events are sent: %+v, %v", len(s.got), summary, err)
	}
}

func put(t *testing.T, b stage.Bucket, key, text string) {
	t.Helper()
	if _, err := b.Put(t.Context(), key, strings.NewReader(text), stage.Condition{}); err != nil {
		t.Fatal(err)
	}
}
