// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// inventory emits what the cluster is like, at the hour in which the window ends, or at
// the window's beginning if that is later. So there is one event an hour at most, and the
// same window has the same one, whenever it is read.
func (t *Transformer) inventory(i *record.Inventory, emit func(*telemetry.Event) error) error {
	w := t.config.Window
	at := w.Until.Add(-time.Second).UTC().Truncate(time.Hour)
	if at.Before(w.Since) {
		at = w.Since.UTC().Add(time.Second - 1).Truncate(time.Second)
	}
	b := t.begin(catalogue.Inventory, t.config.Cluster.String()+"-inventory-"+at.Format(time.RFC3339), at)
	for _, m := range i.Metrics {
		if catalogue.InInventory(m.Name) {
			b.set(m.Name, m.Value)
		}
	}
	return b.emit(emit)
}
