// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/canary"
)

// Objects with a name of its own for each §, wherever such an object can hold one.
const (
	canaryNamespace = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NAMESPACE","labels":{"konflux-ci.dev/type":"tenant","§.example.com/team":"§"},
		"annotations":{"openshift.io/display-name":"Team §","openshift.io/requester":"§","contact":"§@mail.example.com"}}}`

	canaryComponent = `{"apiVersion":"appstudio.redhat.com/v1alpha1","kind":"Component","metadata":{"namespace":"NAMESPACE","name":"§","labels":{"team":"§"},
		"annotations":{"build.appstudio.openshift.io/status":"{\"pac\":{\"merge-url\":\"https://git.example.com/§/pull/1\"}}","git-provider-url":"https://§.example.com"},
		"ownerReferences":[{"apiVersion":"appstudio.redhat.com/v1alpha1","kind":"Application","name":"§","uid":"c0ffee00-0000-4000-8000-000000000000"}]},
		"spec":{"application":"§","componentName":"§","containerImage":"registry.example.com/§/image:§","secret":"§","source":{"git":{"url":"https://git.example.com/§/repo",
		"revision":"§","context":"./§","dockerfileUrl":"§/Containerfile"}},"build-nudges-ref":["§"]},
		"status":{"lastBuiltCommit":"§","lastPromotedImage":"registry.example.com/§","conditions":[{"type":"Created","status":"True","lastTransitionTime":"WHEN","reason":"§","message":"§ was created"}]}}`

	canaryRun = `{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"namespace":"NAMESPACE","name":"§","uid":"UID","creationTimestamp":"WHEN",
		"finalizers":["§.example.com/keep"],"ownerReferences":[{"apiVersion":"appstudio.redhat.com/v1alpha1","kind":"Snapshot","name":"§","uid":"c0ffee00-0000-4000-8000-000000000001"}],
		"labels":{"tekton.dev/pipeline":"§","pipelines.appstudio.openshift.io/type":"§","appstudio.openshift.io/component":"§","appstudio.openshift.io/application":"§",
		"pipelinesascode.tekton.dev/sender":"§","pipelinesascode.tekton.dev/repository":"§","pipelinesascode.tekton.dev/url-org":"§","§.example.com/key":"§"},
		"annotations":{"pipelinesascode.tekton.dev/sha-title":"§ fixes §","pipelinesascode.tekton.dev/repo-url":"https://user:§@git.example.com/§","pipelinesascode.tekton.dev/sender":"§",
		"pipelinesascode.tekton.dev/branch":"§","pipelinesascode.tekton.dev/log-url":"https://console.example.com/ns/§","chains.tekton.dev/signed":"§","author":"§@mail.example.com","§":"x",
		"results.tekton.dev/record":"NAMESPACE/results/§/records/§"}},
		"spec":{"pipelineRef":{"resolver":"git","params":[{"name":"url","value":"https://git.example.com/§"},{"name":"pathInRepo","value":"§.yaml"}]},
		"params":[{"name":"§","value":"§"},{"name":"git-url","value":"https://git.example.com/§/§?rev=§"},{"name":"list","value":["§","§"]},{"name":"object","value":{"§":"§"}}],
		"taskRunTemplate":{"serviceAccountName":"§","podTemplate":{"nodeSelector":{"§":"§"},"imagePullSecrets":[{"name":"§"}],"hostAliases":[{"ip":"192.0.2.1","hostnames":["§.example.com"]}]}},
		"workspaces":[{"name":"§","secret":{"secretName":"§"}},{"name":"§","persistentVolumeClaim":{"claimName":"§"}}],"timeouts":{"pipeline":"1h"}},
		"status":{"startTime":"WHEN","completionTime":"LATER","conditions":[{"type":"Succeeded","status":"STATUS","lastTransitionTime":"LATER","reason":"§","message":"task § of § failed: \"step-§\" exited with code 1 (image: registry.example.com/§@sha256:0); see §@mail.example.com"}],
		"childReferences":[{"apiVersion":"tekton.dev/v1","kind":"TaskRun","name":"§","pipelineTaskName":"§","displayName":"§","whenExpressions":[{"input":"§","operator":"in","values":["§"]}]}],
		"skippedTasks":[{"name":"§","reason":"§"}],"results":[{"name":"§","value":"§"},{"name":"IMAGE_URL","value":"registry.example.com/§:§"}],
		"pipelineSpec":{"description":"§","params":[{"name":"§","default":"§","type":"string"}],"tasks":[{"name":"§","taskRef":{"name":"§"},"runAfter":["§"],
		"taskSpec":{"steps":[{"name":"§","image":"registry.example.com/§","script":"echo §","env":[{"name":"§","value":"§"}]}],"sidecars":[{"name":"§","image":"§"}]}}],"finally":[{"name":"§","taskRef":{"name":"§"}}],
		"workspaces":[{"name":"§"}]},"provenance":{"refSource":{"uri":"git+https://git.example.com/§","digest":{"sha1":"§"},"entryPoint":"§.yaml"}},
		"spanContext":{"traceparent":"§"}}}`

	canaryNode = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"§","labels":{"kubernetes.io/arch":"amd64","kubernetes.io/os":"linux","kubernetes.io/hostname":"§","topology.kubernetes.io/zone":"§","§.example.com/pool":"§"},
		"annotations":{"machine":"§","cluster.x-k8s.io/cluster-name":"§"}},"spec":{"providerID":"aws:///§/i-§","taints":[{"key":"§.example.com/only","value":"§","effect":"NoSchedule"}]},
		"status":{"addresses":[{"type":"Hostname","address":"§"}],"nodeInfo":{"architecture":"amd64","operatingSystem":"linux","osImage":"§ Linux","kernelVersion":"6.1-§","kubeletVersion":"v1.34.0",
		"containerRuntimeVersion":"§://1","machineID":"§","bootID":"§","systemUUID":"§","kubeProxyVersion":""},"images":[{"names":["registry.example.com/§"],"sizeBytes":1}]}}`

	canaryService = `{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"NAMESPACE","name":"§","labels":{"app":"§"},"annotations":{"§":"§","konghq.com/host-header":"§.example.com"}},
		"spec":{"selector":{"app":"§"},"ports":[{"name":"§","port":80,"appProtocol":"§.example.com/proto"}]}}`
	canaryExternal = `{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"NAMESPACE","name":"§"},"spec":{"type":"ExternalName","externalName":"§.example.com"}}`

	canaryIngress = `{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"namespace":"NAMESPACE","name":"§","annotations":{"konghq.com/plugins":"§,§","§":"§"}},"spec":{"ingressClassName":"§","tls":[{"hosts":["§.example.com"],"secretName":"§"}],
		"rules":[{"host":"§.example.com","http":{"paths":[{"path":"/§","pathType":"Prefix","backend":{"service":{"name":"§","port":{"name":"§"}}}}]}}]}}`
	canaryClass = `{"apiVersion":"networking.k8s.io/v1","kind":"IngressClass","metadata":{"name":"§","annotations":{"§":"§"}},"spec":{"controller":"§.example.com/controller","parameters":{"kind":"§","name":"§"}}}`

	canaryPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"NAMESPACE","name":"§","labels":{"app":"§"},"annotations":{"sidecar.istio.io/status":"§"}},"spec":{"nodeName":"§","automountServiceAccountToken":false,"containers":[{"name":"§","image":"registry.example.com/§:§","env":[{"name":"A","value":"§"}]}]}}`

	canaryAccount = `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"namespace":"NAMESPACE","name":"default","annotations":{"§":"§"}},"imagePullSecrets":[{"name":"§"}]}`

	canaryKonflux = `{"metadata":{"labels":{"§":"§"},"annotations":{"owner":"§@mail.example.com","§":"§"}},"spec":{"integrationService":{"spec":{"consoleURL":"https://§.example.com"}},
		"ui":{"spec":{"dex":{"config":{"hostname":"§.example.com","connectors":[{"name":"§","id":"§","config":{"clientID":"§","clientSecret":"§"}}]},"ingress":{"host":"§"}}}},"imageController":{"quay":{"organization":"§"}}}}`
	canaryKonfluxStatus = `{"status":{"uiURL":"https://§.example.com","components":[{"name":"§","ready":false}],"conditions":[{"type":"Ready","status":"False","lastTransitionTime":"WHEN","reason":"§","message":"§ is not ready: § in namespace §"},
		{"type":"§","status":"True","lastTransitionTime":"WHEN","reason":"§","message":"§"}]}}`

	// A run that cannot be understood, which is to be said without repeating any of it.
	canaryBroken = `{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{"namespace":"NAMESPACE","name":"§","uid":"UID","labels":{"a":"§"}},
		"status":{"startTime":"§","completionTime":"§","conditions":[{"type":"Succeeded","status":"§","reason":"§"}]}}`
)

// A flock is objects full of canaries.
type flock struct {
	canary.Plants
	namespaces []string
	teams      [][]byte // namespaces and what a controller makes in each, without which there can be no pod
	inCluster  [][]byte
	stored     [][]byte // in Tekton Results
	count      int
}

// newFlock makes up at least a thousand names. What happened in the objects' lives lies within the last hours.
func newFlock(now time.Time) *flock {
	f := &flock{}
	for range 6 {
		namespace := f.Name("the name of a namespace")
		f.namespaces = append(f.namespaces, namespace)
		f.teams = append(f.teams, f.object(now, namespace, canaryNamespace), f.object(now, namespace, canaryAccount))
		f.add(now, namespace, canaryComponent, canaryRun, canaryService, canaryExternal, canaryIngress, canaryPod)
	}
	f.add(now, f.namespaces[0], canaryNode, canaryNode, canaryClass, canaryRun, canaryRun)
	for _, text := range []string{canaryRun, canaryBroken, canaryRun, canaryBroken} {
		f.stored = append(f.stored, f.object(now, f.namespaces[1], text))
	}
	return f
}

func (f *flock) add(now time.Time, namespace string, texts ...string) {
	for _, text := range texts {
		f.inCluster = append(f.inCluster, f.object(now, namespace, text))
	}
}

func (f *flock) object(now time.Time, namespace, text string) []byte {
	f.count++
	status := [2]string{"True", "False"}[f.count%2]
	return []byte(f.Plant(strings.NewReplacer(
		"NAMESPACE", namespace, "UID", fmt.Sprintf("ca9a0000-0000-4000-8000-%012d", f.count), "STATUS", status,
		"WHEN", now.Add(-2*time.Hour).Format(time.RFC3339), "LATER", now.Add(-time.Hour).Format(time.RFC3339),
	).Replace(text)))
}
