// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Damage is an object of the stage that is missing or not what it should be. A
// manifest lists the damage that its run came upon.
//
// What is damaged now may be read well in an hour: the object is restored, or it was
// the reading that failed. So nothing is done that could not be undone. Events that
// the batch may hold are not staged again, since they may be delivered from there,
// and the windows of later runs reach back to them until the object is whole, or is
// given up by deleting the manifest of its batch.
type Damage struct {
	Key string `json:"key"`
	// Window is the span of the events that were withheld; zero when it is known
	// which ones the batch has.
	Window record.Window `json:"window,omitzero"`
	// Advice says what to do.
	Advice string `json:"-"`
}

// String names the object and says what to do.
func (d *Damage) String() string { return "object " + d.Key + " is damaged: " + d.Advice }

// Damage returns what a run with the window would come upon.
func (l *Ledger) Damage(ctx context.Context, cluster telemetry.Pseudonym, window record.Window) ([]Damage, error) {
	h, err := l.history(ctx, cluster, window)
	if err != nil {
		return nil, err
	}
	err = h.addIDs(ctx, window.Until, func([]byte) error { return nil })
	return h.damaged, err
}

// damage notes that the manifest or the data of a batch is damaged, or both. err is
// that of the data.
func (h *history) damage(ctx context.Context, b pastBatch, err error) error {
	advice, adviceErr := h.ledger.advice(ctx, b.Batch)
	if adviceErr != nil {
		return adviceErr
	}
	var found []Damage
	if b.manifest == nil {
		found = append(found, Damage{Key: b.manifestKey(), Advice: advice})
	}
	if err != nil {
		d := Damage{Key: b.dataKey(), Advice: advice}
		if b.manifest != nil {
			d.Window = record.Window{Since: b.manifest.MinTime, Until: b.manifest.MaxTime.Add(time.Second)}
		} else {
			d.Window = record.Window{Since: earlier(h.window.Since, b.End()), Until: b.End()} // it may hold anything up to its end
		}
		found = append(found, d)
	}
	for _, d := range found {
		h.ledger.options.Logger.ErrorContext(ctx, "object of the stage is damaged", "key", d.Key, "advice", d.Advice)
	}
	h.damaged = append(h.damaged, found...)
	return nil
}

// withholds reports whether an event of the time may be in a damaged batch.
func (h *history) withholds(at time.Time) bool {
	return slices.ContainsFunc(h.damaged, func(d Damage) bool { return !at.Before(d.Window.Since) && at.Before(d.Window.Until) })
}

// open returns the damage that later runs have to come back to: what was found, and
// what was found before as long as its events were not read again.
func (h *history) open(report record.Report) []Damage {
	open := slices.Clone(h.damaged)
	for _, d := range h.carried {
		again := !d.Window.Since.Before(report.Window.Since) && !d.Window.Until.After(report.Window.Until) && len(report.Failed()) == 0
		if !again && !d.Window.Until.IsZero() {
			open = append(open, d)
		}
	}
	return oneEach(open)
}

// oneEach sorts damage, and keeps of each object what comes first. It is bounded as
// coverage is.
func oneEach(damaged []Damage) []Damage {
	slices.SortStableFunc(damaged, func(a, b Damage) int { return strings.Compare(a.Key, b.Key) })
	damaged = slices.CompactFunc(damaged, func(a, b Damage) bool { return a.Key == b.Key })
	return damaged[max(0, len(damaged)-maxSpans):]
}

// advice says what to do about a damaged object of the batch.
func (l *Ledger) advice(ctx context.Context, b Batch) (string, error) {
	destinations, err := l.destinations(ctx)
	if err != nil {
		return "", err
	}
	delivered := slices.DeleteFunc(destinations, func(d string) bool {
		object, openErr := l.bucket.Open(ctx, b.receiptKey(d))
		if openErr == nil {
			openErr = object.Close()
		} else if !errors.Is(openErr, fs.ErrNotExist) {
			err = fmt.Errorf("open receipt: %w", openErr)
		}
		return openErr != nil
	})
	const restore = "restore it from a replica or backup of the bucket"
	if len(delivered) > 0 {
		return restore + "; if there is none, leave it: the batch was delivered to " + strings.Join(delivered, ", "), err
	}
	return restore + "; if there is none, delete " + b.manifestKey() + " and run with a --since before what it held, so that its events are staged again", err
}
