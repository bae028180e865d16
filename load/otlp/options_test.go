// SPDX-License-Identifier: Apache-2.0

package otlp_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/segment-bridge/segment-bridge/load/loadtest"
	"github.com/segment-bridge/segment-bridge/load/otlp"
	"github.com/segment-bridge/segment-bridge/load/otlp/otlptest"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

const hidden = "hunter2"

func TestEnvironment(t *testing.T) {
	const all, logs = "OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_LOGS_"
	tests := []struct {
		name    string
		env     map[string]string
		want    otlp.Options // without headers
		headers string
		wantErr string
	}{
		{name: "general", env: map[string]string{all + "ENDPOINT": "https://otlp.example:4318"}, want: otlp.Options{URL: "https://otlp.example:4318/v1/logs"}},
		{name: "general with a path", env: map[string]string{all + "ENDPOINT": "http://otlp.example/otlp/"}, want: otlp.Options{URL: "http://otlp.example/otlp/v1/logs"}},
		{name: "for logs", env: map[string]string{all + "ENDPOINT": "https://a.example", logs + "ENDPOINT": "https://b.example/in"}, want: otlp.Options{URL: "https://b.example/in"}},
		{
			name: "everything", env: map[string]string{
				all + "ENDPOINT": "https://a.example", all + "CERTIFICATE": "/ca", all + "CLIENT_CERTIFICATE": "/cert", all + "CLIENT_KEY": "/key",
				all + "COMPRESSION": "gzip", all + "TIMEOUT": "2500", all + "PROTOCOL": "http/protobuf", all + "HEADERS": " Authorization = Bearer%20" + hidden + " , x-team=a%2Cb,,",
			},
			want:    otlp.Options{URL: "https://a.example/v1/logs", CAFile: "/ca", CertFile: "/cert", KeyFile: "/key", Gzip: true, Timeout: 2500 * time.Millisecond},
			headers: "Authorization: Bearer " + hidden + "; x-team: a,b",
		},
		{
			name: "those for logs win", env: map[string]string{
				all + "ENDPOINT": "https://a.example", all + "COMPRESSION": "gzip", logs + "COMPRESSION": "none", all + "HEADERS": "a=b", logs + "HEADERS": "c=d",
				all + "CERTIFICATE": "/ca", logs + "CERTIFICATE": "/logs-ca",
			},
			want: otlp.Options{URL: "https://a.example/v1/logs", CAFile: "/logs-ca"}, headers: "c: d",
		},
		{name: "nothing", wantErr: "set OTEL_EXPORTER_OTLP_ENDPOINT"},
		{name: "gRPC", env: map[string]string{all + "ENDPOINT": "https://a.example", all + "PROTOCOL": "grpc"}, wantErr: "use http/protobuf"},
		{name: "not a URL", env: map[string]string{all + "ENDPOINT": "https://[" + hidden}, wantErr: "not a URL"},
		{name: "a password", env: map[string]string{all + "ENDPOINT": "https://u:" + hidden + "@a.example"}, wantErr: "user name"},
		{name: "compression", env: map[string]string{all + "ENDPOINT": "https://a.example", all + "COMPRESSION": "zstd"}, wantErr: "neither gzip nor none"},
		{name: "timeout", env: map[string]string{all + "ENDPOINT": "https://a.example", all + "TIMEOUT": "10s"}, wantErr: "milliseconds"},
		{name: "a header without a value", env: map[string]string{all + "ENDPOINT": "https://a.example", all + "HEADERS": hidden}, wantErr: "name=value"},
		{name: "a line break", env: map[string]string{all + "ENDPOINT": "https://a.example", all + "HEADERS": "a=" + hidden + "%0d%0ax: y"}, wantErr: "name=value"},
		{name: "not encoded", env: map[string]string{all + "ENDPOINT": "https://a.example", all + "HEADERS": "a=" + hidden + "%zz"}, wantErr: "name=value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := otlp.Environment(func(name string) string { return tt.env[name] })
			if (err == nil) != (tt.wantErr == "") || err != nil && (!strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), hidden)) {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if shown := fmt.Sprintf("%+v", got); strings.Contains(shown, hidden) {
				t.Errorf("a header shows in %s", shown)
			}
			for pair := range strings.SplitSeq(tt.headers, "; ") {
				name, value, _ := strings.Cut(pair, ": ")
				if got.Headers[name].Reveal() != value {
					t.Errorf("header %s is not %q", name, value)
				}
			}
			if n := strings.Count(tt.headers, ": "); len(got.Headers) != n {
				t.Errorf("%d headers, want %d", len(got.Headers), n)
			}
			got.Headers = nil
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestNew(t *testing.T) {
	const url = "https://otlp.example:4318/v1/logs"
	tests := []struct {
		name             string
		options          otlp.Options
		wantErr, wantLog string
	}{
		{name: "good", options: otlp.Options{URL: url}},
		{name: "no URL", wantErr: "such as https://"},
		{name: "not a URL", options: otlp.Options{URL: "https://[::1"}, wantErr: "not a URL"},
		{name: "in the clear", options: otlp.Options{URL: "http://otlp.example/v1/logs", Headers: map[string]secret.Secret{"a": secret.New(hidden)}}, wantLog: "in the clear"},
		{name: "nothing to hide", options: otlp.Options{URL: "http://otlp.example/v1/logs"}},
		{name: "gRPC's port", options: otlp.Options{URL: "https://otlp.example:4317/v1/logs"}, wantLog: "4318"},
		{name: "a bad header", options: otlp.Options{URL: url, Headers: map[string]secret.Secret{"a": secret.New(hidden + "\n")}}, wantErr: "percent-encoded"},
		{name: "no CA file", options: otlp.Options{URL: url, CAFile: "/nonexistent/" + hidden}, wantErr: "does not exist"},
		{name: "half a pair", options: otlp.Options{URL: url, CertFile: "/nonexistent/" + hidden}, wantErr: "belong together"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			tt.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
			_, err := otlp.New(tt.options)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v", err)
			}
			if (log.Len() == 0) != (tt.wantLog == "") || !strings.Contains(log.String(), tt.wantLog) {
				t.Errorf("log %q", log.String())
			}
			if said := log.String() + errorText(err); strings.Contains(said, hidden) || strings.Contains(said, "otlp.example") {
				t.Errorf("it says %q", said)
			}
		})
	}
}

// TestDryRunPrintsWhatIsSent as JSON that says the same as the bytes.
func TestDryRunPrintsWhatIsSent(t *testing.T) {
	var printed bytes.Buffer
	dry, _ := newDestination(t, nil, func(o *otlp.Options) { o.URL, o.DryRun = "", &printed })
	if verdicts, err := dry.Deliver(t.Context(), loadtest.Tracks(600)); err != nil || loadtest.Count(verdicts, telemetry.Delivered) != 600 {
		t.Fatal(err)
	}
	var sent []*collectorpb.ExportLogsServiceRequest
	receiver := otlptest.New()
	d, _ := newDestination(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var request collectorpb.ExportLogsServiceRequest
		if err != nil || proto.Unmarshal(body, &request) != nil {
			t.Errorf("a request that is none: %v", err)
		}
		sent = append(sent, &request)
		req.Body = io.NopCloser(bytes.NewReader(body))
		receiver.ServeHTTP(w, req)
	}), nil)
	if _, err := d.Deliver(t.Context(), loadtest.Tracks(600)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(printed.String(), "\n"), "\n")
	if len(lines) != 2 || len(sent) != 2 {
		t.Fatalf("%d lines for %d requests", len(lines), len(sent))
	}
	for i, line := range lines {
		var request collectorpb.ExportLogsServiceRequest
		if err := protojson.Unmarshal([]byte(line), &request); err != nil || !proto.Equal(&request, sent[i]) {
			t.Errorf("line %d is not what was sent: %v", i, err)
		}
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		faults  []otlptest.Fault
		reply   otlptest.Reply
		token   string
		wantErr string
	}{
		{name: "good", token: otlptest.Token},
		{name: "wrong credentials", token: "Bearer " + hidden, wantErr: "HTTP 401: check the headers"},
		{name: "busy", token: otlptest.Token, faults: []otlptest.Fault{{Status: 503}}, wantErr: "try again later"},
		{name: "cut", token: otlptest.Token, faults: []otlptest.Fault{{Reset: true}}, wantErr: "connection cut"},
		{name: "another server", token: otlptest.Token, reply: otlptest.Reply{ContentType: "text/html", Body: "<html>"}, wantErr: "login page"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receiver := otlptest.New()
			receiver.Inject(tt.faults...)
			if tt.reply != (otlptest.Reply{}) {
				receiver.Reply(tt.reply)
			}
			d, _ := newDestination(t, receiver, func(o *otlp.Options) {
				o.Gzip = true // an empty request is not packed
				o.Headers = map[string]secret.Secret{"Authorization": secret.New(tt.token)}
			})
			err := d.Check(t.Context())
			if (err == nil) != (tt.wantErr == "") || err != nil && (!strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), hidden)) {
				t.Errorf("error %v", err)
			}
			if n := len(receiver.Records()); n > 0 {
				t.Errorf("%d records were sent", n)
			}
		})
	}
}

// TestTLS speaks over real connections, and leaves none behind.
func TestTLS(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	receiver := otlptest.New()
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
		{"no TLS", ca, strings.Replace(server.URL, "https", "http", 1), "every event was refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDestination(t, nil, func(o *otlp.Options) { o.URL, o.CAFile, o.Transport = tt.url+"/v1/logs", tt.ca, nil })
			_, err := d.Deliver(t.Context(), loadtest.Tracks(3))
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v", err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if n := len(receiver.Records()); n != 3 {
		t.Errorf("%d records arrived", n)
	}
}
