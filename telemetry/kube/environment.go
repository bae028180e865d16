// SPDX-License-Identifier: Apache-2.0

package kube

// Environment returns the providers that tell what a cluster is like, and not what one
// product does in it. To know the metrics and the rights, c may be nil.
func Environment(c *Client) []*Provider {
	return []*Provider{
		Platform(c), Versions(c), Features(c), Nodes(c), Objects(c), Services(c), Fleet(c),
		Mesh(c, ServiceName{}), Routes(c), RouteRules(c), Controllers(c), Gateways(c), LastChange(c),
	}
}
