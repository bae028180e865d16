// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// namespace makes the record of a Namespace, or none if it is not a tenant's.
func (p *Projector) namespace(o *object, uid telemetry.UID) (record.Record, error) {
	if string(o.metadata.labels.tenancy.bytes) != "tenant" {
		return nil, nil
	}
	name := &o.metadata.name
	if name.bad || len(name.bytes) == 0 {
		return nil, errName
	}
	created, err := o.metadata.created.needed()
	if err != nil {
		return nil, err
	}
	return &record.Namespace{UID: uid, Namespace: p.names.Namespace(name.bytes), Created: created}, nil
}
