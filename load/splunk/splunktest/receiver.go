// SPDX-License-Identifier: Apache-2.0

// Package splunktest is an HTTP Event Collector for tests, which does what Splunk Enterprise 10.4 was measured
// to do.
//
// It indexes the events before a bad one and nothing from it on; it answers 200 and drops what has a key that
// it does not know or is for an index that does not exist; it knows no event again; and it acknowledges each
// request once, to the channel that sent it. It can be told to fail, one [Fault] per request.
package splunktest

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segment-bridge/segment-bridge/load/internal/fault"
)

// MaxBodyBytes is the largest body that is taken, unpacked: what Splunk Cloud documents. Splunk Enterprise
// takes 800 times as much.
const MaxBodyBytes = 1_000_000

// Token is the token that a receiver knows unless told otherwise.
const Token = "5e9b6c1f-77a0-4f5e-9d3c-c0ffee5eed01"

// Options says what a receiver knows. The zero Options are useful.
type Options struct {
	// Token is the token that is good; empty is [Token]. Disabled is one that is switched off.
	Token, Disabled string
	// Indexes exist; nil is "main" alone. The first is the token's default.
	Indexes []string
	// Allowed are the indexes that the token may name; nil is any.
	Allowed []string
	// Ack gives the token indexer acknowledgement, so that requests need a channel.
	Ack bool
	// IndexingTakes is the time from the answer until events are indexed and may be acknowledged.
	IndexingTakes time.Duration
}

// A Receiver is an [http.Handler] of HEC. It is safe for concurrent use.
type Receiver struct {
	options Options

	mu       sync.Mutex
	events   []Event
	channels map[string]*channel
	report   Report
	faults   []Fault
	down     bool
	refuse   func(Event) bool
}

// An Event is what was indexed.
type Event struct {
	Time       float64 `json:"time"` // seconds since 1970; 0 if it was not given
	Host       string  `json:"host,omitempty"`
	Source     string  `json:"source,omitempty"`
	SourceType string  `json:"sourcetype,omitempty"`
	Index      string  `json:"index"`
	// MessageID is that of a track call.
	MessageID string `json:"messageId,omitempty"`
	// Event and Fields are as they were sent.
	Event  json.RawMessage `json:"event"`
	Fields json.RawMessage `json:"fields,omitempty"`
}

// A Report counts what a receiver saw.
type Report struct {
	// Requests counts all requests, Questions those of them that ask for acknowledgement.
	Requests, Questions int
	// Drops counts events that were answered with 200 and not indexed, by reason.
	Drops map[string]int
	// Codes counts the answers by their HEC code.
	Codes map[int]int
	// LargestBody is the size of the largest body, unpacked.
	LargestBody int
}

// channel is the acknowledgements of one client.
type channel struct {
	next    int64
	pending map[int64]time.Time // when it is indexed, by ID
}

// New returns a receiver.
func New(o Options) *Receiver {
	if o.Token == "" {
		o.Token = Token
	}
	if o.Indexes == nil {
		o.Indexes = []string{"main"}
	}
	return &Receiver{options: o, channels: map[string]*channel{}, report: Report{Drops: map[string]int{}, Codes: map[int]int{}}}
}

// Start serves the receiver on a free port of the loopback interface. It returns the address, such as
// "http://127.0.0.1:40123", and a function that stops serving and cuts open connections.
func (r *Receiver) Start() (address string, stop func(), err error) {
	return fault.Serve(r)
}

// Events returns what was indexed, in order, each as often as it was.
func (r *Receiver) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// MessageIDs returns those of the events.
func (r *Receiver) MessageIDs() []string {
	events := r.Events()
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].MessageID
	}
	return ids
}

// Report returns the counts so far.
func (r *Receiver) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.report
	report.Drops, report.Codes = maps.Clone(report.Drops), maps.Clone(report.Codes)
	return report
}

// Refuse makes HEC refuse events for which f returns true, as it refuses what is not in its format. A nil f ends that.
func (r *Receiver) Refuse(f func(Event) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = f
}
