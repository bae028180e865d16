// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// CompactOptions configure a compaction.
type CompactOptions struct {
	// Now is the time.
	Now time.Time
	// After is how long ago a day must have ended.
	After time.Duration
	// Grace is how long what was replaced stays, for readers that are still at it.
	Grace time.Duration
	// DryRun changes nothing.
	DryRun bool
}

// Compacted says what a compaction did, or would do.
type Compacted struct {
	// Days were compacted: Replaced batches with Events became Merged ones.
	Days     int   `json:"days"`
	Replaced int   `json:"replaced"`
	Merged   int   `json:"merged"`
	Events   int64 `json:"events"`
	// Waiting days have batches that are not delivered to every destination.
	Waiting int `json:"waiting"`
	// Corrupt days were passed over.
	Corrupt int `json:"corrupt"`
	// Removed objects, of Bytes, belonged to batches that were replaced.
	Removed int   `json:"removed"`
	Bytes   int64 `json:"bytes"`
}

// Compact merges the batches of each day of each cluster into one and removes
// those it replaces. The events, their payloads, what is pending where, the
// rejected events, the coverage and the head stay what they are. It leaves alone
// the day of a cluster's newest batch and days on which a batch has no receipt of
// a destination that the ledger knows.
//
// The manifest of the merged batch names those that it replaces: with that one
// write they stop to count. After an error, at whatever point, compacting again
// goes on. A corrupt day stops no other: its error comes at the end.
func (l *Ledger) Compact(ctx context.Context, o CompactOptions) (Compacted, error) {
	c := compaction{Ledger: l, CompactOptions: o}
	if err := c.run(ctx); err != nil {
		return c.done, fmt.Errorf("compact: %w", err)
	}
	return c.done, nil
}

type compaction struct {
	*Ledger
	CompactOptions
	destinations []string
	done         Compacted
}

func (c *compaction) run(ctx context.Context) (err error) {
	if c.destinations, err = c.Ledger.destinations(ctx); err != nil {
		return err
	}
	heads, err := c.heads(ctx)
	if err != nil {
		return err
	}
	var corrupt []error
	leave := func(Batch, ObjectInfo) error { return nil }
	for day, err := range c.holdings(ctx, c.destinations, leave) {
		if err != nil {
			return errors.Join(append(corrupt, err)...)
		}
		err = c.day(ctx, day, heads[day[0].Cluster].End())
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer) {
			c.done.Corrupt++
			corrupt = append(corrupt, err)
		} else if err != nil {
			return errors.Join(append(corrupt, err)...)
		}
	}
	return errors.Join(corrupt...)
}

// day compacts one day of a cluster whose newest batch ends at head.
func (c *compaction) day(ctx context.Context, day []holding, head time.Time) error {
	var current []*holding
	for i := range day {
		h := &day[i]
		switch {
		case h.replaced.IsZero():
			current = append(current, h)
		case c.Grace <= 0 || !h.replaced.Add(c.Grace).After(c.Now):
			// An earlier run got no further, or left it to its readers.
			if err := c.remove(ctx, h); err != nil {
				return err
			}
		}
	}
	start := startOfDay(day[0].End())
	if len(current) < 2 || !start.Before(startOfDay(head)) || start.AddDate(0, 0, 1).Add(c.After).After(c.Now) {
		return nil
	}
	groups, err := c.groups(ctx, current)
	if err != nil || len(groups) == 0 {
		return err
	}
	for _, h := range current {
		if !h.delivered(c.destinations) {
			c.done.Waiting++
			return nil
		}
	}
	c.done.Days++
	for _, parts := range groups {
		if err := c.merge(ctx, parts); err != nil {
			return err
		}
	}
	return nil
}

// A part is a batch that is to be merged.
type part struct {
	*holding
	manifest *Manifest
}

// groups returns the batches that can be merged with each other: what a file or a
// manifest says once has to hold for all of them.
func (c *compaction) groups(ctx context.Context, current []*holding) ([][]part, error) {
	type identity struct {
		plan   PlanID
		scheme telemetry.Scheme
		key    string
	}
	var order []identity
	byIdentity := map[identity][]part{}
	for _, h := range current {
		m, err := c.Manifest(ctx, h.Batch)
		if err != nil {
			return nil, err
		}
		id := identity{m.Plan, m.Extract.Scheme, m.Extract.KeyID}
		if byIdentity[id] == nil {
			order = append(order, id)
		}
		byIdentity[id] = append(byIdentity[id], part{h, m})
	}
	var groups [][]part
	for _, id := range order {
		if len(byIdentity[id]) > 1 {
			groups = append(groups, byIdentity[id])
		}
	}
	return groups, nil
}

// merge makes one batch of the parts.
func (c *compaction) merge(ctx context.Context, parts []part) error {
	var files []File
	var rows int64
	for _, p := range parts {
		files = append(files, p.manifest.Files[0])
		rows += p.manifest.Files[0].Rows
	}
	c.done.Merged++
	c.done.Replaced += len(parts)
	c.done.Events += rows
	if !c.DryRun {
		if err := c.write(ctx, files, parts); err != nil {
			return err
		}
	}
	if c.Grace > 0 {
		return nil // a later run removes the parts
	}
	for _, p := range parts {
		if err := c.remove(ctx, p.holding); err != nil {
			return err
		}
	}
	return nil
}

// write writes the merged batch. What it needs to count as delivered is there
// before it exists; its manifest, written last, is the commit.
func (c *compaction) write(ctx context.Context, files []File, parts []part) (err error) {
	data, err := c.mergeFiles(ctx, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	m := c.mergedManifest(parts, data)
	for _, d := range c.destinations {
		if err := c.mergeReceipts(ctx, d, m, parts); err != nil {
			return err
		}
	}
	_, err = c.commit(ctx, data, m)
	return err
}

func (c *compaction) remove(ctx context.Context, h *holding) error {
	for _, info := range h.all() {
		if !c.DryRun {
			if err := c.bucket.Delete(ctx, info.Key); err != nil {
				return fmt.Errorf("remove what was replaced: %w", err)
			}
		}
		c.done.Removed++
		c.done.Bytes += info.Size
	}
	return nil
}
