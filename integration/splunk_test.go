// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
)

// stagedFolder stages a small cluster in a folder and returns a site to run the program with, the folder's URL and
// the track calls in it.
func stagedFolder(t *testing.T, seed uint64) (s *site, stage string, calls []map[string]any) {
	t.Helper()
	sample := samplecluster.New(samplecluster.Config{Seed: seed, Runs: 200, Now: time.Now().UTC().Truncate(time.Second)})
	dir := t.TempDir()
	if err := sample.WriteDir(filepath.Join(dir, "cluster")); err != nil {
		t.Fatal(err)
	}
	s = &site{t: t, sample: sample, output: new(bytes.Buffer)}
	stage = "file://" + filepath.Join(dir, "stage")
	calledOut := filepath.Join(dir, "calls")
	s.mustRun(nil, "run", "--source", "dir:"+filepath.Join(dir, "cluster"), "--cluster-id", sample.ID, "--since", "192h", "--stage", stage, "--destination", "file:"+calledOut)
	text, err := os.ReadFile(calledOut)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var call map[string]any
		if err := json.Unmarshal(line, &call); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, call)
	}
	if len(calls) < 200 {
		t.Fatalf("%d events are staged", len(calls))
	}
	return s, stage, calls
}

// TestSplunk delivers to a collector that is not ours: what is staged arrives, each event once, over TLS, packed and
// acknowledged or not.
func TestSplunk(t *testing.T) {
	const token = "5e9b6c1f-77a0-4f5e-9d3c-c0ffee5eed01"
	s, stage, calls := stagedFolder(t, 11)
	for _, args := range [][]string{nil, {"--splunk-gzip"}, {"--splunk-ack"}, {"--splunk-gzip", "--splunk-ack", "--splunk-index", "telemetry"}} {
		t.Run(strings.Join(append([]string{"plain"}, args...), " "), func(t *testing.T) {
			s.t = t
			collector := world.NewSplunkHEC(t)
			for _, folder := range []string{"receipts", "leases"} { // without them everything is to be delivered
				if err := os.RemoveAll(filepath.Join(strings.TrimPrefix(stage, "file://"), "v1", folder, "splunk")); err != nil {
					t.Fatal(err)
				}
			}
			env := []string{"SPLUNK_HEC_URL=" + collector.URL + "/services/collector", "SPLUNK_HEC_TOKEN=" + token}
			args := append([]string{"--stage", stage, "--destination", "splunk", "--splunk-ca-file", collector.CAFile}, args...)

			doctor := s.run(env, append([]string{"doctor", "--source", "dir:/", "--cluster-id", "c"}, args...)...)
			if doctor.code != 0 || !strings.Contains(string(doctor.stdout), "the server takes the token") {
				t.Errorf("doctor: exit code %d\n%s", doctor.code, doctor.stdout)
			}
			untrusted := s.run(env, append([]string{"load"}, slices.Concat(args[:4], args[6:])...)...)
			if untrusted.code != 1 || !strings.Contains(string(untrusted.stderr), "certificate not trusted") || len(collector.Events(t)) > 0 {
				t.Errorf("without its authority: exit code %d\n%s", untrusted.code, untrusted.stderr)
			}
			s.mustRun(env, append([]string{"load"}, args...)...)
			s.mustRun(env, append([]string{"load"}, args...)...) // nothing is left to do
			want := map[string]map[string]any{}
			for _, call := range calls {
				want[text(call["messageId"])] = call
			}
			for _, e := range collector.Events(t) {
				var call map[string]any
				if err := json.Unmarshal(e.Event, &call); err != nil {
					t.Fatal(err)
				}
				id := text(call["messageId"])
				if !reflect.DeepEqual(call, want[id]) {
					t.Errorf("arrived as %v, staged as %v", call, want[id])
				}
				delete(want, id)
				at, err := time.Parse(time.RFC3339, text(call["timestamp"]))
				var origin struct {
					Context struct{ Device struct{ ID string } }
				}
				if err := json.Unmarshal(e.Event, &origin); err != nil {
					t.Fatal(err)
				}
				if err != nil || e.Time != float64(at.Unix()) || e.Host != origin.Context.Device.ID || e.Source != "segment-bridge" || e.SourceType != "segment:track" || (e.Index == "telemetry") != slices.Contains(args, "--splunk-index") {
					t.Errorf("arrived with %+v", e)
				}
			}
			if len(want) > 0 {
				t.Errorf("%d of %d events did not arrive", len(want), len(calls))
			}
		})
	}
	if strings.Contains(s.output.String(), token) {
		t.Error("the token shows in what the program says")
	}
}

// text is a JSON string; what is none is empty.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// TestReceiverAgainstOpenTelemetry lets the OpenTelemetry Collector's client speak to the receiver that all other tests
// believe. Both must agree on what was delivered.
func TestReceiverAgainstOpenTelemetry(t *testing.T) {
	const events = 7
	tests := []struct {
		name     string
		token    string
		options  splunktest.Options
		faults   []splunktest.Fault
		args     []string
		requests int
		arrive   int
		fails    bool
	}{
		{name: "success", requests: 1, arrive: events},
		{name: "packed", args: []string{"-gzip"}, requests: 1, arrive: events},
		{name: "busy", faults: []splunktest.Fault{{Status: 503, Code: 9}, {Status: 429, Code: 26, RetryAfter: "1"}}, requests: 3, arrive: events},
		{name: "reset after accepting", faults: []splunktest.Fault{{Reset: true, Accept: true}}, requests: 2, arrive: 2 * events},
		{name: "unknown token", token: "another", requests: 1, fails: true},
		{name: "disabled token", token: "off", options: splunktest.Options{Disabled: "off"}, requests: 1, fails: true},
		{name: "no channel", options: splunktest.Options{Ack: true}, requests: 1, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receiver := splunktest.New(tt.options)
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			receiver.Inject(tt.faults...)
			if tt.token == "" {
				tt.token = splunktest.Token
			}
			err = world.SendHEC(t, address, tt.token, events, tt.args...)
			got := receiver.Events()
			if r := receiver.Report(); (err != nil) != tt.fails || len(got) != tt.arrive || r.Requests != tt.requests || len(r.Drops) > 0 {
				t.Errorf("%v; %d events, report %+v", err, len(got), r)
			}
			for i, e := range got {
				if e.Time != float64(1_700_000_000+i%events) || e.Source != "splunkhec" || e.SourceType != "otel" {
					t.Errorf("event %d is %+v", i, e)
				}
			}
		})
	}
}
