// SPDX-License-Identifier: Apache-2.0

// Package cluster runs tests on a real Kubernetes cluster: a control plane and a node that runs pods, with the real Tekton
// and Tekton Results on it, MinIO, and a receiver that stands in for Segment. Everything is built from source; no image
// is pulled. What a cluster is made of and how it stays apart from the machine is told in node/.
//
//	func TestMain(m *testing.M) { cluster.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		c := cluster.New(t)             // 20 s; gone with the test, however that ends
//		c.InstallTekton(t)              // controller and webhook
//		results := c.InstallResults(t)  // API server with TLS and RBAC, watcher
//		bucket := c.MinIO(t)
//		gate := c.Gate(t, "minio.minio.svc:9000") // holds a request until something has died
//		segment := c.Receiver(t)
//		c.LoadBridge(t)                 // our own images
//		c.LoadOperator(t)
//		...
//	}
//
// Where it is not like a cluster of users: nothing enforces NetworkPolicies (their controllers cannot be had as Go
// modules here), PostgreSQL is a process of the node and no pod, and there is one node.
//
// Everything but the programs in the folders is built with the tags integration and e2e: `make e2e`.
package cluster
