// SPDX-License-Identifier: Apache-2.0

// Package kube has providers that read the Kubernetes API: what kind of cluster this
// is, how large it is, and what is used in it.
//
// A [Client] reads, with the HTTP client that the program has anyway:
//
//	authenticated, err := rest.HTTPClientFor(config) // k8s.io/client-go
//	client, err := kube.NewClient(authenticated, config.Host, "acme-gateway")
//	providers := []telemetry.Provider{kube.Objects(client), kube.Routes(client)}
//
// Each provider declares its metrics and the [Rule] that each needs; [Rules] makes the
// ClusterRole of those that are enabled. Nothing is written, watched or cached, and
// Secrets are never read.
//
// It is kind to the server: one request after the other; numbers by a list of one object
// where the server says how many more there are; the metadata alone where that is
// enough; lists page by page and object by object, so that memory does not grow with
// the cluster; a deadline and a cap on everything; and an answer that says "not now" is
// taken for one, until the next period.
//
// Counts include objects that are about to be deleted and pods that have ended, and
// those of different kinds are not of the same instant.
package kube
