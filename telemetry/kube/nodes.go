// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	nodes            = kind{"", "nodes"}
	architectures    = []string{"amd64", "arm64", "arm", "386", "ppc64le", "riscv64", "s390x"}
	operatingSystems = []string{"linux", "windows"}
	skews            = []string{"newer", "same", "behind1", "behind2", "behind3", "older"}
)

const nodePath = "/api/v1/nodes"

// Nodes tells how many nodes there are, on which architectures and operating systems.
// It reads their labels.
func Nodes(c *Client) *Provider {
	const labels = "labels kubernetes.io/arch and kubernetes.io/os of the nodes"
	p := &Provider{name: "nodes", rules: lists(nodes)}
	p.metrics = []telemetry.PropertySpec{
		technical(telemetry.PropertySpec{
			Name: "nodeCount", Type: telemetry.TypeInteger, Buckets: telemetry.Scale(5_000),
			Reason: "Tells which sizes of clusters have to be tested.", Question: "How large are the clusters?", Source: "number of nodes",
		}),
		technical(telemetry.PropertySpec{
			Name: "nodeArchitectures", Type: telemetry.TypeCounts, Words: withOther(architectures), Buckets: telemetry.Scale(5_000),
			Reason: "Tells which architectures to build for.", Question: "On which architectures are the clusters?", Source: labels,
		}),
		technical(telemetry.PropertySpec{
			Name: "nodeOperatingSystems", Type: telemetry.TypeCounts, Words: withOther(operatingSystems), Buckets: telemetry.Scale(5_000),
			Reason: "Tells which operating systems to build for.", Question: "On which operating systems are the clusters?", Source: labels,
		}),
		technical(telemetry.PropertySpec{
			Name: "mixedArchitectures", Type: telemetry.TypeBoolean,
			Reason: "Tells whether images must be there for several architectures at once.", Question: "On which architectures are the clusters?", Source: labels,
		}),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		type tally struct {
			nodes       int64
			arches, oss map[string]int64
		}
		t, err := fold(ctx, c, nodePath, metadata, func(t *tally, node *object) {
			if t.nodes == 0 {
				t.arches, t.oss = map[string]int64{}, map[string]int64{}
			}
			t.nodes++
			t.arches[listedOr(architectures, node.Metadata.Labels["kubernetes.io/arch"], other)]++
			t.oss[listedOr(operatingSystems, node.Metadata.Labels["kubernetes.io/os"], other)]++
		})
		if err != nil {
			return err
		}
		readings.Integer("nodeCount", t.nodes)
		readings.Counts("nodeArchitectures", t.arches)
		readings.Counts("nodeOperatingSystems", t.oss)
		readings.Boolean("mixedArchitectures", len(t.arches) > 1)
		return nil
	}
	return p
}

// Versions tells the versions of Kubernetes and OpenShift, how far the kubelets are
// behind, and the architecture of the API server. What a vendor appends to a version is
// left out: it can single a cluster out.
func Versions(c *Client) *Provider {
	p := &Provider{name: "versions", rules: append(lists(nodes), clusterVersions.rule("get", "version"))}
	p.metrics = []telemetry.PropertySpec{
		technical(telemetry.PropertySpec{
			Name: "kubernetesVersion", Type: telemetry.TypeVersion,
			Reason: "Tells which releases of Kubernetes have to be supported.", Question: "Which versions do clusters run?",
			Source: "/version of the API server, without what its vendor appends",
		}),
		technical(telemetry.PropertySpec{
			Name: "openShiftVersion", Type: telemetry.TypeVersion,
			Reason: "Tells which releases of OpenShift have to be supported.", Question: "Which versions do clusters run?",
			Source: "status.desired.version of ClusterVersion version (config.openshift.io)",
		}),
		technical(telemetry.PropertySpec{
			Name: "controlPlaneArchitecture", Type: telemetry.TypeEnum, Words: withOther(architectures),
			Reason: "Tells which architectures to build for.", Question: "On which architectures are the clusters?",
			Source: "/version of the API server",
		}),
		technical(telemetry.PropertySpec{
			Name: "kubeletSkew", Type: telemetry.TypeCounts, Words: withOther(skews), Buckets: telemetry.Scale(5_000),
			Reason: "Tells which mixtures of versions have to be tested.", Question: "How far are nodes behind the API server?",
			Source: "status.nodeInfo.kubeletVersion of the nodes: minor versions behind the API server",
		}),
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		readOpenShift(ctx, c, readings)
		var server struct {
			GitVersion string `json:"gitVersion"`
			Platform   string `json:"platform"`
		}
		if err := c.Get(ctx, "/version", &server); err != nil {
			return err
		}
		if v, err := telemetry.ParseRelease(server.GitVersion); err == nil {
			readings.Version("kubernetesVersion", v)
		}
		_, arch, _ := strings.Cut(server.Platform, "/")
		readings.Word("controlPlaneArchitecture", listedOr(architectures, arch, other))
		if !readings.Wants("kubeletSkew") {
			return nil
		}
		type node struct {
			Status struct {
				NodeInfo struct {
					KubeletVersion string `json:"kubeletVersion"`
				} `json:"nodeInfo"`
			} `json:"status"`
		}
		skew, err := fold(ctx, c, nodePath, whole, func(skew *map[string]int64, n *node) {
			if *skew == nil {
				*skew = map[string]int64{}
			}
			(*skew)[skewOf(server.GitVersion, n.Status.NodeInfo.KubeletVersion)]++
		})
		if err != nil {
			return err
		}
		readings.Counts("kubeletSkew", skew)
		return nil
	}
	return p
}

var clusterVersions = kind{"config.openshift.io", "clusterversions"}

func readOpenShift(ctx context.Context, c *Client, readings *telemetry.Readings) {
	const metric = "openShiftVersion"
	var version struct {
		Status struct {
			Desired struct {
				Version string `json:"version"`
			} `json:"desired"`
		} `json:"status"`
	}
	// The group first: without it, who may not read it would be told that it is forbidden.
	served, err := c.discover(ctx)
	if err == nil {
		var path string
		if path, _, err = served.find(ctx, clusterVersions); err == nil {
			err = c.Get(ctx, path+"/version", &version)
		}
	}
	var v telemetry.Version
	if err == nil {
		v, err = telemetry.ParseRelease(version.Status.Desired.Version)
	}
	if err != nil {
		readings.Fail(metric, err)
		return
	}
	readings.Version(metric, v)
}

// skewOf returns how far a kubelet is behind the server.
func skewOf(server, kubelet string) string {
	s, ok := minor(server)
	k, known := minor(kubelet)
	if !ok || !known {
		return other
	}
	switch behind := s - k; {
	case behind < 0:
		return "newer"
	case behind > 3:
		return "older"
	default:
		return skews[1+behind]
	}
}

// minor returns 29 for "v1.29.3-eks-1"; all of Kubernetes is version 1.
func minor(version string) (int, bool) {
	rest, ok := strings.CutPrefix(version, "v1.")
	digits, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(cmp.Or(digits, "-"))
	return n, ok && err == nil
}
