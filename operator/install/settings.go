// SPDX-License-Identifier: Apache-2.0

// Package install says which objects an installation of segment-bridge consists of. It is pure: the same settings give the
// same objects, whether the operator applies them or `segment-bridge manifests` prints them.
package install

import (
	"net/netip"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// Namespace is where the jobs run.
const Namespace = "segment-bridge"

// Settings are all that the objects depend on: the resource, and what was found out about the cluster.
type Settings struct {
	// Spec is that of the resource.
	Spec v1alpha1.SegmentBridgeSpec
	// ClusterID salts the pseudonyms; never empty.
	ClusterID string
	// Image is the one to run where the spec names none.
	Image string
	// OpenShift has a service CA, and its own idea of user IDs.
	OpenShift bool
	// Results is where Tekton Results is; nil where it is not read.
	Results *Results
	// APIServers are the addresses of the API server, for the network policy; none allows every address on its ports.
	APIServers []netip.AddrPort
	// WriteKey and URL are those that count: resolved and sanitised. Without a key events are staged and not sent.
	WriteKey, URL string
	// UINamespace gets the key and the URL too; empty when there is no UI.
	UINamespace string
	// PseudonymKey is the key of scheme HMAC; nil with the other scheme.
	PseudonymKey []byte
}

// Results is where Tekton Results is.
type Results struct {
	// Address as flag --results-address takes it.
	Address string
	// Namespace of the service, for the network policy; empty when it is outside of the cluster.
	Namespace string
}
