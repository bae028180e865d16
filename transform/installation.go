// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// installation emits what is known of an installation's life. Condition Ready may
// flip for years and always tells of its latest change alone; that only the first
// success counts is seen to where events are staged, which remembers those that
// happen once per object.
func (t *Transformer) installation(i *record.Installation, emit func(*telemetry.Event) error) error {
	begin := func(name, suffix string) *builder {
		return t.begin(name, i.UID.String()+suffix, i.Created).
			set(catalogue.NamespaceHash, telemetry.PseudonymValue(i.Namespace))
	}
	if err := begin(catalogue.DeploymentStarted, "-started").emit(emit); err != nil {
		return err
	}
	if i.Ready == record.StatusTrue && !i.ReadySince.IsZero() {
		b := begin(catalogue.DeploymentCompleted, "-completed")
		b.event.Time = i.ReadySince
		if err := b.span(i.Created, i.ReadySince).set(catalogue.Status, telemetry.EnumValue(i.ReadyReason)).emit(emit); err != nil {
			return err
		}
	}
	reason := i.ReadyReason
	if reason.IsZero() { // no condition Ready yet
		reason = record.ParseInstallReason(nil)
	}
	// Not ready since later than that means that it had been ready in time.
	late := i.Created.Add(t.config.InstallTime)
	if i.Ready != record.StatusTrue && i.Deleted.IsZero() && !i.ReadySince.After(late) {
		b := begin(catalogue.DeploymentFailed, "-failed")
		b.event.Time = late
		if err := b.set(catalogue.Status, telemetry.EnumValue(reason)).emit(emit); err != nil {
			return err
		}
	}
	if i.Deleted.IsZero() {
		return nil
	}
	b := begin(catalogue.RemovalStarted, "-removal-started")
	b.event.Time = i.Deleted
	return b.emit(emit)
}
