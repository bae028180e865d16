// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"encoding/json"
	"strconv"
	"time"
)

// Lean is the run as it was at its end, with what is asked of it and without its pipeline, which is nine tenths of its
// size: for tests of tens of thousands.
func (r *Run) Lean() []byte {
	type object = map[string]any
	labels := object{"tekton.dev/pipeline": "p"}
	for label, value := range map[string]string{"pipelines.appstudio.openshift.io/type": r.Type, "pipelinesascode.tekton.dev/sender": r.Sender} {
		if value != "" {
			labels[label] = value
		}
	}
	status := "False"
	if r.Reason == succeeded || r.Reason == completed {
		status = "True"
	}
	children := make([]object, r.Children)
	for i := range children {
		children[i] = object{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": r.Name + "-" + strconv.Itoa(i), "pipelineTaskName": strconv.Itoa(i)}
	}
	text, _ := json.Marshal(object{ // it always marshals
		"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
		"metadata": object{"namespace": r.Namespace, "name": r.Name, "uid": r.UID, "labels": labels},
		"status": object{
			"startTime": r.Started.Format(time.RFC3339), "completionTime": r.Completed.Format(time.RFC3339), "childReferences": children,
			"conditions": []object{{"type": "Succeeded", "status": status, "reason": r.Reason}},
		},
	})
	return text
}
