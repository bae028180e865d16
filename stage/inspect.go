// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// What follows is for those who look at a stage without trusting it, such as an audit.

// A Kind says what an object of the stage is, by the shape of its key.
type Kind string

// The kinds of objects.
const (
	KindEvents   Kind = "events"
	KindManifest Kind = "manifest"
	KindReceipt  Kind = "receipt"
	KindRejected Kind = "rejected"
	KindLease    Kind = "lease"
	KindStore    Kind = "store"
	// KindProbe is what a probe of the store left behind.
	KindProbe Kind = "probe"
)

// A Key is what a key says.
type Key struct {
	Kind Kind
	// Destination is that of a receipt, rejected events or a lease.
	Destination string
	// Batch is what the object belongs to; zero for KindStore and KindProbe.
	Batch Batch
	// Suffix is what tells the objects of one kind, batch and destination apart: "" for
	// the first receipt, "replay-" or "rejected-" with a time for another, the hash of
	// rejected events.
	Suffix string
}

// ParseKey reads a key; ok is false if it does not fit the layout of the stage.
func ParseKey(key string) (k Key, ok bool) {
	if key == storeKey {
		return Key{Kind: KindStore}, true
	}
	if strings.HasPrefix(key, probeFolder) {
		return Key{Kind: KindProbe}, true
	}
	if k.Batch, ok = belongsTo(key, eventFolder); ok && strings.HasPrefix(key, eventFolder) {
		k.Kind = KindEvents
		return k, true
	}
	if rest, is := strings.CutPrefix(key, manifestFolder); is {
		k.Kind = KindManifest
		k.Batch, ok = parseBatch(rest)
		return k, ok
	}
	for kind, root := range map[Kind]string{KindReceipt: "v1/receipts/", KindRejected: "v1/rejected/", KindLease: leaseRoot} {
		if rest, is := strings.CutPrefix(key, root); is {
			k.Kind = kind
			k.Destination, _, _ = strings.Cut(rest, "/")
			prefix := root + k.Destination + "/"
			if checkDestination(k.Destination) != nil || !strings.HasPrefix(key, prefix) {
				return k, false
			}
			if k.Batch, ok = belongsTo(key, prefix); !ok {
				return k, false
			}
			return k, k.parseSuffix(strings.TrimPrefix(key, prefix+k.Batch.String()))
		}
	}
	return k, false
}

func (k *Key) parseSuffix(rest string) bool {
	ext := manifestExt
	if k.Kind == KindRejected {
		ext = ".parquet"
	}
	rest, ok := strings.CutSuffix(rest, ext)
	k.Suffix = strings.TrimPrefix(rest, ".")
	if !ok || rest != "" && rest[0] != '.' {
		return false
	}
	switch _, at, _ := strings.Cut(k.Suffix, "-"); {
	case k.Kind == KindRejected:
		return len(k.Suffix) == hashDigits && isHex(k.Suffix)
	case rest == "":
		return true
	case k.Kind == KindReceipt && (strings.HasPrefix(k.Suffix, "replay-") || strings.HasPrefix(k.Suffix, "rejected-")):
		return at != "" && strings.Trim(at, "0123456789") == ""
	default:
		return false
	}
}

// DataKey returns the key of the batch's events.
func (b Batch) DataKey() string { return b.dataKey() }

// ManifestKey returns the key of the batch's manifest.
func (b Batch) ManifestKey() string { return b.manifestKey() }

// ReceiptKey returns the key of the batch's first receipt at a destination.
func (b Batch) ReceiptKey(destination string) string { return b.receiptKey(destination) }

// Merged reports whether the batch was compacted from others.
func (b Batch) Merged() bool { return b.merged() }

// ParseManifest reads the text of the manifest of a batch. The error is [ErrCorrupt] or
// [ErrNewer], and says why without quoting the text.
func ParseManifest(b Batch, text []byte) (*Manifest, error) {
	var m Manifest
	if err := decode(text, &m); err != nil {
		return nil, corrupt("read manifest", b.manifestKey(), err)
	}
	if err := m.check(b); err != nil {
		return nil, corrupt("read manifest", b.manifestKey(), err)
	}
	return &m, nil
}

// ParseReceipt reads the text of a receipt of a batch at a destination, which lies under
// key. The error is [ErrCorrupt] or [ErrNewer], and says why without quoting the text.
func ParseReceipt(key, destination string, b Batch, text []byte) (*Receipt, error) {
	var r Receipt
	if err := decode(text, &r); err != nil {
		return nil, corrupt("read receipt", key, err)
	}
	if err := r.check(destination, b); err != nil {
		return nil, corrupt("read receipt", key, err)
	}
	return &r, nil
}

// ParseStore reads the text of v1/store.json, as ParseManifest reads a manifest.
func ParseStore(text []byte) (Semantics, error) {
	var s storeRecord
	if err := decode(text, &s); err != nil {
		return Semantics{}, corrupt("read store record", storeKey, err)
	}
	return s.Semantics, nil
}

// A Holding is a batch and every object that belongs to it.
type Holding struct {
	Batch
	// Manifest is the manifest in the listing.
	Manifest ObjectInfo
	// Objects are the others: events, rejected events, leases, receipts.
	Objects []ObjectInfo
	// Replaced batches do not count: a merged one has their events.
	Replaced bool
}

// Holdings yields every batch of every cluster, in the order of clusters and windows,
// those that are replaced included, and tells orphan of each object whose batch has no
// manifest. What does not fit the layout is passed over. It holds the batches of a day
// in memory, and ends with the first error.
func (l *Ledger) Holdings(ctx context.Context, orphan func(ObjectInfo) error) iter.Seq2[Holding, error] {
	return func(yield func(Holding, error) bool) {
		destinations, err := l.destinations(ctx)
		if err != nil {
			yield(Holding{}, err)
			return
		}
		for day, err := range l.holdings(ctx, destinations, func(_ Batch, info ObjectInfo) error { return orphan(info) }) {
			if err != nil {
				yield(Holding{}, err)
				return
			}
			for i := range day {
				all := day[i].all()
				if !yield(Holding{day[i].Batch, all[0], all[1:], !day[i].replaced.IsZero()}, nil) {
					return
				}
			}
		}
	}
}

// Add adds the spans of other; it does not matter in which order.
func (c Coverage) Add(other Coverage) { c.add(other) }

// Destinations returns the destinations that the stage knows, because they have
// receipts or rejected events, in ascending order.
func (l *Ledger) Destinations(ctx context.Context) ([]string, error) { return l.destinations(ctx) }

// Document returns the whole of a small object, such as a manifest; [ErrCorrupt] when it
// is too large to be one.
func (l *Ledger) Document(ctx context.Context, key string) ([]byte, error) { return l.read(ctx, key) }

// A Copy is the content of an object as it was at one time: in memory if it is small, in
// a temporary file otherwise. Close removes it.
type Copy struct {
	io.ReaderAt
	io.Closer
	Size int64
	// SHA256 is in hexadecimal digits.
	SHA256 string
}

// Copy copies an object out of the bucket, whatever it is.
func (l *Ledger) Copy(ctx context.Context, key string) (_ *Copy, err error) {
	object, err := l.bucket.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	size := object.Size()
	if size <= inMemory {
		text, err := io.ReadAll(io.NewSectionReader(object, 0, size))
		if err != nil {
			return nil, fmt.Errorf("copy object %s: %w", key, err)
		}
		sum := sha256.Sum256(text)
		return &Copy{bytes.NewReader(text), nopCloser{}, int64(len(text)), hex.EncodeToString(sum[:])}, nil
	}
	temp, err := createTemp(l.options.WorkDir)
	if err != nil {
		return nil, err
	}
	// The struct hides WriterTo, which would choose its own size.
	from := struct{ io.Reader }{io.NewSectionReader(object, 0, size)}
	if _, err := io.CopyBuffer(struct{ io.Writer }{temp}, from, make([]byte, copyBytes)); err != nil {
		return nil, errors.Join(fmt.Errorf("copy object %s: %w", key, err), temp.close())
	}
	return &Copy{temp.file, removing{temp: temp}, temp.size, temp.sum()}, nil
}
