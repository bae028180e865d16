// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/segment-bridge/segment-bridge/stage"
)

// survey lists the bucket: what does not fit the layout, names in keys, and how much there is to do.
func (a *auditor) survey(ctx context.Context) error {
	for info, err := range a.bucket.List(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		a.totals.Objects++
		a.totals.Bytes += info.Size
		key, ok := stage.ParseKey(info.Key)
		switch {
		case !ok:
			a.finding(Finding{
				Kind: ForeignObject, Key: info.Key, Text: "the object is none of a stage",
				Advice: "find out who wrote it; move it elsewhere, since whoever queries the bucket may take it for data",
			})
		case key.Kind == stage.KindEvents || key.Kind == stage.KindRejected:
			if a.inRange(key.Batch, time.Time{}) {
				a.all += info.Size
			}
		case key.Kind == stage.KindStore:
			err = a.store(ctx, info.Key)
		case key.Kind == stage.KindProbe:
			err = a.searchDocument(ctx, info.Key)
		}
		if err != nil {
			return err
		}
		a.searchTexts(info.Key, []byte(info.Key), "the key of the object")
	}
	return nil
}

// inRange reports whether a batch is to be looked at; since, unless zero, is where its window begins.
func (a *auditor) inRange(b stage.Batch, since time.Time) bool {
	r := a.Range
	return (r.Cluster.IsZero() || b.Cluster == r.Cluster) && (r.Since.IsZero() || b.End().After(r.Since)) &&
		(r.Until.IsZero() || since.IsZero() || since.Before(r.Until))
}

// store checks what was recorded of the store.
func (a *auditor) store(ctx context.Context, key string) error {
	text, err := a.document(ctx, key)
	if text == nil || err != nil {
		return err
	}
	promised, err := stage.ParseStore(text)
	switch {
	case errors.Is(err, stage.ErrNewer):
		a.finding(newer(key))
	case err != nil:
		a.finding(Finding{
			Kind: StoreUnreadable, Key: key, Text: "the record of what the store promises cannot be read",
			Advice: "nothing depends on it: delete it; the first batch of the next cluster writes it anew",
		})
	case !promised.CreateOnly || !promised.IfMatch:
		a.notice(Finding{Kind: StorePromise, Key: key, Text: "the store did not keep conditional writes when the stage began, so that two loaders at the same time may have delivered the same"})
	}
	return nil
}

func newer(key string) Finding {
	return Finding{
		Kind: NewerFormat, Key: key, Text: "the object has a newer format than this release knows",
		Advice: "audit with the release that wrote it, or a later one",
	}
}

// document reads a small object and searches it for names; nil if it is gone.
func (a *auditor) document(ctx context.Context, key string) ([]byte, error) {
	text, err := a.ledger.Document(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, stage.ErrCorrupt): // it is too large
		return []byte{}, nil
	case err != nil:
		return nil, fmt.Errorf("read object %s: %w", key, err)
	}
	a.searchTexts(key, text, "the object")
	if text == nil {
		text = []byte{}
	}
	return text, nil
}

// searchDocument searches an object of which nothing else matters.
func (a *auditor) searchDocument(ctx context.Context, key string) error {
	if a.names == nil {
		return nil
	}
	_, err := a.document(ctx, key)
	return err
}

// searchTexts searches a text for names.
func (a *auditor) searchTexts(key string, text []byte, where string) {
	if a.names == nil {
		return
	}
	var hits nameHits
	s := searcher{names: a.names}
	s.search(text, func(h hit) { hits.add(h, 0, where) })
	a.finding(hits.findings(key)...)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hits += hits.total
	a.searched += s.bytes
}
