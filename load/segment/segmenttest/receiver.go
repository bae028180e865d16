// SPDX-License-Identifier: Apache-2.0

// Package segmenttest is a receiver of Segment's HTTP tracking API for tests and demonstrations.
//
// It holds a client to everything that Segment documents, and keeps quiet where Segment does:
// what Segment answers with 200 and then drops is answered with 200, dropped and counted under
// its reason. It remembers message IDs for a day and takes each once. It can be told to fail in
// the ways servers and networks fail, one [Fault] per request.
package segmenttest

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/fault"
)

// The limits that Segment documents.
const (
	MaxBodyBytes  = 500_000 // of a request, unpacked
	MaxEventBytes = 32_000
	MaxEvents     = 2_500 // in a request
	// DedupWindow is how long a message ID is remembered at least.
	DedupWindow = 24 * time.Hour
)

// Key is the write key that a receiver knows unless told otherwise.
const Key = "SegmentTestKey000000000000000000"

// minKeyBytes is the length below which a write key is refused and not merely unknown.
const minKeyBytes = 8

// Options says what a receiver knows. The zero Options are useful.
type Options struct {
	// Keys are the write keys of its sources; nil is [Key] alone. Events under any other key are
	// answered with 200 and dropped.
	Keys []string
	// Disabled are the write keys of sources that are switched off: 200, and dropped.
	Disabled []string
	// Now is the clock of the deduplication; nil is [time.Now].
	Now func() time.Time
}

// A Receiver is an [http.Handler] of POST /v1/batch. It is safe for concurrent use.
type Receiver struct {
	keys, disabled []string
	now            func() time.Time

	mu         sync.Mutex
	seen       map[string]time.Time // when a message ID was first taken
	events     []Event
	duplicates []Event
	report     Report
	faults     []Fault
	refuse     func(Event) bool
}

// An Event is one item of a batch that was taken.
type Event struct {
	MessageID string `json:"messageId"`
	Type      string `json:"type"`
	// Name is the event of a track call.
	Name string `json:"event,omitempty"`
	// JSON is the whole call after the context and integrations of its batch were merged into it;
	// Raw is the call as it was sent.
	JSON json.RawMessage `json:"json"`
	Raw  json.RawMessage `json:"raw"`

	oddTime bool // its timestamp is none
}

// A Report counts what a receiver saw.
type Report struct {
	Requests   int `json:"requests"`
	Accepted   int `json:"accepted"`
	Duplicates int `json:"duplicates"`
	// Drops counts events that were answered with 200 and dropped, by reason.
	Drops map[string]int `json:"drops"`
	// Refusals counts requests that were answered with 400, by reason.
	Refusals map[string]int `json:"refusals"`
	// Violations counts requests and events that were taken although something about them is wrong, by what.
	Violations map[string]int `json:"violations"`
}

// New returns a receiver.
func New(o Options) *Receiver {
	r := &Receiver{
		keys: o.Keys, disabled: o.Disabled, now: o.Now,
		seen:   map[string]time.Time{},
		report: Report{Drops: map[string]int{}, Refusals: map[string]int{}, Violations: map[string]int{}},
	}
	if r.keys == nil {
		r.keys = []string{Key}
	}
	if r.now == nil {
		r.now = time.Now
	}
	return r
}

// Start serves the receiver on a free port of the loopback interface. It returns the address, such
// as "http://127.0.0.1:40123", and a function that stops serving and cuts open connections.
func (r *Receiver) Start() (address string, stop func(), err error) {
	return fault.Serve(r)
}

// Events returns what was taken, in order, each message ID once.
func (r *Receiver) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Duplicates returns the events whose message ID had been taken before.
func (r *Receiver) Duplicates() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.duplicates)
}

// Report returns the counts so far.
func (r *Receiver) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.report
	report.Accepted, report.Duplicates = len(r.events), len(r.duplicates)
	report.Drops = maps.Clone(report.Drops)
	report.Refusals = maps.Clone(report.Refusals)
	report.Violations = maps.Clone(report.Violations)
	return report
}
