// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func (t *Transformer) component(c *record.Component, emit func(*telemetry.Event) error) error {
	return t.begin(catalogue.ComponentCreated, c.UID.String()+"-component-created", c.Created).
		set(catalogue.NamespaceHash, telemetry.PseudonymValue(c.Namespace)).
		set(catalogue.ComponentHash, telemetry.PseudonymValue(c.Component)).
		set(catalogue.ApplicationHash, telemetry.PseudonymValue(c.Application)).
		emit(emit)
}

func (t *Transformer) namespace(n *record.Namespace, emit func(*telemetry.Event) error) error {
	return t.begin(catalogue.NamespaceCreated, n.UID.String()+"-namespace-created", n.Created).
		set(catalogue.NamespaceHash, telemetry.PseudonymValue(n.Namespace)).
		emit(emit)
}
