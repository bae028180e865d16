// SPDX-License-Identifier: Apache-2.0

// Package deploy_test renders the manifests of this folder with the tools that people use. It is a module of its own, so
// that the product does not depend on those.
package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// objects are Kubernetes objects by kind, namespace and name.
type objects map[string]map[string]any

func (o objects) add(t *testing.T, document string) {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(document), &object); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	if len(object) == 0 {
		return
	}
	id := strings.Join([]string{text(object, "kind"), text(object, "metadata", "namespace"), text(object, "metadata", "name")}, " ")
	if o[id] != nil {
		t.Errorf("%s is there twice", id)
	}
	o[id] = object
}

func text(object map[string]any, path ...string) string {
	var value any = object
	for _, name := range path {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	s, _ := value.(string)
	return s
}

const (
	deployment = "Deployment segment-bridge-operator segment-bridge-operator"
	bridge     = "SegmentBridge  segment-bridge"
)

// image returns what the operator runs, and what it is told to let the jobs run.
func (o objects) image(t *testing.T) (own, jobs string) {
	t.Helper()
	var d struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Image string
						Env   []struct{ Name, Value string }
					}
				}
			}
		}
	}
	raw, err := yaml.Marshal(o[deployment])
	if err == nil {
		err = yaml.Unmarshal(raw, &d)
	}
	if err != nil || len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("there is no deployment (error %v)", err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	for _, e := range c.Env {
		if e.Name == "SEGMENT_BRIDGE_IMAGE" {
			jobs = e.Value
		}
	}
	return c.Image, jobs
}

func kustomize(t *testing.T, folder string) objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for _, resource := range built.Resources() {
		document, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		all.add(t, string(document))
	}
	return all
}

func helm(t *testing.T, values map[string]any) objects {
	t.Helper()
	chart, err := loader.Load("../helm/segment-bridge")
	if err != nil {
		t.Fatal(err)
	}
	merged, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: "segment-bridge", Namespace: "default", IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(chart, merged)
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range chart.CRDObjects() {
		files[crd.Filename] = string(crd.File.Data)
	}
	all := objects{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for document := range strings.SplitSeq(files[name], "\n---\n") {
			all.add(t, document)
		}
	}
	return all
}

func TestOverlays(t *testing.T) {
	base := kustomize(t, "../operator")
	for overlay, more := range map[string][]string{
		"plain": {bridge}, "openshift": {bridge}, "pvc": {bridge}, "s3": {bridge, "Secret segment-bridge bucket"},
	} {
		got := kustomize(t, filepath.Join("../overlays", overlay))
		want := slices.Sorted(maps.Keys(base))
		want = append(want, more...)
		slices.Sort(want)
		if ids := slices.Sorted(maps.Keys(got)); !slices.Equal(ids, want) {
			t.Errorf("%s has %q, want %q", overlay, ids, want)
		}
		if own, jobs := got.image(t); own != "segment-bridge-operator:latest" || jobs != "segment-bridge:latest" {
			t.Errorf("%s: the operator runs %s and its jobs %s", overlay, own, jobs)
		}
	}
}

// The images that are set in an overlay are those of the operator and of the jobs.
func TestImagesOfOverlay(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"crd", "operator", "overlays/plain"} {
		if err := os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(root, "overlays/plain/kustomization.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := string(content)
	for _, name := range []string{"jobs", "operator"} {
		changed = strings.Replace(changed, "newTag: latest", "newName: registry.example.com/"+name+"\n    newTag: v1.2.3", 1)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if own, jobs := kustomize(t, filepath.Dir(file)).image(t); own != "registry.example.com/operator:v1.2.3" || jobs != "registry.example.com/jobs:v1.2.3" {
		t.Errorf("the operator runs %s and its jobs %s", own, jobs)
	}
}

// The chart and the plain overlay are the same installation.
func TestHelmEqualsKustomize(t *testing.T) {
	got, want := helm(t, nil), kustomize(t, "../overlays/plain")
	for id := range want {
		if !reflect.DeepEqual(got[id], want[id]) {
			t.Errorf("%s is with Helm\n%v\nand with kustomize\n%v", id, got[id], want[id])
		}
		delete(got, id)
	}
	for id := range got {
		t.Errorf("%s is there with Helm only", id)
	}
}

func TestHelmValues(t *testing.T) {
	got := helm(t, map[string]any{
		"image":         map[string]any{"repository": "registry.example.com/jobs", "tag": "v1.2.3"},
		"operatorImage": map[string]any{"repository": "registry.example.com/operator", "tag": "v1.2.4", "pullPolicy": "Always"},
		"uiNamespace":   "ui",
		"segmentBridge": map[string]any{"spec": map[string]any{"enabled": false, "stage": map[string]any{"s3": map[string]any{"bucket": "events"}}}},
	})
	if own, jobs := got.image(t); own != "registry.example.com/operator:v1.2.4" || jobs != "registry.example.com/jobs:v1.2.3" {
		t.Errorf("the operator runs %s and its jobs %s", own, jobs)
	}
	if raw, err := yaml.Marshal(got[deployment]); err != nil || !strings.Contains(string(raw), "- --ui-namespace=ui") || !strings.Contains(string(raw), "imagePullPolicy: Always") {
		t.Errorf("the deployment is\n%s", raw)
	}
	want := map[string]any{"enabled": false, "stage": map[string]any{"s3": map[string]any{"bucket": "events"}}}
	if spec := got[bridge]["spec"]; !reflect.DeepEqual(spec, want) {
		t.Errorf("the spec is %v", spec)
	}
	if got := helm(t, map[string]any{"segmentBridge": map[string]any{"create": false}}); got[bridge] != nil {
		t.Error("the resource is created all the same")
	}
}
