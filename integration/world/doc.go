// SPDX-License-Identifier: Apache-2.0

// Package world starts the real servers that integration tests run against: etcd and the Kubernetes API server, PostgreSQL
// and the Tekton Results API server, MinIO in a container. It has no fakes.
//
// Everything else in the package is built with the tag integration. Servers listen on ports of their own, keep their
// files in temporary folders, and die with the test process, however that ends. `make servers` builds them;
// integration/install.sh installs what comes from Debian. A missing server fails the test that asks for it.
//
// Functions that take a [testing.TB] must be called from the test's goroutine: they end the test when they cannot do
// what they promise. When a test fails, the last lines of the logs of the servers it used are printed, and with
// `go test -artifacts` the whole logs are kept.
package world
