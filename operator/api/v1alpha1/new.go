// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// New returns the one SegmentBridge with nothing set, which is complete: see [SegmentBridgeSpec]. Other operators go on
// from there:
//
//	bridge := v1alpha1.New().Enable(true).StageIn(v1alpha1.S3{Bucket: "telemetry"}).SendWith("segment", "write-key")
func New() *SegmentBridge {
	return &SegmentBridge{
		TypeMeta:   metav1.TypeMeta{APIVersion: GroupVersion.String(), Kind: "SegmentBridge"},
		ObjectMeta: metav1.ObjectMeta{Name: Name},
	}
}

// Enable switches telemetry on or off where no Konflux resource does.
func (b *SegmentBridge) Enable(on bool) *SegmentBridge {
	b.Spec.Enabled = &on
	return b
}

// StageIn keeps events in a bucket instead of a volume.
func (b *SegmentBridge) StageIn(bucket S3) *SegmentBridge {
	b.Spec.Stage = Stage{S3: &bucket}
	return b
}

// StageOn keeps events on a volume like this one.
func (b *SegmentBridge) StageOn(volume Volume) *SegmentBridge {
	b.Spec.Stage = Stage{Volume: &volume}
	return b
}

// SendWith delivers with the write key that is kept in a Secret of the job's namespace.
func (b *SegmentBridge) SendWith(secret, key string) *SegmentBridge {
	b.Spec.Segment.WriteKey = ""
	b.Spec.Segment.WriteKeySecretRef = &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key}
	return b
}

// SendTo delivers to this address of Segment or of a compatible API.
func (b *SegmentBridge) SendTo(url string) *SegmentBridge {
	b.Spec.Segment.URL = url
	return b
}
