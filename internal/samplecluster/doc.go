// SPDX-License-Identifier: Apache-2.0

// Package samplecluster makes up a Konflux cluster: namespaces, components, the
// installation and full-size PipelineRuns of every kind and outcome, some in the
// cluster, some only in Tekton Results, some in both. Demo, benchmarks and tests
// read it in place of a real one.
//
// The same [Config] gives the same bytes. Nothing is kept per run, so a cluster
// of a million runs costs no more memory than one of ten.
//
// Every made-up name contains [Marker], so that a test can search what the
// program writes for names that should not be there.
package samplecluster
