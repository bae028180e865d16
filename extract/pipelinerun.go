// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// pipelineRun makes the record of a PipelineRun.
func (p *Projector) pipelineRun(o *object, uid telemetry.UID) (record.Record, error) {
	namespace, err := o.scope()
	if err != nil {
		return nil, err
	}
	started, err := o.status.started.time()
	if err != nil {
		return nil, err
	}
	completed, err := o.status.completed.time()
	if err != nil {
		return nil, err
	}
	r := &record.PipelineRun{
		UID:              uid,
		Namespace:        p.names.Namespace(namespace),
		User:             p.sender(&o.metadata),
		Started:          started,
		Completed:        completed,
		Tasks:            o.status.children.count,
		HasPipelineLabel: o.metadata.labels.pipeline,
	}
	if label := &o.metadata.labels.pipelineType; label.set || label.bad {
		r.Type = record.ParsePipelineType(label.bytes)
	}
	if c := &o.status.conditions.succeeded; c.kind.set {
		r.Status = record.ParseConditionStatus(c.status.bytes)
		r.Reason = record.ParseRunReason(c.reason.bytes)
	}
	if !r.Done() { // a time of completion that comes before the condition is not one yet
		r.Completed = time.Time{}
	}
	return r, nil
}

// sender returns the pseudonym of whoever made the commit that started a run. The
// label comes first: it is there wherever labels are.
func (p *Projector) sender(m *metadata) telemetry.Pseudonym {
	for _, t := range [...]*text{&m.labels.sender, &m.annotations.sender} {
		if len(t.bytes) > 0 && !t.bad {
			return p.names.User(t.bytes)
		}
	}
	return telemetry.Pseudonym{}
}
