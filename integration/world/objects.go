// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
)

// fieldManager owns what Apply sets.
const fieldManager = "segment-bridge-world"

// Apply applies (server-side) every object in the named files, and in the .yaml, .yml and .json files of the named
// folders, in order of name. Objects without a namespace that need one go to "default".
func (c *Cluster) Apply(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		objects, err := readObjects(path)
		if err != nil {
			t.Fatal(err)
		}
		c.ApplyObjects(t, objects...)
	}
}

// ApplyObjects applies objects (server-side) in the order given.
func (c *Cluster) ApplyObjects(t testing.TB, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		if err := c.apply(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *Cluster) apply(ctx context.Context, object *unstructured.Unstructured) error {
	resource, err := c.resource(object)
	if err != nil {
		return err
	}
	if _, err := resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// Create creates objects, given as JSON, and gives each the status it came with. It returns them in the same order as the
// server has them: with UIDs and times of its own, since it lets nobody choose those. Their namespaces exist or are among them.
// A thousand runs of full size take some ten seconds; Plant is for more.
func (c *Cluster) Create(ctx context.Context, objects ...[]byte) ([]*unstructured.Unstructured, error) {
	parsed := make([]unstructured.Unstructured, len(objects))
	for i, text := range objects {
		if err := parsed[i].UnmarshalJSON(text); err != nil {
			return nil, fmt.Errorf("create object %d: %w", i, err)
		}
	}
	created := make([]*unstructured.Unstructured, len(objects))
	for _, namespaces := range []bool{true, false} { // which come first
		err := concurrently(ctx, len(objects), func(ctx context.Context, i int) (err error) {
			if (parsed[i].GetKind() == "Namespace") == namespaces {
				created[i], err = c.create(ctx, &parsed[i])
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return created, nil
}

func (c *Cluster) create(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, err := c.resource(object)
	if err != nil {
		return nil, err
	}
	object.SetResourceVersion("")
	created, err := resource.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	status, has := object.Object["status"]
	if !has {
		return created, nil
	}
	created.Object["status"] = status
	if created, err = resource.UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("set the status of %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return created, nil
}

// InstallCRDs installs Tekton's custom resource definitions and the project's copies of Component and Konflux, and waits
// until their objects can be listed. Where they are installed already it does nothing more. Tekton's webhook, which
// converts objects between versions, does not run here: the server changes an object's apiVersion and leaves the rest.
func (c *Cluster) InstallCRDs(t testing.TB) {
	t.Helper()
	root, err := binaries.Root()
	if err != nil {
		t.Fatal(err)
	}
	tekton, err := binaries.TektonCRDs(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	c.Define(t, tekton, filepath.Join(root, "..", "world", "crds"))
}

// Define installs the custom resource definitions in the named files and folders, and waits until their objects can be
// listed.
func (c *Cluster) Define(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		definitions, err := readObjects(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, definition := range definitions {
			unstructured.RemoveNestedField(definition.Object, "spec", "conversion")
		}
		c.ApplyObjects(t, definitions...)
		for _, definition := range definitions {
			if err := eventually(t.Context(), time.Minute, func(ctx context.Context) error { return c.served(ctx, definition) }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// served returns nil when the objects of a custom resource definition can be listed, and discovery knows them, which can
// take a moment longer.
func (c *Cluster) served(ctx context.Context, definition *unstructured.Unstructured) error {
	group, _, err1 := unstructured.NestedString(definition.Object, "spec", "group")
	plural, _, err2 := unstructured.NestedString(definition.Object, "spec", "names", "plural")
	kind, _, err3 := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, err4 := unstructured.NestedSlice(definition.Object, "spec", "versions")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("read the definition %s: %w", definition.GetName(), err)
	}
	for _, v := range versions { // of the right shape, since the server has accepted the definition
		version, _ := v.(map[string]any)
		if version["served"] != true {
			continue
		}
		name, _ := version["name"].(string)
		resource := schema.GroupVersionResource{Group: group, Version: name, Resource: plural}
		if _, err := c.Dynamic.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
			return fmt.Errorf("list %s: %w", resource, err)
		}
		if _, err := c.mapping(schema.GroupVersionKind{Group: group, Version: name, Kind: kind}); err != nil {
			c.mapper.Reset()
			return err
		}
	}
	return nil
}

// resource returns the client of an object's kind, in its namespace.
func (c *Cluster) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapping(object.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.Dynamic.Resource(mapping.Resource), nil
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
	return c.Dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()), nil
}

func (c *Cluster) mapping(kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, fmt.Errorf("find the resource of %s: %w", kind, err)
	}
	return mapping, nil
}

// Objects returns the Kubernetes objects of a file, or of the files in a folder.
func Objects(t testing.TB, path string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := readObjects(path)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// readObjects reads the Kubernetes objects of a file, or of the files in a folder.
func readObjects(path string) ([]*unstructured.Unstructured, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		files = nil
		for _, entry := range entries {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(entry.Name())) {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			var object unstructured.Unstructured
			err := decoder.Decode(&object.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("read objects: %s: %w", file, err)
			}
			if len(object.Object) > 0 {
				objects = append(objects, &object)
			}
		}
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("read objects: %s holds none", path)
	}
	return objects, nil
}

// Namespace makes sure that a namespace exists and has the labels.
func (c *Cluster) Namespace(t testing.TB, name string, labels map[string]string) {
	t.Helper()
	namespace := object("v1", "Namespace", "", name)
	namespace.SetLabels(labels)
	c.ApplyObjects(t, namespace)
}

// object returns an object that has nothing but a name.
func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}
