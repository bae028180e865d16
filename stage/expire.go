// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// ExpireOptions configure an expiry.
type ExpireOptions struct {
	// Now is the time.
	Now time.Time
	// OlderThan is how long ago the window of a batch must have ended. It has to be
	// longer than runs reach back, or they stage the same events again.
	OlderThan time.Duration
	// Undelivered removes batches that were not delivered to every destination too.
	Undelivered bool
	// Grace is how old an object without a batch must be: a younger one may belong to
	// a batch that is being written.
	Grace time.Duration
	// DryRun removes nothing.
	DryRun bool
	// Removed, unless nil, is told of each object that is removed.
	Removed func(ObjectInfo)
}

// Expired says what an expiry removed, or would remove.
type Expired struct {
	// Batches are gone.
	Batches int `json:"batches"`
	// Undelivered batches are old enough and were kept, because a destination that the
	// ledger knows has no receipt of them, or because it knows no destination.
	Undelivered int `json:"undelivered"`
	// Orphans are objects that belonged to no batch.
	Orphans int `json:"orphans"`
	// Objects, of Bytes, were removed in all.
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Expire removes old batches with all that belongs to them, and objects that
// belong to no batch. It keeps what others build on: the newest batch of each
// cluster and what it does not know, from which the next run learns, and the newest
// batch with a receipt of each destination, since the ledger knows destinations by
// their receipts. After an error, at whatever point, expiring again goes on.
func (l *Ledger) Expire(ctx context.Context, o ExpireOptions) (Expired, error) {
	e := expiry{Ledger: l, ExpireOptions: o}
	if err := e.run(ctx); err != nil {
		return e.done, fmt.Errorf("expire: %w", err)
	}
	return e.done, nil
}

type expiry struct {
	*Ledger
	ExpireOptions
	destinations []string
	heads        map[telemetry.Pseudonym]entry
	last         map[Batch]bool // the newest batch with a receipt of each destination
	done         Expired
}

func (e *expiry) run(ctx context.Context) (err error) {
	if e.destinations, err = e.Ledger.destinations(ctx); err != nil {
		return err
	}
	if e.heads, err = e.Ledger.heads(ctx); err != nil {
		return err
	}
	if e.last, err = e.lastReceipts(ctx); err != nil {
		return err
	}
	orphan := func(b Batch, info ObjectInfo) error { return e.orphan(ctx, b, info) }
	for day, err := range e.holdings(ctx, e.destinations, orphan) {
		if err == nil {
			err = e.day(ctx, day)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *expiry) day(ctx context.Context, day []holding) error {
	// What is replaced goes before what replaces it, or it would count again.
	for _, replaced := range []bool{true, false} {
		for i := range day {
			h := &day[i]
			if !h.replaced.IsZero() != replaced {
				continue
			}
			if expired, err := e.expired(ctx, h); err != nil || !expired {
				if err != nil {
					return err
				}
				continue
			}
			for _, info := range h.all() {
				if err := e.remove(ctx, info); err != nil {
					return err
				}
			}
			if !replaced {
				e.done.Batches++
			}
		}
	}
	return nil
}

// expired decides on a batch.
func (e *expiry) expired(ctx context.Context, h *holding) (bool, error) {
	if !h.End().Before(e.Now.Add(-e.OlderThan)) {
		return false, nil
	}
	if !h.replaced.IsZero() {
		return true, nil // the events are in another batch
	}
	head, found := e.heads[h.Cluster]
	if !found || h.Batch == head.Batch || e.last[h.Batch] {
		return false, nil
	}
	if !e.Undelivered && (len(e.destinations) == 0 || !h.delivered(e.destinations)) {
		e.done.Undelivered++
		return false, nil
	}
	if h.written.Before(head.written.Add(-longestRun)) {
		return true, nil
	}
	return e.knows(ctx, head.Batch, h.Batch)
}

// knows reports whether the head tells the next run all that the batch does. One
// that was written after it or while it was being made, for an old window, may have
// more to tell.
func (e *expiry) knows(ctx context.Context, head, b Batch) (bool, error) {
	known, err1 := e.Manifest(ctx, head)
	m, err2 := e.Manifest(ctx, b)
	err := errors.Join(err1, err2)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer) {
		return false, nil // it stays until it can be told
	} else if err != nil {
		return false, err
	}
	both := maps.Clone(known.Coverage)
	both.add(m.Coverage)
	for _, id := range m.Carried.Once {
		if _, found := slices.BinarySearch(known.Carried.Once, id); !found {
			return false, nil
		}
	}
	return maps.EqualFunc(both, known.Coverage, slices.Equal) && !m.Carried.Heartbeat.After(known.Carried.Heartbeat), nil
}

// lastReceipts returns the batches by which the ledger remembers its destinations.
// Were they removed while a destination is out for long, nobody would know that the
// batches since then were to go there.
func (e *expiry) lastReceipts(ctx context.Context) (map[Batch]bool, error) {
	last := map[Batch]bool{}
	for _, d := range e.destinations {
		var newest Batch
		for info, err := range e.bucket.List(ctx, receiptFolder(d), "") {
			if err != nil {
				return nil, fmt.Errorf("list receipts: %w", err)
			}
			if b, ok := belongsTo(info.Key, receiptFolder(d)); ok {
				newest = b
			}
		}
		last[newest] = true
	}
	return last, nil
}

// orphan removes an object whose batch is not there: what a crash left before the
// manifest was written or after it was removed.
func (e *expiry) orphan(ctx context.Context, b Batch, info ObjectInfo) error {
	if e.Grace > 0 && info.Modified.Add(e.Grace).After(e.Now) {
		return nil
	}
	// The listing may be older than the batch: a run that found its data there already
	// commits at once.
	object, err := e.bucket.Open(ctx, b.manifestKey())
	if err == nil {
		return object.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open manifest: %w", err)
	}
	e.done.Orphans++
	return e.remove(ctx, info)
}

func (e *expiry) remove(ctx context.Context, info ObjectInfo) error {
	if !e.DryRun {
		if err := e.bucket.Delete(ctx, info.Key); err != nil {
			return fmt.Errorf("remove object: %w", err)
		}
	}
	if e.Removed != nil {
		e.Removed(info)
	}
	e.done.Objects++
	e.done.Bytes += info.Size
	return nil
}
