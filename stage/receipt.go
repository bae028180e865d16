// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Receipt says what became of a batch at a destination. It is written when every
// event of the batch is either delivered or refused for good.
type Receipt struct {
	Format int `json:"format"`
	// Producer is the program that delivered the batch.
	Producer    Producer            `json:"producer"`
	Destination string              `json:"destination"`
	Cluster     telemetry.Pseudonym `json:"cluster"`
	Batch       string              `json:"batch"`
	// Replay marks a delivery that was forced although there was a receipt.
	Replay bool `json:"replay,omitempty"`
	// OfRejected marks a delivery of the events that an earlier receipt has as
	// rejected: the counts are of those alone.
	OfRejected bool `json:"ofRejected,omitempty"`
	// Started and Finished are when the delivery took place.
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Events is the number of rows of the batch: Delivered and Rejected together.
	Events    int64 `json:"events"`
	Delivered int64 `json:"delivered"`
	Rejected  int64 `json:"rejected"`
	// Assurance is what the destination's protocol lets anybody know of the delivered events: "sent",
	// "accepted" or "indexed"; empty if the destination does not say.
	Assurance string `json:"assurance,omitempty"`
	// Reasons counts the rejected events by reason; Rejections has them.
	Reasons    map[string]int64 `json:"reasons,omitempty"`
	Rejections *File            `json:"rejections,omitempty"`
}

// ID returns the name of the batch that the receipt is for.
func (r *Receipt) ID() Batch { return Batch{r.Cluster, r.Batch} }

// check reports whether the receipt is for the batch and agrees with itself.
func (r *Receipt) check(destination string, b Batch) error {
	if _, _, ok := parseBatchName(r.Batch); !ok || r.ID() != b || r.Destination != destination {
		return errors.New("it is of another batch or destination")
	}
	if r.Started.IsZero() || r.Finished.Before(r.Started) {
		return errors.New("it has no times")
	}
	var reasons int64
	for _, n := range r.Reasons {
		reasons += n
	}
	if r.Events < 1 || r.Delivered < 0 || r.Rejected < 0 || r.Events != r.Delivered+r.Rejected || reasons != r.Rejected {
		return errors.New("its counts do not add up")
	}
	if f := r.Rejections; (f != nil) != (r.Rejected > 0) || f != nil && (f.Rows != r.Rejected ||
		len(f.SHA256) != 64 || !isHex(f.SHA256) || f.Key != b.rejectedKey(destination, f.SHA256)) {
		return errors.New("its rejected events are not where they should be")
	}
	return nil
}

// Receipt returns the first receipt of the batch at the destination. The error is
// [fs.ErrNotExist] when there is none.
func (l *Ledger) Receipt(ctx context.Context, destination string, b Batch) (*Receipt, error) {
	if err := checkDestination(destination); err != nil {
		return nil, err
	}
	return l.receiptAt(ctx, b.receiptKey(destination), destination, b)
}

// receiptAt reads one of the receipts of the batch.
func (l *Ledger) receiptAt(ctx context.Context, key, destination string, b Batch) (*Receipt, error) {
	text, err := l.read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	return ParseReceipt(key, destination, b, text)
}

// PutReceipt writes a receipt; format and producer are filled in. A receipt is
// never replaced: when the batch has one at the destination, the first stays and
// that is success. The receipt of a replay, of all or of the rejected events, stands
// beside it, under its own time.
func (l *Ledger) PutReceipt(ctx context.Context, r *Receipt) error {
	r.Format, r.Producer = Format, l.producer()
	if err := errors.Join(checkDestination(r.Destination), r.check(r.Destination, r.ID())); err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	key := r.ID().receiptKey(r.Destination)
	again := r.Replay || r.OfRejected
	switch {
	case r.OfRejected:
		key = r.ID().rejectedReplayKey(r.Destination, r.Finished)
	case r.Replay:
		key = r.ID().replayKey(r.Destination, r.Finished)
	}
	text, err := encode(r)
	if err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	_, err = l.bucket.Put(ctx, key, bytes.NewReader(text), Condition{IfAbsent: true})
	if errors.Is(err, fs.ErrExist) && !again {
		// Ours, after a lost response, or that of a loader that was faster. It must be
		// a receipt to count.
		_, err = l.Receipt(ctx, r.Destination, r.ID())
		return err
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write receipt: %w", err)
	}
	return nil
}
