// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A Ledger reads and writes the batches, manifests and receipts in a bucket. It is
// safe for concurrent use.
type Ledger struct {
	bucket  Bucket
	options Options
}

// Options configure a Ledger. Only [Ledger.Stage] and [Ledger.Damage] need a plan.
type Options struct {
	// Plan is the tracking plan: what may be staged, and the columns of the data.
	Plan *telemetry.Plan
	// Library is the program and its version, as they appear in track calls,
	// manifests and receipts.
	Library telemetry.Library
	// WorkDir is the folder for temporary files; empty means [os.TempDir]. Staging
	// takes about 1 KB an event there once the events exceed MemoryBytes, loading
	// the size of a batch's file.
	WorkDir string
	// MemoryBytes bounds the memory for sorting; 0 means 8 MiB.
	MemoryBytes int
	// Logger may be nil.
	Logger *slog.Logger
}

// NewLedger returns the ledger in the bucket.
func NewLedger(b Bucket, o Options) *Ledger {
	o.WorkDir = cmp.Or(o.WorkDir, os.TempDir())
	o.MemoryBytes = cmp.Or(o.MemoryBytes, 8<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Ledger{bucket: b, options: o}
}

func (l *Ledger) producer() Producer {
	return Producer{Name: l.options.Library.Name, Version: l.options.Library.Version}
}

// Head returns the manifest of the cluster whose window ends last, of those that can
// be read and are of no slice; nil when the cluster has none at all. Coverage and the
// last heartbeat are what batches written since tell as well. When there are
// only others, it is one that says no more than they do.
func (l *Ledger) Head(ctx context.Context, cluster telemetry.Pseudonym) (*Manifest, error) {
	all, at, m, err := l.head(ctx, cluster)
	if err != nil || len(all) == 0 {
		return m, err
	}
	if m == nil {
		m = &Manifest{Cluster: cluster, Window: record.Window{Until: all[len(all)-1].End()}}
	}
	if m.Coverage == nil {
		m.Coverage = Coverage{}
	}
	for i, e := range all {
		if i == at || i < at && e.written.Before(all[at].written) {
			continue
		}
		newer, err := l.Manifest(ctx, e.Batch)
		switch {
		case err == nil:
			m.Coverage.add(newer.Coverage)
			m.Carried.Heartbeat = later(m.Carried.Heartbeat, newer.Carried.Heartbeat)
		case !errors.Is(err, ErrCorrupt):
			return nil, err
		case at < 0:
			m.Damaged = []Damage{{Key: e.manifestKey(), Window: record.Window{Until: e.End()}}}
		}
	}
	return m, nil
}

// head returns all batches of the cluster, and which of them is the newest with a
// manifest that can be read and knows what those before it do; -1 if there is none.
func (l *Ledger) head(ctx context.Context, cluster telemetry.Pseudonym) (all []entry, at int, m *Manifest, err error) {
	for e, err := range l.batches(ctx, cluster, "") {
		if err != nil {
			return nil, 0, nil, err
		}
		all = append(all, e)
	}
	for at = len(all) - 1; at >= 0; at-- {
		m, err = l.Manifest(ctx, all[at].Batch)
		if errors.Is(err, ErrCorrupt) || err == nil && m.Extract.Slice {
			continue
		}
		return all, at, m, err
	}
	return all, at, nil, nil
}

// Manifest returns the manifest of a batch, [ErrCorrupt] when it is not one or does
// not fit its key, and [ErrNewer] when this release does not know its format.
func (l *Ledger) Manifest(ctx context.Context, b Batch) (*Manifest, error) {
	text, err := l.read(ctx, b.manifestKey())
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return ParseManifest(b, text)
}

// A Range selects batches. The zero Range selects all.
type Range struct {
	// Cluster, unless zero, is the cluster of the batches.
	Cluster telemetry.Pseudonym
	// Since and Until, unless zero, select batches whose window overlaps
	// [Since, Until).
	Since, Until time.Time
}

// Batches yields the batches in the range, for each cluster those whose windows
// end first, first. It ends with the first error.
func (l *Ledger) Batches(ctx context.Context, r Range) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		var after string
		if !r.Cluster.IsZero() && !r.Since.IsZero() {
			after = manifestFolder + clusterFolder(r.Cluster) + r.Since.UTC().Format(batchTime)
		}
		for entry, err := range l.batches(ctx, r.Cluster, after) {
			if err == nil && !r.Since.IsZero() && !entry.End().After(r.Since) {
				continue
			}
			if err == nil && !r.Until.IsZero() && !entry.End().Before(r.Until) {
				// The name says where the window ends. Where it begins is in the manifest.
				var m *Manifest
				if m, err = l.Manifest(ctx, entry.Batch); err == nil && !m.Window.Since.Before(r.Until) {
					continue
				}
				if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer) {
					err = nil // whoever reads it will tell of it, and of the others
				}
			}
			if !yield(entry.Batch, err) || err != nil {
				return
			}
		}
	}
}

// Pending yields the batches that have no receipt of the destination, for each
// cluster the oldest first. It ends with the first error. It holds no more in
// memory than one page of each of two listings.
func (l *Ledger) Pending(ctx context.Context, destination string) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if err := checkDestination(destination); err != nil {
			yield(Batch{}, err)
			return
		}
		// Manifests and receipts have the same names in their folders, so both
		// listings come in the same order and one pass over both finds the difference.
		next, stop := iter.Pull2(l.bucket.List(ctx, receiptFolder(destination), ""))
		defer stop()
		receipt, err, more := next()
		for entry, listErr := range l.batches(ctx, telemetry.Pseudonym{}, "") {
			if listErr != nil {
				yield(Batch{}, listErr)
				return
			}
			want := entry.receiptKey(destination)
			for more && err == nil && receipt.Key < want {
				receipt, err, more = next()
			}
			if more && err != nil {
				yield(Batch{}, fmt.Errorf("list receipts: %w", err))
				return
			}
			if more && receipt.Key == want {
				continue
			}
			if !yield(entry.Batch, nil) {
				return
			}
		}
	}
}

// An entry is a batch in a listing, and when its manifest was written.
type entry struct {
	Batch
	written time.Time
	size    int64
	// replaced is when a merged batch was written that has the events of this one;
	// zero when there is none, and the batch counts.
	replaced time.Time
}

// manifests lists the manifests of one cluster, or of all for the zero one. What is
// not a manifest by its name is passed over; telling of it is the business of an
// audit.
func (l *Ledger) manifests(ctx context.Context, cluster telemetry.Pseudonym, after string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		prefix := manifestFolder
		if !cluster.IsZero() {
			prefix += clusterFolder(cluster)
		}
		for info, err := range l.bucket.List(ctx, prefix, after) {
			if err != nil {
				yield(entry{}, fmt.Errorf("list manifests: %w", err))
				return
			}
			b, ok := parseBatch(strings.TrimPrefix(info.Key, manifestFolder))
			if ok && !yield(entry{Batch: b, written: info.Modified, size: info.Size}, nil) {
				return
			}
		}
	}
}

// maxDocument bounds a manifest or receipt in memory.
const maxDocument = 16 << 20

// read returns the whole of a small object.
func (l *Ledger) read(ctx context.Context, key string) ([]byte, error) {
	text, _, err := l.readTagged(ctx, key)
	return text, err
}

// readTagged returns the entity tag as well, also of an object that is too large.
func (l *Ledger) readTagged(ctx context.Context, key string) (text []byte, tag string, err error) {
	object, err := l.bucket.Open(ctx, key)
	if err != nil {
		return nil, "", err
	}
	defer object.Close()
	if object.Size() > maxDocument {
		return nil, object.Tag(), corrupt("read object", key, fmt.Errorf("it has more than %d bytes", maxDocument))
	}
	text = make([]byte, object.Size())
	if n, err := object.ReadAt(text, 0); n < len(text) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, "", err
	}
	return text, object.Tag(), nil
}

func corrupt(op, key string, why error) error {
	if errors.Is(why, ErrNewer) {
		return fmt.Errorf("%s: object %s: %w", op, key, why)
	}
	return fmt.Errorf("%s: %w: object %s: %w", op, ErrCorrupt, key, why)
}
