// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
)

// Rejected yields the batches of the range of which events were ever rejected by
// the destination, for each cluster the oldest first. It ends with the first
// error.
func (l *Ledger) Rejected(ctx context.Context, destination string, r Range) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if err := checkDestination(destination); err != nil {
			yield(Batch{}, err)
			return
		}
		rejected := folder{prefix: rejectedFolder(destination)}
		defer rejected.open(ctx, l.bucket)()
		err := rejected.advance()
		for b, listErr := range l.Batches(ctx, r) {
			for err = errors.Join(err, listErr); err == nil && rejected.more && rejected.batch.String() < b.String(); {
				err = rejected.advance()
			}
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if rejected.more && rejected.batch == b && !yield(b, nil) {
				return
			}
		}
		if err != nil {
			yield(Batch{}, err)
		}
	}
}

// Outstanding returns the file of the events of the batch that the destination has
// rejected and not taken since; nil when there are none. The file reads like that
// of a batch. What counts is the newest receipt: each delivery of the rejected
// events has a receipt of its own beside the first, which is never replaced, so
// that the bucket needs no rights to overwrite and keeps what happened. The error
// is [fs.ErrNotExist] when the batch has no receipt.
func (l *Ledger) Outstanding(ctx context.Context, destination string, b Batch) (*File, error) {
	if err := checkDestination(destination); err != nil {
		return nil, err
	}
	var keys []string
	for info, err := range l.bucket.List(ctx, receiptFolder(destination)+b.String()+".", "") {
		if err != nil {
			return nil, fmt.Errorf("list receipts: %w", err)
		}
		keys = append(keys, info.Key)
	}
	r, err := l.newestReceipt(ctx, destination, b, keys)
	if err != nil {
		return nil, err
	}
	return r.Rejections, nil
}

// newestReceipt reads those of the keys that are receipts of the batch and returns
// the one that was finished last.
func (l *Ledger) newestReceipt(ctx context.Context, destination string, b Batch, keys []string) (*Receipt, error) {
	var newest *Receipt
	for _, key := range keys {
		rest := strings.TrimPrefix(key, receiptFolder(destination)+b.String())
		if rest != manifestExt && !strings.HasPrefix(rest, ".replay-") && !strings.HasPrefix(rest, ".rejected-") {
			continue
		}
		r, err := l.receiptAt(ctx, key, destination, b)
		if err != nil {
			return nil, err
		}
		if newest == nil || !r.Finished.Before(newest.Finished) {
			newest = r
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("read receipt of %s: %w", b, fs.ErrNotExist)
	}
	return newest, nil
}
