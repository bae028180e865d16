// SPDX-License-Identifier: Apache-2.0

// Package segmentbridge holds no code: it is the root of the module, where the test of the architecture lives.
//
// The program is in cmd/segment-bridge, the library in telemetry.
package segmentbridge
