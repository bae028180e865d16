// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// A machine is what a node shows of its platform.
type machine struct{ label, annotation, providerID, image string }

// nodesOf returns nodes.
func nodesOf(machines ...machine) []*unstructured.Unstructured {
	var nodes []*unstructured.Unstructured
	for i, m := range machines {
		n := thing("v1", "Node", "", fmt.Sprintf("node-%d", i), "kubernetes.io/os", "linux")
		if m.label != "" {
			n.SetLabels(map[string]string{m.label: "x"})
		}
		if m.annotation != "" {
			n.SetAnnotations(map[string]string{m.annotation: "x"})
		}
		if m.providerID != "" {
			having(n, "spec", map[string]any{"providerID": m.providerID})
		}
		nodes = append(nodes, having(n, "status", map[string]any{"nodeInfo": map[string]any{"osImage": m.image}}))
	}
	return nodes
}

// Each platform as nodes, API groups and the server's version: distribution, cloud and manager, and where they show. Every
// word of the plan is somebody's verdict here.
func (l *lab) testPlatforms(t *testing.T) {
	const plain = "v1.33.1"
	one := func(m machine) []machine { return []machine{m} }
	tests := []struct {
		name     string
		version  string
		groups   string
		machines []machine
		without  string // of the account's rights
		want     string
	}{
		{"GKE", "v1.33.1-gke.200", "", one(machine{"cloud.google.com/gke-nodepool", "", "gce://p/z/n", "Container-Optimized OS"}), "", "gke/version gcp/provider-id none/none"},
		{"GKE, old nodes", plain, "", one(machine{"", "container.googleapis.com/instance_id", "gce://p/z/n", ""}), "", "gke/node gcp/provider-id none/none"},
		{"GKE Autopilot", "v1.33.1-gke.200", "auto.gke.io", one(machine{"cloud.google.com/gke-nodepool", "", "gce://p/z/n", ""}), "", "gke-autopilot/api-group gcp/provider-id none/none"},
		{"EKS", "v1.33.1-eks-a5df82a", "", one(machine{"eks.amazonaws.com/nodegroup", "", "aws:///z/i", "Bottlerocket"}), "", "eks/version aws/provider-id none/none"},
		{"EKS by eksctl", plain, "", one(machine{"alpha.eksctl.io/cluster-name", "", "aws:///z/i", "Amazon Linux"}), "", "eks/node aws/provider-id none/none"},
		{"AKS", plain, "", one(machine{"kubernetes.azure.com/role", "", "azure:///s", "Ubuntu"}), "", "aks/node azure/provider-id none/none"},
		{"OpenShift on AWS", plain, "config.openshift.io", one(machine{"node.openshift.io/os_id", "", "aws:///z/i", "Red Hat Enterprise Linux CoreOS"}), "", "openshift/api-group aws/provider-id none/none"},
		{"OpenShift, managed by OCM", plain, "config.openshift.io agent.open-cluster-management.io", one(machine{"node.openshift.io/os_id", "", "", ""}), "", "openshift/api-group none/none open-cluster-management/api-group"},
		{"OpenShift, the group withheld", plain, "", one(machine{"node.openshift.io/os_id", "", "baremetalhost:///u", ""}), "", "openshift/node bare-metal/provider-id none/none"},
		{"hub of OCM", plain, "operator.open-cluster-management.io", one(machine{"", "", "ibmcloud://u", ""}), "", "other/none ibm/provider-id open-cluster-management/api-group"},
		{"Tanzu", "v1.33.1+vmware.1", "", one(machine{"", "", "vsphere://u", "Photon"}), "", "tanzu/version vsphere/provider-id none/none"},
		{"Tanzu, its group", plain, "run.tanzu.vmware.com", one(machine{"", "", "vsphere://u", ""}), "", "tanzu/api-group vsphere/provider-id none/none"},
		{"k3s", "v1.33.1+k3s1", "", one(machine{"", "k3s.io/hostname", "k3s://n", ""}), "", "k3s/version local/provider-id none/none"},
		{"k3s on EC2", "v1.33.1+k3s1", "", one(machine{"", "k3s.io/hostname", "aws:///z/i", ""}), "", "k3s/version aws/provider-id none/none"},
		{"k3s, by its nodes", plain, "", one(machine{"", "k3s.io/hostname", "k3s://n", ""}), "", "k3s/node local/provider-id none/none"},
		{"RKE2 under Rancher", "v1.33.1+rke2r1", "management.cattle.io", one(machine{"", "", "rke2://n", ""}), "", "rke2/version other/provider-id rancher/api-group"},
		{"RKE2, imported into Rancher", plain, "", []machine{{"", "rke2.io/node-args", "", ""}, {"cattle.io/creator", "", "", ""}}, "", "rke2/node none/none rancher/node"},
		{"k0s by Cluster API", "v1.33.1+k0s", "", one(machine{"", "cluster.x-k8s.io/machine", "hcloud://1", ""}), "", "k0s/version hetzner/provider-id cluster-api/node"},
		{"Gardener", plain, "", one(machine{"worker.gardener.cloud/pool", "", "openstack:///u", "Garden Linux"}), "", "other/none openstack/provider-id gardener/node"},
		{"ACK", "v1.33.1-aliyun.1", "", one(machine{"", "", "alicloud://r.i", ""}), "", "ack/version alibaba/provider-id none/none"},
		{"IKS", "v1.33.1+IKS", "", one(machine{"", "", "ibm://a///c/w", ""}), "", "iks/version ibm/provider-id none/none"},
		{"DOKS", plain, "", one(machine{"doks.digitalocean.com/node-id", "", "digitalocean://1", "Debian"}), "", "doks/node digitalocean/provider-id none/none"},
		{"kOps", plain, "", one(machine{"kops.k8s.io/instancegroup", "", "aws:///z/i", ""}), "", "kops/node aws/provider-id none/none"},
		{"kURL", plain, "", one(machine{"kurl.sh/cluster", "", "", ""}), "", "kurl/node none/none none/none"},
		{"MicroK8s", plain, "", one(machine{"microk8s.io/cluster", "", "", "Ubuntu"}), "", "microk8s/node none/none none/none"},
		{"minikube", plain, "", one(machine{"minikube.k8s.io/version", "", "", "Buildroot"}), "", "minikube/node none/none none/none"},
		{"kind", plain, "", one(machine{"", "", "kind://docker/kind/n", "Debian"}), "", "kind/provider-id local/provider-id none/none"},
		{"Docker Desktop", plain, "", one(machine{"", "", "", "Docker Desktop"}), "", "docker-desktop/node none/none none/none"},
		{"Talos on metal", plain, "", one(machine{"", "", "", "Talos (v1.11)"}), "", "talos/node none/none none/none"},
		{"kubeadm", plain, "", one(machine{"", "", "", "Debian"}), "", "other/none none/none none/none"},
		{"somebody's own", "v1.33.1-acme", "", one(machine{"acme.example/node", "", "acme://n", "Acme"}), "", "other/none other/provider-id none/none"},
		{"most nodes are in Azure", plain, "", []machine{{providerID: "aws:///z/i"}, {providerID: "azure:///s/1"}, {providerID: "azure:///s/2"}}, "", "other/none azure/provider-id none/none"},
		{"no nodes", plain, "", nil, "", "other/none none/none none/none"},

		{"GKE, nodes forbidden", "v1.33.1-gke.200", "", one(machine{"cloud.google.com/gke-nodepool", "", "gce://p/z/n", ""}), "list nodes", "gke/version !forbidden/!forbidden !forbidden/!forbidden"},
		{"OpenShift under OCM, nodes forbidden", plain, "config.openshift.io operator.open-cluster-management.io", one(machine{"", "", "aws:///z/i", ""}), "list nodes", "openshift/api-group !forbidden/!forbidden open-cluster-management/api-group"},
		{"nothing shows, nodes forbidden", plain, "", one(machine{"kurl.sh/cluster", "", "aws:///z/i", ""}), "list nodes", "!forbidden/!forbidden !forbidden/!forbidden !forbidden/!forbidden"},
	}
	said := map[string]bool{} // verdicts, by metric
	verdict := func(t *testing.T, version, without string) string {
		found := collect(t, kube.Platform(l.client(t, l.reader(t, without, kube.Platform(nil)), versioned(version))))
		var words []string
		for _, metric := range []string{"platformDistribution", "platformCloud", "platformManager"} {
			said[metric+" "+found[metric]], said[metric+"Evidence "+found[metric+"Evidence"]] = true, true
			words = append(words, found[metric]+"/"+found[metric+"Evidence"])
		}
		return strings.Join(words, " ")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.build(t, slices.Concat(groups(strings.Fields(tt.groups)...), nodesOf(tt.machines...))...)
			if got := verdict(t, tt.version, tt.without); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	for providerID, cloud := range map[string]string{
		"aws:///z/i": "aws", "gce://p/z/n": "gcp", "azure:///s": "azure", "oci://i": "oci", "ocid1.instance.oc1": "oci",
		"digitalocean://1": "digitalocean", "linode://1": "linode", "hcloud://1": "hetzner", "openstack:///u": "openstack", "vsphere://u": "vsphere",
		"ibm://a///c/w": "ibm", "ibmcloud://u": "ibm", "alicloud://r.i": "alibaba", "scaleway://i": "scaleway", "vultr://i": "vultr",
		"equinixmetal://i": "equinix", "metal3://u": "bare-metal", "baremetalhost:///u": "bare-metal",
		"kind://docker/kind/n": "local", "k3s://n": "local", "minikube://n": "local", "acme://n": "other",
	} {
		t.Run(providerID, func(t *testing.T) {
			l.build(t, nodesOf(machine{providerID: providerID})...)
			if got := verdict(t, plain, ""); !strings.Contains(got, " "+cloud+"/provider-id ") {
				t.Errorf("%s, want the cloud %s", got, cloud)
			}
		})
	}
	for _, metric := range kube.Platform(nil).Metrics() {
		for _, word := range metric.Words {
			if !said[metric.Name+" "+word] {
				t.Errorf("no case leads to %s = %s", metric.Name, word)
			}
		}
	}
}
