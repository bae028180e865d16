// SPDX-License-Identifier: Apache-2.0

package splunk_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// TestOverTCP has what only a real connection shows.
func TestOverTCP(t *testing.T) {
	tests := []struct {
		name    string
		faults  []splunktest.Fault
		events  int // that arrive
		wantErr string
	}{
		{name: "success", events: 3},
		{name: "reset before", faults: []splunktest.Fault{{Reset: true}}, events: 3},
		{name: "reset after accepting", faults: []splunktest.Fault{{Reset: true, Accept: true}}, events: 6},
		{name: "answer broken off", faults: []splunktest.Fault{{Truncate: true}}, events: 6},
		{name: "redirect", faults: []splunktest.Fault{{Status: http.StatusMovedPermanently, Location: "/services/collector/health"}}, wantErr: "HTTP 301"},
		{name: "redirect that keeps the method", faults: []splunktest.Fault{{Status: http.StatusPermanentRedirect, Location: "/services/collector/event"}}, wantErr: "HTTP 308"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			receiver := splunktest.New(splunktest.Options{})
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			receiver.Inject(tt.faults...)
			d, _ := newDestination(t, nil, func(o *splunk.Options) { o.URL, o.Transport = address, nil })
			defer d.Close()
			verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3))
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("error %v", err)
			}
			if n := loadtest.Count(verdicts, telemetry.Delivered); (n == 3) != (err == nil) || len(receiver.Events()) != tt.events {
				t.Errorf("%v, %d events", verdicts, len(receiver.Events()))
			}
		})
	}
}

func TestConnectionsAreKept(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	receiver.Inject(splunktest.Fault{}, splunktest.Fault{Status: 413}) // a refusal has a body as well
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var fresh atomic.Int32
	d, _ := newDestination(t, nil, func(o *splunk.Options) {
		o.URL = address
		o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			return transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				GotConn: func(c httptrace.GotConnInfo) {
					if !c.Reused {
						fresh.Add(1)
					}
				},
			})))
		})
	})
	for i := range 20 {
		if _, err := d.Deliver(t.Context(), loadtest.Tracks(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := fresh.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTLS(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{})
	server := httptest.NewUnstartedServer(receiver)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, ca, url, wantErr string }{
		{"trusted", ca, server.URL, ""},
		{"unknown authority", "", server.URL, "certificate not trusted"},
		{"no TLS", ca, strings.Replace(server.URL, "https", "http", 1), "HTTP 400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDestination(t, nil, func(o *splunk.Options) { o.URL, o.CAFile, o.Transport = tt.url, tt.ca, nil })
			defer d.Close()
			start := time.Now()
			_, err := d.Deliver(t.Context(), loadtest.Tracks(1))
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v after %v", err, time.Since(start))
			}
		})
	}
}

// TestNobodyListens gives up in the time it has, and says so without the address.
func TestNobodyListens(t *testing.T) {
	const address = "http://127.0.0.1:1" // a port that was free a moment ago another process may have got
	d, _ := newDestination(t, nil, func(o *splunk.Options) { o.URL, o.Transport, o.Patience = address, nil, 300*time.Millisecond })
	defer d.Close()
	_, err := d.Deliver(t.Context(), loadtest.Tracks(1))
	if err == nil || strings.Contains(err.Error(), "127.0.0.1") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
}
