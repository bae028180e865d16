// SPDX-License-Identifier: Apache-2.0

package telemetry

// A Verdict says what became of one event at a destination.
type Verdict struct {
	Status VerdictStatus
	// Reason says why a destination refused the event for good, in the program's
	// own words, such as "HTTP 400".
	Reason string
}

// VerdictStatus is the state of one event at a destination.
type VerdictStatus uint8

const (
	// Pending means that the event may or may not have arrived.
	Pending VerdictStatus = iota
	// Delivered means that the destination took the event.
	Delivered
	// Rejected means that the destination refuses the event, however often it is
	// sent.
	Rejected
)
