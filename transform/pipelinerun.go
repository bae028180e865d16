// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// pipelineRun emits Started once the run has started and Completed once it is
// done. A run that goes on has no Completed event: its message ID would be spent
// before there is an outcome.
func (t *Transformer) pipelineRun(r *record.PipelineRun, emit func(*telemetry.Event) error) error {
	if r.Started.IsZero() && !r.Done() {
		return nil
	}
	if err := t.beginRun(catalogue.PipelineRunStarted, "-started", r).emit(emit); err != nil || !r.Done() {
		return err
	}
	completed := t.beginRun(catalogue.PipelineRunCompleted, "-completed", r)
	completed.event.Time = r.Completed
	// A run that was refused before it started has no start; it took no time.
	start := r.Started
	if start.IsZero() {
		start = r.Completed
	}
	return completed.span(start, r.Completed).
		set(catalogue.Status, telemetry.EnumValue(r.Reason)).
		set(catalogue.Outcome, telemetry.EnumValue(outcome(r))).
		emit(emit)
}

func (t *Transformer) beginRun(name, suffix string, r *record.PipelineRun) *builder {
	return t.begin(name, r.UID.String()+suffix, r.Started).
		set(catalogue.NamespaceHash, telemetry.PseudonymValue(r.Namespace)).
		optional(catalogue.UserHash, telemetry.PseudonymValue(r.User)).
		set(catalogue.TaskCount, telemetry.IntegerValue(int64(r.Tasks))).
		set(catalogue.HasPipelineLabel, telemetry.BooleanValue(r.HasPipelineLabel)).
		set(catalogue.PipelineType, telemetry.EnumValue(r.Type))
}

// outcome reduces Tekton's reasons to four.
func outcome(r *record.PipelineRun) catalogue.RunOutcome {
	if r.Status == record.StatusTrue {
		return catalogue.RunSucceeded
	}
	switch r.Reason.String() {
	case "Cancelled", "CancelledRunningFinally", "StoppedRunningFinally":
		return catalogue.RunCancelled
	case "PipelineRunTimeout", "PipelineRunTimeoutRunningFinally":
		return catalogue.RunTimeout
	default:
		return catalogue.RunFailed
	}
}
