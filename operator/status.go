// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/consent"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

// The reasons of conditions that tell that all is well, and those of the last run.
const (
	reasonInstalled  = "Installed"
	reasonOff        = "Off"
	reasonAsExpected = "AsExpected"
	reasonFailed     = "Failed"
	reasonSucceeded  = "Succeeded"
	reasonNoRunYet   = "NoRunYet"
	reasonFailing    = "Failing"
)

// conditions writes the conditions of a status.
type conditions struct {
	status     *v1alpha1.SegmentBridgeStatus
	generation int64
	now        time.Time
}

func (c conditions) set(kind string, value metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&c.status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: c.generation,
		LastTransitionTime: metav1.NewTime(c.now.Truncate(time.Second)),
	})
}

func (c conditions) decided(d consent.Decision) {
	value := metav1.ConditionUnknown
	switch {
	case d.Known && d.Enabled:
		value = metav1.ConditionTrue
	case d.Known:
		value = metav1.ConditionFalse
	}
	c.set(v1alpha1.ConditionTelemetryEnabled, value, d.Reason, d.Message)
}

// ready says that all is in place, with reason and message, or what is in the way.
func (c conditions) ready(err error, reason, message string) {
	if err == nil {
		c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, reason, message)
		return
	}
	reason, message = explain(err)
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
}

func (c conditions) off(err error) {
	c.ready(err, reasonOff, "telemetry is off, and nothing of it is installed")
	c.set(v1alpha1.ConditionDegraded, metav1.ConditionFalse, reasonOff, "telemetry is off")
	meta.RemoveStatusCondition(&c.status.Conditions, v1alpha1.ConditionLastRunSucceeded)
}

func (c conditions) on(err error, degraded []error) {
	c.ready(err, reasonInstalled, "the job is installed as asked for")
	if joined := errors.Join(degraded...); joined != nil {
		reason, message := explain(joined)
		c.set(v1alpha1.ConditionDegraded, metav1.ConditionTrue, reason, message)
	} else {
		c.set(v1alpha1.ConditionDegraded, metav1.ConditionFalse, reasonAsExpected, "nothing is missing")
	}
	switch run := c.status.LastRun; {
	case run == nil:
		c.set(v1alpha1.ConditionLastRunSucceeded, metav1.ConditionUnknown, reasonNoRunYet, "no run has ended yet")
	case run.Succeeded:
		c.set(v1alpha1.ConditionLastRunSucceeded, metav1.ConditionTrue, reasonSucceeded, "the last run did all of its work")
	default:
		c.set(v1alpha1.ConditionLastRunSucceeded, metav1.ConditionFalse, reasonFailed, run.Message)
	}
}

// explain returns the reason of an error, the first if there are several, and what it says, on one line.
func explain(err error) (reason, message string) {
	reason = reasonFailing
	if p, ok := errors.AsType[*problem](err); ok {
		reason = p.reason
	}
	return reason, strings.ReplaceAll(err.Error(), "\n", "; ")
}

// tell makes an event of each condition whose meaning changed. One about a run belongs to its job as well: so another run
// that failed is another event, and not one more of those that tell why the first did.
func (r *reconciler) tell(before *v1alpha1.SegmentBridge, status *v1alpha1.SegmentBridgeStatus) {
	bad := []string{v1alpha1.ConditionDegraded}
	for _, now := range status.Conditions {
		was := meta.FindStatusCondition(before.Status.Conditions, now.Type)
		var job runtime.Object
		aboutRun := now.Type == v1alpha1.ConditionLastRunSucceeded
		if aboutRun && status.LastRun != nil {
			job = &corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: install.Namespace, Name: status.LastRun.Job}
		}
		if was != nil && was.Status == now.Status && was.Reason == now.Reason && (!aboutRun || was.Message == now.Message) || now.Reason == reasonNoRunYet ||
			was == nil && now.Reason == reasonAsExpected {
			continue
		}
		kind := corev1.EventTypeNormal
		switch {
		case now.Type == v1alpha1.ConditionTelemetryEnabled:
			if now.Status == metav1.ConditionUnknown {
				kind = corev1.EventTypeWarning
			}
		case (now.Status == metav1.ConditionTrue) == slices.Contains(bad, now.Type) && now.Reason != reasonOff:
			kind = corev1.EventTypeWarning
		}
		r.eventBeside(before, job, kind, now.Reason, now.Type, "%s", now.Message)
	}
}

// event tells of an object.
func (r *reconciler) event(about client.Object, kind, reason, action, note string, args ...any) {
	r.eventBeside(about, nil, kind, reason, action, note, args...)
}

// eventBeside tells of an object to which another belongs, unless that is nil. Its version is left out, so that what happens over and over becomes one event with a count.
func (r *reconciler) eventBeside(about client.Object, other runtime.Object, kind, reason, action, note string, args ...any) {
	gvk, err := apiutil.GVKForObject(about, r.client.Scheme())
	if err != nil {
		return // it is always of a known kind
	}
	r.events.Eventf(&corev1.ObjectReference{
		APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: about.GetName(), UID: about.GetUID(),
	}, other, kind, reason, action, note, args...)
}
