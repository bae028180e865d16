// SPDX-License-Identifier: Apache-2.0

package kongline_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/kongline"
	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

var (
	_ load.Destination = (*kongline.Destination)(nil)
	_ load.Metered     = (*kongline.Destination)(nil)
	_ load.Assurer     = (*kongline.Destination)(nil)
)

func TestContract(t *testing.T) {
	loadtest.Destination(t, func(t *testing.T) *loadtest.World {
		r, ca := newReceiver(t)
		t.Cleanup(r.serving.Wait)
		return &loadtest.World{
			Destination: newDestination(t, r.dial, ca), Arrived: r.messageIDs,
			Fail: func(broken bool) {
				r.behave(healthy)
				if broken {
					r.behave(early)
				}
			},
			Secrets: []string{hostname, "canary"},
		}
	})
}

// TestConnections says what counts as delivered after which end of a connection, and what is tried again.
func TestConnections(t *testing.T) {
	tests := []struct {
		name        string
		behaviours  []behaviour
		dials       int
		copies      int // of each line that arrive
		least, most time.Duration
		wantErr     string
	}{
		{name: "healthy", dials: 1, copies: 1},
		{name: "nobody listens at first", behaviours: []behaviour{refusing, refusing}, dials: 3, copies: 1, least: 750 * time.Millisecond, most: 1500 * time.Millisecond},
		{name: "it leaves at once", behaviours: []behaviour{early}, dials: 2, copies: 1, least: 250 * time.Millisecond, most: 500 * time.Millisecond},
		{name: "it leaves in the middle", behaviours: []behaviour{cutting}, dials: 2, copies: 1, least: 250 * time.Millisecond, most: 500 * time.Millisecond},
		{name: "it never reads", behaviours: []behaviour{hanging}, dials: 2, copies: 1, least: time.Minute, most: 61 * time.Second},
		{name: "it never ends", behaviours: []behaviour{deaf}, dials: 1, least: time.Minute, most: time.Minute, wantErr: "does not end the connection"},
		{name: "it does not speak TLS", behaviours: []behaviour{plain}, dials: 1, wantErr: "does not speak TLS"},
		{name: "nobody listens", behaviours: slices.Repeat([]behaviour{refusing}, 10), dials: 10, least: 91 * time.Second, most: 184 * time.Second, wantErr: "after 10 attempts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, ca := newReceiver(t, tt.behaviours...)
				defer r.serving.Wait()
				d := newDestination(t, r.dial, ca)
				events := loadtest.Tracks(200)
				start := time.Now()
				verdicts, err := d.Deliver(t.Context(), events)
				elapsed := time.Since(start)
				if (err == nil) != (tt.wantErr == "") || err != nil && (!strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "canary")) {
					t.Fatalf("error %v", err)
				}
				want := telemetry.Delivered
				if err != nil {
					want = telemetry.Pending
				}
				if loadtest.Count(verdicts, want) != len(events) || r.dials != tt.dials || len(r.lines()) != tt.copies*len(events) || elapsed < tt.least || elapsed > tt.most {
					t.Errorf("%d dials and %d lines in %v; first verdict %+v", r.dials, len(r.lines()), elapsed, verdicts[0])
				}
			})
		})
	}
}

func TestCertificates(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r, ca := newReceiver(t)
	_, otherCA := newReceiver(t)
	for _, tt := range []struct{ name, ca, wantErr string }{
		{"trusted", ca, ""},
		{"another authority", otherCA, "certificate not trusted"},
		{"the system's", "", "certificate not trusted"},
	} {
		d := newDestination(t, r.overTCP, tt.ca)
		err := d.Check(t.Context())
		if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("%s: check: %v", tt.name, err)
		}
		if _, err = d.Deliver(t.Context(), loadtest.Tracks(1)); (err == nil) != (tt.wantErr == "") {
			t.Errorf("%s: deliver: %v", tt.name, err)
		}
	}
	r.serving.Wait()
	if r.dials != 6 || len(r.lines()) != 1 {
		t.Errorf("%d connections, %d lines", r.dials, len(r.lines()))
	}
}

func TestNew(t *testing.T) {
	for address, wantErr := range map[string]string{
		"lines.example:61833": "", " tls://lines.example:61833\n": "", "[::1]:61833": "", "": "empty",
		"lines.example": "host:port", ":61833": "host:port", "lines.example:": "host:port", "https://lines.example:61833": "host:port",
	} {
		_, err := kongline.New(kongline.Options{Address: address})
		if (err == nil) != (wantErr == "") || err != nil && (!strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), "lines.example")) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := kongline.New(kongline.Options{Address: "lines.example:61833", CAFile: filepath.Join(t.TempDir(), "missing")}); err == nil {
		t.Error("a missing CA file is no error")
	}
}

func TestDryRun(t *testing.T) {
	var out bytes.Buffer
	d, err := kongline.New(kongline.Options{DryRun: &out})
	if err != nil {
		t.Fatal(err)
	}
	verdicts, err := d.Deliver(t.Context(), loadtest.Tracks(3))
	if err != nil || loadtest.Count(verdicts, telemetry.Delivered) != 3 || strings.Count(out.String(), "\n") != 3 || !strings.HasPrefix(out.String(), "<14>signal=") {
		t.Errorf("%v, %v: %q", verdicts, err, out.String())
	}
	full := errors.New("the disk is full")
	d, err = kongline.New(kongline.Options{DryRun: failingWriter{full}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Deliver(t.Context(), loadtest.Tracks(1)); !errors.Is(err, full) {
		t.Errorf("a failing writer gave %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
