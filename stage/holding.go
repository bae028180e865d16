// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A holding is a batch and all that belongs to it.
type holding struct {
	entry
	// objects are what to remove after the manifest, receipts last.
	objects []ObjectInfo
	// receipts has the keys of its receipts at each destination.
	receipts map[string][]string
}

// delivered reports whether the batch has its first receipt at every one of the
// destinations.
func (h *holding) delivered(destinations []string) bool {
	for _, d := range destinations {
		if !slices.Contains(h.receipts[d], h.receiptKey(d)) {
			return false
		}
	}
	return true
}

// holdings yields every batch of every cluster, those that are replaced included,
// with all that belongs to it, those of a day together. What belongs to a batch
// that is not there is passed to orphan. Everything in a bucket sorts by cluster
// and batch, so that one pass over all listings does it, in the memory of a day.
func (l *Ledger) holdings(ctx context.Context, destinations []string, orphan func(Batch, ObjectInfo) error) iter.Seq2[[]holding, error] {
	return func(yield func([]holding, error) bool) {
		folders := []*folder{{prefix: eventFolder}}
		for _, d := range destinations {
			folders = append(folders, &folder{prefix: rejectedFolder(d)})
		}
		leased, err := l.subfolders(ctx, leaseRoot)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, d := range leased {
			folders = append(folders, &folder{prefix: leaseFolder(d)})
		}
		for _, d := range destinations {
			folders = append(folders, &folder{prefix: receiptFolder(d), receiptsOf: d})
		}
		for _, f := range folders {
			defer f.open(ctx, l.bucket)()
			if err := f.advance(); err != nil {
				yield(nil, err)
				return
			}
		}
		for day, err := range l.days(ctx, telemetry.Pseudonym{}, "") {
			var held []holding
			for _, e := range day {
				h := holding{entry: e, receipts: map[string][]string{}}
				for _, f := range folders {
					if err == nil {
						err = f.upTo(e.String(), &h, orphan)
					}
				}
				held = append(held, h)
			}
			if !yield(held, err) || err != nil {
				return
			}
		}
		for _, f := range folders {
			if err := f.upTo("", nil, orphan); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// A folder is a listing of objects that belong to batches.
type folder struct {
	prefix     string
	receiptsOf string // the destination whose receipts it has

	next  func() (ObjectInfo, error, bool)
	more  bool
	info  ObjectInfo
	batch Batch
}

func (f *folder) open(ctx context.Context, b Bucket) (stop func()) {
	f.next, stop = iter.Pull2(b.List(ctx, f.prefix, ""))
	return stop
}

// advance goes to the next object that belongs to a batch, by its name.
func (f *folder) advance() error {
	for {
		info, err, more := f.next()
		if err != nil {
			return fmt.Errorf("list %s: %w", f.prefix, err)
		}
		if f.more = more; !more {
			return nil
		}
		b, ok := belongsTo(info.Key, f.prefix)
		if ok {
			f.info, f.batch = info, b
			return nil
		}
	}
}

// upTo adds the objects of the batch to h and passes those of batches before it to
// orphan; "" is beyond the last batch.
func (f *folder) upTo(batch string, h *holding, orphan func(Batch, ObjectInfo) error) error {
	for f.more && (batch == "" || f.batch.String() <= batch) {
		switch {
		case f.batch.String() != batch:
			if err := orphan(f.batch, f.info); err != nil {
				return err
			}
		case f.receiptsOf != "":
			h.receipts[f.receiptsOf] = append(h.receipts[f.receiptsOf], f.info.Key)
			fallthrough
		default:
			h.objects = append(h.objects, f.info)
		}
		if err := f.advance(); err != nil {
			return err
		}
	}
	return nil
}

// belongsTo returns the batch that an object belongs to. What has another shape is
// left alone.
func belongsTo(key, prefix string) (Batch, bool) {
	rest := strings.TrimPrefix(key, prefix)
	parts := strings.Split(rest, "/")
	name, _, _ := strings.Cut(parts[len(parts)-1], ".")
	b, ok := parseBatch(parts[0] + "/" + name + manifestExt)
	if prefix == eventFolder {
		return b, ok && key == b.dataKey()
	}
	return b, ok && len(parts) == 2
}

// destinations returns the destinations that the ledger knows: they have receipts,
// or rejected events.
func (l *Ledger) destinations(ctx context.Context) ([]string, error) {
	return l.subfolders(ctx, "v1/receipts/", "v1/rejected/")
}

// subfolders returns the destinations that have a folder below one of the roots.
func (l *Ledger) subfolders(ctx context.Context, roots ...string) ([]string, error) {
	var names []string
	for _, root := range roots {
		for after, more := "", true; more; {
			more = false
			for info, err := range l.bucket.List(ctx, root, after) {
				if err != nil {
					return nil, fmt.Errorf("list destinations: %w", err)
				}
				name, _, _ := strings.Cut(strings.TrimPrefix(info.Key, root), "/")
				if checkDestination(name) == nil {
					names = append(names, name)
				}
				after, more = root+name+"0", true // "0" follows "/": on to the next folder
				break
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// heads returns the head of each cluster, which it always keeps: the next run begins
// where it ends. A cluster without one is left out, and all of it stays.
func (l *Ledger) heads(ctx context.Context) (map[telemetry.Pseudonym]entry, error) {
	heads := map[telemetry.Pseudonym]entry{}
	for e, err := range l.batches(ctx, telemetry.Pseudonym{}, "") {
		if err != nil {
			return nil, err
		}
		heads[e.Cluster] = e
	}
	for cluster, e := range heads {
		m, err := l.Manifest(ctx, e.Batch)
		if errors.Is(err, ErrCorrupt) || err == nil && m.Extract.Slice {
			var all []entry
			var at int
			if all, at, _, err = l.head(ctx, cluster); at >= 0 && len(all) > 0 {
				heads[cluster] = all[at]
			} else {
				delete(heads, cluster)
			}
		}
		if err != nil && !errors.Is(err, ErrNewer) { // what has a newer format is the head too
			return nil, err
		}
	}
	return heads, nil
}

// all returns every object of the batch in the order in which it is removed: the
// manifest first, since it must never name what is not there, and the receipts
// last, since a manifest without a receipt is delivered. A crash in between leaves
// what Expire sweeps.
func (h *holding) all() []ObjectInfo {
	return append([]ObjectInfo{{Key: h.manifestKey(), Size: h.size, Modified: h.written}}, h.objects...)
}
