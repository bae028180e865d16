// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestDryRun(t *testing.T) {
	receiver := segmenttest.New(segmenttest.Options{})
	var out bytes.Buffer
	d, _ := newDestination(t, receiver, func(o *segment.Options) { o.DryRun, o.Key, o.Gzip = &out, load.Secret{}, true })
	events := small(2_501)
	verdicts, err := d.Deliver(t.Context(), events)
	if err != nil || count(verdicts, telemetry.Delivered) != len(events) {
		t.Fatalf("%d delivered, %v", count(verdicts, telemetry.Delivered), err)
	}
	if n := receiver.Report().Requests; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	var printed int
	for line := range bytes.Lines(out.Bytes()) {
		var body struct {
			SentAt time.Time
			Batch  []json.RawMessage
		}
		if err := json.Unmarshal(line, &body); err != nil || body.SentAt.IsZero() {
			t.Fatalf("line %.60q: %v", line, err)
		}
		for _, payload := range body.Batch {
			if !bytes.Equal(payload, events[printed].Payload) {
				t.Fatalf("printed %s, staged %s", payload, events[printed].Payload)
			}
			printed++
		}
	}
	if printed != len(events) {
		t.Errorf("%d events printed", printed)
	}
	full := errors.New("the disk is full")
	d, _ = newDestination(t, receiver, func(o *segment.Options) { o.DryRun = failingWriter{full} })
	if _, err := d.Deliver(t.Context(), tracks(1)); !errors.Is(err, full) {
		t.Errorf("a failing writer gave %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestNew(t *testing.T) {
	tests := []struct {
		name, key, endpoint, wantErr, wantLog string
	}{
		{"good", segmenttest.Key, "", "", ""},
		{"no key", "", "", "SEGMENT_WRITE_KEY", ""},
		{"short key", "abc", "", "", "32 letters"},
		{"odd key", segmenttest.Key[1:] + "-", "", "", "32 letters"},
		{"no URL", segmenttest.Key, "https://[::1", "not a URL", ""},
		{"in the clear", segmenttest.Key, "http://segment.example", "", "in the clear"},
		{"on this machine", segmenttest.Key, "http://127.0.0.1:8080", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			_, err := segment.New(segment.Options{Key: load.NewSecret(tt.key), Endpoint: tt.endpoint, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v", err)
			}
			if (log.Len() == 0) != (tt.wantLog == "") || !strings.Contains(log.String(), tt.wantLog) || tt.key != "" && strings.Contains(log.String(), tt.key) {
				t.Errorf("log %q", log.String())
			}
		})
	}
}
