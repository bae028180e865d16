// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resourceOf returns where objects of a kind are: the plural of all kinds that are used here is a regular one.
func resourceOf(object *unstructured.Unstructured) schema.GroupVersionResource {
	plural := strings.ToLower(object.GetKind())
	switch {
	case strings.HasSuffix(plural, "s"):
		plural += "es"
	case strings.HasSuffix(plural, "y"):
		plural = plural[:len(plural)-1] + "ies"
	default:
		plural += "s"
	}
	return object.GroupVersionKind().GroupVersion().WithResource(plural)
}

// thing returns an object with labels, given as name, value, name, value.
func thing(apiVersion, kind, namespace, name string, labels ...string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetLabels(pairs(labels))
	return o
}

func pairs(texts []string) map[string]string {
	m := map[string]string{}
	for pair := range slices.Chunk(texts, 2) {
		m[pair[0]] = pair[1]
	}
	return m
}

// having sets a field of the object that is not metadata.
func having(object *unstructured.Unstructured, field string, value any) *unstructured.Unstructured {
	object.Object[field] = value
	return object
}

// definition returns the definition of a custom resource of our own writing, such as "kongplugins.configuration.konghq.com",
// which takes any fields. All of the versions are served, and the first is stored.
func definition(name, kind, scope string, versions ...string) *unstructured.Unstructured {
	plural, group, _ := strings.Cut(name, ".")
	var served []any
	for i, v := range versions {
		served = append(served, map[string]any{
			"name": v, "served": true, "storage": i == 0,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		})
	}
	d := thing("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
	d.SetAnnotations(map[string]string{"api-approved.kubernetes.io": "unapproved, for tests"})
	return having(d, "spec", map[string]any{
		"group": group, "scope": scope, "versions": served,
		"names": map[string]any{"plural": plural, "singular": strings.ToLower(kind), "kind": kind, "listKind": kind + "List"},
	})
}

// groups returns a definition in each of the API groups, since a group is served when something in it is.
func groups(names ...string) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, group := range names {
		all = append(all, definition("markers."+group, "Marker", "Cluster", "v1"))
	}
	return all
}

func asMap(t *testing.T, value any) map[string]any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
