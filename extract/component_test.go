// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const component = `{
	"apiVersion": "appstudio.redhat.com/v1alpha1", "kind": "Component",
	"metadata": {"name": "web", "namespace": "team-a", "uid": "c-1", "creationTimestamp": "2026-01-10T08:00:00Z"},
	"spec": {"application": "shop", "componentName": "web", "source": {"git": {"url": "https://example.com/shop/web"}}}
}`

func TestComponent(t *testing.T) {
	type row = record.Component
	names, namespace := testNames(t), []byte("team-a")
	sample := row{
		UID:         uid("c-1"),
		Namespace:   names.Namespace(namespace),
		Component:   names.Component([]byte("web"), namespace),
		Application: names.Application([]byte("shop"), namespace),
		Created:     at("2026-01-10T08:00:00Z"),
	}
	noApplication := func(c *row) { c.Application = names.Application(nil, namespace) }
	unknownNamespace := func(c *row) {
		c.Namespace = names.Namespace([]byte("unknown"))
		c.Component = names.Component([]byte("web"), []byte("unknown"))
		c.Application = names.Application([]byte("shop"), []byte("unknown"))
	}
	tests := map[string]variant[row]{
		"all there":                  {edits{}, same[row], false},
		"other group":                {edits{"apiVersion": `"example.com/v1alpha1"`}, nil, true},
		"no application":             {edits{"spec.application": `-`}, noApplication, false},
		"empty application":          {edits{"spec.application": `""`}, noApplication, false},
		"null application":           {edits{"spec.application": `null`}, noApplication, false},
		"no spec":                    {edits{"spec": `-`}, noApplication, false},
		"application is no string":   {edits{"spec.application": `{}`}, nil, false},
		"application without an end": {edits{"spec.application": `"` + strings.Repeat("a", 5000) + `"`}, nil, false},
		"no namespace":               {edits{"metadata.namespace": `-`}, unknownNamespace, false},
		"no name":                    {edits{"metadata.name": `-`}, nil, false},
		"empty name":                 {edits{"metadata.name": `""`}, nil, false},
		"name without an end":        {edits{"metadata.name": `"` + strings.Repeat("n", 5000) + `"`}, nil, false},
		"name is no string":          {edits{"metadata.name": `1`}, nil, false},
		"never created":              {edits{"metadata.creationTimestamp": `null`}, nil, false},
		"created with an offset":     {edits{"metadata.creationTimestamp": `"2026-01-10T09:00:00.25+01:00"`}, same[row], false},
		"times of others":            {edits{"status": `{"startTime":"x","completionTime":5}`}, same[row], false},
	}
	for i, value := range badUIDs {
		tests["uid "+string(rune('a'+i))] = variant[row]{edits{"metadata.uid": value}, nil, false}
	}
	for i, value := range badTimes {
		tests["created "+string(rune('a'+i))] = variant[row]{edits{"metadata.creationTimestamp": value}, nil, false}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.check(t, component, sample, func(c *row) record.Record { return c })
		})
	}

	t.Run("another spec", func(t *testing.T) {
		last := sample
		noApplication(&last)
		checkAll(t, strings.TrimSuffix(component, "}")+`, "spec": {}}`, "", &last)
	})
}
