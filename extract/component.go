// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// component makes the record of a Component. One without an application has the
// pseudonym of the empty application.
func (p *Projector) component(o *object, uid telemetry.UID) (record.Record, error) {
	namespace, err := o.scope()
	if err != nil {
		return nil, err
	}
	name, application := &o.metadata.name, &o.spec.application
	if name.bad || len(name.bytes) == 0 || application.bad {
		return nil, errName
	}
	created, err := o.metadata.created.needed()
	if err != nil {
		return nil, err
	}
	return &record.Component{
		UID:         uid,
		Namespace:   p.names.Namespace(namespace),
		Component:   p.names.Component(name.bytes, namespace),
		Application: p.names.Application(application.bytes, namespace),
		Created:     created,
	}, nil
}
