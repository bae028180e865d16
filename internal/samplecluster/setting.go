// SPDX-License-Identifier: Apache-2.0

package samplecluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"
)

// otherNamespaces are those that are not a team's.
var otherNamespaces = []struct {
	name     string
	invented bool
}{
	{"default", false},
	{"kube-system", false},
	{"konflux-info", false},
	{"konflux-ui", false},
	{"tekton-pipelines", false},
	{Marker + "-monitoring", true},
	{Marker + "-sandbox", true},
}

// setting yields the objects that are neither components nor runs.
func (c *Cluster) setting() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		random := c.random(0, 3)
		installed := c.Installation.Created
		for _, namespace := range otherNamespaces {
			object := Object{APIVersion: "v1", Kind: "Namespace", Name: namespace.name, UID: newUUID(random)}
			object.JSON = fill("namespace", "{{name}}", object.Name, "{{uid}}", object.UID, "{{created}}", stamp(installed.Add(-time.Hour)))
			if !yield(object) {
				return
			}
		}
		for _, tenant := range c.Tenants {
			if !yield(tenant.Object()) {
				return
			}
		}
		_ = yield(c.Info()) && yield(c.Installation.Object())
	}
}

// Object is the namespace.
func (t *Tenant) Object() Object {
	object := Object{APIVersion: "v1", Kind: "Namespace", Name: t.Name, UID: t.UID}
	object.JSON = fill("tenant", "{{name}}", t.Name, "{{uid}}", t.UID, "{{created}}", stamp(t.Created),
		"{{owner}}", t.owner, "{{email}}", emailOf(t.owner))
	return object
}

// Object is the resource, Ready.
func (i *Installation) Object() Object {
	object := Object{APIVersion: "konflux.konflux-ci.dev/v1alpha1", Kind: "Konflux", Name: i.Name, UID: i.UID}
	object.JSON = fill("konflux", "{{uid}}", i.UID, "{{created}}", stamp(i.Created), "{{ready}}", stamp(i.Ready))
	return object
}

// Info is ConfigMap konflux-info/konflux-public-info.
func (c *Cluster) Info() Object {
	object := Object{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: "konflux-info", Name: "konflux-public-info",
		UID: newUUID(c.random(0, 4)),
	}
	object.JSON = fill("info", "{{uid}}", object.UID, "{{created}}", stamp(c.Installation.Created.Add(time.Minute)),
		"{{clusterID}}", c.ID, "{{konfluxVersion}}", c.KonfluxVersion, "{{kubernetesVersion}}", c.KubernetesVersion)
	return object
}

// Object is the component.
func (p *Component) Object() Object {
	object := Object{APIVersion: "appstudio.redhat.com/v1alpha1", Kind: "Component", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
	application := `"application":"` + p.Application + `",`
	if p.Application == "" {
		application = ""
	}
	object.JSON = fill("component", `"application":"{{application}}",`, application, "{{name}}", p.Name,
		"{{namespace}}", p.Namespace, "{{uid}}", p.UID, "{{created}}", stamp(p.Created),
		"{{gitURL}}", p.gitURL, "{{image}}", p.image)
	return object
}

func stamp(at time.Time) string { return at.Format(time.RFC3339) }

// fill replaces texts in a template, in pairs.
func fill(name string, pairs ...string) []byte {
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(templateText(name))); err != nil {
		panic(fmt.Sprintf("samplecluster: read template: %v", err))
	}
	return []byte(strings.NewReplacer(pairs...).Replace(compact.String()))
}
