// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestDeployment(t *testing.T) {
	const root = "/apis/apps/v1/namespaces/secret-name/"
	tests := map[string]struct {
		labels, annotations, managers string // of the workload
		want                          string // packaging, tool, version of the chart
	}{
		"Helm":                    {`"helm.sh/chart":"acme-gateway-2.48.0"`, `"meta.helm.sh/release-name":"secret-name"`, "", "helm none 2.48.0"},
		"Helm by Argo CD":         {`"helm.sh/chart":"ingress-0.21.0-rc1"`, `"argocd.argoproj.io/tracking-id":"secret-name:x"`, "", "helm argo-cd 0.21.0"},
		"Helm by Flux":            {`"helm.toolkit.fluxcd.io/name":"x","helm.sh/chart":"secret-name"`, `"meta.helm.sh/release-name":"x"`, "", "helm flux error"},
		"Kustomize by Flux":       {`"kustomize.toolkit.fluxcd.io/name":"x"`, "", "", "kustomize flux absent"},
		"Kustomize by its label":  {`"app.kubernetes.io/managed-by":"kustomize-v5.7.1"`, "", `{"manager":"kubectl-client-side-apply"}`, "kustomize none absent"},
		"OLM":                     {`"olm.owner":"x"`, "", "", "olm none absent"},
		"OLM, newer":              {`"operators.coreos.com/acme.secret-name":""`, "", "", "olm none absent"},
		"Kong's operator":         {`"gateway-operator.konghq.com/managed-by":"dataplane"`, "", "", "kong-operator none absent"},
		"Rancher Fleet":           {"", `"objectset.rio.cattle.io/id":"x"`, `{"manager":"helm"}`, "helm fleet absent"},
		"kubectl":                 {"", "", `{"manager":"kube-controller-manager","subresource":"status"},{"manager":"kubectl-client-side-apply"}`, "kubectl none absent"},
		"Terraform":               {"", "", `{"manager":"Terraform"},{"manager":"kubectl-edit"}`, "terraform none absent"},
		"Pulumi":                  {"", "", `{"manager":"pulumi-kubernetes-1a2b"}`, "pulumi none absent"},
		"somebody's own":          {"", "", `{"manager":"secret-name"}`, "other none absent"},
		"nothing shows":           {"", "", "", "unknown none absent"},
		"a version of only a day": {`"helm.sh/chart":"acme-7"`, "", "", "helm none error"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{objects: map[string]string{
				"/api/v1/namespaces/secret-name/pods/p": `{"metadata":{"ownerReferences":[{"kind":"Acme","name":"x"},{"kind":"ReplicaSet","name":"r","controller":true}]},"status":{"containerStatuses":[{"restartCount":2},{"restartCount":3}]}}`,
				root + "replicasets/r":                  `{"metadata":{"uid":"u-r","ownerReferences":[{"kind":"Deployment","name":"d","controller":true}]}}`,
				root + "deployments/d": fmt.Sprintf(`{"metadata":{"uid":"u-d","labels":{%s},"annotations":{%s},"managedFields":[%s]}}`,
					tt.labels, tt.annotations, tt.managers),
			}}
			found := collect(t, kube.Deployment(c.client(t), "secret-name", "p"))
			got := found["deploymentPackaging"] + " " + found["deploymentTool"] + " " + found["deploymentChartVersion"] + found["deploymentChartVersionOutcome"]
			expect(t, found, map[string]string{"deploymentRestartCount": "5", "deploymentLastChangeSecondsOutcome": "absent"})
			if got != tt.want || found["deploymentWorkload"] != "deployment" || len(found["installation"]) != 12 {
				t.Errorf("deployment is %q, want %q: %v", got, tt.want, found)
			}
		})
	}
}

func TestDeploymentFollowsOwners(t *testing.T) {
	c := &cluster{
		objects: map[string]string{
			"/api/v1/namespaces/n/pods/p":             `{"metadata":{"uid":"u-p","ownerReferences":[{"kind":"DaemonSet","name":"d","controller":true}]}}`,
			"/api/v1/namespaces/n/pods/alone":         `{"metadata":{"uid":"u-a","ownerReferences":[{"kind":"Acme","name":"d","controller":true}]}}`,
			"/apis/apps/v1/namespaces/n/daemonsets/d": `{"metadata":{"uid":"u-d","creationTimestamp":"2020-01-01T00:00:00Z","managedFields":[{"time":"` + time.Now().Format(time.RFC3339) + `","subresource":"status"}]}}`,
		},
		status: map[string]int{},
	}
	first := collect(t, kube.Deployment(c.client(t), "n", "p"))
	expect(t, first, map[string]string{"deploymentWorkload": "daemonset", "deploymentPackaging": "unknown"})
	if days, err := strconv.Atoi(first["deploymentLastChangeSeconds"]); err != nil || days < 1000*24*3600 {
		t.Errorf("the workload was changed %q seconds ago, want since 2020", first["deploymentLastChangeSeconds"])
	}
	alone := collect(t, kube.Deployment(c.client(t), "n", "alone"))
	expect(t, alone, map[string]string{"deploymentWorkload": "other"})
	if first["installation"] == alone["installation"] {
		t.Error("two installations have one pseudonym")
	}
	expect(t, collect(t, kube.Deployment(c.client(t), "n", "gone")), map[string]string{"deploymentPackagingOutcome": "absent", "installationOutcome": "absent"})
	c.status["/apis/apps/v1/namespaces/n/daemonsets/d"] = 403
	expect(t, collect(t, kube.Deployment(c.client(t), "n", "p")), map[string]string{"deploymentPackagingOutcome": "forbidden", "deploymentToolOutcome": "forbidden"})
}
