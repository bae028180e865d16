// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/clients"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// TestReceiverAgainstAnalyticsNode lets Segment's own client for Node speak to the receiver that all other tests
// believe. Both must agree on what was sent and what was delivered.
func TestReceiverAgainstAnalyticsNode(t *testing.T) {
	const events, each = 12, 4
	clients.Install(t)
	tests := []struct {
		name       string
		key        string
		faults     []segmenttest.Fault
		statuses   []int
		duplicates int
		failed     int // the client gives these up
		dropped    int // the client is told 200 and nothing is taken
	}{
		{name: "success", statuses: []int{200, 200, 200}},
		{name: "told to wait", faults: []segmenttest.Fault{{Status: 429, RetryAfter: "1"}}, statuses: []int{200, 200, 200, 429}},
		{name: "unavailable", faults: []segmenttest.Fault{{Status: 503}, {Status: 460}}, statuses: []int{200, 200, 200, 460, 503}},
		{name: "reset before", faults: []segmenttest.Fault{{Reset: true}}, statuses: []int{200, 200, 200}},
		{name: "reset after accepting", faults: []segmenttest.Fault{{Reset: true, Accept: true}}, statuses: []int{200, 200, 200}, duplicates: each},
		{name: "refused", faults: []segmenttest.Fault{{Status: 400}, {Status: 413}}, statuses: []int{200, 400, 413}, failed: 2 * each},
		{name: "wrong write key", key: "AnotherKey0000000000000000000000", statuses: []int{200, 200, 200}, dropped: events},
		{name: "short write key", key: "short", statuses: []int{400, 400, 400}, failed: events},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receiver := segmenttest.New(segmenttest.Options{})
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			receiver.Inject(tt.faults...)
			if tt.key == "" {
				tt.key = segmenttest.Key
			}
			said := sendWithNode(t, address, tt.key, events, each)

			slices.Sort(said.Statuses)
			if !slices.Equal(said.Statuses, tt.statuses) || len(said.Failed) != tt.failed || len(said.Delivered) != events-tt.failed {
				t.Errorf("the client saw %v, delivered %v and failed %v", said.Statuses, said.Delivered, said.Failed)
			}
			report := receiver.Report()
			if report.Duplicates != tt.duplicates || report.Drops["unknown_write_key"] != tt.dropped || len(report.Violations) > 0 ||
				report.Accepted+tt.dropped != len(said.Delivered) {
				t.Errorf("report %+v", report)
			}
			sent := said.calls(t)
			for _, e := range receiver.Events() {
				if !slices.Contains(said.Delivered, e.MessageID) {
					t.Errorf("the receiver took %s, of which the client does not know", e.MessageID)
				}
				if got := decodeJSON(t, e.JSON); !reflect.DeepEqual(got, sent[e.MessageID]) {
					t.Errorf("the receiver took %v, the client sent %v", got, sent[e.MessageID])
				}
			}
		})
	}
}

// clientReport is what send.mjs prints.
type clientReport struct {
	Delivered, Failed []string
	Statuses          []int
	Bodies            []struct{ Batch []json.RawMessage }
}

// calls returns the calls that were sent, by message ID.
func (r *clientReport) calls(t *testing.T) map[string]any {
	t.Helper()
	calls := map[string]any{}
	for _, body := range r.Bodies {
		for _, raw := range body.Batch {
			call := decodeJSON(t, raw)
			id, _ := call["messageId"].(string)
			calls[id] = call
		}
	}
	return calls
}

func decodeJSON(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var value map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func sendWithNode(t *testing.T, address, key string, events, each int) *clientReport {
	t.Helper()
	var report clientReport
	out := runClient(t, "send.mjs", "", address, key, strconv.Itoa(events), strconv.Itoa(each))
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("node printed %q: %v", out, err)
	}
	return &report
}
