// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A history is what earlier batches of the cluster say that matters to a run.
type history struct {
	ledger    *Ledger
	window    record.Window
	coverage  Coverage
	once      map[string]bool
	heartbeat time.Time
	past      []pastBatch
	// damaged was found by this run, carried by those before.
	damaged, carried []Damage
}

// A pastBatch may hold events of the run's window.
type pastBatch struct {
	Batch
	manifest *Manifest // nil when it cannot be read
}

// longestRun is how long a run may take from reading history to committing.
const longestRun = 4 * time.Hour

// history reads the manifests that a run with this window has to know:
//
//   - those whose window ends after its own begins: they may hold the same events;
//   - the head, to which each manifest has handed on what the one before carried,
//     and what comes after it, which nobody can read;
//   - those that were written after the head, or while it was being made, although
//     their window ends before it: the head does not know of them. Such are the
//     batches of a run with an explicit window, and of the slices of a back-fill.
func (l *Ledger) history(ctx context.Context, cluster telemetry.Pseudonym, window record.Window) (*history, error) {
	h := &history{ledger: l, window: window, coverage: Coverage{}, once: map[string]bool{}}
	all, at, head, err := l.head(ctx, cluster)
	if err != nil {
		return nil, err
	}
	for i, e := range all {
		overlaps := e.End().After(window.Since)
		late := i >= at || !e.written.Before(all[at].written.Add(-longestRun))
		if !overlaps && !late {
			continue
		}
		m, err := head, error(nil)
		if i != at {
			m, err = l.Manifest(ctx, e.Batch)
		}
		if errors.Is(err, ErrCorrupt) {
			h.past = append(h.past, pastBatch{e.Batch, nil})
			continue
		} else if err != nil {
			return nil, err
		}
		h.coverage.add(m.Coverage)
		h.heartbeat = later(h.heartbeat, m.Carried.Heartbeat)
		for _, id := range m.Carried.Once {
			h.once[id] = true
		}
		if overlaps {
			h.past = append(h.past, pastBatch{e.Batch, m})
		}
		if late {
			h.carried = append(h.carried, m.Damaged...)
		}
	}
	return h, nil
}

// addIDs passes the message IDs of committed events to add, as far as they may be
// those of events up to the time latest. Batches that do not tell are damaged.
func (h *history) addIDs(ctx context.Context, latest time.Time, add func(id []byte) error) error {
	for id := range h.once {
		if err := add([]byte(id)); err != nil {
			return err
		}
	}
	for _, b := range h.past {
		if b.manifest != nil && b.manifest.MinTime.After(latest) {
			continue
		}
		if err := h.addBatch(ctx, b, add); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) addBatch(ctx context.Context, b pastBatch, add func(id []byte) error) error {
	var err error
	if b.manifest == nil {
		err = h.addNameless(ctx, b.Batch, add)
	} else {
		err = h.ledger.addFileIDs(ctx, b.manifest.Files[0], add)
	}
	if errors.Is(err, ErrCorrupt) || b.manifest == nil && err == nil {
		return h.damage(ctx, b, err)
	}
	return err
}

// addFileIDs passes the message IDs of a file to add. Of a large one it reads only
// that column: pages have checksums of their own, and that no ID is missing follows
// from their number. A small one is compared as a whole.
func (l *Ledger) addFileIDs(ctx context.Context, f File, add func(id []byte) error) error {
	data, err := l.openOrFetch(ctx, f)
	if err != nil {
		return err
	}
	defer data.Close()
	var rows int64
	for id, err := range parquetfile.MessageIDs(data, f.Size) {
		if err != nil {
			return unreadable(f, err)
		}
		if err := add(id); err != nil {
			return err
		}
		rows++
	}
	return f.checkRows(rows)
}

func (l *Ledger) openOrFetch(ctx context.Context, f File) (readAtCloser, error) {
	if f.Size <= inMemory {
		return l.fetch(ctx, f)
	}
	return l.open(ctx, f)
}

// addNameless does what addBatch does for a batch whose manifest cannot be read. The
// name of its data has the beginning of the hash, so that it can be told whether
// the data is right; what happens once in the life of an object is learnt from it.
func (h *history) addNameless(ctx context.Context, b Batch, add func(id []byte) error) error {
	l, f := h.ledger, File{Key: b.dataKey()}
	object, err := l.bucket.Open(ctx, f.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return corrupt("open events", f.Key, errors.New("it is missing"))
	} else if err != nil {
		return fmt.Errorf("open events: %w", err)
	}
	f.Size = object.Size()
	_, f.SHA256, _ = parseBatchName(b.Name)
	if err := object.Close(); err != nil {
		return fmt.Errorf("open events: %w", err)
	}
	data, err := l.fetch(ctx, f)
	if err != nil {
		return err
	}
	defer data.Close()
	for track, err := range parquetfile.Tracks(data, f.Size) {
		if errors.Is(err, parquetfile.ErrMalformed) {
			return fmt.Errorf("read events: %w: object %s", ErrNewer, f.Key) // the bytes are what was written
		} else if err != nil {
			return unreadable(f, err)
		}
		if err := add([]byte(track.MessageID)); err != nil {
			return err
		}
		if known := l.options.Plan.Event(track.Event); known != nil && known.OncePerObject {
			h.once[track.MessageID] = true
		}
		if track.Event == catalogue.Heartbeat {
			h.heartbeat = later(h.heartbeat, track.Time)
		}
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
