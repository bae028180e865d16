// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SegmentBridgeStatus is how it goes.
type SegmentBridgeStatus struct {
	// observedGeneration is that of the spec which the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, TelemetryEnabled, LastRunSucceeded and Degraded.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// enabled is the last decision. It stays while another cannot be made, and condition TelemetryEnabled is Unknown then.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// console is what the OpenShift console's telemetry was seen to be, while it decides.
	// +optional
	Console *Console `json:"console,omitempty"`

	// pseudonymKeyID tells the key of scheme HMAC from others, as the manifests in the stage do.
	// +optional
	PseudonymKeyID string `json:"pseudonymKeyID,omitempty"`

	// lastRun is the last run that ended.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`

	// backfill is how the back-fill that spec.backfill asks for goes.
	// +optional
	Backfill *BackfillStatus `json:"backfill,omitempty"`
}

// BackfillStatus is how a back-fill goes.
type BackfillStatus struct {
	// job is the name of its Job, which is removed a week after it has ended.
	Job string `json:"job"`
	// since and until bound what is read.
	Since metav1.Time `json:"since"`
	Until metav1.Time `json:"until"`
	// shards is how many slices there are, of which succeeded and failed count those that have ended.
	Shards    int32 `json:"shards"`
	Succeeded int32 `json:"succeeded"`
	Failed    int32 `json:"failed"`
	// failedShards are the numbers of those that failed, such as "1,3-5". Slice 0 is the latest.
	// +optional
	FailedShards string `json:"failedShards,omitempty"`
	// finished is when the last of them ended.
	// +optional
	Finished *metav1.Time `json:"finished,omitempty"`
	// complete is whether all was read.
	// +optional
	Complete bool `json:"complete,omitempty"`
}

// Console is what the OpenShift console's telemetry was seen to be. A change counts once it has lasted.
type Console struct {
	// enabled is what counts.
	Enabled bool `json:"enabled"`
	// seen is what was read last. It differs from enabled while a change has not lasted long enough.
	Seen bool `json:"seen"`
	// since is when seen took its value.
	Since metav1.Time `json:"since"`
}

// LastRun is the last run that ended, as its containers told.
type LastRun struct {
	// job is its name.
	Job string `json:"job"`
	// +optional
	Started *metav1.Time `json:"started,omitempty"`
	// +optional
	Finished *metav1.Time `json:"finished,omitempty"`
	// succeeded is whether all containers did.
	Succeeded bool `json:"succeeded"`
	// staged, delivered, rejected and pending count events.
	Staged    int64 `json:"staged"`
	Delivered int64 `json:"delivered"`
	Rejected  int64 `json:"rejected"`
	Pending   int64 `json:"pending"`
	// degraded names the sources that could not be read.
	// +optional
	// +listType=set
	Degraded []string `json:"degraded,omitempty"`
	// message says what failed, if anything did, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
}

// The types of conditions.
const (
	// ConditionReady is true when all that was asked for is in place; off is in place too.
	ConditionReady = "Ready"
	// ConditionTelemetryEnabled is true while telemetry is on; its reason says who decided.
	ConditionTelemetryEnabled = "TelemetryEnabled"
	// ConditionLastRunSucceeded tells of the last run.
	ConditionLastRunSucceeded = "LastRunSucceeded"
	// ConditionDegraded is true while something is missing that telemetry goes on without.
	ConditionDegraded = "Degraded"
)
