// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

const program = "apps" // the namespace of the program that reports

// runs returns what the controllers make of a workload: its pod, and for a Deployment the ReplicaSet between them. The
// pod's template has the labels and annotations in template.
func (l *lab) runs(t *testing.T, workload *unstructured.Unstructured, manager string, template mark) {
	t.Helper()
	labels := map[string]string{"app": "acme"}
	pod := podOf("acme-0", template)
	pod.SetNamespace(program)
	maps.Copy(labels, pod.GetLabels())
	pod.SetLabels(labels)
	if workload.GetKind() != "Pod" {
		spec := map[string]any{
			"selector":    map[string]any{"matchLabels": map[string]any{"app": "acme"}},
			"serviceName": "acme",
			"template":    map[string]any{"metadata": pod.Object["metadata"], "spec": pod.Object["spec"]},
		}
		if workload.GetKind() != "StatefulSet" {
			delete(spec, "serviceName")
		}
		owner := l.createAs(t, manager, having(workload, "spec", spec))
		if workload.GetKind() == "Deployment" {
			set := thing("apps/v1", "ReplicaSet", program, "acme-7d9f", "app", "acme")
			owner = l.createAs(t, "kube-controller-manager", owned(having(set, "spec", spec), owner))
		}
		owned(pod, owner)
		manager = "kube-controller-manager"
	}
	l.createAs(t, manager, pod)
}

func owned(object, owner *unstructured.Unstructured) *unstructured.Unstructured {
	yes := true
	object.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes,
	}})
	return object
}

// createAs creates an object under the name of a field manager, which the server notes, for as long as the test lasts.
func (l *lab) createAs(t *testing.T, manager string, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	made, err := l.Dynamic.Resource(resourceOf(object)).Namespace(program).Create(t.Context(), object, metav1.CreateOptions{FieldManager: manager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.remove(t, object) })
	return made
}

// Each way to install a program, as what it leaves on the program's objects: workload, packaging, GitOps tool and chart.
// Every word of the plan is somebody's verdict here.
func (l *lab) testDeployments(t *testing.T) {
	const (
		kubectl    = "kubectl-client-side-apply"
		controller = "argocd-controller"
	)
	tests := []struct {
		name        string
		kind        string
		manager     string
		labels      string // of the workload, as in key=value key=value
		annotations string
		template    mark // of its pods
		want        string
	}{
		{"Helm", "Deployment", "helm", "app.kubernetes.io/managed-by=Helm helm.sh/chart=acme-gateway-2.48.0", "meta.helm.sh/release-name=acme meta.helm.sh/release-namespace=apps", mark{}, "deployment helm none 2.48.0"},
		{"Helm, a chart of a release candidate", "Deployment", "helm", "helm.sh/chart=acme-2-gateway-1.2.3-rc.1", "", mark{}, "deployment helm none 1.2.3"},
		{"Helm by Argo CD", "Deployment", controller, "app.kubernetes.io/managed-by=Helm helm.sh/chart=acme-2.48.0", "argocd.argoproj.io/tracking-id=acme:apps/Deployment:apps/acme", mark{}, "deployment helm argo-cd 2.48.0"},
		{"Helm by Flux", "Deployment", "helm-controller", "app.kubernetes.io/managed-by=Helm helm.toolkit.fluxcd.io/name=acme", "meta.helm.sh/release-name=acme", mark{}, "deployment helm flux !absent"},
		{"Helm by Fleet", "DaemonSet", "fleetagent", "app.kubernetes.io/managed-by=Helm", "objectset.rio.cattle.io/id=default-acme", mark{}, "daemonset helm fleet !absent"},
		{"OLM", "Deployment", "olm", "olm.owner=acme.v1.2.0 olm.owner.kind=ClusterServiceVersion", "", mark{annotations: "operators.coreos.com/acme.apps: x"}, "deployment olm none !absent"},
		{"Kong's operator", "Deployment", "manager", "gateway-operator.konghq.com/managed-by=dataplane", "", mark{}, "deployment kong-operator none !absent"},
		{"kustomize by Flux", "StatefulSet", "kustomize-controller", "kustomize.toolkit.fluxcd.io/name=acme", "", mark{}, "statefulset kustomize flux !absent"},
		{"kustomize by Argo CD", "Deployment", controller, "", "argocd.argoproj.io/tracking-id=acme:apps/Deployment:apps/acme", mark{}, "deployment other argo-cd !absent"},
		{"kustomize, by its controller alone", "Deployment", "kustomize-controller", "", "", mark{}, "deployment kustomize none !absent"},
		{"kustomize by kubectl, which says so where it is told to", "Deployment", kubectl, "app.kubernetes.io/managed-by=kustomize-v5.7.1", "", mark{}, "deployment kustomize none !absent"},
		{"manifests by kubectl apply", "Deployment", kubectl, "", "kubectl.kubernetes.io/last-applied-configuration={}", mark{}, "deployment kubectl none !absent"},
		{"manifests by kubectl create", "DaemonSet", "kubectl-create", "", "", mark{}, "daemonset kubectl none !absent"},
		{"manifests by Argo CD, a mark on the pods alone", "Deployment", kubectl, "", "", mark{labels: "argocd.argoproj.io/instance: acme"}, "deployment kubectl argo-cd !absent"},
		{"Terraform", "Deployment", "Terraform", "", "", mark{}, "deployment terraform none !absent"},
		{"Terraform, the provider of HashiCorp", "Deployment", "HashiCorp", "", "", mark{}, "deployment terraform none !absent"},
		{"Pulumi", "Deployment", "pulumi-kubernetes-a1b2c3d4", "", "", mark{}, "deployment pulumi none !absent"},
		{"somebody's own operator", "StatefulSet", "acme-operator", "", "", mark{}, "statefulset other none !absent"},
		{"a pod that nobody looks after", "Pod", "kubectl-run", "", "", mark{}, "other kubectl none !absent"},
	}
	l.build(t, thing("v1", "ConfigMap", program, "namespace"))
	provider := kube.Deployment(nil, program, "acme-0")
	metrics := []string{"deploymentWorkload", "deploymentPackaging", "deploymentTool", "deploymentChartVersion"}
	said := map[string]bool{}
	installations := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			version := "apps/v1"
			if tt.kind == "Pod" {
				version = "v1"
			}
			workload := thing(version, tt.kind, program, "acme", fields(tt.labels)...)
			if tt.annotations != "" {
				workload.SetAnnotations(pairs(fields(tt.annotations)))
			}
			l.runs(t, workload, tt.manager, tt.template)
			found := collect(t, kube.Deployment(l.client(t, l.reader(t, "", provider)), program, "acme-0"))
			var words []string
			for _, metric := range metrics {
				words = append(words, found[metric])
				said[metric+" "+found[metric]] = true
			}
			if got := strings.Join(words, " "); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if id := found["installation"]; len(id) != 12 || installations[id] {
				t.Errorf("the installation is %q: each has a pseudonym of its own", id)
			}
			installations[found["installation"]] = true
		})
	}
	for _, metric := range provider.Metrics() {
		for _, word := range metric.Words {
			// Every object on a server of today says who made it.
			if !said[metric.Name+" "+word] && word != "unknown" {
				t.Errorf("no case leads to %s = %s", metric.Name, word)
			}
		}
	}

	t.Run("forbidden on the way", func(t *testing.T) {
		l.runs(t, thing("apps/v1", "Deployment", program, "acme", "helm.sh/chart", "acme-1.0.0"), "helm", mark{})
		for _, without := range []string{"get pods", "get replicasets", "get deployments"} {
			found := collect(t, kube.Deployment(l.client(t, l.reader(t, without, provider)), program, "acme-0"))
			for _, metric := range slices.Concat(metrics, []string{"installation"}) {
				if found[metric] != "!forbidden" {
					t.Errorf("without the right to %s: %s = %s", without, metric, found[metric])
				}
			}
		}
	})
	t.Run("not in this cluster", func(t *testing.T) {
		found := collect(t, kube.Deployment(l.client(t, l.reader(t, "", provider)), program, "acme-0"))
		for _, metric := range slices.Concat(metrics, []string{"installation"}) {
			if found[metric] != "!absent" {
				t.Errorf("%s = %s", metric, found[metric])
			}
		}
	})
}

// fields reads "key=value key=value".
func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '=' || r == ' ' })
}
