// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const namespace = `{
	"apiVersion": "v1", "kind": "Namespace",
	"metadata": {"name": "team-a", "uid": "n-1", "creationTimestamp": "2026-01-09T08:00:00Z", "labels": {"konflux-ci.dev/type": "tenant"}},
	"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}
}`

func TestNamespace(t *testing.T) {
	type row = record.Namespace
	names := testNames(t)
	sample := row{UID: uid("n-1"), Namespace: names.Namespace([]byte("team-a")), Created: at("2026-01-09T08:00:00Z")}
	tests := map[string]variant[row]{
		"all there":                    {edits{}, same[row], false},
		"other group":                  {edits{"apiVersion": `"example.com/v1"`}, nil, true},
		"no tenant":                    {edits{"metadata.labels": `{"konflux-ci.dev/type":"user"}`}, nil, true},
		"no labels":                    {edits{"metadata.labels": `-`}, nil, true},
		"null labels":                  {edits{"metadata.labels": `null`}, nil, true},
		"no tenant, and more is wrong": {edits{"metadata.labels": `-`, "metadata.name": `5`, "metadata.creationTimestamp": `5`}, nil, true},
		"no name":                      {edits{"metadata.name": `-`}, nil, false},
		"never created":                {edits{"metadata.creationTimestamp": `-`}, nil, false},
		"namespace in a namespace":     {edits{"metadata.namespace": `"x"`}, same[row], false},
	}
	for i, value := range badUIDs {
		tests["uid "+string(rune('a'+i))] = variant[row]{edits{"metadata.uid": value}, nil, false}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.check(t, namespace, sample, func(n *row) record.Record { return n })
		})
	}
}
