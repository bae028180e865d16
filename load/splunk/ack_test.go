// SPDX-License-Identifier: Apache-2.0

package splunk_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

func withAck(o *splunk.Options) { o.Ack = true }

func TestAcknowledgement(t *testing.T) {
	tests := []struct {
		name        string
		takes       time.Duration
		faults      []splunktest.Fault // of the first requests: the question whether there is acknowledgement, the events, the questions for it
		least, most time.Duration
		questions   int // that reached the server
		wantErr     string
	}{
		{name: "at once", least: time.Second, most: time.Second, questions: 2},
		{name: "in a while", takes: 20 * time.Second, least: 20 * time.Second, most: 30 * time.Second, questions: 6},
		{name: "the server is busy when asked", faults: []splunktest.Fault{{}, {}, {Status: 503, Code: 9}}, least: 1250 * time.Millisecond, most: 1500 * time.Millisecond, questions: 2},
		{name: "too late", takes: time.Hour, least: 5 * time.Minute, most: 5 * time.Minute, questions: 33, wantErr: "not acknowledged in five minutes"},
		// Splunk forgets what it has told.
		{name: "the answer is lost", faults: []splunktest.Fault{{}, {}, {Accept: true, Reset: true}}, least: 5 * time.Minute, most: 5 * time.Minute, questions: 34, wantErr: "not acknowledged in five minutes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := splunktest.New(splunktest.Options{Ack: true, IndexingTakes: tt.takes})
				receiver.Inject(tt.faults...)
				d, _ := newDestination(t, receiver, withAck)
				start := time.Now()
				verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3))
				if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v", err)
				}
				want := telemetry.Delivered
				if err != nil {
					want = telemetry.Pending
				}
				r := receiver.Report()
				if elapsed := time.Since(start); loadtest.Count(verdicts, want) != 3 || elapsed < tt.least || elapsed > tt.most || r.Questions != tt.questions || len(receiver.Events()) != 3 {
					t.Errorf("%v after %v and %d questions; %d events", verdicts, elapsed, r.Questions, len(receiver.Events()))
				}
			})
		})
	}
}

func TestAcknowledgementIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := splunktest.New(splunktest.Options{Ack: true, IndexingTakes: time.Hour})
		d, _ := newDestination(t, receiver, withAck)
		stop := errors.New("the pod is going away")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(30*time.Second, func() { cancel(stop) })
		verdicts, err := d.Deliver(ctx, loadtest.Tracks(3))
		if !errors.Is(err, stop) || loadtest.Count(verdicts, telemetry.Pending) != 3 || time.Since(start) != 30*time.Second {
			t.Errorf("%v, %v after %v", verdicts, err, time.Since(start))
		}
	})
}

// TestTokenWithoutAcknowledgement sends nothing: it would be sent again and again.
func TestTokenWithoutAcknowledgement(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{})
	d, _ := newDestination(t, receiver, withAck)
	verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3))
	if err == nil || !strings.Contains(err.Error(), "enable it for the token") || loadtest.Count(verdicts, telemetry.Pending) != 3 || len(receiver.Events()) > 0 {
		t.Errorf("%v, %v", verdicts, err)
	}
	receiver = splunktest.New(splunktest.Options{Ack: true})
	d, _ = newDestination(t, receiver, nil)
	if _, err := d.Deliver(t.Context(), loadtest.Tracks(1)); err == nil || !strings.Contains(err.Error(), "wants indexer acknowledgement") {
		t.Errorf("without acknowledgement: %v", err)
	}
}

// TestCookies keeps a channel at the receiver that a load balancer chose for it, and no cookie without a channel.
func TestCookies(t *testing.T) {
	for _, ack := range []bool{true, false} {
		receiver := splunktest.New(splunktest.Options{Ack: ack})
		var sent []string
		balancer := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			sent = append(sent, req.Header.Get("Cookie"))
			http.SetCookie(w, &http.Cookie{Name: "lb", Value: "indexer-7"})
			receiver.ServeHTTP(w, req)
		})
		synctest.Test(t, func(t *testing.T) {
			d, _ := newDestination(t, balancer, func(o *splunk.Options) { o.Ack = ack })
			for range 2 {
				if _, err := d.Deliver(t.Context(), loadtest.Tracks(1)); err != nil {
					t.Fatal(err)
				}
			}
		})
		for i, cookie := range sent {
			if want := ack && i > 0; (cookie == "lb=indexer-7") != want || (cookie == "") == want {
				t.Errorf("acknowledgement %t, request %d: cookie %q", ack, i, cookie)
			}
		}
	}
}
