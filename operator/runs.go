// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

const reasonSourcesUnreadable = "SourcesUnreadable"

// lastRun puts into status what came of the last run, unless it is there. It returns what that run had to go without.
func (r *reconciler) lastRun(ctx context.Context, status *v1alpha1.SegmentBridgeStatus) (degraded, err error) {
	var jobs batchv1.JobList
	if err := r.client.List(ctx, &jobs); err != nil {
		return nil, failed("list Job", err)
	}
	if job := newest(jobs.Items); job != nil && isNews(status.LastRun, job) {
		var pods corev1.PodList
		if err := r.live.List(ctx, &pods, client.InNamespace(install.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
			return nil, blocked(reasonRunUnreadable, failed("list the pods of Job "+job.Name, err))
		}
		status.LastRun = outcome(job, pods.Items)
	}
	if run := status.LastRun; run != nil && len(run.Degraded) > 0 {
		degraded = &problem{reasonSourcesUnreadable, errors.New("the last run could not read: " + strings.Join(run.Degraded, ", ") + "; the next reads what is missing; `segment-bridge doctor` says what to fix")}
	}
	return degraded, nil
}

const reasonRunUnreadable = "RunUnreadable"

// newest returns the hourly job that ended last; nil when none did.
func newest(jobs []batchv1.Job) *batchv1.Job {
	var last *batchv1.Job
	for i := range jobs {
		job := &jobs[i]
		if end := ended(job); end != nil && startedBy(job, install.CronJob) && (last == nil || ended(last).Before(end)) {
			last = job
		}
	}
	return last
}

// ended returns when a job ended; nil while it runs.
func ended(job *batchv1.Job) *metav1.Time {
	if c := verdict(job); c != nil {
		return &c.LastTransitionTime
	}
	return nil
}

// verdict returns the condition that says how a job ended.
func verdict(job *batchv1.Job) *batchv1.JobCondition {
	i := slices.IndexFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return nil
	}
	return &job.Status.Conditions[i]
}

// isNews reports whether a job ended after the run that is known. Jobs are removed in time, and what is known stays.
func isNews(known *v1alpha1.LastRun, job *batchv1.Job) bool {
	return known == nil || known.Finished == nil || known.Finished.Before(ended(job))
}

// outcome is what the containers of a job's last pod said at their end.
func outcome(job *batchv1.Job, pods []corev1.Pod) *v1alpha1.LastRun {
	how := verdict(job)
	run := &v1alpha1.LastRun{
		Job: job.Name, Started: job.Status.StartTime, Finished: how.LastTransitionTime.DeepCopy(),
		Succeeded: how.Type == batchv1.JobComplete,
	}
	var words []string
	if len(pods) > 0 {
		pod := slices.MaxFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
		for _, container := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if end := cmp.Or(container.State.Terminated, container.LastTerminationState.Terminated); end != nil {
				words = append(words, hear(run, container.Name, end)...)
			}
		}
	}
	slices.Sort(run.Degraded)
	run.Degraded = slices.Compact(run.Degraded)
	if !run.Succeeded {
		switch {
		case how.Reason == batchv1.JobReasonDeadlineExceeded:
			words = append(words, "the run took too long and was ended")
		case len(words) == 0:
			words = append(words, "the run failed, and its pods are gone: look at the log of the next")
		}
		run.Message = shorten(strings.Join(words, "; "))
	}
	return run
}

// A summary is the part of what `segment-bridge` says at its end that goes into the status.
type summary struct {
	Error    string   `json:"error"`
	Degraded []string `json:"degraded"`
	Staged   struct {
		Events   int64 `json:"events"`
		Rejected int64 `json:"rejected"`
	} `json:"staged"`
	Destinations []struct {
		Delivered int64 `json:"delivered"`
		Rejected  int64 `json:"rejected"`
		Pending   int64 `json:"pending"`
	} `json:"destinations"`
}

// hear adds to run what a container said, and returns what failed in it.
func hear(run *v1alpha1.LastRun, container string, end *corev1.ContainerStateTerminated) (words []string) {
	var s summary
	// One that ended before it could leave a summary has the end of its log there: each line is an object.
	said := strings.TrimSpace(end.Message)
	understood := json.Unmarshal([]byte(said[strings.LastIndex(said, "\n")+1:]), &s) == nil
	run.Staged += s.Staged.Events
	run.Rejected += s.Staged.Rejected
	for _, d := range s.Destinations {
		run.Delivered += d.Delivered
		run.Rejected += d.Rejected
		run.Pending += d.Pending
	}
	for _, source := range s.Degraded {
		if isWord(source) {
			run.Degraded = append(run.Degraded, source)
		}
	}
	switch {
	case end.ExitCode == 0:
		return nil
	case end.Reason == "OOMKilled":
		return []string{container + " ran out of memory: raise spec.job.resources." + container}
	case understood && s.Error != "":
		return []string{container + ": " + s.Error}
	default:
		return []string{fmt.Sprintf("%s ended with exit code %d", container, end.ExitCode)}
	}
}

// isWord reports whether a text can be the name of a source.
func isWord(text string) bool {
	return text != "" && len(text) <= 40 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-_/") == ""
}

// shorten keeps a message readable and within what a condition may say.
func shorten(text string) string {
	const most = 1024
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
