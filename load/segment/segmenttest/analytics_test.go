// SPDX-License-Identifier: Apache-2.0

package segmenttest_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// outcomes is what analytics-go says about its messages.
type outcomes struct {
	sync.WaitGroup
	mu             sync.Mutex
	success, fails []string
}

func (o *outcomes) note(list *[]string, m analytics.Message) {
	o.mu.Lock()
	*list = append(*list, m.(analytics.Track).MessageId) //nolint:errcheck // it sends nothing else
	o.mu.Unlock()
	o.Done()
}

func (o *outcomes) Success(m analytics.Message)          { o.note(&o.success, m) }
func (o *outcomes) Failure(m analytics.Message, _ error) { o.note(&o.fails, m) }

type quiet struct{}

func (quiet) Logf(string, ...any)   {}
func (quiet) Errorf(string, ...any) {}

// TestAgainstAnalyticsGo lets Segment's own Go client, as it is, speak to the receiver. Both must agree on
// what was delivered.
func TestAgainstAnalyticsGo(t *testing.T) {
	const batches, each = 4, 5
	tests := []struct {
		name       string
		key        string
		faults     []segmenttest.Fault
		requests   int
		duplicates int
		lost       bool // the client is told 200 and nothing is taken
	}{
		{name: "success", requests: batches},
		{name: "told to wait", faults: []segmenttest.Fault{{Status: 429, RetryAfter: "1"}}, requests: batches + 1},
		{name: "unavailable", faults: []segmenttest.Fault{{Status: 503}, {Status: 503}}, requests: batches + 2},
		{name: "reset before", faults: []segmenttest.Fault{{Reset: true}}, requests: batches + 1},
		{name: "reset after accepting", faults: []segmenttest.Fault{{Reset: true, Accept: true}}, requests: batches + 1, duplicates: each},
		{name: "truncated answer", faults: []segmenttest.Fault{{Truncate: true}}, requests: batches},
		{name: "wrong write key", key: "AnotherKey0000000000000000000000", requests: batches, lost: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receiver := segmenttest.New(segmenttest.Options{})
			address := start(t, receiver)
			receiver.Inject(tt.faults...)
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			var said outcomes
			client, err := analytics.NewWithConfig(cmp.Or(tt.key, segmenttest.Key), analytics.Config{
				Endpoint: address, Transport: transport, BatchSize: each, Callback: &said, Logger: quiet{},
				RetryAfter: func(int) time.Duration { return time.Millisecond },
			})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range batches * each {
				id := fmt.Sprintf("event-%03d", i)
				want = append(want, id)
				said.Add(1)
				if err := client.Enqueue(analytics.Track{
					MessageId: id, AnonymousId: "anonymous", Event: "E", Properties: analytics.NewProperties().Set("n", i),
				}); err != nil {
					t.Fatal(err)
				}
			}
			said.Wait()
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			slices.Sort(said.success)
			if !slices.Equal(said.success, want) {
				t.Errorf("the client delivered %v and failed %v", said.success, said.fails)
			}
			if tt.lost {
				if r := receiver.Report(); r.Accepted != 0 || r.Drops["unknown_write_key"] != len(want) {
					t.Errorf("report %+v", r)
				}
				return
			}
			var got []string
			for _, e := range receiver.Events() {
				got = append(got, e.MessageID)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("the receiver took %v", got)
			}
			if r := receiver.Report(); r.Requests != tt.requests || r.Duplicates != tt.duplicates || len(r.Violations)+len(r.Drops)+len(r.Refusals) > 0 {
				t.Errorf("report %+v", r)
			}
		})
	}
}
