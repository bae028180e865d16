// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// explainsFailures breaks one thing after the other. `kubectl describe` of the pod and of the resource says what it is in
// one line, and so does an event; what can pass is tried again, and a mistake in the configuration is not.
func (p *product) explainsFailures(t *testing.T) {
	p.start(t, "seventh", "quokka-succeeds", "quokka-fails")
	t.Run("credentials of the bucket are wrong", func(t *testing.T) {
		p.patch(t, "secret/bucket", `{"stringData":{"AWS_SECRET_ACCESS_KEY":"another"}}`)
		p.explains(t, p.trigger(t, onlyOnce), batchv1.JobReasonBackoffLimitExceeded, "the credentials are not valid: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		p.patch(t, "secret/bucket", fmt.Sprintf(`{"stringData":{"AWS_SECRET_ACCESS_KEY":%q}}`, p.bucket.SecretKey))
	})
	t.Run("the configuration is wrong, which is not tried again", func(t *testing.T) {
		p.patch(t, "configmap/results-ca", `{"data":{"ca.crt":"none"}}`)
		job := p.trigger(t)
		p.explains(t, job, batchv1.JobReasonPodFailurePolicy, "read the CA of Tekton Results: the file holds no PEM certificate")
		if pods := p.pods(t, job); len(pods) != 1 {
			t.Errorf("it was tried %d times", len(pods))
		}
		p.patch(t, "configmap/results-ca", fmt.Sprintf(`{"data":{"ca.crt":%q}}`, p.results.CA))
	})
	t.Run("the address of Segment is wrong, which is tried again", func(t *testing.T) {
		p.patch(t, "konflux/konflux", fmt.Sprintf(`{"spec":{"telemetry":{"spec":{"segmentAPIURL":%q}}}}`, p.segment.URL+"/nowhere"))
		Eventually(t, time.Minute, func() error {
			if got := p.Kubectl(t, "get", "cronjob", "-n", "segment-bridge", "segment-bridge", "-o", "yaml"); !strings.Contains(got, "/nowhere") {
				return fmt.Errorf("the CronJob has another address")
			}
			return nil
		})
		job := p.trigger(t, `{"spec":{"backoffLimit":1}}`)
		p.explains(t, job, batchv1.JobReasonBackoffLimitExceeded, "deliver to Segment: HTTP 404: check the endpoint")
		if pods := p.pods(t, job); len(pods) != 2 {
			t.Errorf("it was tried %d times", len(pods))
		}
		p.patch(t, "konflux/konflux", fmt.Sprintf(`{"spec":{"telemetry":{"spec":{"segmentAPIURL":%q}}}}`, p.segment.URL))
	})
	t.Run("rights are missing", func(t *testing.T) {
		// With the operator about, the binding would be back at once.
		p.noteOperator(t)
		p.Kubectl(t, "scale", "-n", "segment-bridge-operator", "deployment/segment-bridge-operator", "--replicas=0")
		p.Kubectl(t, "wait", "-n", "segment-bridge-operator", "--for=delete", "pod", "--all", "--timeout=60s")
		p.Kubectl(t, "delete", "clusterrolebinding", "segment-bridge")
		job := p.trigger(t)
		p.Kubectl(t, "wait", "-n", "segment-bridge", "--for=condition=Complete", "--timeout=60s", "job/"+job)
		p.Kubectl(t, "scale", "-n", "segment-bridge-operator", "deployment/segment-bridge-operator", "--replicas=1")
		pods := p.awaitJob(t, job, "")
		// The run did what it could without them: it is no failure, and what it lacked is read by the next.
		p.awaitConditions(t, "Degraded=True/SourcesUnreadable")
		p.says(t, pods, "grant this account a ClusterRole that allows to list pipelineruns.tekton.dev", "the last run could not read: kube/components, kube/konfluxes, kube/namespaces, kube/pipelineruns, results")
		p.Await(t, "segment-bridge-operator", "segment-bridge-operator")
	})
}

// explains wants a job to have failed for this reason, and everybody to say why.
func (p *product) explains(t *testing.T, job, reason, why string) {
	t.Helper()
	pods := p.awaitJob(t, job, reason)
	p.awaitConditions(t, "LastRunSucceeded=False/Failed")
	p.says(t, pods, why, why)
}

// says wants `kubectl describe` of a job's last pod, and of the resource, to say on one line each what was wrong, and the
// latter by an event too.
func (p *product) says(t *testing.T, pods []corev1.Pod, pod, resource string) {
	t.Helper()
	last := pods[len(pods)-1]
	text := p.Kubectl(t, "describe", "pod", "-n", last.Namespace, last.Name)
	if line := lineWith(text, "Message:", pod); line == "" {
		t.Errorf("the pod does not say %q:\n%s", pod, text)
	} else {
		t.Logf("pod: %s", line)
	}
	Eventually(t, time.Minute, func() error { // the event comes after the condition
		text = p.Kubectl(t, "describe", "segmentbridge", "segment-bridge")
		if lineWith(text, "Message:", resource) == "" || lineWith(text, "Warning", resource) == "" {
			return fmt.Errorf("the resource does not say %q, or no event does:\n%s", resource, text)
		}
		return nil
	})
	t.Logf("resource: %s", lineWith(text, "Message:", resource))
}

// lineWith returns the first line of a text that has all the words.
func lineWith(text string, words ...string) string {
	for line := range strings.Lines(text) {
		has := true
		for _, word := range words {
			has = has && strings.Contains(line, word)
		}
		if has {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// toldOfAll lets all runs end and be deleted, triggers the job a last time, and looks at all that anybody could read.
func (p *product) toldOfAll(t *testing.T) {
	p.runs.await(t, 2*time.Minute, "stored and deleted", func(r pipelineRun) bool { return r.deleted })
	p.run(t)
	p.awaitConditions(t, "Ready=True/Installed", "Degraded=False/AsExpected", "LastRunSucceeded=True/Succeeded")
	p.check(t)

	p.noteOperator(t)
	p.hasNoName(t, "what our containers wrote", []byte(p.said.String()))
	for _, namespace := range []string{"segment-bridge", "segment-bridge-operator", "default"} {
		p.hasNoName(t, "the events in namespace "+namespace, []byte(p.Kubectl(t, "get", "events", "-n", namespace, "-o", "yaml")))
	}
	p.hasNoName(t, "the resource", []byte(p.Kubectl(t, "get", "segmentbridge", "segment-bridge", "-o", "yaml")))
	for _, name := range []string{"window", "extract", "transform", "load", "operator"} {
		m, seen := p.peaks[name]
		if !seen {
			t.Errorf("the memory of %s was not seen", name)
		}
		t.Logf("memory of %-10s %5.1f MiB at its peak, of %3d", name, float64(m.Peak)/(1<<20), m.Limit>>20)
	}
}
