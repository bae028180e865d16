// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A chunk is what goes to the destination at once: small enough for one request to Segment, wrapper and
// commas included.
const (
	maxChunkEvents = 2_500
	maxChunkBytes  = 470_000
)

// A tally is what became of the events of one batch.
type tally struct {
	delivered  int64
	rejections []stage.Rejection
}

func (t *tally) reasons() map[string]int64 {
	if len(t.rejections) == 0 {
		return nil
	}
	counts := map[string]int64{}
	for _, r := range t.rejections {
		counts[r.Reason]++
	}
	return counts
}

// deliver hands the events of a batch to the destination, several chunks at a time. What it holds in memory
// does not grow with the batch. The first error ends the other deliveries.
func (r *run) deliver(ctx context.Context, m *stage.Manifest) (t tally, err error) {
	before, parent := r.summary.Events, ctx
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var deliveries sync.WaitGroup
	slots := make(chan struct{}, r.InFlight)
	for events, err := range chunks(r.ledger.Tracks(ctx, m), r.chunkEvents) {
		if err == nil {
			err = r.limiter.WaitN(ctx, len(events))
		}
		if err != nil {
			stop(err)
			break
		}
		slots <- struct{}{} // every delivery ends soon after ctx is done
		if err := r.lease.check(ctx); err != nil {
			stop(err)
			break
		}
		deliveries.Go(func() {
			defer func() { <-slots }()
			verdicts, err := r.destination.Deliver(ctx, events)
			if err := r.count(&t, events, verdicts, err); err != nil {
				stop(err)
			}
		})
	}
	deliveries.Wait()
	if err = context.Cause(ctx); err != nil {
		pending := m.Files[0].Rows - (r.summary.Events - before)
		if pending == 0 && parent.Err() != nil && errors.Is(err, context.Cause(parent)) {
			return t, nil // it is time to stop, and all is done but the receipt
		}
		r.summary.Events += pending
		r.summary.Pending += pending
	}
	return t, err
}

// count adds the verdicts of one delivery.
func (r *run) count(t *tally, events []telemetry.Track, verdicts []telemetry.Verdict, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	settled := 0
	for i, v := range verdicts {
		switch v.Status {
		case telemetry.Delivered:
			t.delivered++
			r.summary.Delivered++
			settled++
		case telemetry.Rejected:
			t.rejections = append(t.rejections, stage.Rejection{MessageID: events[i].MessageID, Reason: v.Reason})
			r.summary.Rejected++
			settled++
		case telemetry.Pending:
		}
	}
	r.summary.Events += int64(settled)
	if err == nil && settled != len(events) {
		err = fmt.Errorf("destination %s settled %d of %d events without saying why", r.destination.Name(), settled, len(events))
	}
	if r.Progress != nil {
		r.Progress(r.summary)
	}
	return err
}

// chunks cuts a stream of events.
func chunks(tracks iter.Seq2[telemetry.Track, error], most int) iter.Seq2[[]telemetry.Track, error] {
	return func(yield func([]telemetry.Track, error) bool) {
		var chunk []telemetry.Track
		size := 0
		for track, err := range tracks {
			if err != nil {
				yield(nil, err)
				return
			}
			n := len(track.Payload) + 1
			if len(chunk) > 0 && (len(chunk) == most || size+n > maxChunkBytes) {
				if !yield(chunk, nil) {
					return
				}
				chunk, size = make([]telemetry.Track, 0, len(chunk)), 0
			}
			chunk = append(chunk, track)
			size += n
		}
		if len(chunk) > 0 {
			yield(chunk, nil)
		}
	}
}
