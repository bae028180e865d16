// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	replicaSets  = kind{"apps", "replicasets"}
	deployments  = kind{"apps", "deployments"}
	statefulSets = kind{"apps", "statefulsets"}

	// workloads are the kinds that a pod may belong to, by their name in an owner reference.
	workloads = map[string]kind{"ReplicaSet": replicaSets, "Deployment": deployments, "DaemonSet": daemonSets, "StatefulSet": statefulSets}

	workloadWords  = []string{"deployment", "daemonset", "statefulset"}
	packagingWords = []string{"olm", "kong-operator", "helm", "kustomize", "kubectl", "terraform", "pulumi", "unknown"}
	toolWords      = []string{"argo-cd", "flux", "fleet", byNothing}
)

// Deployment tells how the program was installed: by which packaging and by which GitOps
// tool, which are two things, and from which version of its chart. It follows the owners
// of the program's own pod, whose namespace and name the downward API tells.
//
// The installation is named by a pseudonym of its owner's UID: two installations in one
// cluster are two, and replicas are one.
func Deployment(c *Client, namespace, pod string) *Provider {
	const question = "How is the product deployed?"
	p := &Provider{name: "deployment", rules: []Rule{pods.rule("get"), replicaSets.rule("get"), deployments.rule("get"), daemonSets.rule("get"), statefulSets.rule("get")}}
	p.metrics = []telemetry.PropertySpec{
		{
			Name: "installation", Type: telemetry.TypePseudonym, Sensitivity: telemetry.SensitivityPseudonym, Since: since,
			Reason: "Tells several installations in a cluster apart.", Question: "How many installations are there?", Source: "UID of the workload that the program's pod belongs to, as a hash",
		},
		technical(telemetry.PropertySpec{
			Name: "deploymentWorkload", Type: telemetry.TypeEnum, Words: withOther(workloadWords),
			Reason: "Tells which ways to run the product have to be tested.", Question: question, Source: "kind of the workload that the program's pod belongs to",
		}),
		technical(telemetry.PropertySpec{
			Name: "deploymentPackaging", Type: telemetry.TypeEnum, Words: withOther(packagingWords),
			Reason: "Tells which ways to install the product have to be tested.", Question: question,
			Source: "labels, annotations and first manager of the program's pod and workload",
		}),
		technical(telemetry.PropertySpec{
			Name: "deploymentTool", Type: telemetry.TypeEnum, Words: toolWords,
			Reason: "Tells which tools the manifests have to get along with.", Question: question,
			Source: "labels and annotations of the program's pod and workload",
		}),
		technical(telemetry.PropertySpec{
			Name: "deploymentChartVersion", Type: telemetry.TypeVersion,
			Reason: "Tells which versions of the chart have to be supported.", Question: question, Source: "version in label helm.sh/chart of the program's workload; absent without one",
		}),
		technical(telemetry.PropertySpec{
			Name: "deploymentRestartCount", Type: telemetry.TypeInteger, Unit: "restarts", Buckets: telemetry.Scale(1_000),
			Reason: "Tells programs that run well from those that keep failing.", Question: "How does the product perform?", Source: "sum of restartCount in status.containerStatuses of the program's pod",
		}),
		{
			Name: "deploymentLastChangeSeconds", Type: telemetry.TypeInteger, Unit: "seconds", Buckets: ages(), Sensitivity: telemetry.SensitivityActivity, Since: since,
			Reason: "Tells how soon people upgrade.", Question: question, Source: "newest time in metadata.managedFields of the program's workload, changes of status aside",
		},
	}
	p.collect = func(ctx context.Context, readings *telemetry.Readings) error {
		top, word, marks, restarts, err := owners(ctx, c, namespace, pod)
		if err != nil {
			return err
		}
		readings.Name("installation", top.UID)
		readings.Word("deploymentWorkload", word)
		readings.Word("deploymentPackaging", packaging(marks, top))
		readings.Word("deploymentTool", tool(marks))
		v, err := chartVersion(top.Labels["helm.sh/chart"])
		if err != nil {
			readings.Fail("deploymentChartVersion", err)
		} else {
			readings.Version("deploymentChartVersion", v)
		}
		readings.Integer("deploymentRestartCount", restarts)
		if changed := top.changed(); changed.IsZero() {
			readings.Fail("deploymentLastChangeSeconds", fs.ErrNotExist)
		} else {
			readings.Integer("deploymentLastChangeSeconds", age(changed))
		}
		return nil
	}
	return p
}

// maxOwners is how many owners are followed: pod, ReplicaSet, Deployment.
const maxOwners = 3

// owners returns the object at the top of those that the pod belongs to, the word for
// its kind, the metadata of all on the way, and how often the pod was restarted.
func owners(ctx context.Context, c *Client, namespace, name string) (top objectMeta, word string, marks []objectMeta, restarts int64, err error) {
	k, word := pods, other
	for range maxOwners {
		root := "/apis/" + k.group + "/v1"
		if k.group == "" {
			root = "/api/v1"
		}
		var o struct {
			object
			Status struct {
				Containers []struct {
					Restarts int64 `json:"restartCount"`
				} `json:"containerStatuses"`
			} `json:"status"`
		}
		if err := c.Get(ctx, root+"/namespaces/"+url.PathEscape(namespace)+"/"+k.resource+"/"+url.PathEscape(name), &o); err != nil {
			return top, "", nil, 0, err
		}
		for _, container := range o.Status.Containers {
			restarts += container.Restarts
		}
		top, marks = o.Metadata, append(marks, o.Metadata)
		word = listedOr(workloadWords, strings.TrimSuffix(k.resource, "s"), other)
		next := kind{}
		for _, owner := range o.Metadata.OwnerReferences {
			if owned, known := workloads[owner.Kind]; known && owner.Controller {
				next, name = owned, owner.Name
			}
		}
		if next == (kind{}) {
			break
		}
		k = next
	}
	return top, word, marks, restarts, nil
}

// marked reports whether any of the objects has a label or annotation with that key, or
// with "/" at the end one of that domain.
func marked(marks []objectMeta, key string) bool {
	for _, m := range marks {
		if hasKey(m.Labels, key) || hasKey(m.Annotations, key) {
			return true
		}
	}
	return false
}

func packaging(marks []objectMeta, top objectMeta) string {
	switch {
	case marked(marks, "olm.owner"), marked(marks, "operators.coreos.com/"):
		return "olm"
	case marked(marks, "gateway-operator.konghq.com/managed-by"):
		return "kong-operator"
	case marked(marks, "meta.helm.sh/release-name"), marked(marks, "helm.sh/chart"), top.Labels["app.kubernetes.io/managed-by"] == "Helm":
		return "helm"
	case marked(marks, "kustomize.toolkit.fluxcd.io/name"), strings.HasPrefix(top.Labels["app.kubernetes.io/managed-by"], "kustomize-"):
		return "kustomize"
	}
	for _, f := range top.ManagedFields {
		if f.Subresource != "" {
			continue
		}
		for _, t := range []trait{
			{"kubectl", "kubectl"}, {"helm", "helm"}, {"kustomize", "kustomize"}, {"terraform", "terraform"}, {"hashicorp", "terraform"}, {"pulumi", "pulumi"},
		} {
			if strings.HasPrefix(strings.ToLower(f.Manager), t.has) {
				return t.word
			}
		}
		return other // the first manager is the one that made it
	}
	return "unknown"
}

func tool(marks []objectMeta) string {
	switch {
	case marked(marks, "argocd.argoproj.io/"):
		return "argo-cd"
	case marked(marks, "helm.toolkit.fluxcd.io/name"), marked(marks, "kustomize.toolkit.fluxcd.io/name"):
		return "flux"
	case marked(marks, "fleet.cattle.io/"), marked(marks, "objectset.rio.cattle.io/"):
		return "fleet"
	default:
		return byNothing
	}
}

// chartVersion reads the version of "name-1.2.3"; the name may hold dashes as well, and
// the version what is not said of it: that is left out.
func chartVersion(chart string) (telemetry.Version, error) {
	if chart == "" {
		return telemetry.Version{}, fmt.Errorf("find the version of the chart: there is no chart: %w", fs.ErrNotExist)
	}
	for at := 0; at < len(chart); at++ {
		if chart[at] != '-' {
			continue
		}
		if v, err := telemetry.ParseRelease(chart[at+1:]); err == nil && strings.Contains(v.String(), ".") {
			return v, nil
		}
	}
	return telemetry.ParseVersion("")
}
