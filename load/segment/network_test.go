// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// TestOverTCP has what only a real connection shows: resets, answers that break off, redirects that a client
// might follow, connections that are used again, and goroutines left behind.
func TestOverTCP(t *testing.T) {
	tests := []struct {
		name       string
		faults     []segmenttest.Fault
		requests   int
		duplicates int
		wantErr    string
	}{
		{name: "success", requests: 1},
		{name: "reset before", faults: []segmenttest.Fault{{Reset: true}}, requests: 2},
		{name: "reset after accepting", faults: []segmenttest.Fault{{Reset: true, Accept: true}}, requests: 2, duplicates: 3},
		{name: "truncated answer", faults: []segmenttest.Fault{{Truncate: true}}, requests: 1},
		{name: "redirect", faults: []segmenttest.Fault{{Status: http.StatusMovedPermanently, Location: "/_/report"}}, requests: 1, wantErr: "HTTP 301"},
		{name: "redirect that keeps the method", faults: []segmenttest.Fault{{Status: http.StatusPermanentRedirect, Location: "/v1/batch"}}, requests: 1, wantErr: "HTTP 308"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			receiver := segmenttest.New(segmenttest.Options{})
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			receiver.Inject(tt.faults...)
			d, _ := newDestination(t, nil, func(o *segment.Options) { o.Endpoint = address })
			defer d.Close()

			verdicts, err := d.Deliver(t.Context(), tracks(3))
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("error %v", err)
			}
			want := 3
			if tt.wantErr != "" {
				want = 0
			}
			if r := receiver.Report(); count(verdicts, telemetry.Delivered) != want || r.Accepted != want || r.Requests != tt.requests || r.Duplicates != tt.duplicates {
				t.Errorf("verdicts %v, report %+v", verdicts, r)
			}
		})
	}
}

func TestConnectionsAreKept(t *testing.T) {
	receiver := segmenttest.New(segmenttest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	receiver.Inject(segmenttest.Fault{}, segmenttest.Fault{Status: 400}) // a refusal has a body as well
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var fresh atomic.Int32
	d, _ := newDestination(t, roundTripper(func(req *http.Request) (*http.Response, error) {
		return transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) {
				if !c.Reused {
					fresh.Add(1)
				}
			},
		})))
	}), func(o *segment.Options) { o.Endpoint = address })
	for i := range 20 {
		if _, err := d.Deliver(t.Context(), tracks(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := fresh.Load(); n != 1 {
		t.Errorf("%d connections for 22 requests", n)
	}
}

// TestNobodyListens gives up in the time it has, and says so without the address.
func TestNobodyListens(t *testing.T) {
	const address = "http://127.0.0.1:1" // a port that was free a moment ago another process may have got
	d, _ := newDestination(t, nil, func(o *segment.Options) { o.Endpoint, o.Patience = address, 300*time.Millisecond })
	defer d.Close()
	_, err := d.Deliver(t.Context(), tracks(1))
	if err == nil || strings.Contains(err.Error(), "127.0.0.1") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
}
