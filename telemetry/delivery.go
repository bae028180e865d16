// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// A Destination takes events. What delivers the bridge's staged events implements it
// too.
type Destination interface {
	// Name identifies the destination: lower-case letters, digits and dashes.
	Name() string
	// Deliver sends the events and returns one verdict for each, in their order. With
	// an error, which holds no text that a server sent, the events whose verdict is
	// Pending are sent again later, with the same message IDs. It stops soon after
	// ctx is done; while it does not return it is not called again.
	Deliver(ctx context.Context, events []Track) ([]Verdict, error)
}

// A Receipt stands for a report that was accepted.
type Receipt struct {
	// MessageID is that of the event.
	MessageID string

	mu       sync.Mutex
	verdicts map[string]Verdict
	open     int
	done     chan struct{}
	stopped  <-chan struct{} // the reporter has stopped
}

func newReceipt(id string, outlets []*outlet, stopped <-chan struct{}) *Receipt {
	r := &Receipt{MessageID: id, verdicts: map[string]Verdict{}, open: len(outlets), done: make(chan struct{}), stopped: stopped}
	for _, o := range outlets {
		r.verdicts[o.Name()] = Verdict{}
	}
	if r.open == 0 {
		close(r.done)
	}
	return r
}

// Wait waits until every destination has decided. When ctx is done before, or Run has
// returned, it returns what is known with an error: ctx's, or [ErrStopped]. The verdicts
// are by the name of the destination. A report that was dropped, since a queue was full
// or telemetry was turned off, is Rejected.
func (r *Receipt) Wait(ctx context.Context) (map[string]Verdict, error) {
	var err error
	select {
	case <-r.done:
	case <-ctx.Done():
		err = ctx.Err()
	case <-r.stopped:
		err = ErrStopped
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == 0 {
		err = nil
	}
	return maps.Clone(r.verdicts), err
}

func (r *Receipt) settle(destination string, v Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts[destination] = v
	if r.open--; r.open == 0 {
		close(r.done)
	}
}

// DestinationStatus says how one destination is doing since the reporter was made.
type DestinationStatus struct {
	Name string
	// Queued events wait; the others were delivered, refused for good, or dropped since
	// the queue was full or consent was withdrawn.
	Queued                       int
	Delivered, Rejected, Dropped int64
	// Failures is how many times in a row delivery has failed. Each outage is one warning
	// in the log, and so is each new reason for which events are refused for good.
	Failures int
}

const (
	minBackOff  = 30 * time.Second
	maxBackOff  = time.Hour
	maxDelivery = 20 * time.Minute // longer than destinations retry on their own
)

// An outlet is the way to one destination: a queue, and the one goroutine that empties
// it. Outlets do not know of each other.
type outlet struct {
	Destination
	most   int
	logger *slog.Logger
	may    func(context.Context) bool // whether telemetry is on

	call call // of Deliver
	wake chan struct{}

	mu     sync.Mutex
	queue  []queued // oldest first
	status DestinationStatus
	reason string // of the last event, if it was refused for good
}

type queued struct {
	track   Track
	receipt *Receipt
}

func newOutlet(d Destination, most int, logger *slog.Logger, may func(context.Context) bool) *outlet {
	return &outlet{
		Destination: d, most: most, logger: logger.With(slog.String("destination", d.Name())), may: may,
		wake: make(chan struct{}, 1), status: DestinationStatus{Name: d.Name()},
	}
}

// put queues an event, if need be in place of the oldest.
func (o *outlet) put(q queued) {
	o.mu.Lock()
	o.queue = append(o.queue, q)
	o.trim()
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// trim drops the oldest events of a queue that is too long.
func (o *outlet) trim() {
	for len(o.queue) > o.most {
		o.drop(o.queue[0], "dropped: the queue was full")
		o.queue = o.queue[1:]
	}
}

func (o *outlet) drop(q queued, reason string) {
	o.status.Dropped++
	q.receipt.settle(o.Name(), Verdict{Status: Rejected, Reason: reason})
}

// run empties the queue until ctx is done, and once more then. Deliveries end with
// sending, which outlives ctx.
func (o *outlet) run(ctx, sending context.Context) {
	for {
		select {
		case <-o.wake:
		case <-ctx.Done():
			o.deliver(sending)
			return
		}
		for failures := o.deliver(sending); failures > 0; failures = o.deliver(sending) {
			select {
			case <-time.After(backOff(failures)):
			case <-ctx.Done():
				o.deliver(sending)
				return
			}
		}
	}
}

// backOff doubles with each failure and varies by a half, so that many programs do
// not come back at once.
func backOff(failures int) time.Duration {
	d := min(minBackOff<<min(failures-1, 10), maxBackOff)
	return d/2 + rand.N(d)
}

// deliver sends what is queued, if it may, and returns how many times in a row that
// has failed.
func (o *outlet) deliver(ctx context.Context) (failures int) {
	o.mu.Lock()
	batch := o.queue
	o.queue = nil
	o.mu.Unlock()
	if len(batch) == 0 {
		return 0
	}
	if !o.may(ctx) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, q := range batch {
			o.drop(q, "dropped: telemetry was turned off")
		}
		o.status.Failures = 0
		return 0
	}
	events := make([]Track, len(batch))
	for i, q := range batch {
		events[i] = q.track
	}
	verdicts, err := do(ctx, &o.call, maxDelivery, func(ctx context.Context) ([]Verdict, error) { return o.Deliver(ctx, events) })
	if len(verdicts) != len(events) {
		verdicts = make([]Verdict, len(events))
	}
	return o.settle(batch, verdicts, err)
}

// settle says what became of the batch, and queues again what is pending.
func (o *outlet) settle(batch []queued, verdicts []Verdict, err error) (failures int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var pending []queued
	for i, q := range batch {
		switch verdicts[i].Status {
		case Delivered:
			o.status.Delivered++
			o.reason = ""
			q.receipt.settle(o.Name(), verdicts[i])
		case Rejected:
			o.status.Rejected++
			if reason := verdicts[i].Reason; o.reason != reason {
				o.reason = reason // once for all that are refused alike
				o.logger.Warn("telemetry is refused for good and dropped", slog.String("reason", reason))
			}
			q.receipt.settle(o.Name(), verdicts[i])
		case Pending:
			pending = append(pending, q)
		}
	}
	if len(pending) == 0 {
		if o.status.Failures > 0 {
			o.logger.Info("telemetry is delivered again")
		}
		o.status.Failures = 0
		return 0
	}
	o.queue = append(pending, o.queue...)
	o.trim()
	o.status.Failures++
	if err == nil {
		err = errors.New("destination did not say what became of each event")
	}
	level := slog.LevelDebug
	if o.status.Failures == 1 {
		level = slog.LevelWarn // once; it says so again when it is over
	}
	o.logger.Log(context.Background(), level, "telemetry is not delivered; it is tried again until it is", slog.Any("error", err))
	return o.status.Failures
}

func (o *outlet) state() DestinationStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	status := o.status
	status.Queued = len(o.queue)
	return status
}
