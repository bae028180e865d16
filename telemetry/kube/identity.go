// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"

	"github.com/segment-bridge/segment-bridge/telemetry/identity"
)

// ClusterID returns the ID of the cluster, which a [telemetry.Pseudonymizer] is made with:
// that of OpenShift where there is one, else the UID of namespace kube-system. It is the
// salt of all pseudonyms, and is neither logged nor sent. When what may hold it cannot be
// read, that is an error, never another ID.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	id, err := identity.Cluster(ctx, c)
	return id.Reveal(), err
}

// ClusterIDRules returns the rights that [Client.ClusterID] needs.
func ClusterIDRules() []Rule {
	return []Rule{kind{"", "namespaces"}.rule("get", "kube-system"), clusterVersions.rule("get", "version")}
}
