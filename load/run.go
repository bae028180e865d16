// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// DefaultRate is what Segment recommends as the most events a second for a workspace.
const DefaultRate = 1000

// A Ledger is where the batches come from and the receipts go: a [stage.Ledger].
type Ledger interface {
	Pending(ctx context.Context, destination string) iter.Seq2[stage.Batch, error]
	Batches(ctx context.Context, r stage.Range) iter.Seq2[stage.Batch, error]
	Manifest(ctx context.Context, b stage.Batch) (*stage.Manifest, error)
	Tracks(ctx context.Context, m *stage.Manifest) iter.Seq2[telemetry.Track, error]
	Receipt(ctx context.Context, destination string, b stage.Batch) (*stage.Receipt, error)
	Reject(ctx context.Context, destination string, m *stage.Manifest, rows []stage.Rejection) (*stage.File, error)
	Rejected(ctx context.Context, destination string, r stage.Range) iter.Seq2[stage.Batch, error]
	Outstanding(ctx context.Context, destination string, b stage.Batch) (*stage.File, error)
	Lease(ctx context.Context, destination string, b stage.Batch) (*stage.Lease, error)
	SwapLease(ctx context.Context, old *stage.Lease, next stage.Lease) (*stage.Lease, error)
	PutReceipt(ctx context.Context, r *stage.Receipt) error
}

// Options configure a Run.
type Options struct {
	// Rate is the most events handed to the destination in a second; 0 is no limit.
	Rate int
	// InFlight is how many deliveries go on at the same time; 0 is 4.
	InFlight int
	// DryRun delivers and writes nothing down: for a destination that only shows what it gets.
	DryRun bool
	// Range selects batches; the zero Range selects all.
	Range stage.Range
	// Force sends batches that have a receipt as well.
	Force bool
	// Rejected sends, of the batches that have a receipt, the events that the destination has rejected and
	// not taken since, and nothing else.
	Rejected bool
	// Lease is how long this loader may be silent before others take over the batch that it is at work on,
	// in whole seconds; 0 is [stage.DefaultLease]. Only those that deliver batches without a receipt share
	// them: with DryRun, Force or Rejected all are delivered, whoever else does so.
	Lease time.Duration
	// Now and Wait, unless nil, are the clock of the leases: for tests whose time is a number.
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error
	// Progress, unless nil, is called with the counts so far after each delivery, one call at a time.
	Progress func(Summary)
	// Logger may be nil.
	Logger *slog.Logger
}

// A Summary counts what a Run did.
type Summary struct {
	Destination string `json:"destination"`
	// Batches have a receipt now; Corrupt ones were passed over.
	Batches int `json:"batches"`
	Corrupt int `json:"corrupt"`
	// Held batches were left to other loaders that are at work on them.
	Held int `json:"held,omitempty"`
	// Events are those of the batches that were begun: Delivered, Rejected for good, and Pending, which
	// the next run, or the loader that has taken over, sends again together with the rest of their batch.
	Events    int64 `json:"events"`
	Delivered int64 `json:"delivered"`
	Rejected  int64 `json:"rejected"`
	Pending   int64 `json:"pending"`
	// Requests and Bytes are the traffic of a [Metered] destination.
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`
}

// Run delivers the batches that the destination has no receipt for, oldest first, and writes their receipts. It
// shares them with others that do the same.
//
// It ends with the first error of the destination or the bucket, and leaves the batch at hand without a
// receipt. A corrupt batch stops no other: its error comes at the end.
func Run(ctx context.Context, ledger Ledger, destination Destination, o Options) (Summary, error) {
	r := newRun(ledger, destination, o)
	requests, bytes := r.traffic()
	err := r.passes(ctx)
	r.summary.Requests, r.summary.Bytes = r.traffic()
	r.summary.Requests -= requests
	r.summary.Bytes -= bytes
	return r.summary, errors.Join(append(r.corrupt, err)...)
}

type run struct {
	Options
	ledger      Ledger
	destination Destination
	limiter     *rate.Limiter
	logger      *slog.Logger
	chunkEvents int
	corrupt     []error
	quarantined map[stage.Batch]bool // the corrupt ones
	share       *share               // nil when nothing is shared
	lease       *lease               // of the batch at hand, if it is shared

	mu      sync.Mutex // guards summary while deliveries go on
	summary Summary
}

func newRun(ledger Ledger, destination Destination, o Options) *run {
	r := &run{
		Options: o, ledger: ledger, destination: destination, logger: o.Logger,
		limiter: rate.NewLimiter(rate.Inf, 0), chunkEvents: maxChunkEvents,
		summary: Summary{Destination: destination.Name()}, quarantined: map[stage.Batch]bool{},
	}
	if !o.DryRun && !o.Force && !o.Rejected {
		r.share = newShare(ledger, destination.Name(), o)
	}
	r.InFlight = cmp.Or(o.InFlight, 4)
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	if o.Rate > 0 {
		// No more at once than in one second, or a low rate would not be one.
		r.chunkEvents = min(o.Rate, maxChunkEvents)
		r.limiter = rate.NewLimiter(rate.Limit(o.Rate), r.chunkEvents)
	}
	return r
}

// passes delivers the batches, in one pass over them unless other loaders are about.
func (r *run) passes(ctx context.Context) error {
	for {
		if err := r.each(ctx, func(b stage.Batch) error { return r.pass(ctx, b) }); err != nil || r.share == nil {
			return err
		}
		r.summary.Held = len(r.share.held)
		if again, err := r.share.again(ctx); err != nil || !again {
			return err
		}
	}
}

// pass delivers one batch, unless it is corrupt.
func (r *run) pass(ctx context.Context, b stage.Batch) error {
	if r.quarantined[b] {
		return nil
	}
	err := r.claimed(ctx, b)
	if err != nil {
		err = fmt.Errorf("load batch %s: %w", b, err)
	}
	if unusable(err) {
		r.logger.ErrorContext(ctx, "batch cannot be read and is passed over", "destination", r.destination.Name(), "batch", b.String(), "error", err)
		r.summary.Corrupt++
		r.corrupt, r.quarantined[b] = append(r.corrupt, err), true
		return nil
	}
	return err
}

// unusable reports whether an object of the stage is damaged or of a newer release.
func unusable(err error) bool {
	return errors.Is(err, stage.ErrCorrupt) || errors.Is(err, stage.ErrNewer)
}

// claimed delivers one batch, unless it is that of another loader.
func (r *run) claimed(ctx context.Context, b stage.Batch) (err error) {
	if r.share == nil {
		return r.batch(ctx, b)
	}
	if r.lease, err = r.share.claim(ctx, b); err != nil || r.lease == nil {
		return err
	}
	held, lost := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { r.lease.keep(held, lost) })
	err = r.batch(held, b)
	cause := context.Cause(held)
	lost(nil)
	keeper.Wait()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLost) || errors.Is(cause, errLost):
		r.logger.WarnContext(ctx, "batch is left to another loader", "destination", r.destination.Name(), "batch", b.String(), "error", errLost)
		r.share.held[b] = sighting{at: r.share.waited}
		return nil
	}
	if released := r.lease.release(ctx); released != nil {
		r.logger.WarnContext(ctx, "lease is not released, which delays the next delivery", "batch", b.String(), "error", released)
	}
	return err
}

// each calls f with the batches to deliver.
func (r *run) each(ctx context.Context, f func(stage.Batch) error) error {
	batches := r.ledger.Pending(ctx, r.destination.Name())
	switch {
	case r.Rejected:
		batches = r.ledger.Rejected(ctx, r.destination.Name(), r.Range)
	case r.Force || r.Range != (stage.Range{}):
		batches = r.ledger.Batches(ctx, r.Range)
	}
	for b, err := range batches {
		if err == nil && !r.Force && !r.Rejected && r.Range != (stage.Range{}) {
			_, missing := r.ledger.Receipt(ctx, r.destination.Name(), b)
			if missing == nil || unusable(missing) { // whatever the receipt says, there is one
				continue
			}
			if !errors.Is(missing, fs.ErrNotExist) {
				err = missing
			}
		}
		if err == nil {
			err = f(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// batch delivers one batch and writes down what became of it.
func (r *run) batch(ctx context.Context, b stage.Batch) error {
	m, err := r.ledger.Manifest(ctx, b)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // expired since it was listed
	}
	if err != nil {
		return err
	}
	what := m
	if r.Rejected {
		if what, err = r.outstanding(ctx, m); err != nil || what == nil {
			return err
		}
	}
	started := time.Now().UTC()
	t, err := r.deliver(ctx, what)
	if err == nil {
		err = r.lease.check(ctx)
	}
	if err == nil && !r.DryRun {
		err = r.settle(ctx, m, t, started)
	}
	if err != nil {
		return err
	}
	r.summary.Batches++
	r.logger.InfoContext(ctx, "batch is delivered", "destination", r.destination.Name(), "batch", b.String(),
		"delivered", t.delivered, "rejected", len(t.rejections))
	return nil
}

// outstanding returns a manifest of the rejected events alone; nil when there are none left.
func (r *run) outstanding(ctx context.Context, m *stage.Manifest) (*stage.Manifest, error) {
	f, err := r.ledger.Outstanding(ctx, r.destination.Name(), m.ID())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // without a receipt all of it is still to be delivered
	}
	if err != nil || f == nil {
		return nil, err
	}
	rejected := *m
	rejected.Files = []stage.File{*f}
	return &rejected, nil
}

// settle writes down what became of a batch: the rejected events first and the receipt last. A crash before
// the receipt delivers the batch again under the same message IDs; a crash after it loses nothing.
func (r *run) settle(ctx context.Context, m *stage.Manifest, t tally, started time.Time) error {
	// What has been delivered is worth a receipt even when it is time to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	name, rejected := r.destination.Name(), int64(len(t.rejections))
	receipt := stage.Receipt{
		Destination: name, Cluster: m.Cluster, Batch: m.Batch, Started: started,
		Events: t.delivered + rejected, Delivered: t.delivered, Rejected: rejected, Reasons: t.reasons(),
		OfRejected: r.Rejected,
	}
	if r.Force {
		_, err := r.ledger.Receipt(ctx, name, m.ID())
		receipt.Replay = !errors.Is(err, fs.ErrNotExist)
	}
	if a, ok := r.destination.(Assurer); ok {
		receipt.Assurance = a.Assurance()
	}
	var err error
	if receipt.Rejections, err = r.ledger.Reject(ctx, name, m, t.rejections); err != nil {
		return err
	}
	receipt.Finished = time.Now().UTC()
	return r.ledger.PutReceipt(ctx, &receipt)
}

func (r *run) traffic() (requests, bytes int64) {
	if m, ok := r.destination.(Metered); ok {
		return m.Traffic()
	}
	return 0, 0
}
