// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
	"github.com/segment-bridge/segment-bridge/stage"
)

// smallStage stages a small cluster and returns the stage.
func smallStage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sample := samplecluster.New(samplecluster.Config{Seed: 1, Runs: 25, Now: noon})
	if err := sample.WriteDir(filepath.Join(dir, "cluster")); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.Join(dir, "stage")
	code, stdout, stderr := try(t, nil, "run", "--source", "dir:"+filepath.Join(dir, "cluster"), "--cluster-id", sample.ID, "--since", "192h", "--stage", url)
	if code != cli.ExitDone {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	return url
}

// receipts returns those of a destination.
func receipts(t *testing.T, stageURL, destination string) (all []stage.Receipt) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(strings.TrimPrefix(stageURL, "file://"), "v1/receipts", destination, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var r stage.Receipt
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestSplunk(t *testing.T) {
	for name, assurance := range map[string]string{"plain": "accepted", "ack": "indexed"} {
		t.Run(name, func(t *testing.T) {
			receiver := splunktest.New(splunktest.Options{Ack: name == "ack", Indexes: []string{"telemetry"}})
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			token := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(token, []byte(splunktest.Token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			url := smallStage(t)
			env := map[string]string{"SPLUNK_HEC_URL": address, "SPLUNK_HEC_INDEX": "telemetry"}
			args := []string{"--stage", url, "--destination", "splunk", "--splunk-token-file", token, "--splunk-gzip"}
			if name == "ack" {
				args = append(args, "--splunk-ack")
			}

			code, dry, stderr := try(t, env, append([]string{"load", "--dry-run"}, args...)...)
			if code != cli.ExitDone || len(receiver.Events()) > 0 || !strings.HasPrefix(dry, `{"time":`) {
				t.Fatalf("dry run: exit code %d, %d events, printed %.200s%s", code, len(receiver.Events()), dry, stderr)
			}
			var s summary
			code, stdout, stderr := try(t, env, append([]string{"load"}, args...)...)
			if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != cli.ExitDone {
				t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
			}
			var again strings.Builder // what arrived is what the dry run printed
			for _, e := range receiver.Events() {
				again.Write(e.Event)
			}
			if got := s.Destinations[0]; got.Delivered == 0 || int(got.Delivered) != len(receiver.Events()) || got.Pending+got.Rejected > 0 || strings.Count(dry, "\n") != len(receiver.Events()) {
				t.Errorf("%+v, %d events arrived", got, len(receiver.Events()))
			}
			for line := range strings.Lines(dry) {
				_, payload, _ := strings.Cut(line, `,"event":`)
				if !strings.Contains(again.String(), strings.TrimSuffix(payload, "}\n")) {
					t.Fatalf("did not arrive: %s", line)
				}
			}
			all := receipts(t, url, "splunk")
			if len(all) != 1 || all[0].Assurance != assurance || all[0].Delivered != s.Destinations[0].Delivered {
				t.Errorf("receipts %+v", all)
			}
		})
	}
}

// TestOTLP delivers to a collector that the standard variables name for logs alone, and what the dry run printed.
func TestOTLP(t *testing.T) {
	receiver := otlptest.New()
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	url := smallStage(t)
	env := map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": address + "/v1/logs", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "authorization=" + neturl.PathEscape(otlptest.Token)}
	args := []string{"--stage", url, "--destination", "otlp"}
	doctor := append([]string{"--source", "dir:" + t.TempDir(), "--cluster-id", "c"}, args...)

	code, statuses, output := diagnose(t, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": address + "/v1/logs"}, doctor...)
	wantStatuses(t, statuses, map[string]string{"destination otlp": "fix"})
	if code != cli.ExitFailed || !strings.Contains(output, "check the headers") {
		t.Errorf("doctor without credentials: exit code %d:\n%s", code, output)
	}
	code, statuses, output = diagnose(t, env, doctor...)
	wantStatuses(t, statuses, map[string]string{"destination otlp": "ok"})
	if code != cli.ExitDone || !strings.Contains(output, "takes log records") {
		t.Errorf("doctor: exit code %d:\n%s", code, output)
	}
	code, dry, stderr := try(t, nil, append([]string{"load", "--dry-run"}, args...)...)
	if code != cli.ExitDone || len(receiver.Records()) > 0 || !strings.HasPrefix(dry, `{"resourceLogs":[`) {
		t.Fatalf("dry run: exit code %d, %d records, printed %.200s%s", code, len(receiver.Records()), dry, stderr)
	}
	var s summary
	code, stdout, stderr := try(t, env, append([]string{"load"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != cli.ExitDone || strings.Contains(stderr, otlptest.Token) {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	ids := receiver.MessageIDs()
	if got := s.Destinations[0]; len(ids) == 0 || int(got.Delivered) != len(ids) || got.Pending+got.Rejected > 0 || strings.Count(dry, `"messageId"`) != len(ids) {
		t.Errorf("%+v, %d records arrived", got, len(ids))
	}
	for _, id := range ids {
		if !strings.Contains(dry, `{"stringValue":"`+id+`"}`) {
			t.Errorf("the dry run did not print %s", id)
		}
	}
	if all := receipts(t, url, "otlp"); len(all) != 1 || all[0].Assurance != "accepted" || int(all[0].Delivered) != len(ids) {
		t.Errorf("receipts %+v", all)
	}
}

func TestKongDryRun(t *testing.T) {
	code, stdout, stderr := try(t, nil, "load", "--dry-run", "--stage", smallStage(t), "--destination", "kong")
	if code != cli.ExitDone || !strings.HasPrefix(stdout, "<14>signal=") {
		t.Errorf("exit code %d: %.200s%s", code, stdout, stderr)
	}
}

func TestNetworkUsage(t *testing.T) {
	url := "file://" + t.TempDir()
	for _, test := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{args: []string{"--destination", "splunk"}, want: "SPLUNK_HEC_URL"},
		{env: map[string]string{"SPLUNK_HEC_URL": "splunk.example:8088"}, args: []string{"--destination", "splunk"}, want: "SPLUNK_HEC_TOKEN"},
		{args: []string{"--destination", "splunk", "--splunk-token-file", "/nonexistent/token"}, want: "read Splunk token"},
		{args: []string{"--destination", "kong"}, want: "KONG_LINE_ADDRESS"},
		{args: []string{"--destination", "kong", "--kong-address", "lines.example"}, want: "host:port"},
		{args: []string{"--destination", "otlp"}, want: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "ftp://otlp.example"}, args: []string{"--destination", "otlp"}, want: "unknown scheme"},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "otlp.example", "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/nonexistent"}, args: []string{"--destination", "otlp"}, want: "does not exist (see"},
		{args: []string{"--destination", "kafka"}, want: "otlp or kong"},
	} {
		code, _, stderr := try(t, test.env, append([]string{"load", "--stage", url}, test.args...)...)
		if code != cli.ExitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%q: exit code %d, want 2 and %q in:\n%s", test.args, code, test.want, stderr)
		}
	}
}

func TestDoctorAsksSplunk(t *testing.T) {
	receiver := splunktest.New(splunktest.Options{})
	address, stop, err := receiver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	args := []string{"--source", "dir:" + t.TempDir(), "--cluster-id", "c", "--stage", "file://" + t.TempDir(), "--destination", "splunk"}
	for _, test := range []struct {
		name, token, says string
		args              []string
		code              int
		status            string
	}{
		{name: "good", token: splunktest.Token, status: "ok", says: "takes the token"},
		{name: "a wrong token", token: strings.Replace(splunktest.Token, "5", "6", 1), code: cli.ExitFailed, status: "fix", says: "does not know the token"},
		{name: "an odd token", token: "short", code: cli.ExitFailed, status: "fix", says: "compare it"},
		{name: "no token", code: cli.ExitUsage, status: "fix", says: "SPLUNK_HEC_TOKEN"},
		{name: "no acknowledgement", token: splunktest.Token, args: []string{"--splunk-ack"}, code: cli.ExitFailed, status: "fix", says: "enable it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, statuses, output := diagnose(t, map[string]string{"SPLUNK_HEC_URL": address, "SPLUNK_HEC_TOKEN": test.token}, append(args, test.args...)...)
			wantStatuses(t, statuses, map[string]string{"stage, writing": "ok"})
			if code != test.code || !strings.Contains(output, test.says) || !strings.Contains(output, `"status": "`+test.status+`"`) || test.token != "" && strings.Contains(output, test.token) {
				t.Errorf("exit code %d:\n%s", code, output)
			}
		})
	}
	if n := len(receiver.Events()); n > 0 {
		t.Errorf("doctor sent %d events", n)
	}
}

func TestDoctorConnectsToKong(t *testing.T) {
	const address = "127.0.0.1:1" // a port that was free a moment ago another process may have got
	code, statuses, output := diagnose(t, nil, "--source", "dir:"+t.TempDir(), "--cluster-id", "c", "--stage", "file://"+t.TempDir(), "--destination", "kong", "--kong-address", address)
	wantStatuses(t, statuses, map[string]string{"destination kong": "fix"})
	if code != cli.ExitFailed || !strings.Contains(output, "connection refused") || strings.Contains(output, address) {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}
