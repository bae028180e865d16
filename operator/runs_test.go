// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func jobThat(kind batchv1.JobConditionType, reason string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "j", OwnerReferences: []metav1.OwnerReference{{Kind: kindCronJob, Name: "segment-bridge", Controller: new(true)}}},
		Status:     batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.NewTime(noon)}}},
	}
}

func terminated(name string, code int32, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}}
}

func TestOutcome(t *testing.T) {
	for _, test := range []struct {
		name       string
		job        *batchv1.Job
		containers []corev1.ContainerStatus // of the last of two pods
		want       string
	}{
		{"no pods", jobThat(batchv1.JobComplete, ""), nil, "true 0 0 0 0 []"},
		{"no pods of a failure", jobThat(batchv1.JobFailed, "BackoffLimitExceeded"), nil, "false 0 0 0 0 [] the run failed, and its pods are gone: look at the log of the next"},
		{"too long", jobThat(batchv1.JobFailed, "DeadlineExceeded"), nil, "false 0 0 0 0 [] the run took too long and was ended"},
		{
			"two destinations", jobThat(batchv1.JobComplete, ""),
			[]corev1.ContainerStatus{terminated("load", 0, "Completed", `{"destinations":[{"delivered":3,"pending":1},{"delivered":4,"rejected":2}],"seconds":1.5}`)},
			"true 0 7 2 1 []",
		},
		{
			"out of memory", jobThat(batchv1.JobFailed, ""),
			[]corev1.ContainerStatus{terminated("extract", 137, "OOMKilled", "")},
			"false 0 0 0 0 [] extract ran out of memory: raise spec.job.resources.extract",
		},
		{
			"cut off", jobThat(batchv1.JobFailed, ""),
			[]corev1.ContainerStatus{terminated("load", 1, "Error", `{"command":"load","error":"canary`)},
			"false 0 0 0 0 [] load ended with exit code 1",
		},
		{
			"a log", jobThat(batchv1.JobFailed, ""),
			[]corev1.ContainerStatus{terminated("window", 1, "Error", `{"level":"WARN","msg":"endpoint is http"}`+"\n"+`{"level":"ERROR","msg":"ended with an error","error":"list manifests: HTTP 403"}`+"\n")},
			"false 0 0 0 0 [] window: list manifests: HTTP 403",
		},
		{
			"sources twice", jobThat(batchv1.JobComplete, ""),
			[]corev1.ContainerStatus{terminated("extract", 0, "", `{"degraded":["results","kube/components","results","<b>"]}`)},
			"true 0 0 0 0 [kube/components results]",
		},
	} {
		pods := []corev1.Pod{
			{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(noon)}, Status: corev1.PodStatus{ContainerStatuses: test.containers}},
			{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))}, Status: corev1.PodStatus{
				ContainerStatuses: []corev1.ContainerStatus{terminated("load", 1, "", `{"error":"an earlier try","destinations":[{"delivered":1000}]}`)},
			}},
		}
		if test.containers == nil {
			pods = nil
		}
		run := outcome(test.job, pods)
		if got := strings.TrimSpace(fmt.Sprintln(run.Succeeded, run.Staged, run.Delivered, run.Rejected, run.Pending, run.Degraded, run.Message)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNewest(t *testing.T) {
	running := jobThat(batchv1.JobSuspended, "")
	maintenance := jobThat(batchv1.JobComplete, "")
	maintenance.OwnerReferences[0].Name = "segment-bridge-maintenance"
	alone := jobThat(batchv1.JobComplete, "")
	alone.OwnerReferences = nil
	if got := newest([]batchv1.Job{*running, *maintenance, *alone}); got != nil {
		t.Errorf("%s is taken for a run", got.Name)
	}
	late := jobThat(batchv1.JobFailed, "")
	late.Status.Conditions[0].LastTransitionTime = metav1.NewTime(noon.Add(time.Minute))
	late.Name = "late"
	if got := newest([]batchv1.Job{*jobThat(batchv1.JobComplete, ""), *late, *jobThat(batchv1.JobComplete, "")}); got.Name != "late" {
		t.Errorf("newest is %s", got.Name)
	}
	if isNews(&v1alpha1.LastRun{Finished: ended(late)}, jobThat(batchv1.JobComplete, "")) || !isNews(nil, late) {
		t.Error("an old job is news")
	}
}

func FuzzHear(f *testing.F) {
	f.Add(int32(1), `{"error":"deliver: HTTP 401","degraded":["results"],"staged":{"events":3},"destinations":[{"delivered":1}]}`)
	f.Add(int32(0), `{"staged":null,"destinations":null}`)
	f.Fuzz(func(t *testing.T, code int32, message string) {
		var run v1alpha1.LastRun
		words := hear(&run, "load", &corev1.ContainerStateTerminated{ExitCode: code, Message: message})
		if (code == 0) != (len(words) == 0) {
			t.Errorf("exit code %d: %q", code, words)
		}
		if text := shorten(strings.Join(words, "; ")); len(text) > 1030 || !utf8.ValidString(text) {
			t.Errorf("the message has %d bytes", len(text))
		}
		for _, source := range run.Degraded {
			if !isWord(source) {
				t.Errorf("%q is taken for a source", source)
			}
		}
	})
}
