// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A history is what earlier batches of the cluster say that matters to a run.
type history struct {
	ledger    *Ledger
	coverage  Coverage
	once      map[string]bool
	heartbeat time.Time
	overlap   []pastBatch
}

// A pastBatch may hold events of the run's window.
type pastBatch struct {
	file    File
	minTime time.Time
}

// longestRun is how long a run may take from choosing its window to committing.
const longestRun = 4 * time.Hour

// history reads the manifests that a run with this window has to know:
//
//   - those whose window ends after its own begins: they may hold the same events;
//   - the head, to which each manifest has handed on what the one before carried;
//   - those whose window ends little before that of the head: they may have been
//     committed while the head was being made, which then does not know of them;
//   - those that were written after the head although their window ends before it:
//     batches of a run with an explicit window, of which the head cannot know.
func (l *Ledger) history(ctx context.Context, report record.Report) (*history, error) {
	h := &history{ledger: l, coverage: Coverage{}, once: map[string]bool{}}
	var all []entry
	for e, err := range l.batches(ctx, report.Cluster, "") {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	for _, e := range all {
		head := all[len(all)-1]
		overlaps := e.End().After(report.Window.Since)
		if !overlaps && !e.End().After(head.End().Add(-longestRun)) && e.written.Before(head.written) {
			continue
		}
		m, err := l.Manifest(ctx, e.Batch)
		if err != nil {
			return nil, err
		}
		h.coverage.add(m.Coverage)
		h.heartbeat = later(h.heartbeat, m.Carried.Heartbeat)
		for _, id := range m.Carried.Once {
			h.once[id] = true
		}
		if overlaps {
			h.overlap = append(h.overlap, pastBatch{m.Files[0], m.MinTime})
		}
	}
	return h, nil
}

// addIDs adds the message IDs of committed events to byID, as far as they may be
// those of events up to the time latest.
func (h *history) addIDs(ctx context.Context, byID *extsort.Sorter, latest time.Time) error {
	var buf []byte
	for id := range h.once {
		buf = appendCommitted(buf[:0], id)
		if err := byID.Add(buf); err != nil {
			return err
		}
	}
	for _, batch := range h.overlap {
		if batch.minTime.After(latest) {
			continue
		}
		if err := h.ledger.addFileIDs(ctx, byID, batch.file); err != nil {
			return err
		}
	}
	return nil
}

// addFileIDs adds the message IDs of a file. It reads only that column: pages have
// checksums of their own, and that no ID is missing follows from their number.
func (l *Ledger) addFileIDs(ctx context.Context, byID *extsort.Sorter, f File) error {
	object, err := l.open(ctx, f)
	if err != nil {
		return err
	}
	defer object.Close()
	var buf []byte
	var rows int64
	for id, err := range parquetfile.MessageIDs(object, object.Size()) {
		if errors.Is(err, parquetfile.ErrMalformed) {
			return corrupt("read message IDs", f.Key, err)
		} else if err != nil {
			return fmt.Errorf("read message IDs of %s: %w", f.Key, err)
		}
		buf = appendCommitted(buf[:0], id)
		if err := byID.Add(buf); err != nil {
			return err
		}
		rows++
	}
	if rows != f.Rows {
		return corrupt("read message IDs", f.Key, fmt.Errorf("it has %d rows and its manifest says %d", rows, f.Rows))
	}
	return nil
}

// open opens a file that a manifest names.
func (l *Ledger) open(ctx context.Context, f File) (Object, error) {
	object, err := l.bucket.Open(ctx, f.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, corrupt("open events", f.Key, errors.New("it is missing and a manifest names it: restore it, or delete the manifest to give the batch up"))
	case err != nil:
		return nil, fmt.Errorf("open events: %w", err)
	case object.Size() != f.Size:
		return nil, errors.Join(corrupt("open events", f.Key, fmt.Errorf("it has %d bytes and its manifest says %d", object.Size(), f.Size)), object.Close())
	}
	return object, nil
}
