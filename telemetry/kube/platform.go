// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The places where a platform shows, the surest first.
const (
	byGroup      = "api-group"
	byVersion    = "version"
	byNode       = "node"
	byProviderID = "provider-id"
	byNothing    = "none"
)

// A trait tells a platform by what some place holds.
type trait struct{ has, word string }

// Who made the cluster what it is, in the order in which the places are asked. The
// first that is found wins: a node of OpenShift has the labels of its cloud as well.
var (
	distributionGroups = []trait{
		{"auto.gke.io", "gke-autopilot"},
		{"config.openshift.io", "openshift"},
		{"run.tanzu.vmware.com", "tanzu"},
	}
	// Parts of the version of the API server.
	distributionVersions = []trait{
		{"-gke.", "gke"}, {"-eks-", "eks"}, {"+rke2", "rke2"}, {"+k3s", "k3s"}, {"+k0s", "k0s"}, {"+vmware", "tanzu"}, {"-aliyun", "ack"}, {"+IKS", "iks"},
	}
	// Labels and annotations of nodes; "/" at the end stands for a whole domain.
	distributionLabels = []trait{
		{"node.openshift.io/os_id", "openshift"},
		{"cloud.google.com/gke-nodepool", "gke"},
		{"container.googleapis.com/instance_id", "gke"},
		{"eks.amazonaws.com/nodegroup", "eks"},
		{"alpha.eksctl.io/", "eks"},
		{"kubernetes.azure.com/", "aks"},
		{"doks.digitalocean.com/", "doks"},
		{"kurl.sh/cluster", "kurl"},
		{"microk8s.io/cluster", "microk8s"},
		{"minikube.k8s.io/version", "minikube"},
		{"k3s.io/", "k3s"},
		{"rke2.io/", "rke2"},
		{"kops.k8s.io/", "kops"},
	}
	// Parts of the name of the nodes' operating system.
	distributionImages = []trait{{"Docker Desktop", "docker-desktop"}, {"Talos", "talos"}}
	// Schemes of the nodes' provider ID that say more than the cloud.
	distributionSchemes = []trait{{"kind", "kind"}, {"k3s", "k3s"}}

	// Whose machines these are, by the scheme of the nodes' provider ID.
	cloudSchemes = []trait{
		{"aws", "aws"},
		{"gce", "gcp"},
		{"azure", "azure"},
		{"oci", "oci"},
		{"ocid1", "oci"},
		{"digitalocean", "digitalocean"},
		{"linode", "linode"},
		{"hcloud", "hetzner"},
		{"openstack", "openstack"},
		{"vsphere", "vsphere"},
		{"ibm", "ibm"},
		{"ibmcloud", "ibm"},
		{"alicloud", "alibaba"},
		{"scaleway", "scaleway"},
		{"vultr", "vultr"},
		{"equinixmetal", "equinix"},
		{"metal3", "bare-metal"},
		{"baremetalhost", "bare-metal"},
		{"kind", "local"},
		{"k3s", "local"},
		{"minikube", "local"},
	}

	// What looks after the cluster from outside.
	managerGroups = []trait{
		{"management.cattle.io", "rancher"},
		{"operator.open-cluster-management.io", "open-cluster-management"},
		{"agent.open-cluster-management.io", "open-cluster-management"},
	}
	managerLabels = []trait{
		{"cluster.x-k8s.io/machine", "cluster-api"},
		{"worker.gardener.cloud/", "gardener"},
		{"cattle.io/creator", "rancher"},
	}
)

// Platform tells the distribution of Kubernetes, whose machines it runs on and what
// manages the cluster: three facts, each with the place where it shows. A program that
// may not list nodes still learns what discovery and the version give away.
func Platform(c *Client) *Provider {
	const question = "On which platforms do clusters run?"
	evidence := func(of string, words ...string) telemetry.PropertySpec {
		return technical(telemetry.PropertySpec{
			Name: "platform" + of + "Evidence", Type: telemetry.TypeEnum, Words: append(words, byNothing),
			Reason: "Tells how sure platform" + of + " is.", Question: question, Source: "where platform" + of + " shows",
		})
	}
	p := &Provider{name: "platform", rules: lists(nodes)}
	p.metrics = []telemetry.PropertySpec{
		technical(telemetry.PropertySpec{
			Name: "platformDistribution", Type: telemetry.TypeEnum, Words: words(other, distributionGroups, distributionVersions, distributionLabels, distributionImages, distributionSchemes),
			Reason: "Tells which distributions have to be tested.", Question: question,
			Source: "API groups and version of the server; labels, annotations, operating system and provider ID of up to 500 nodes",
		}),
		evidence("Distribution", byGroup, byVersion, byNode, byProviderID),
		technical(telemetry.PropertySpec{
			Name: "platformCloud", Type: telemetry.TypeEnum, Words: append(words(other, cloudSchemes), byNothing),
			Reason: "Tells which clouds have to be tested.", Question: question,
			Source: "scheme of spec.providerID of up to 500 nodes, the most frequent one; none where nodes have none",
		}),
		evidence("Cloud", byProviderID),
		technical(telemetry.PropertySpec{
			Name: "platformManager", Type: telemetry.TypeEnum, Words: append(words("", managerGroups, managerLabels), byNothing),
			Reason: "Tells with which managers of clusters the product has to get along.", Question: question,
			Source: "API groups of the server; labels and annotations of up to 500 nodes",
		}),
		evidence("Manager", byGroup, byNode),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		served, err := c.discover(ctx)
		if err != nil {
			return err
		}
		var server struct {
			GitVersion string `json:"gitVersion"`
		}
		if err := c.Get(ctx, "/version", &server); err != nil {
			return err
		}
		marks, err := readMarks(ctx, c)
		record := func(of, word, where string, unlessErr error) {
			if where == byNothing && unlessErr != nil { // what could not be read may say otherwise
				failAll(readings, unlessErr, "platform"+of, "platform"+of+"Evidence")
				return
			}
			readings.Word("platform"+of, word)
			readings.Word("platform"+of+"Evidence", where)
		}
		inVersion := func(part string) bool { return strings.Contains(server.GitVersion, part) }
		word, where := first(other,
			look{byGroup, distributionGroups, served.serves}, look{byVersion, distributionVersions, inVersion},
			look{byNode, distributionLabels, marks.hasLabel}, look{byNode, distributionImages, marks.hasImage},
			look{byProviderID, distributionSchemes, marks.isScheme})
		record("Distribution", word, where, err)
		none := other
		if marks.scheme == "" {
			none = byNothing
		}
		word, where = first(none, look{byProviderID, cloudSchemes, marks.isScheme})
		if word == other {
			where = byProviderID
		}
		record("Cloud", word, where, err)
		word, where = first(byNothing, look{byGroup, managerGroups, served.serves}, look{byNode, managerLabels, marks.hasLabel})
		record("Manager", word, where, err)
		return ctx.Err()
	}
	return p
}

// A look is one place to look for traits.
type look struct {
	where  string
	traits []trait
	has    func(string) bool
}

// first returns the word of the first trait that shows, and where.
func first(none string, looks ...look) (word, where string) {
	for _, l := range looks {
		for _, t := range l.traits {
			if l.has(t.has) {
				return t.word, l.where
			}
		}
	}
	return none, byNothing
}

// words returns the words of the traits, each once, and last if it is not "".
func words(last string, lists ...[]trait) []string {
	var all []string
	for _, list := range lists {
		for _, t := range list {
			if listedOr(all, t.word, "") == "" {
				all = append(all, t.word)
			}
		}
	}
	if last != "" {
		all = append(all, last)
	}
	return all
}

// marks are what nodes show of their platform.
type marks struct {
	labels map[string]bool // of the traits that are looked for
	images map[string]bool
	scheme string // of most provider IDs
}

func (m *marks) hasLabel(key string) bool  { return m.labels[key] }
func (m *marks) hasImage(part string) bool { return m.images[part] }
func (m *marks) isScheme(s string) bool    { return m.scheme == s }

// readMarks reads the first page of nodes: a platform shows on each of them.
func readMarks(ctx context.Context, c *Client) (*marks, error) {
	type node struct {
		Metadata objectMeta `json:"metadata"`
		Spec     struct {
			ProviderID string `json:"providerID"`
		} `json:"spec"`
		Status struct {
			NodeInfo struct {
				OSImage string `json:"osImage"`
			} `json:"nodeInfo"`
		} `json:"status"`
	}
	m, schemes := &marks{labels: map[string]bool{}, images: map[string]bool{}}, map[string]int{}
	_, err := page(ctx, c, nodePath, whole, pageSize, "", func(n *node) {
		for _, traits := range [][]trait{distributionLabels, managerLabels} {
			for _, t := range traits {
				m.labels[t.has] = m.labels[t.has] || hasKey(n.Metadata.Labels, t.has) || hasKey(n.Metadata.Annotations, t.has)
			}
		}
		for _, t := range distributionImages {
			m.images[t.has] = m.images[t.has] || strings.Contains(n.Status.NodeInfo.OSImage, t.has)
		}
		if scheme, _, ok := strings.Cut(n.Spec.ProviderID, ":"); ok {
			schemes[scheme]++
		} else if strings.HasPrefix(n.Spec.ProviderID, "ocid1.") {
			schemes["ocid1"]++
		}
	})
	if err != nil {
		return &marks{}, err
	}
	for scheme, n := range schemes {
		if most := schemes[m.scheme]; n > most || n == most && scheme < m.scheme {
			m.scheme = scheme
		}
	}
	return m, nil
}

// hasKey reports whether there is the key, or with "/" at the end one of that domain.
func hasKey(values map[string]string, key string) bool {
	if _, ok := values[key]; ok || !strings.HasSuffix(key, "/") {
		return ok
	}
	for k := range values {
		if strings.HasPrefix(k, key) {
			return true
		}
	}
	return false
}

// failAll records why the metrics have no value.
func failAll(readings *telemetry.Readings, err error, metrics ...string) {
	for _, metric := range metrics {
		readings.Fail(metric, err)
	}
}
