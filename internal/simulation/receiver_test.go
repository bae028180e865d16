// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"hash/crc32"
	"iter"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/jobtest"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A receiver is a destination that takes no time.
type receiver struct {
	world *world
	// picky refuses some events for good.
	picky    bool
	accepted map[string]int // how often, by message ID
}

// Name implements [load.Destination]; it is that of load/segment.
func (r *receiver) Name() string { return "segment" }

// Close implements [load.Destination].
func (r *receiver) Close() error { return nil }

func (r *receiver) refuses(id string) bool {
	return r.picky && !strings.Contains(id, "heartbeat") && crc32.ChecksumIEEE([]byte(id))%8 == 0
}

var errReceiver = errors.New("receiver is in trouble")

// Deliver implements [load.Destination].
func (r *receiver) Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error) {
	verdicts := make([]telemetry.Verdict, len(events))
	if ctx.Err() != nil {
		return verdicts, ctx.Err()
	}
	accepted, known, err := len(events), len(events), error(nil)
	switch r.world.weather.of(r.world.now, theReceiver) {
	case down, throttled:
		accepted, known, err = 0, 0, errReceiver
	case flaky:
		switch r.world.IntN(4) {
		case 0:
			accepted, known, err = 0, 0, errReceiver
		case 1: // the response is lost
			known, err = 0, errReceiver
		case 2: // in the middle of it
			accepted = r.world.IntN(len(events) + 1)
			known, err = r.world.IntN(accepted+1), errReceiver
		}
	default:
	}
	for i, e := range events[:accepted] {
		verdict := telemetry.Verdict{Status: telemetry.Delivered}
		if r.refuses(e.MessageID) {
			verdict = telemetry.Verdict{Status: telemetry.Rejected, Reason: "HTTP 400"}
		} else {
			r.accepted[e.MessageID]++
		}
		if i < known {
			verdicts[i] = verdict
		}
	}
	return verdicts, err
}

// A wire is the way to Segment: load/segment, and a receiver that holds it to the
// protocol.
type wire struct {
	world    *world
	receiver *segmenttest.Receiver
	actor    *actor
	trouble  trouble // for one load; its waits do not change it
}

func newWire(w *world) *wire {
	w.receiver.picky = false
	return &wire{world: w, receiver: segmenttest.New(segmenttest.Options{Now: func() time.Time { return w.now }})}
}

// RoundTrip implements [http.RoundTripper].
func (x *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if x.actor.killed {
		_ = req.Body.Close()
		return nil, syscall.ECONNREFUSED
	}
	faults := []segmenttest.Fault{{Status: 503}, {Reset: true}}
	switch x.trouble {
	case down:
	case throttled:
		faults = []segmenttest.Fault{{Status: 429, RetryAfter: "300"}}
	case flaky:
		faults = []segmenttest.Fault{
			{},
			{Delay: 3 * time.Second},
			{Status: 503},
			{Status: 500, Accept: true},
			{Status: 429, RetryAfter: "7"},
			{Reset: true},
			{Reset: true, Accept: true},
		}
	default:
		faults = nil
	}
	if len(faults) > 0 {
		x.receiver.Inject(faults[x.world.IntN(len(faults))])
	}
	return x.receiver.RoundTrip(req)
}

// load is the last container of the job, in a bubble whose clock is that of the model.
func (x *wire) load(t *testing.T, a *actor) {
	w := x.world
	w.actor, x.actor, x.trouble = a, a, w.weather.of(w.now, theReceiver)
	a.stop = func() {} // everything fails, which will do: a bubble is not to be ended from outside
	ledger := newOutside(a.job.Ledger())
	defer close(ledger.work)
	now := w.now
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		destination, err := jobtest.Segment(x)
		if err != nil {
			t.Fatal(err)
		}
		a.outcome.Loaded, a.err = load.Run(t.Context(), ledger, destination, load.Options{Rate: load.DefaultRate})
		a.err = errors.Join(a.err, destination.Close())
	})
	w.now = w.now.Add(time.Minute)
	clear(w.receiver.accepted)
	for _, e := range append(x.receiver.Events(), x.receiver.Duplicates()...) {
		w.receiver.accepted[e.MessageID]++
	}
}

// An outside is a ledger whose files are read outside the bubble: the Parquet
// library keeps decoders that must not belong to one.
type outside struct {
	*stage.Ledger
	work chan func()
	done chan struct{}
}

func newOutside(l *stage.Ledger) *outside {
	o := &outside{l, make(chan func()), make(chan struct{})}
	go func() {
		for work := range o.work {
			work()
			o.done <- struct{}{}
		}
	}()
	return o
}

func (o *outside) do(work func()) {
	o.work <- work
	<-o.done
}

// Tracks implements [load.Ledger].
func (o *outside) Tracks(_ context.Context, m *stage.Manifest) iter.Seq2[telemetry.Track, error] {
	return func(yield func(telemetry.Track, error) bool) {
		var tracks []telemetry.Track
		var failed error
		o.do(func() {
			for track, err := range o.Ledger.Tracks(context.Background(), m) {
				if failed = err; err == nil {
					tracks = append(tracks, track)
				}
			}
		})
		for _, track := range tracks {
			if !yield(track, nil) {
				return
			}
		}
		if failed != nil {
			yield(telemetry.Track{}, failed)
		}
	}
}

// Reject implements [load.Ledger].
func (o *outside) Reject(_ context.Context, destination string, m *stage.Manifest, rows []stage.Rejection) (f *stage.File, err error) {
	o.do(func() { f, err = o.Ledger.Reject(context.Background(), destination, m, rows) })
	return f, err
}
