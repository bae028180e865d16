// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// A discovery is what one collection knows of what the server serves. It needs no
// rights but those that everybody who is logged in has by default. It is asked anew
// each time: a CustomResourceDefinition installed today is seen today.
type discovery struct {
	client    *Client
	versions  map[string][]string // by group, the server's preferred one first
	resources map[string][]string // by group and version
}

// discover asks which API groups there are.
func (c *Client) discover(ctx context.Context) (*discovery, error) {
	type version struct {
		Version string `json:"version"`
	}
	var list struct {
		Groups []struct {
			Name      string    `json:"name"`
			Versions  []version `json:"versions"`
			Preferred version   `json:"preferredVersion"`
		} `json:"groups"`
	}
	if err := c.Get(ctx, "/apis", &list); err != nil {
		return nil, err
	}
	d := &discovery{client: c, versions: map[string][]string{"": {"v1"}}, resources: map[string][]string{}}
	for _, g := range list.Groups {
		versions := []string{g.Preferred.Version}
		for _, v := range g.Versions {
			if v.Version != g.Preferred.Version {
				versions = append(versions, v.Version)
			}
		}
		d.versions[g.Name] = versions
	}
	return d, nil
}

// serves reports whether there is an API group.
func (d *discovery) serves(group string) bool { return d.versions[group] != nil }

// find returns the path of a kind's objects and the version in which they are served,
// the one that the server prefers if there are several. The error is [fs.ErrNotExist]
// when the kind is not served at all.
func (d *discovery) find(ctx context.Context, k kind) (path, version string, err error) {
	for _, version := range d.versions[k.group] {
		root := "/apis/" + k.group + "/" + version
		if k.group == "" {
			root = "/api/" + version
		}
		resources, known := d.resources[root]
		if !known {
			var list struct {
				Resources []struct {
					Name string `json:"name"`
				} `json:"resources"`
			}
			if err := d.client.Get(ctx, root, &list); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", "", err
			}
			for _, r := range list.Resources {
				resources = append(resources, r.Name)
			}
			d.resources[root] = resources
		}
		if slices.Contains(resources, k.resource) {
			return root + "/" + k.resource, version, nil
		}
	}
	return "", "", fmt.Errorf("find a kind of objects: it is not served: %w", fs.ErrNotExist)
}

// A kind is a kind of objects: its API group ("" is the core) and its plural name.
type kind struct{ group, resource string }

// text names the kind in a plan, as kubectl would.
func (k kind) text() string {
	if k.group == "" {
		return k.resource
	}
	return k.resource + "." + k.group
}
