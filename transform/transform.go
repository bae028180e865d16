// SPDX-License-Identifier: Apache-2.0

// Package transform turns records into events. It is pure: the same records give
// the same events, whatever the time and wherever it runs.
//
// Each event is windowed by its own time: a record that was read because its run
// ended within the window may also tell of a start long before, and that start
// belongs to an earlier batch.
package transform

import (
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// DefaultInstallTime is how long an installation may take to become ready before
// it counts as failed.
const DefaultInstallTime = 2 * time.Hour

// Config is what a Transformer needs to know.
type Config struct {
	// Window bounds the time of the events.
	Window record.Window
	// Cluster is where the records come from.
	Cluster telemetry.Pseudonym
	// KonfluxVersion and KubernetesVersion go into every event when known.
	KonfluxVersion, KubernetesVersion telemetry.Version
	// InstallTime is how long an installation may take; 0 means
	// DefaultInstallTime.
	InstallTime time.Duration
}

// FromReport returns the configuration for the records of an extraction.
func FromReport(r record.Report) Config {
	return Config{
		Window: r.Window, Cluster: r.Cluster,
		KonfluxVersion: r.KonfluxVersion, KubernetesVersion: r.KubernetesVersion,
	}
}

// A Transformer turns records into events. It is not safe for concurrent use.
type Transformer struct {
	config Config
	event  telemetry.Event
}

// New returns a Transformer.
func New(config Config) *Transformer {
	if config.InstallTime == 0 {
		config.InstallTime = DefaultInstallTime
	}
	return &Transformer{config: config}
}

// Record passes the events of a record that lie within the window to emit, and
// stops at the first error. An event is valid until emit returns.
func (t *Transformer) Record(r record.Record, emit func(*telemetry.Event) error) error {
	switch r := r.(type) {
	case *record.PipelineRun:
		return t.pipelineRun(r, emit)
	case *record.Component:
		return t.component(r, emit)
	case *record.Namespace:
		return t.namespace(r, emit)
	case *record.Installation:
		return t.installation(r, emit)
	case *record.Inventory:
		return t.inventory(r, emit)
	default: // Record is sealed, and these are its five types
		return nil
	}
}

// begin starts the next event, in the memory of the one before.
func (t *Transformer) begin(name, messageID string, at time.Time) *builder {
	t.event = telemetry.Event{
		Name: name, MessageID: messageID, Time: at.UTC(), Cluster: t.config.Cluster,
		Properties: t.event.Properties[:0],
	}
	return (*builder)(t)
}

// builder adds properties in the order of the plan.
type builder Transformer

func (b *builder) set(name string, v telemetry.Value) *builder {
	b.event.Properties = append(b.event.Properties, telemetry.Property{Name: name, Value: v})
	return b
}

// optional leaves the property out when there is no value.
func (b *builder) optional(name string, v telemetry.Value) *builder {
	if v.IsNull() {
		return b
	}
	return b.set(name, v)
}

// emit adds what every event has and passes the event on if it lies within the
// window.
func (b *builder) emit(emit func(*telemetry.Event) error) error {
	if !b.config.Window.Contains(b.event.Time) {
		return nil
	}
	b.set(catalogue.ClusterIDHash, telemetry.PseudonymValue(b.config.Cluster)).
		optional(catalogue.KonfluxVersion, telemetry.VersionValue(b.config.KonfluxVersion)).
		optional(catalogue.KubernetesVersion, telemetry.VersionValue(b.config.KubernetesVersion))
	return emit(&b.event)
}

// span adds start, end and the whole seconds between them.
func (b *builder) span(start, end time.Time) *builder {
	return b.set(catalogue.StartTime, telemetry.TimeValue(start)).
		set(catalogue.CompletionTime, telemetry.TimeValue(end)).
		set(catalogue.DurationSeconds, telemetry.IntegerValue(end.Unix()-start.Unix()))
}
