// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const installation = `{
	"apiVersion": "konflux.konflux-ci.dev/v1alpha1", "kind": "Konflux",
	"metadata": {"name": "konflux", "uid": "k-1", "creationTimestamp": "2026-01-08T08:00:00Z"},
	"spec": {"telemetry": {"enabled": true}},
	"status": {"uiURL": "https://example.com", "conditions": [
		{"type": "CertManagerAvailable", "status": "False", "reason": "CertManagerNotInstalled", "lastTransitionTime": "2026-01-08T08:00:01Z"},
		{"type": "konflux-ui.Ready", "status": "False", "reason": "Deploying", "lastTransitionTime": "2026-01-08T08:00:02Z"},
		{"type": "Ready", "status": "True", "reason": "AllComponentsReady", "lastTransitionTime": "2026-01-08T08:14:32Z"}
	]}
}`

func TestInstallation(t *testing.T) {
	type row = record.Installation
	names := testNames(t)
	sample := row{
		UID:         uid("k-1"),
		Namespace:   names.Namespace([]byte("unknown")),
		Created:     at("2026-01-08T08:00:00Z"),
		Ready:       record.StatusTrue,
		ReadySince:  at("2026-01-08T08:14:32Z"),
		ReadyReason: record.ParseInstallReason([]byte("AllComponentsReady")),
	}
	ready := func(condition string) edits { return edits{"status.conditions": `[` + condition + `]`} }
	notYet := func(i *row) {
		i.Ready, i.ReadySince, i.ReadyReason = record.ConditionStatus{}, time.Time{}, record.InstallReason{}
	}
	tests := map[string]variant[row]{
		"all there":          {edits{}, same[row], false},
		"other group":        {edits{"apiVersion": `"example.com/v1"`}, nil, true},
		"in a namespace":     {edits{"metadata.namespace": `"x"`}, func(i *row) { i.Namespace = names.Namespace([]byte("x")) }, false},
		"no status":          {edits{"status": `-`}, notYet, false},
		"Ready is not there": {ready(`{"type":"konflux-ui.Ready","status":"True"}`), notYet, false},
		"not ready": {
			ready(`{"type":"Ready","status":"False","reason":"ApplyFailed","lastTransitionTime":"2026-01-08T08:14:32Z"}`),
			func(i *row) {
				i.Ready, i.ReadyReason = record.StatusFalse, record.ParseInstallReason([]byte("ApplyFailed"))
			},
			false,
		},
		"since nobody knows when": {
			ready(`{"type":"Ready","status":"True","reason":"AllComponentsReady"}`),
			func(i *row) { i.ReadySince = time.Time{} },
			false,
		},
		"reason nobody knows": {
			ready(`{"type":"Ready","status":"True","reason":"team-a","lastTransitionTime":"2026-01-08T08:14:32Z"}`),
			func(i *row) { i.ReadyReason = record.ParseInstallReason([]byte(record.Other)) },
			false,
		},
		"since is no time": {ready(`{"type":"Ready","status":"True","lastTransitionTime":"x"}`), nil, false},
		"time of another condition": {
			edits{"status.conditions": `[{"type":"Succeeded","lastTransitionTime":"x"},` +
				`{"type":"Ready","status":"True","reason":"AllComponentsReady","lastTransitionTime":"2026-01-08T08:14:32Z"}]`},
			same[row], false,
		},
		"deleted":          {edits{"metadata.deletionTimestamp": `"2026-01-09T00:00:00Z"`}, func(i *row) { i.Deleted = at("2026-01-09T00:00:00Z") }, false},
		"not deleted":      {edits{"metadata.deletionTimestamp": `null`}, same[row], false},
		"deleted sometime": {edits{"metadata.deletionTimestamp": `"x"`}, nil, false},
		"never created":    {edits{"metadata.creationTimestamp": `-`}, nil, false},
	}
	for i, value := range badUIDs {
		tests["uid "+string(rune('a'+i))] = variant[row]{edits{"metadata.uid": value}, nil, false}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.check(t, installation, sample, func(i *row) record.Record { return i })
		})
	}
}
