// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"fmt"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestPlatform(t *testing.T) {
	node := func(label, annotation, providerID, image string) string {
		return fmt.Sprintf(`{"metadata":{"name":"secret-name","labels":{"kubernetes.io/os":"linux",%q:"x"},"annotations":{%q:"x"}},
			"spec":{"providerID":%q},"status":{"nodeInfo":{"osImage":%q}}}`, label, annotation, providerID, image)
	}
	tests := map[string]struct {
		version string
		groups  []string
		nodes   []string
		status  int    // of nodes
		want    string // distribution, cloud and manager, each with its evidence
	}{
		"GKE":                     {"v1.33.1-gke.200", nil, times(3, node("cloud.google.com/gke-nodepool", "", "gce://p/z/n", "Container-Optimized OS")), 0, "gke version gcp provider-id none none"},
		"GKE Autopilot":           {"v1.33.1-gke.200", []string{"auto.gke.io/v1"}, times(1, node("", "", "gce://p/z/n", "")), 0, "gke-autopilot api-group gcp provider-id none none"},
		"EKS":                     {"v1.33.1-eks-a5df82a", nil, times(1, node("eks.amazonaws.com/nodegroup", "", "aws:///z/i", "Bottlerocket")), 0, "eks version aws provider-id none none"},
		"AKS":                     {"v1.33.1", nil, times(1, node("kubernetes.azure.com/role", "", "azure:///s", "Ubuntu")), 0, "aks node azure provider-id none none"},
		"OpenShift on AWS":        {"v1.33.1", []string{"config.openshift.io/v1"}, times(1, node("node.openshift.io/os_id", "", "aws:///z/i", "")), 0, "openshift api-group aws provider-id none none"},
		"managed OpenShift":       {"v1.33.1", []string{"config.openshift.io/v1", "operator.open-cluster-management.io/v1"}, nil, 403, "openshift api-group forbidden forbidden open-cluster-management api-group"},
		"k3s on EC2":              {"v1.33.1+k3s1", nil, times(1, node("", "k3s.io/hostname", "aws:///z/i", "")), 0, "k3s version aws provider-id none none"},
		"k3s on its own":          {"v1.33.1+k3s1", nil, times(1, node("", "", "k3s://n", "")), 0, "k3s version local provider-id none none"},
		"kOps on EC2":             {"v1.33.1", nil, times(1, node("kops.k8s.io/instancegroup", "", "aws:///z/i", "")), 0, "kops node aws provider-id none none"},
		"RKE2 under Rancher":      {"v1.33.1+rke2r1", []string{"management.cattle.io/v3"}, times(1, node("", "", "vsphere://u", "")), 0, "rke2 version vsphere provider-id rancher api-group"},
		"k0s, Cluster API":        {"v1.33.1+k0s", nil, times(1, node("", "cluster.x-k8s.io/machine", "hcloud://1", "")), 0, "k0s version hetzner provider-id cluster-api node"},
		"Gardener":                {"v1.33.1", nil, times(1, node("worker.gardener.cloud/pool", "", "openstack:///u", "Flatcar")), 0, "other none openstack provider-id gardener node"},
		"Talos on metal":          {"v1.33.1", nil, times(1, node("", "", "", "Talos (v1.11)")), 0, "talos node none none none none"},
		"kind":                    {"v1.33.1", nil, times(1, node("", "", "kind://docker/kind/n", "")), 0, "kind provider-id local provider-id none none"},
		"minikube":                {"v1.33.1", nil, times(1, node("minikube.k8s.io/version", "", "", "")), 0, "minikube node none none none none"},
		"Docker Desktop":          {"v1.33.1", nil, times(1, node("", "", "", "Docker Desktop")), 0, "docker-desktop node none none none none"},
		"somebody's own":          {"v1.33.1-acme", nil, times(1, node("", "", "acme://secret-name", "")), 0, "other none other provider-id none none"},
		"Oracle":                  {"v1.33.1", nil, times(1, node("", "", "ocid1.instance.oc1", "")), 0, "other none oci provider-id none none"},
		"most nodes are in azure": {"v1.33.1", nil, append(times(2, node("", "", "azure:///s", "")), node("", "", "aws:///z/i", "")), 0, "other none azure provider-id none none"},
		"nodes forbidden":         {"v1.33.1-gke.200", nil, nil, 403, "gke version forbidden forbidden forbidden forbidden"},
		"nothing known":           {"v1.33.1", nil, nil, 403, "forbidden forbidden forbidden forbidden forbidden forbidden"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := &cluster{
				lists:   map[string][]string{"/api/v1/nodes": tt.nodes},
				objects: map[string]string{"/version": fmt.Sprintf(`{"gitVersion":%q}`, tt.version)},
				status:  map[string]int{"/api/v1/nodes": tt.status},
			}
			for _, group := range tt.groups {
				c.lists["/apis/"+group+"/things"] = nil
			}
			found, got := collect(t, kube.Platform(c.client(t))), ""
			for _, metric := range []string{"platformDistribution", "platformCloud", "platformManager"} {
				for _, name := range []string{metric, metric + "Evidence"} {
					got += found[name] + found[name+"Outcome"] + " "
				}
			}
			if got != tt.want+" " {
				t.Errorf("platform is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNodesAndVersions(t *testing.T) {
	node := func(arch, os, kubelet string) string {
		return fmt.Sprintf(`{"metadata":{"labels":{"kubernetes.io/arch":%q,"kubernetes.io/os":%q}},"status":{"nodeInfo":{"kubeletVersion":%q}}}`, arch, os, kubelet)
	}
	c := &cluster{
		lists: map[string][]string{
			"/api/v1/nodes": append(times(700, node("amd64", "linux", "v1.33.4-eks-1")),
				node("arm64", "linux", "v1.31.0"), node("arm64", "windows", "v1.25.0"), node("mips", "plan9", "v2"), node("amd64", "linux", "v1.34.0")),
			"/apis/config.openshift.io/v1/clusterversions": nil,
		},
		objects: map[string]string{
			"/version": `{"gitVersion":"v1.33.1-eks-a5df82a","platform":"linux/arm64"}`,
			"/apis/config.openshift.io/v1/clusterversions/version": `{"status":{"desired":{"version":"4.19.2"}}}`,
		},
		status: map[string]int{},
	}
	expect(t, collect(t, kube.Nodes(c.client(t))), map[string]string{
		"nodeCount":         "704",
		"nodeArchitectures": `{"amd64":701,"arm64":2,"other":1}`, "nodeOperatingSystems": `{"linux":702,"windows":1,"other":1}`,
		"mixedArchitectures": "true",
	})
	expect(t, collect(t, kube.Versions(c.client(t))), map[string]string{
		"kubernetesVersion": "v1.33.1", "openShiftVersion": "4.19.2", "controlPlaneArchitecture": "arm64",
		"kubeletSkew": `{"newer":1,"same":700,"behind2":1,"older":1,"other":1}`,
	})
	c.status["/api/v1/nodes"] = 403
	c.status["/apis/config.openshift.io/v1/clusterversions/version"] = 403
	expect(t, collect(t, kube.Nodes(c.client(t))), map[string]string{
		"nodeCountOutcome": "forbidden", "nodeArchitecturesOutcome": "forbidden", "nodeOperatingSystemsOutcome": "forbidden", "mixedArchitecturesOutcome": "forbidden",
	})
	expect(t, collect(t, kube.Versions(c.client(t))), map[string]string{
		"kubernetesVersion": "v1.33.1", "openShiftVersionOutcome": "forbidden", "kubeletSkewOutcome": "forbidden",
	})
	c.lists, c.status = map[string][]string{"/api/v1/nodes": times(2, node("s390x", "linux", "v1.33.0"))}, nil
	c.objects["/version"] = `{"gitVersion":"secret-name"}`
	expect(t, collect(t, kube.Nodes(c.client(t))), map[string]string{"nodeArchitectures": `{"s390x":2}`, "mixedArchitectures": "false"})
	expect(t, collect(t, kube.Versions(c.client(t))), map[string]string{
		"kubernetesVersionOutcome": "error", "openShiftVersionOutcome": "absent", "controlPlaneArchitecture": "other", "kubeletSkew": `{"other":2}`,
	})
}
