// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/plancheck"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// newReceiver returns what stands in for Segment. When the test ends, every event that it took is held against the
// tracking plan's JSON Schema.
func newReceiver(t *testing.T) *segmenttest.Receiver {
	t.Helper()
	receiver := segmenttest.New(segmenttest.Options{Keys: []string{writeKey}})
	t.Cleanup(func() { plancheck.Events(t, receiver.Events()) })
	return receiver
}

// startReceiver serves a new receiver until the test ends.
func startReceiver(t *testing.T) (receiver *segmenttest.Receiver, address string) {
	t.Helper()
	receiver = newReceiver(t)
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop) // runs before the check
	return receiver, address
}
