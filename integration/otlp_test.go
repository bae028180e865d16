// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
)

// TestOTLP delivers to the OpenTelemetry Collector's own receiver, over TLS: what is staged arrives, each event once, as the
// dry run printed it, although the collector is busy at first.
func TestOTLP(t *testing.T) {
	const credentials = "Bearer 5e9b6c1f"
	s, stage, calls := stagedFolder(t, 12)
	for name, compression := range map[string]string{"plain": "none", "gzip": "gzip"} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			collector := world.NewOTLP(t, 2)
			for _, folder := range []string{"receipts", "leases"} { // without them everything is to be delivered
				if err := os.RemoveAll(filepath.Join(strings.TrimPrefix(stage, "file://"), "v1", folder, "otlp")); err != nil {
					t.Fatal(err)
				}
			}
			env := []string{
				"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=" + collector.URL + "/v1/logs", "OTEL_EXPORTER_OTLP_LOGS_HEADERS=authorization=" + url.PathEscape(credentials),
				"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE=" + collector.CAFile, "OTEL_EXPORTER_OTLP_COMPRESSION=" + compression,
				"OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=hunter2", "OTEL_SERVICE_NAME=hunter2",
			}
			args := []string{"--stage", stage, "--destination", "otlp"}
			doctor := s.run(env, append([]string{"doctor", "--source", "dir:/", "--cluster-id", "c"}, args...)...)
			if doctor.code != 0 || !strings.Contains(string(doctor.stdout), "the collector takes log records") {
				t.Errorf("doctor: exit code %d\n%s", doctor.code, doctor.stdout)
			}
			untrusted := s.run(append(env, "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE="), append([]string{"load"}, args...)...)
			if untrusted.code != 1 || !strings.Contains(string(untrusted.stderr), "certificate not trusted") || len(collector.Requests(t)) > 0 {
				t.Errorf("without its authority: exit code %d\n%s", untrusted.code, untrusted.stderr)
			}
			dry := s.run(env, append([]string{"load", "--dry-run"}, args...)...)
			s.mustRun(env, append([]string{"load"}, args...)...)
			s.mustRun(env, append([]string{"load"}, args...)...) // nothing is left to do

			var printed, arrived collectorpb.ExportLogsServiceRequest
			for line := range bytes.Lines(dry.stdout) {
				var request collectorpb.ExportLogsServiceRequest
				if err := protojson.Unmarshal(line, &request); err != nil {
					t.Fatal(err)
				}
				proto.Merge(&printed, &request)
			}
			for _, request := range collector.Requests(t) {
				proto.Merge(&arrived, request)
			}
			dryRecords, records := recordsOf(t, &printed), recordsOf(t, &arrived)
			if len(records) != len(calls) || len(dryRecords) != len(calls) {
				t.Errorf("%d records arrived and %d were printed for %d events", len(records), len(dryRecords), len(calls))
			}
			for id, record := range records {
				if !proto.Equal(record, dryRecords[id]) {
					t.Errorf("%s arrived as %v and was printed as %v", id, record, dryRecords[id])
				}
			}
			for _, call := range calls {
				checkRecord(t, records[text(call["messageId"])], call)
			}
			for _, of := range arrived.GetResourceLogs() {
				if text := of.GetResource().String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "segment-bridge") {
					t.Errorf("resource %s", text)
				}
			}
		})
	}
	if strings.Contains(s.output.String(), "5e9b6c1f") {
		t.Error("the credentials show in what the program says")
	}
}

// aRecord is a log record of either protobuf package.
type aRecord interface {
	proto.Message
	GetEventName() string
	GetTimeUnixNano() uint64
	GetAttributes() []*commonpb.KeyValue
}

// recordsOf returns the log records by their message IDs.
func recordsOf(t *testing.T, request *collectorpb.ExportLogsServiceRequest) map[string]aRecord {
	t.Helper()
	records := map[string]aRecord{}
	for _, of := range request.GetResourceLogs() {
		for _, scope := range of.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				id := recordAttributes(record)["messageId"].GetStringValue()
				if records[id] != nil {
					t.Errorf("%s is there twice", id)
				}
				records[id] = record
			}
		}
	}
	return records
}

func recordAttributes(record aRecord) map[string]*commonpb.AnyValue {
	attributes := map[string]*commonpb.AnyValue{}
	for _, pair := range record.GetAttributes() {
		attributes[pair.GetKey()] = pair.GetValue()
	}
	return attributes
}

// checkRecord compares a log record with the track call that it is of.
func checkRecord(t *testing.T, record aRecord, call map[string]any) {
	t.Helper()
	if record == nil {
		t.Errorf("%v did not arrive", call["messageId"])
		return
	}
	properties, _ := call["properties"].(map[string]any)
	attributes := recordAttributes(record)
	at, err := time.Parse(time.RFC3339, text(call["timestamp"]))
	if err != nil || record.GetTimeUnixNano() != uint64(at.UnixNano()) || record.GetEventName() != call["event"] {
		t.Errorf("%v arrived as %v", call, record)
	}
	known := 1 // its message ID
	for name, value := range properties {
		got, ok := attributes[name]
		if value == nil {
			continue
		}
		known++
		same := false
		switch value := value.(type) {
		case string:
			same = got.GetStringValue() == value
		case float64: // of JSON
			same = got.GetIntValue() == int64(value)
		case bool:
			same = got.GetBoolValue() == value
		}
		if !ok || !same {
			t.Errorf("%s of %v is %v, want %v", name, call["messageId"], got, value)
		}
	}
	if len(attributes) != known {
		t.Errorf("%d attributes for %d properties of %v", len(attributes), known, call["messageId"])
	}
}

// TestReceiverAgainstOpenTelemetrySDK lets the exporter of OpenTelemetry's SDK speak to the receiver that the unit tests believe.
func TestReceiverAgainstOpenTelemetrySDK(t *testing.T) {
	const records = 7
	tests := []struct {
		name    string
		headers string // "" is the right ones
		env     []string
		faults  []otlptest.Fault
		refuse  string // the message ID of a record that is not taken
		arrive  int
		fails   bool
	}{
		{name: "success", arrive: records},
		{name: "packed", env: []string{"OTEL_EXPORTER_OTLP_COMPRESSION=gzip"}, arrive: records},
		{name: "busy", faults: []otlptest.Fault{{Status: 503}, {Status: 429, RetryAfter: "1"}, {Status: 502}, {Status: 504}}, arrive: records},
		{name: "internal error", faults: []otlptest.Fault{{Status: 500}}, fails: true},
		{name: "no rights", headers: "authorization=nobody", fails: true},
		{name: "a part is refused", refuse: "sent-3", arrive: records - 1, fails: true},
		{name: "another path", env: []string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=%s/other"}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receiver := otlptest.New()
			address, stop, err := receiver.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			receiver.Inject(tt.faults...)
			if tt.refuse != "" {
				receiver.RefusePart(func(r otlptest.Record) bool {
					return r.Attributes["messageId"] == `{"stringValue":`+strconv.Quote(tt.refuse)+`}`
				})
			}
			if tt.headers == "" {
				tt.headers = "authorization=" + url.PathEscape(otlptest.Token)
			}
			env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_EXPORTER_OTLP_HEADERS=" + tt.headers}
			for _, variable := range tt.env {
				env = append(env, strings.ReplaceAll(variable, "%s", address))
			}
			err = world.SendOTLP(t, records, env...)
			if got := receiver.Records(); (err != nil) != tt.fails || len(got) != tt.arrive {
				t.Errorf("%v; %d records, want %d", err, len(got), tt.arrive)
			}
			if got := receiver.Requests(); got != len(tt.faults)+1 && !tt.fails {
				t.Errorf("%d requests", got)
			}
		})
	}
}
