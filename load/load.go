// SPDX-License-Identifier: Apache-2.0

// Package load delivers staged events to destinations, each event once as far as
// the destination's protocol allows, and writes down what became of each batch.
//
// The destinations live in sub-packages named after what they talk to: segment,
// splunk, kongline, file.
package load

import (
	"context"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Destination takes events.
type Destination interface {
	// Name identifies the destination in receipts: lower-case letters, digits and
	// dashes. Changing it means delivering everything again.
	Name() string
	// Deliver sends the events, as many requests as that takes, with its own
	// retries, and returns one verdict for each event, in their order.
	//
	// A nil error means that every verdict is final. With an error, the events
	// whose verdict is Pending may or may not have arrived and must be sent again
	// later with the same message IDs; verdicts that are final stay final.
	// Deliver stops soon after ctx is done.
	Deliver(ctx context.Context, events []telemetry.Track) ([]telemetry.Verdict, error)
	// Close releases what the destination holds and makes durable what it took.
	Close() error
}

// An Assurer is a destination that says how much "delivered" means. Receipts show it.
type Assurer interface {
	// Assurance returns "sent" if the protocol has no answer, "accepted" if the server said that it took
	// the events, and "indexed" if it said that they can be found.
	Assurance() string
}

// A Metered destination counts its traffic. Summaries show it.
type Metered interface {
	// Traffic returns the requests sent so far and the bytes of their bodies.
	Traffic() (requests, bytes int64)
}
