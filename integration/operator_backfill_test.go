// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// The operator starts a back-fill once, tells how it goes, starts another when something else is asked for, and leaves none
// behind. The Job is one that the API server takes.
func TestOperatorBackfill(t *testing.T) {
	s := newOperatorSite(t)
	s.start(operator.Options{WriteKey: builtInKey})
	b := v1alpha1.New().Enable(true)
	since := time.Now().UTC().AddDate(0, 0, -30).Truncate(time.Second)
	b.Spec.Backfill = &v1alpha1.Backfill{Since: metav1.NewTime(since), Shards: 8}
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed", "Degraded=False/AsExpected")
	first := s.awaitBackfill(func(*v1alpha1.BackfillStatus) bool { return true })
	if first.Shards != 8 || !first.Since.Equal(&b.Spec.Backfill.Since) || time.Since(first.Until.Time).Round(time.Hour) != 4*time.Hour {
		t.Errorf("back-fill %+v", first)
	}
	job := s.get("Job", "segment-bridge", first.Job)
	args := fmt.Sprint(job.Object["spec"])
	if job.GetLabels()["segment-bridge.dev/owner"] != "operator" || !strings.Contains(args, "--until="+first.Until.UTC().Format(time.RFC3339)) || !strings.Contains(args, "backoffLimitPerIndex:2") {
		t.Errorf("the Job is %v", job.Object)
	}

	// Who removes it by hand gets one that reads the same.
	s.deleteJob(first.Job)
	s.await("the Job is there again", func() string {
		if again := s.get("Job", "segment-bridge", first.Job); again == nil || again.GetUID() == job.GetUID() {
			return "not yet"
		}
		return ""
	})
	if got := s.bridge().Status.Backfill; !got.Until.Equal(&first.Until) || !strings.Contains(fmt.Sprint(s.get("Job", "segment-bridge", first.Job).Object["spec"]), "--until="+first.Until.UTC().Format(time.RFC3339)) {
		t.Errorf("until was %v and is %+v", first.Until, got)
	}

	// It goes on, ends without two slices, and is no run of the hourly job.
	s.patch("Job", "segment-bridge", first.Job, `{"status":{"startTime":"`+since.Format(time.RFC3339)+`","succeeded":3,"completedIndexes":"0-2","failedIndexes":""}}`, "status")
	s.awaitBackfill(func(b *v1alpha1.BackfillStatus) bool { return b.Succeeded == 3 && b.Failed == 0 && b.Finished == nil })
	s.endBackfill(first, "Failed", `"succeeded":6,"failed":6,"completedIndexes":"0-2,4,6-7","failedIndexes":"3,5"`)
	s.awaitBackfill(func(b *v1alpha1.BackfillStatus) bool {
		return b.Succeeded == 6 && b.Failed == 2 && b.FailedShards == "3,5" && b.Finished != nil && !b.Complete
	})
	s.awaitConditions("Degraded=True/BackfillFailed", "LastRunSucceeded=Unknown/NoRunYet")
	if got := s.message(v1alpha1.ConditionDegraded); !strings.Contains(got, "slices 3,5 of 8") || !strings.Contains(got, "kubectl describe job -n segment-bridge "+first.Job) {
		t.Errorf("message is %q", got)
	}
	// What has ended is not done again, also when its Job is gone.
	s.deleteJob(first.Job)

	// Another request is another Job. One that makes no sense says so, and the hourly job stays.
	b.Spec.Backfill.Shards = 9
	s.putBridge(b)
	second := s.awaitBackfill(func(b *v1alpha1.BackfillStatus) bool { return b.Job != first.Job })
	if s.get("Job", "segment-bridge", first.Job) != nil || s.get("Job", "segment-bridge", second.Job) == nil {
		t.Error("the first back-fill was done again, or the second not")
	}
	s.endBackfill(second, "Complete", `"succeeded":9,"completedIndexes":"0-8"`)
	s.awaitBackfill(func(b *v1alpha1.BackfillStatus) bool { return b.Complete && b.Succeeded == 9 })
	s.awaitConditions("Degraded=False/AsExpected")
	s.await("events tell of it", func() string {
		list, err := s.resource("Event", "default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]bool{}
		for _, e := range list.Items {
			told[fmt.Sprint(e.Object["type"], " ", e.Object["reason"])] = true
		}
		for _, want := range []string{corev1.EventTypeNormal + " BackfillStarted", corev1.EventTypeWarning + " BackfillFailed", corev1.EventTypeNormal + " BackfillFinished"} {
			if !told[want] {
				return fmt.Sprint("no ", want, " in ", told)
			}
		}
		return ""
	})
	future := metav1.NewTime(time.Now().Add(time.Hour))
	b.Spec.Backfill.Until = &future
	s.putBridge(b)
	s.awaitConditions("Ready=True/Installed", "Degraded=True/BackfillInvalid")
	if got := s.message(v1alpha1.ConditionDegraded); !strings.Contains(got, "until is in the future") {
		t.Errorf("message is %q", got)
	}

	// Nothing is left of it when it is not asked for any more, nor when telemetry is off.
	b.Spec.Backfill = nil
	s.putBridge(b)
	s.await("there is no back-fill", func() string { return s.leftovers() })
	s.awaitConditions("Degraded=False/AsExpected")
	b.Spec.Backfill = &v1alpha1.Backfill{Since: metav1.NewTime(since), Shards: 8}
	s.putBridge(b)
	s.awaitBackfill(func(*v1alpha1.BackfillStatus) bool { return true })
	b.Spec.Enabled = new(false)
	s.putBridge(b)
	s.awaitConditions("Ready=True/Off")
	s.await("there is no back-fill", func() string { return s.leftovers() })
}

// awaitBackfill waits until the status tells of a back-fill that is as it should be, and returns it.
func (s *operatorSite) awaitBackfill(is func(*v1alpha1.BackfillStatus) bool) *v1alpha1.BackfillStatus {
	s.t.Helper()
	var found *v1alpha1.BackfillStatus
	s.await("the back-fill", func() string {
		if found = s.bridge().Status.Backfill; found == nil || !is(found) || found.Finished == nil && s.get("Job", "segment-bridge", found.Job) == nil {
			return fmt.Sprintf("status %+v", found)
		}
		return ""
	})
	return found
}

// deleteJob deletes a Job as kubectl does, without the garbage collector.
func (s *operatorSite) deleteJob(name string) {
	s.t.Helper()
	if err := s.resource("Job", "segment-bridge").Delete(s.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil {
		s.t.Fatal(err)
	}
}

// endBackfill ends a Job as its controller does.
func (s *operatorSite) endBackfill(b *v1alpha1.BackfillStatus, how, status string) {
	s.t.Helper()
	at := time.Now().UTC().Format(time.RFC3339)
	start := `"startTime":"` + b.Since.UTC().Format(time.RFC3339) + `"`
	condition := func(kind string) string {
		return fmt.Sprintf(`{"type":%q,"status":"True","lastTransitionTime":%q,"lastProbeTime":%q,"reason":"x"}`, kind, at, at)
	}
	target := map[string]string{"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[how]
	if how == "Complete" {
		start += `,"completionTime":"` + at + `"`
	}
	s.patch("Job", "segment-bridge", b.Job, `{"status":{`+start+`,`+status+`,"conditions":[`+condition(target)+`,`+condition(how)+`]}}`, "status")
}

// leftovers names what there is of a back-fill.
func (s *operatorSite) leftovers() string {
	list, err := s.resource("Job", "segment-bridge").List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, job := range list.Items {
		if job.GetDeletionTimestamp() == nil {
			return "Job " + job.GetName()
		}
	}
	if b := s.bridge(); b.Status.Backfill != nil {
		return fmt.Sprintf("status %+v", b.Status.Backfill)
	}
	return ""
}
