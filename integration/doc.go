// SPDX-License-Identifier: Apache-2.0

// Package integration tests segment-bridge against the real servers, as whole
// processes: see README.md. Its tests have the build tag integration.
package integration
