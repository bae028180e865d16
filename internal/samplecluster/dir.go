// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// singleRuns is the number of runs that WriteDir gives a YAML file each.
const singleRuns = 20

// WriteDir writes the cluster into a folder the way people have one, every object
// of Objects once and every record of Records once:
//
//	cluster-scoped-resources/core/namespaces/NAME.yaml
//	cluster-scoped-resources/konflux.konflux-ci.dev/konfluxes/konflux.yaml
//	namespaces/konflux-info/core/configmaps/konflux-public-info.yaml
//	namespaces/NAME/appstudio.redhat.com/components.json        a List
//	namespaces/NAME/tekton.dev/pipelineruns.json                a List
//	namespaces/NAME/tekton.dev/pipelineruns/RUN.yaml            some runs of the second tenant
//	exports/pipelineruns.ndjson                                 all runs of each third tenant
//	tekton-results/records.json                                 a saved page
//
// It makes the folders that it needs and overwrites files.
func (c *Cluster) WriteDir(dir string) error {
	runs := make(map[string][]int) // by namespace
	for run := range c.Runs() {
		if !run.Pruned {
			runs[run.Namespace] = append(runs[run.Namespace], run.Index)
		}
	}
	var exported, single []int
	for i, tenant := range c.Tenants {
		in := runs[tenant.Name]
		switch {
		case i%3 == 2:
			exported = append(exported, in...)
			runs[tenant.Name] = nil
		case i == 1:
			n := min(singleRuns, len(in))
			single, runs[tenant.Name] = in[:n], in[n:]
		}
	}

	for _, objects := range []iter.Seq[Object]{c.setting(), c.runsNow(single)} {
		for object := range objects {
			if err := writeYAML(dir, object); err != nil {
				return err
			}
		}
	}
	for _, tenant := range c.Tenants {
		folder := filepath.Join(dir, "namespaces", tenant.Name)
		if err := writeList(filepath.Join(folder, "appstudio.redhat.com", "components.json"), c.componentsOf(tenant)); err != nil {
			return err
		}
		if err := writeList(filepath.Join(folder, "tekton.dev", "pipelineruns.json"), c.runsNow(runs[tenant.Name])); err != nil {
			return err
		}
	}
	err := writeFile(filepath.Join(dir, "exports", "pipelineruns.ndjson"), func(yield func([]byte) bool) {
		for object := range c.runsNow(exported) {
			if !yield(append(object.JSON, '\n')) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "tekton-results", "records.json"), c.page)
}

// page yields the parts of a page of records.
func (c *Cluster) page(yield func([]byte) bool) {
	before := `{"records":[`
	for record := range c.Records() {
		if !yield(record.AppendJSON([]byte(before))) {
			return
		}
		before = ","
	}
	_ = yield([]byte(`],"next_page_token":""}`))
}

func (c *Cluster) runsNow(indices []int) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for _, i := range indices {
			if !yield(c.Run(i).Object(c.Now)) {
				return
			}
		}
	}
}

func (c *Cluster) componentsOf(tenant Tenant) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for _, component := range c.Components {
			if component.Namespace == tenant.Name && !yield(component.Object()) {
				return
			}
		}
	}
}

// writeList writes a List as kubectl prints it.
func writeList(path string, objects iter.Seq[Object]) error {
	return writeFile(path, func(yield func([]byte) bool) {
		if !yield([]byte("{\n    \"apiVersion\": \"v1\",\n    \"items\": [")) {
			return
		}
		before := "\n        "
		for object := range objects {
			indented := bytes.NewBufferString(before)
			_ = json.Indent(indented, object.JSON, "        ", "    ") // a template is valid JSON
			if !yield(indented.Bytes()) {
				return
			}
			before = ",\n        "
		}
		_ = yield([]byte("\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n"))
	})
}

// writeYAML writes an object to the file that a must-gather has for it.
func writeYAML(dir string, object Object) error {
	group, _, found := strings.Cut(object.APIVersion, "/")
	if !found {
		group = "core"
	}
	resource := strings.ToLower(object.Kind) + "s"
	if object.Kind == "Konflux" {
		resource = "konfluxes"
	}
	path := filepath.Join(dir, "cluster-scoped-resources", group, resource, object.Name+".yaml")
	if object.Namespace != "" {
		path = filepath.Join(dir, "namespaces", object.Namespace, group, resource, object.Name+".yaml")
	}
	text, err := yaml.JSONToYAML(object.JSON)
	if err != nil {
		return fmt.Errorf("convert %s to YAML: %w", object.Kind, err)
	}
	return writeFile(path, slices.Values([][]byte{[]byte("---\n"), text}))
}

// writeFile makes the file and its folders.
func writeFile(path string, parts iter.Seq[[]byte]) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder of sample cluster: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make file of sample cluster: %w", err)
	}
	defer file.Close()
	for part := range parts {
		if _, err := file.Write(part); err != nil {
			return fmt.Errorf("write file of sample cluster: %w", err)
		}
	}
	return file.Close()
}
