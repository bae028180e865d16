// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// installation makes the record of a Konflux resource.
func (p *Projector) installation(o *object, uid telemetry.UID) (record.Record, error) {
	namespace, err := o.scope()
	if err != nil {
		return nil, err
	}
	created, err := o.metadata.created.needed()
	if err != nil {
		return nil, err
	}
	deleted, err := o.metadata.deleted.time()
	if err != nil {
		return nil, err
	}
	r := &record.Installation{
		UID:       uid,
		Namespace: p.names.Namespace(namespace),
		Created:   created,
		Deleted:   deleted,
	}
	if c := &o.status.conditions.ready; c.kind.set {
		if r.ReadySince, err = c.since.time(); err != nil {
			return nil, err
		}
		r.Ready = record.ParseConditionStatus(c.status.bytes)
		r.ReadyReason = record.ParseInstallReason(c.reason.bytes)
	}
	return r, nil
}
