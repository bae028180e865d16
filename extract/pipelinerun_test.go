// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const pipelineRun = `{
	"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
	"metadata": {
		"name": "build-x7f", "namespace": "team-a", "uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		"labels": {"tekton.dev/pipeline": "build-x7f", "pipelines.appstudio.openshift.io/type": "build", "pipelinesascode.tekton.dev/sender": "jane"},
		"annotations": {"pipelinesascode.tekton.dev/sender": "Jane Doe", "pipelinesascode.tekton.dev/sha-title": "fix \"the\" }{ thing"}
	},
	"spec": {"pipelineSpec": {"tasks": [{"name": "clone"}, {"name": "build"}]}},
	"status": {
		"startTime": "2026-01-15T10:00:00Z", "completionTime": "2026-01-15T10:07:30Z",
		"childReferences": [{"name": "build-x7f-clone"}, {"name": "build-x7f-build"}],
		"conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "Tasks Completed: 2", "lastTransitionTime": "2026-01-15T10:07:30Z"}]
	}
}`

func samplePipelineRun(t *testing.T) record.PipelineRun {
	names := testNames(t)
	return record.PipelineRun{
		UID:              uid("1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
		Namespace:        names.Namespace([]byte("team-a")),
		User:             names.User([]byte("jane")),
		Started:          at("2026-01-15T10:00:00Z"),
		Completed:        at("2026-01-15T10:07:30Z"),
		Tasks:            2,
		HasPipelineLabel: true,
		Type:             record.ParsePipelineType([]byte("build")),
		Status:           record.StatusTrue,
		Reason:           record.ParseRunReason([]byte("Completed")),
	}
}

func TestPipelineRun(t *testing.T) {
	type run = record.PipelineRun
	names := testNames(t)
	other := record.ParsePipelineType([]byte("other"))
	unfinished := func(r *run) {
		r.Completed, r.Status, r.Reason = time.Time{}, record.ConditionStatus{}, record.RunReason{}
	}
	const (
		typeLabel       = "metadata.labels.pipelines:appstudio:openshift:io/type"
		senderLabel     = "metadata.labels.pipelinesascode:tekton:dev/sender"
		senderAnotation = "metadata.annotations.pipelinesascode:tekton:dev/sender"
	)
	tests := map[string]variant[run]{
		"all there":         {edits{}, same[run], false},
		"beta":              {edits{"apiVersion": `"tekton.dev/v1beta1"`}, same[run], false},
		"other group":       {edits{"apiVersion": `"example.com/v1"`}, nil, true},
		"other kind":        {edits{"kind": `"TaskRun"`}, nil, true},
		"no kind":           {edits{"kind": `-`}, nil, true},
		"no apiVersion":     {edits{"apiVersion": `-`}, nil, true},
		"null apiVersion":   {edits{"apiVersion": `null`}, nil, true},
		"kind is no string": {edits{"kind": `["PipelineRun"]`}, nil, true},

		"no namespace":             {edits{"metadata.namespace": `-`}, func(r *run) { r.Namespace = names.Namespace([]byte("unknown")) }, false},
		"null namespace":           {edits{"metadata.namespace": `null`}, func(r *run) { r.Namespace = names.Namespace([]byte("unknown")) }, false},
		"empty namespace":          {edits{"metadata.namespace": `""`}, func(r *run) { r.Namespace = names.Namespace([]byte("unknown")) }, false},
		"escaped namespace":        {edits{"metadata.namespace": `"team\u002da"`}, same[run], false},
		"namespace is no string":   {edits{"metadata.namespace": `[]`}, nil, false},
		"namespace without an end": {edits{"metadata.namespace": `"` + strings.Repeat("n", 5000) + `"`}, nil, false},
		"no name":                  {edits{"metadata.name": `-`}, same[run], false},

		"waiting":                 {edits{"status": `-`}, func(r *run) { unfinished(r); r.Started, r.Tasks = time.Time{}, 0 }, false},
		"status is null":          {edits{"status": `null`}, func(r *run) { unfinished(r); r.Started, r.Tasks = time.Time{}, 0 }, false},
		"status is no object":     {edits{"status": `"Running"`}, nil, false},
		"no children":             {edits{"status.childReferences": `null`}, func(r *run) { r.Tasks = 0 }, false},
		"children are no array":   {edits{"status.childReferences": `{"a":1}`}, nil, false},
		"no start":                {edits{"status.startTime": `null`}, func(r *run) { r.Started = time.Time{} }, false},
		"fraction":                {edits{"status.startTime": `"2026-01-15T10:00:00.999999999Z"`}, same[run], false},
		"offset":                  {edits{"status.startTime": `"2026-01-15T12:30:00.5+02:30"`}, same[run], false},
		"zero time":               {edits{"status.startTime": `"0001-01-01T00:00:00Z"`}, func(r *run) { r.Started = time.Time{} }, false},
		"no conditions":           {edits{"status.conditions": `[]`}, unfinished, false},
		"null conditions":         {edits{"status.conditions": `null`}, unfinished, false},
		"null condition":          {edits{"status.conditions": `[null]`}, unfinished, false},
		"conditions are no array": {edits{"status.conditions": `{}`}, nil, false},
		"condition is no object":  {edits{"status.conditions": `["Succeeded"]`}, nil, false},
		"other condition":         {edits{"status.conditions": `[{"type":"Ready","status":"True"}]`}, unfinished, false},
		"running": {edits{"status.conditions": `[{"type":"Succeeded","status":"Unknown","reason":"Running"}]`, "status.completionTime": `-`}, func(r *run) {
			unfinished(r)
			r.Status, r.Reason = record.StatusUnknown, record.ParseRunReason([]byte("Running"))
		}, false},
		"completed, not done": {edits{"status.conditions": `[{"type":"Succeeded","status":"Unknown","reason":"Running"}]`}, func(r *run) {
			unfinished(r)
			r.Status, r.Reason = record.StatusUnknown, record.ParseRunReason([]byte("Running"))
		}, false},
		"done, no completion":    {edits{"status.completionTime": `-`}, func(r *run) { r.Completed = time.Time{} }, false},
		"failed":                 {edits{"status.conditions": `[{"status":"False","reason":"Failed","type":"Succeeded"}]`}, func(r *run) { r.Status, r.Reason = record.StatusFalse, record.ParseRunReason([]byte("Failed")) }, false},
		"reason nobody knows":    {edits{"status.conditions": `[{"type":"Succeeded","status":"True","reason":"jane did it"}]`}, func(r *run) { r.Reason = record.ParseRunReason([]byte(record.Other)) }, false},
		"reason without an end":  {edits{"status.conditions": `[{"type":"Succeeded","status":"True","reason":"` + strings.Repeat("x", 5000) + `"}]`}, func(r *run) { r.Reason = record.ParseRunReason([]byte(record.Other)) }, false},
		"no reason":              {edits{"status.conditions": `[{"type":"Succeeded","status":"True"}]`}, func(r *run) { r.Reason = record.ParseRunReason(nil) }, false},
		"no status":              {edits{"status.conditions": `[{"type":"Succeeded"}]`}, func(r *run) { unfinished(r); r.Status, r.Reason = record.StatusUnknown, record.ParseRunReason(nil) }, false},
		"condition among others": {edits{"status.conditions": `[{"type":"A","status":"False"},{"type":"Succeeded","status":"True","reason":"Completed"},{"type":"Succeeded","status":"False"},{"type":"B"}]`}, same[run], false},

		"no labels": {edits{"metadata.labels": `-`}, func(r *run) {
			r.HasPipelineLabel, r.Type, r.User = false, record.PipelineType{}, names.User([]byte("Jane Doe"))
		}, false},
		"null labels": {edits{"metadata.labels": `null`}, func(r *run) {
			r.HasPipelineLabel, r.Type, r.User = false, record.PipelineType{}, names.User([]byte("Jane Doe"))
		}, false},
		"labels are no object":  {edits{"metadata.labels": `[]`}, nil, false},
		"pipeline label empty":  {edits{"metadata.labels.tekton:dev/pipeline": `""`}, same[run], false},
		"type nobody knows":     {edits{typeLabel: `"jane's"`}, func(r *run) { r.Type = other }, false},
		"empty type":            {edits{typeLabel: `""`}, func(r *run) { r.Type = other }, false},
		"no type":               {edits{typeLabel: `-`}, func(r *run) { r.Type = record.PipelineType{} }, false},
		"null type":             {edits{typeLabel: `null`}, func(r *run) { r.Type = record.PipelineType{} }, false},
		"type is no string":     {edits{typeLabel: `{"build":1}`}, func(r *run) { r.Type = other }, false},
		"type without an end":   {edits{typeLabel: `"` + strings.Repeat("build", 1000) + `"`}, func(r *run) { r.Type = other }, false},
		"sender in annotation":  {edits{senderLabel: `-`}, func(r *run) { r.User = names.User([]byte("Jane Doe")) }, false},
		"sender in label":       {edits{"metadata.annotations": `null`}, same[run], false},
		"no sender":             {edits{senderLabel: `""`, senderAnotation: `null`}, func(r *run) { r.User = telemetry.Pseudonym{} }, false},
		"sender is no string":   {edits{senderLabel: `1`, senderAnotation: `{}`}, func(r *run) { r.User = telemetry.Pseudonym{} }, false},
		"sender without an end": {edits{senderLabel: `"` + strings.Repeat("j", 5000) + `"`}, func(r *run) { r.User = names.User([]byte("Jane Doe")) }, false},
		"sender not in ASCII":   {edits{senderLabel: `"J\u00e4ne \ud83d\ude00"`}, func(r *run) { r.User = names.User([]byte("Jäne 😀")) }, false},
		"annotations no object": {edits{"metadata.annotations": `"x"`}, nil, false},
		"metadata no object":    {edits{"metadata": `5`}, nil, false},
		"metadata null":         {edits{"metadata": `null`}, nil, false},
		"spec no object":        {edits{"spec": `5`}, nil, false},
		"large annotation":      {edits{"metadata.annotations.a": `"` + strings.Repeat(`{\"a\":[]}`, 50_000) + `"`}, same[run], false},
		"deep spec":             {edits{"spec.a": strings.Repeat(`{"a":[`, 4000) + strings.Repeat(`]}`, 4000)}, same[run], false},
	}
	for i, value := range badUIDs {
		tests["uid "+string(rune('a'+i))] = variant[run]{edits{"metadata.uid": value}, nil, false}
	}
	for i, value := range badTimes {
		tests["start "+string(rune('a'+i))] = variant[run]{edits{"status.startTime": value}, nil, false}
		tests["completion "+string(rune('a'+i))] = variant[run]{edits{"status.completionTime": value}, nil, false}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.check(t, pipelineRun, samplePipelineRun(t), func(r *run) record.Record { return r })
		})
	}
}

// TestOrderAndRepetition has keys in an unusual order, twice, and written in escapes.
func TestOrderAndRepetition(t *testing.T) {
	sample := samplePipelineRun(t)
	sample.User, sample.HasPipelineLabel, sample.Type, sample.Started = telemetry.Pseudonym{}, false, record.PipelineType{}, time.Time{}
	sample.Namespace = testNames(t).Namespace([]byte("unknown"))
	checkAll(t, `{
		"status": {"conditions": "x", "startTime": "2026-01-01T00:00:00Z", "childReferences": 5},
		"status": {
			"conditions": [{"type":"Succeeded","status":"False","reason":"Failed"}],
			"childReferences": [1, 2, 3, 4, 5],
			"childReferences": [1, 2],
			"completionTime": 7, "completionTime": "x", "completionTime": "2026-01-15T10:07:30Z",
			"conditions": [{"reason":"Failed","reason":"Completed","status":"True","type":"Other","type":"Succeeded"}]
		},
		"metadata": {"uid": "x", "namespace": "x", "annotations": {"pipelinesascode.tekton.dev/sender": "x"}, "labels": {"tekton.dev/pipeline": "x"}},
		"metadata": {
			"labels": [], "labels": {"pipelinesascode.tekton.dev/sender": "x"},
			"\u0075id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
			"UID": "not-this", "Namespace": "not-this",
			"labels": {},
			"annotations": {"pipelinesascode.tekton.dev/sender": "x"}, "annotations": {}
		},
		"spec": 5, "spec": null,
		"kind": "Pod", "kind": "Pipeline\u0052un",
		"apiVersion": "tekton.dev\/v1"
	}`, "", &sample)
}

// TestKindFromOutside reads objects that do not state their kind, as the items of
// typed lists and partial answers of Tekton Results.
func TestKindFromOutside(t *testing.T) {
	sample := samplePipelineRun(t)
	document := edit(t, edit(t, pipelineRun, "kind", "-"), "apiVersion", "-")
	checkAll(t, document, KindPipelineRun, &sample)
	checkAll(t, pipelineRun, KindPipelineRun, &sample)
	for _, notAnObject := range []string{`null`, `[]`, `5`, `"x"`} {
		p := NewProjector(testNames(t))
		r, err := p.ReadObject(scan.NewBytes([]byte(notAnObject)), KindPipelineRun)
		check(t, r, err, invalid{})
		r, err = p.ReadObject(scan.NewBytes([]byte(notAnObject)), "")
		check(t, r, err, nil)
	}
}
