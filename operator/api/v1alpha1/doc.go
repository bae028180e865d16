// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the SegmentBridge resource: where an administrator says what an installation of segment-bridge
// reads, where it stages, whom it delivers to, and reads how that goes.
//
// +kubebuilder:object:generate=true
// +groupName=segment-bridge.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of the types of this package.
var GroupVersion = schema.GroupVersion{Group: "segment-bridge.dev", Version: "v1alpha1"}

// AddToScheme makes the types known to a scheme, for clients and managers.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &SegmentBridge{}, &SegmentBridgeList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
