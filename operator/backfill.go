// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

const (
	reasonBackfillInvalid = "BackfillInvalid"
	reasonBackfillFailed  = "BackfillFailed"

	// untilAnnotation is on the Job of a back-fill that was not told where to end.
	untilAnnotation = "segment-bridge.dev/until"
)

// backfill starts the back-fill that is asked for, once, writes down how it goes, and removes the others. It returns what
// is not read.
func (r *reconciler) backfill(
	ctx context.Context, bridge *v1alpha1.SegmentBridge, settings install.Settings, status *v1alpha1.SegmentBridgeStatus,
) (missing, err error) {
	asked := settings.Spec.Backfill
	var name string
	if asked != nil {
		name = install.BackfillOf(asked).Name()
	}
	var jobs batchv1.JobList
	if err := r.client.List(ctx, &jobs); err != nil {
		return nil, failed("list Job", err)
	}
	var job *batchv1.Job
	for i := range jobs.Items {
		switch other := &jobs.Items[i]; {
		case !ours(other):
		case other.Name == name:
			job = other
		default:
			if err := r.removeJob(ctx, other); err != nil {
				return nil, err
			}
		}
	}
	if asked == nil {
		status.Backfill = nil
		return nil, nil
	}
	known := status.Backfill
	switch {
	case known == nil || known.Job != name || job == nil && known.Finished == nil:
		if missing, err := r.startBackfill(ctx, bridge, settings, job, status); missing != nil || err != nil {
			return missing, err
		}
	case known.Finished == nil:
		if known = progress(known, job); known.Finished != nil {
			r.tellBackfill(bridge, known)
		}
		status.Backfill = known
	}
	if known = status.Backfill; known.Finished != nil && !known.Complete {
		return blocked(reasonBackfillFailed, fmt.Errorf("the back-fill did not read %s: `kubectl describe job -n %s %s` says why; "+
			"remove spec.backfill and set it again to try once more", lost(known), install.Namespace, name)), nil
	}
	return nil, nil
}

// startBackfill creates the Job, unless what is asked for makes no sense or job is the one.
func (r *reconciler) startBackfill(
	ctx context.Context, bridge *v1alpha1.SegmentBridge, settings install.Settings, job *batchv1.Job, status *v1alpha1.SegmentBridgeStatus,
) (missing, err error) {
	b := install.BackfillOf(settings.Spec.Backfill)
	name := b.Name()
	again := status.Backfill != nil && status.Backfill.Job == name
	switch {
	case again: // somebody removed the Job: the new one reads the same
		b.Until = status.Backfill.Until.Time
	case job != nil: // it was created, and that could not be written down
		b.Until, _ = time.Parse(time.RFC3339, job.Annotations[untilAnnotation])
	}
	b = b.Complete(settings, r.Now())
	if job == nil {
		if job, err = install.BackfillJob(settings, b, r.Now()); err != nil {
			status.Backfill = nil
			return blocked(reasonBackfillInvalid, err), nil
		}
		job.Name = name // by what was asked for, whatever it means by now
		job.Labels[ownerLabel] = ownerValue
		job.Annotations = map[string]string{untilAnnotation: b.Until.UTC().Format(time.RFC3339)}
		if err := r.client.Create(ctx, job); err != nil {
			return nil, blocked(reasonApplyFailed, failed("create Job "+install.Namespace+"/"+name, err))
		}
	}
	if !again {
		status.Backfill = &v1alpha1.BackfillStatus{
			Job: name, Since: metav1.NewTime(b.Since), Until: metav1.NewTime(b.Until), Shards: b.Shards,
		}
		r.event(bridge, corev1.EventTypeNormal, "BackfillStarted", "Backfill", "Job %s reads %d slices of what happened from %s to %s",
			name, b.Shards, timeOf(status.Backfill.Since), timeOf(status.Backfill.Until))
	}
	return nil, nil
}

// progress returns how a back-fill goes.
func progress(known *v1alpha1.BackfillStatus, job *batchv1.Job) *v1alpha1.BackfillStatus {
	now := known.DeepCopy()
	now.Succeeded, now.FailedShards = job.Status.Succeeded, ""
	if job.Status.FailedIndexes != nil {
		now.FailedShards = *job.Status.FailedIndexes
	}
	now.Failed = count(now.FailedShards)
	if how := verdict(job); how != nil {
		now.Finished = how.LastTransitionTime.DeepCopy()
		now.Complete = how.Type == batchv1.JobComplete
	}
	return now
}

// count returns how many numbers a list such as "1,3-5" has.
func count(list string) (n int32) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, span := strings.Cut(part, "-")
		from, err := strconv.ParseInt(first, 10, 32)
		to := from
		if span && err == nil {
			to, err = strconv.ParseInt(last, 10, 32)
		}
		if err == nil {
			n += int32(to - from + 1)
		}
	}
	return n
}

// lost says what a back-fill that has ended did not read.
func lost(b *v1alpha1.BackfillStatus) string {
	if b.FailedShards == "" { // it was ended before
		return fmt.Sprintf("%d of %d slices", b.Shards-b.Succeeded, b.Shards)
	}
	return fmt.Sprintf("slices %s of %d", b.FailedShards, b.Shards)
}

func (r *reconciler) tellBackfill(bridge *v1alpha1.SegmentBridge, b *v1alpha1.BackfillStatus) {
	if b.Complete {
		r.event(bridge, corev1.EventTypeNormal, "BackfillFinished", "Backfill", "what happened from %s to %s is staged", timeOf(b.Since), timeOf(b.Until))
		return
	}
	r.event(bridge, corev1.EventTypeWarning, reasonBackfillFailed, "Backfill", "Job %s did not read %s", b.Job, lost(b))
}

func timeOf(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }
