// SPDX-License-Identifier: Apache-2.0

package install

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// rules are what the extraction reads of the enabled sources. It never watches, and writes nothing.
func (s Settings) rules() []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	if s.kube() {
		for _, kind := range []struct{ group, resource string }{
			{"tekton.dev", "pipelineruns"},          // pipelines started and finished
			{"appstudio.redhat.com", "components"},  // components created
			{"", "namespaces"},                      // tenants created
			{"konflux.konflux-ci.dev", "konfluxes"}, // installations started, finished and removed
		} {
			rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{kind.group}, Resources: []string{kind.resource}, Verbs: []string{"list"}})
		}
		// The versions that the product publishes. Where it is installed everyone may read them; this is for a product that is
		// stricter.
		rules = append(rules, rbacv1.PolicyRule{
			APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"konflux-public-info"}, Verbs: []string{"get"},
		})
	}
	if s.inventory() {
		for _, r := range kube.Rules(kube.Environment(nil)...) {
			rules = append(rules, rbacv1.PolicyRule{
				APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames, NonResourceURLs: r.NonResourceURLs, Verbs: r.Verbs,
			})
		}
	}
	if s.Results != nil {
		// Tekton Results asks the API server: list is for the records of all namespaces, get for the summary call, which tells an
		// empty database from a failing one.
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{"results.tekton.dev"}, Resources: []string{"records"}, Verbs: []string{"get", "list"}})
	}
	return rules
}

const rbacGroup = "rbac.authorization.k8s.io"

func (s Settings) clusterRole() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacGroup + "/v1", Kind: "ClusterRole"},
		ObjectMeta: meta("", CronJob, componentJob), Rules: s.rules(),
	}
}

func (s Settings) clusterRoleBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacGroup + "/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: meta("", CronJob, componentJob),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacGroup, Kind: "ClusterRole", Name: CronJob},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: Namespace, Name: CronJob}},
	}
}
