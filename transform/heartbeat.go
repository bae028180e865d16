// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// HeartbeatInterval is the least time between two heartbeats. A run that follows
// sooner, and finds nothing new, leaves no trace.
const HeartbeatInterval = 30 * time.Minute

// Heartbeat returns the event that says that the bridge ran, and how reading each
// source went. Its time is the end of the window. ok is false when the heartbeat
// before, which may be the zero time, is too recent; that of a slice does not depend
// on what else was read.
func Heartbeat(r record.Report, before time.Time) (event telemetry.Event, ok bool) {
	at := r.Window.Until.UTC()
	if age := at.Sub(before); !r.Slice && !before.IsZero() && age >= 0 && age < HeartbeatInterval {
		return telemetry.Event{}, false
	}
	t := New(FromReport(r))
	// The heartbeat stands at the end of the window that it reports on.
	t.config.Window = record.Window{Since: at, Until: at.Add(time.Second)}
	b := t.begin(catalogue.Heartbeat, r.Cluster.String()+"-heartbeat-"+at.Format(time.RFC3339), at)
	for _, source := range catalogue.HeartbeatSources() {
		if outcome, ok := worst(r.Sources, source); ok {
			b.set(catalogue.SourceProperty(source), telemetry.EnumValue(outcome))
		}
	}
	_ = b.emit(func(e *telemetry.Event) error { event = *e; return nil })
	return event, true
}

// worst returns the outcome of a source that may have been asked more than once:
// that of a failure, if there is one.
func worst(reports []record.SourceReport, source record.SourceName) (outcome record.SourceOutcome, found bool) {
	for _, r := range reports {
		if r.Name == source && (!found || r.Failed()) {
			outcome, found = r.Outcome, true
		}
	}
	return outcome, found
}
