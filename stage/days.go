// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// batches lists the batches that count, of one cluster, or of all for the zero one.
func (l *Ledger) batches(ctx context.Context, cluster telemetry.Pseudonym, after string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for day, err := range l.days(ctx, cluster, after) {
			if err != nil {
				yield(entry{}, err)
				return
			}
			for _, e := range day {
				if e.replaced.IsZero() && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// days lists the manifests, those of a cluster whose windows end on the same day
// together, and marks the batches that a merged one replaces. A merged batch
// comes last of its parts: a listing that begins or stops anywhere never has a
// part that counts beside it.
func (l *Ledger) days(ctx context.Context, cluster telemetry.Pseudonym, after string) iter.Seq2[[]entry, error] {
	return func(yield func([]entry, error) bool) {
		var day []entry
		flush := func() bool {
			if len(day) == 0 {
				return true
			}
			if err := l.markReplaced(ctx, day); err != nil {
				yield(nil, err)
				return false
			}
			return yield(day, nil)
		}
		for e, err := range l.manifests(ctx, cluster, after) {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(day) > 0 && (e.Cluster != day[0].Cluster || !sameDay(e.End(), day[0].End())) {
				if !flush() {
					return
				}
				day = nil
			}
			day = append(day, e)
		}
		flush()
	}
}

// markReplaced finds out which batches of a day are replaced. Only a day that has
// a merged batch and others costs reading a manifest: while a compaction is not
// cleaned up, after a back-fill into the past, and where a day has batches that
// cannot be merged, such as those of two plans.
func (l *Ledger) markReplaced(ctx context.Context, day []entry) error {
	if len(day) < 2 {
		return nil
	}
	parts := map[int]map[string]bool{}
	for i, e := range day {
		if !e.merged() {
			continue
		}
		m, err := l.Manifest(ctx, e.Batch)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer) {
			continue // it replaces nothing: what is left of its parts counts
		} else if err != nil {
			return err
		}
		parts[i] = map[string]bool{}
		for _, r := range m.Replaces {
			parts[i][r.Batch] = true
		}
	}
	for by, replaced := range parts {
		for i := range day {
			// Of two compactions at the same time one may have seen more, or both the same
			// and made other bytes of it, as two releases may.
			more := len(replaced) > len(parts[i]) || by > i
			if replaced[day[i].Name] || i != by && more && containsAll(replaced, parts[i]) {
				day[i].replaced = later(day[i].replaced, day[by].written)
			}
		}
	}
	return nil
}

// containsAll reports whether some are there and all of them are in set.
func containsAll(set, some map[string]bool) bool {
	for name := range some {
		if !set[name] {
			return false
		}
	}
	return len(some) > 0
}

func sameDay(a, b time.Time) bool { return startOfDay(a).Equal(startOfDay(b)) }

// startOfDay returns midnight, in UTC, of the day of t.
func startOfDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
