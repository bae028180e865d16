// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
)

// A batch is one that is being looked at, by one worker.
type batch struct {
	stage.Holding
	audit    *auditor
	cluster  *cluster
	index    uint32
	manifest *stage.Manifest
	sound    bool // its events can be read
}

// A state is what came of looking at a file.
type state int

const (
	missing state = iota
	broken
	sound
)

// look looks at all that belongs to the batch.
func (b *batch) look(ctx context.Context) error {
	a := b.audit
	text, err := a.document(ctx, b.Manifest.Key)
	if text == nil || err != nil {
		return err // expired since it was listed
	}
	b.manifest, err = stage.ParseManifest(b.Batch, text)
	switch {
	case errors.Is(err, stage.ErrNewer):
		a.finding(newer(b.Manifest.Key))
	case err != nil:
		a.finding(Finding{Kind: ManifestUnreadable, Key: b.Manifest.Key, Text: why(err), Advice: adviceReplace})
	case !a.inRange(b.Batch, b.manifest.Window.Since):
		return nil
	}
	if b.manifest == nil {
		return b.searchObjects(ctx, "")
	}
	if b.Replaced {
		a.mu.Lock()
		a.totals.Replaced++
		a.mu.Unlock()
	} else {
		b.cluster.manifest(b.manifest)
		b.checkManifest()
	}
	if gone, err := b.data(ctx); gone || err != nil {
		return err
	}
	if b.Replaced {
		return b.searchObjects(ctx, b.manifest.Files[0].Key)
	}
	return b.deliveries(ctx)
}

// why returns what an error of the stage says, without the key.
func why(err error) string {
	text := err.Error()
	if _, after, ok := strings.Cut(text, ".json: "); ok {
		return after
	}
	return text
}

// checkManifest checks what the manifest says.
func (b *batch) checkManifest() {
	m, a := b.manifest, b.audit
	if f, bad := checkCoverage(m); bad {
		a.finding(f)
	}
	var rows int64
	for _, r := range m.Replaces {
		if !(stage.Batch{Cluster: m.Cluster, Name: r.Batch}).Merged() {
			rows += r.Rows
		}
	}
	if len(m.Replaces) > 0 && rows != m.Files[0].Rows {
		a.finding(Finding{
			Kind: PartsDiffer, Key: b.Manifest.Key, Text: fmt.Sprintf("the batch has %d events and the batches that it replaces had %d", m.Files[0].Rows, rows),
			Advice: "restore the batches that it replaces from a backup, and remove this one's manifest",
		})
	}
}

// data checks the events; gone says that the batch is not there any more.
func (b *batch) data(ctx context.Context) (gone bool, err error) {
	f := b.manifest.Files[0]
	found, err := b.file(ctx, f, nil)
	if b.sound = found == sound; err != nil || found != missing {
		return false, err
	}
	still, err := b.audit.committed(ctx, b.Batch)
	if err != nil || !still {
		return true, err
	}
	b.audit.finding(Finding{Kind: DataMissing, Key: f.Key, Text: "the file is missing and a manifest names it", Advice: adviceReplace})
	return false, nil
}

// file checks a file of events, or, if there is a receipt, of rejected events.
func (b *batch) file(ctx context.Context, f stage.File, receipt *stage.Receipt) (state, error) {
	a := b.audit
	content, err := a.ledger.Copy(ctx, f.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	} else if err != nil {
		return missing, err
	}
	defer content.Close()
	defer a.progress(content.Size)
	if content.Size != f.Size || content.SHA256 != f.SHA256 {
		text := fmt.Sprintf("the file has %d bytes and %d are recorded", content.Size, f.Size)
		if content.Size == f.Size {
			text = "the SHA-256 of the file is not the recorded one"
		}
		a.finding(Finding{Kind: DataChanged, Key: f.Key, Text: text, Advice: adviceReplace})
		return broken, a.searchCopy(f.Key, content)
	}
	reader, err := parquetfile.NewReader(content, content.Size)
	if errors.Is(err, parquetfile.ErrMalformed) {
		a.finding(unreadable(f.Key))
		return broken, a.searchCopy(f.Key, content)
	} else if err != nil {
		return broken, err
	}
	layout, problem := newLayout(a.Plan, reader, receipt != nil)
	if problem == "" && reader.Plan != b.manifest.Plan.Hash {
		problem = "it says that it was made by another plan than its manifest says"
	}
	if problem != "" {
		a.finding(Finding{
			Kind: SchemaUnknown, Key: f.Key, Text: problem,
			Advice: "if a later release wrote it, audit with that one; else find out which program did",
		})
		return broken, a.searchCopy(f.Key, content)
	}
	r := &rows{audit: a, manifest: b.manifest, reader: reader, layout: layout, search: a.searcher(), found: rowFindings{key: f.Key}}
	if receipt == nil && !b.Replaced {
		r.figures = newFigures()
		r.ids = func(ids []fingerprint) error { return b.cluster.addIDs(b.index, ids) }
	}
	if err := r.check(); errors.Is(err, parquetfile.ErrMalformed) {
		a.finding(unreadable(f.Key))
		return broken, nil
	} else if err != nil {
		return broken, err
	}
	if err := a.searchIndex(f.Key, reader); err != nil {
		return broken, err
	}
	b.compareCounts(r, f, receipt)
	return sound, a.merge(r)
}

func unreadable(key string) Finding {
	return Finding{
		Kind: DataUnreadable, Key: key, Text: "the file is not one of events that this release can read, although its hash is right",
		Advice: "if a later release wrote it, audit with that one; else find out which program did",
	}
}

// compareCounts compares what a file has with what the manifest, or the receipt, says.
func (b *batch) compareCounts(r *rows, f stage.File, receipt *stage.Receipt) {
	a, m := b.audit, b.manifest
	differ := func(text string) {
		a.finding(Finding{Kind: CountsDiffer, Key: f.Key, Text: text, Advice: "compare file and manifest with a backup: one of them was not written by this program, or by a broken one"})
	}
	if r.row != f.Rows {
		differ(fmt.Sprintf("the file has %d rows and %d are recorded", r.row, f.Rows))
	}
	switch {
	case receipt != nil:
		if !maps.Equal(r.reasons, receipt.Reasons) {
			a.finding(Finding{Kind: RejectedDiffers, Key: f.Key, Text: "the reasons of the rejected events are not those that the receipt counts", Advice: adviceReplace})
		}
	case r.row != f.Rows:
	case !maps.Equal(r.counts, m.Events):
		differ("the file has other numbers of each event than the manifest says")
	case !r.min.Equal(m.MinTime) || !r.max.Equal(m.MaxTime):
		differ("the times of the first and the last event are not those of the manifest")
	}
}

// merge adds what a file has to the report.
func (a *auditor) merge(r *rows) error {
	a.finding(r.report()...)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.search != nil {
		a.searched += r.search.bytes
		a.hits += r.hits.total
	}
	if r.figures == nil {
		return nil
	}
	a.figures.merge(r.figures)
	maps.Copy(a.groups.names, r.names)
	return a.groups.add(r.groups)
}

func (a *auditor) searcher() *searcher {
	if a.names == nil {
		return nil
	}
	return &searcher{names: a.names}
}

// searchObjects searches the objects of a batch, but for one, for names.
func (b *batch) searchObjects(ctx context.Context, but string) error {
	for _, info := range b.Objects {
		key, ok := stage.ParseKey(info.Key)
		var err error
		switch {
		case !ok || info.Key == but:
		case key.Kind == stage.KindEvents || key.Kind == stage.KindRejected:
			err = b.audit.searchData(ctx, info.Key, info.Size)
		default:
			err = b.audit.searchDocument(ctx, info.Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// searchData searches a file for names, whatever else it is.
func (a *auditor) searchData(ctx context.Context, key string, size int64) error {
	defer a.progress(size)
	if a.names == nil {
		return nil
	}
	content, err := a.ledger.Copy(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer content.Close()
	return a.searchCopy(key, content)
}

// searchCopy searches each cell of a file for names; its bytes, if it is no file of events.
func (a *auditor) searchCopy(key string, content *stage.Copy) error {
	if a.names == nil {
		return nil
	}
	reader, err := parquetfile.NewReader(content, content.Size)
	if err == nil {
		r := &rows{audit: a, reader: reader, search: a.searcher(), found: rowFindings{key: key}}
		err = reader.Rows(func(row parquetfile.Row) error {
			r.row++
			return errors.Join(r.searchAll(row), a.ctx.Err())
		})
		if err == nil || errors.Is(err, parquetfile.ErrMalformed) {
			err = errors.Join(a.merge(r), a.searchIndex(key, reader))
		}
		return err
	}
	if !errors.Is(err, parquetfile.ErrMalformed) {
		return err
	}
	const piece, overlap = 1 << 20, 4 << 10
	buf := make([]byte, piece+overlap)
	for at := int64(0); at < content.Size; at += piece {
		n, err := content.ReadAt(buf, at)
		if n == 0 && err != nil {
			return fmt.Errorf("read object %s: %w", key, err)
		}
		a.searchTexts(key, buf[:n], "the object")
	}
	return nil
}

// searchIndex searches what a file has beside its rows.
func (a *auditor) searchIndex(key string, reader *parquetfile.Reader) error {
	if a.names == nil {
		return nil
	}
	index, err := reader.Index()
	if errors.Is(err, parquetfile.ErrMalformed) {
		a.finding(unreadable(key))
		return nil
	} else if err != nil {
		return err
	}
	a.searchTexts(key, index, "the metadata of the file")
	return nil
}
