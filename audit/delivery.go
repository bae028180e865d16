// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// deliveries checks what became of the batch at each destination.
func (b *batch) deliveries(ctx context.Context) error {
	files := map[string]bool{} // of rejected events, true if a receipt names it
	receipts := map[string][]*stage.Receipt{}
	unread := map[string]bool{}
	for _, info := range b.Objects {
		key, ok := stage.ParseKey(info.Key)
		switch {
		case !ok || key.Kind == stage.KindEvents:
		case key.Kind == stage.KindLease:
			if err := b.audit.searchDocument(ctx, info.Key); err != nil {
				return err
			}
		case key.Kind == stage.KindRejected:
			files[info.Key] = false
		case key.Kind == stage.KindReceipt:
			r, err := b.receipt(ctx, info.Key, key)
			if err != nil {
				return err
			}
			if r == nil {
				unread[key.Destination] = true
				continue
			}
			receipts[key.Destination] = append(receipts[key.Destination], r)
		}
	}
	for _, d := range b.audit.destinations {
		if unread[d] {
			continue // what the others add up to is not known
		}
		if err := b.delivery(ctx, d, receipts[d], files); err != nil {
			return err
		}
	}
	for key, named := range files {
		parsed, _ := stage.ParseKey(key)
		if named || unread[parsed.Destination] {
			continue
		}
		b.audit.notice(Finding{Kind: Leftover, Key: key, Text: "no receipt names these rejected events: a delivery that was cut short left them"})
		if err := b.audit.searchData(ctx, key, 0); err != nil {
			return err
		}
	}
	return nil
}

// receipt reads a receipt; nil if it is unreadable.
func (b *batch) receipt(ctx context.Context, name string, key stage.Key) (*stage.Receipt, error) {
	a := b.audit
	text, err := a.document(ctx, name)
	if text == nil || err != nil {
		return nil, err
	}
	r, err := stage.ParseReceipt(name, key.Destination, b.Batch, text)
	marked := err == nil && (r.Replay != strings.HasPrefix(key.Suffix, "replay-") || r.OfRejected != strings.HasPrefix(key.Suffix, "rejected-"))
	switch {
	case errors.Is(err, stage.ErrNewer):
		a.finding(newer(name))
		return nil, nil
	case err != nil:
		a.finding(Finding{Kind: ReceiptUnreadable, Key: name, Text: why(err), Advice: adviceReplace + ". Without it, the batch would be delivered again"})
		return nil, nil
	case marked:
		a.finding(Finding{Kind: ReceiptDiffers, Key: name, Text: "its name and its text do not agree on whether it is of a replay", Advice: adviceReplace})
		return nil, nil
	case r.Assurance != "" && r.Assurance != "sent" && r.Assurance != "accepted" && r.Assurance != "indexed":
		a.finding(Finding{Kind: ReceiptDiffers, Key: name, Text: "its assurance is none that this release knows", Advice: "audit with the release that wrote it, or a later one"})
		return nil, nil
	}
	return r, nil
}

// delivery adds up the receipts of one destination.
func (b *batch) delivery(ctx context.Context, destination string, receipts []*stage.Receipt, files map[string]bool) error {
	a, rows := b.audit, b.manifest.Files[0].Rows
	slices.SortStableFunc(receipts, func(x, y *stage.Receipt) int {
		// The first delivery comes first, whatever the clocks say.
		return cmp.Or(cmp.Compare(again(x), again(y)), x.Finished.Compare(y.Finished))
	})
	if len(receipts) == 0 || again(receipts[0]) > 0 {
		b.undelivered(destination, rows)
		return nil
	}
	first, newest := receipts[0], receipts[0]
	sum := Delivery{Batches: 1, Staged: rows, Assurance: map[string]int64{}, Reasons: map[string]int64{}}
	for _, r := range receipts {
		want := rows
		if r.OfRejected {
			want = newest.Rejected
		}
		if r.Events != want {
			a.finding(Finding{
				Kind: ReceiptDiffers, Key: b.receiptKey(destination, r), Text: fmt.Sprintf("it is of %d events where %d were to be delivered", r.Events, want),
				Advice: "events may be missing at the destination, or there twice: compare with what it has, and deliver the batch again with replay --force if need be",
			})
		}
		if r.Replay {
			sum.SentAgain += r.Events
		}
		if err := b.rejections(ctx, destination, r, files); err != nil {
			return err
		}
		if !r.Finished.Before(newest.Finished) {
			newest = r
		}
	}
	sum.Rejected = min(newest.Rejected, rows)
	sum.Delivered = rows - sum.Rejected
	sum.Assurance[first.Assurance] = sum.Delivered
	for reason, n := range newest.Reasons {
		sum.Reasons[a.shown(reason)] += n
	}
	if sum.SentAgain > 0 {
		a.notice(Finding{
			Kind: SentAgain, Key: b.ReceiptKey(destination), Count: sum.SentAgain,
			Text: "events of the batch were sent once more on purpose, with the same message IDs",
		})
	}
	if sum.Rejected > 0 {
		a.notice(Finding{
			Kind: Rejected, Key: newest.Rejections.Key, Count: sum.Rejected,
			Text: "events were refused for good; replay --rejected sends them again once the cause is gone",
		})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.deliveries[destination]
	d.Batches++
	d.Staged += rows
	d.Delivered += sum.Delivered
	d.Rejected += sum.Rejected
	d.SentAgain += sum.SentAgain
	addAll(d.Assurance, sum.Assurance)
	addAll(d.Reasons, sum.Reasons)
	if d.First.IsZero() || first.Finished.Before(d.First) {
		d.First = first.Finished
	}
	d.Last = later(d.Last, newest.Finished)
	return nil
}

// again is 0 for a first delivery.
func again(r *stage.Receipt) int {
	if r.Replay || r.OfRejected {
		return 1
	}
	return 0
}

// receiptKey returns the key of a receipt.
func (b *batch) receiptKey(destination string, r *stage.Receipt) string {
	key := strings.TrimSuffix(b.ReceiptKey(destination), ".json")
	switch {
	case r.OfRejected:
		return fmt.Sprintf("%s.rejected-%d.json", key, r.Finished.UnixMilli())
	case r.Replay:
		return fmt.Sprintf("%s.replay-%d.json", key, r.Finished.Unix())
	default:
		return key + ".json"
	}
}

// undelivered counts a batch without a receipt, which is a finding when it is old.
func (b *batch) undelivered(destination string, rows int64) {
	a := b.audit
	a.mu.Lock()
	d := a.deliveries[destination]
	d.PendingBatches++
	d.Staged += rows
	d.Pending += rows
	a.mu.Unlock()
	if b.Manifest.Modified.Add(a.Grace).After(a.Now) {
		a.notice(Finding{Kind: Pending, Key: b.Manifest.Key, Count: rows, Text: "the batch has no receipt of " + destination + " yet"})
		return
	}
	a.finding(Finding{
		Kind: Undelivered, Key: b.Manifest.Key, Count: rows, Text: fmt.Sprintf("the batch has no receipt of %s, %s after it was staged", destination, a.Grace),
		Advice: "run load --destination " + destination + "; if the destination is retired, remove its folder v1/receipts/" + destination + "/ (docs/operations.md, Compaction)",
	})
}

// rejections checks the file of the events that a receipt has as rejected.
func (b *batch) rejections(ctx context.Context, destination string, r *stage.Receipt, files map[string]bool) error {
	f := r.Rejections
	if f == nil {
		return nil
	}
	if files[f.Key] {
		return nil // an earlier receipt names the same
	}
	found, err := b.file(ctx, *f, r)
	if err != nil {
		return err
	}
	if found == missing {
		b.audit.finding(Finding{Kind: DataMissing, Key: f.Key, Text: "the file of rejected events is missing and a receipt of " + destination + " names it", Advice: adviceReplace})
		return nil
	}
	files[f.Key] = true
	if found != sound || !b.sound {
		return nil
	}
	return b.included(ctx, f.Key)
}

// included checks that rejected events are events of the batch. Both files have the same order.
func (b *batch) included(ctx context.Context, key string) error {
	rejected, err := b.audit.ledger.Copy(ctx, key)
	if err == nil {
		defer rejected.Close()
		var all *stage.Copy
		if all, err = b.audit.ledger.Copy(ctx, b.DataKey()); err == nil {
			defer all.Close()
			b.compareRejected(key, parquetfile.Tracks(rejected, rejected.Size), parquetfile.Tracks(all, all.Size))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is told of elsewhere
	}
	return err
}

func (b *batch) compareRejected(key string, rejected, all iter.Seq2[telemetry.Track, error]) {
	next, stop := iter.Pull2(all)
	defer stop()
	track, err, more := next()
	found := rowFindings{key: key}
	row := int64(0)
	for want, wantErr := range rejected {
		if row++; wantErr != nil {
			return // it is told of elsewhere
		}
		for more && err == nil && compareTracks(&track, &want) < 0 {
			track, err, more = next()
		}
		if err != nil {
			return
		}
		if !more || compareTracks(&track, &want) != 0 || !bytes.Equal(track.Payload, want.Payload) {
			found.add(row, Finding{Kind: RejectedDiffers, Text: "the rejected event is not one of the batch", Advice: adviceReplace})
		}
	}
	b.audit.finding(found.all()...)
}

func compareTracks(a, b *telemetry.Track) int {
	return cmp.Or(strings.Compare(a.Event, b.Event), a.Time.Compare(b.Time), strings.Compare(a.MessageID, b.MessageID))
}
