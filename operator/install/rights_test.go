// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/segment-bridge/segment-bridge/operator/install"
)

// Nobody can grant what they do not hold: the operator has every right that a job may have.
func TestOperatorHoldsTheRightsOfTheJob(t *testing.T) {
	manifest, err := os.ReadFile("../../deploy/operator/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var held []rbacv1.PolicyRule
	for document := range strings.SplitSeq(string(manifest), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" {
			held = append(held, role.Rules...)
		}
	}
	missing := map[string]bool{}
	for _, s := range every() {
		objects, err := install.Objects(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if role, ok := o.(*rbacv1.ClusterRole); ok {
				for _, right := range rightsOf(role.Rules) {
					if !slices.ContainsFunc(held, right.allowedBy) {
						missing[right.verb+" "+right.resource+"."+right.group+" "+right.name] = true
					}
				}
			}
		}
	}
	if len(held) == 0 || len(missing) > 0 {
		t.Errorf("of %d rules none allows what the job is to be granted: %v", len(held), missing)
	}
}

type single struct{ verb, group, resource, name string }

func rightsOf(rules []rbacv1.PolicyRule) []single {
	var rights []single
	for _, r := range rules {
		names := r.ResourceNames
		if names == nil {
			names = []string{""}
		}
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					for _, name := range names {
						rights = append(rights, single{verb, group, resource, name})
					}
				}
			}
		}
	}
	return rights
}

func (s single) allowedBy(r rbacv1.PolicyRule) bool {
	return slices.Contains(r.Verbs, s.verb) && slices.Contains(r.APIGroups, s.group) && slices.Contains(r.Resources, s.resource) &&
		(r.ResourceNames == nil || slices.Contains(r.ResourceNames, s.name))
}
