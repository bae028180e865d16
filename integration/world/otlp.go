// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// OTLP is the receiver of the OpenTelemetry Collector, for logs over HTTP. It knows no credentials.
type OTLP struct {
	URL    string // with https, and without the path
	CAFile string // to verify it with
	log    string
}

// NewOTLP starts a collector for this test, which has no room for the first requests.
func NewOTLP(t testing.TB, busy int) *OTLP {
	t.Helper()
	dir, port, ca := newTLSServer(t, "otlp")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd, err := server("otlp", "receive", "-cert", filepath.Join(dir, "server.crt"), "-key", filepath.Join(dir, "server.key"), "-busy", strconv.Itoa(busy), address)
	if err != nil {
		t.Fatal(err)
	}
	p := startServer(t, dir, "otlp", address, cmd)
	return &OTLP{URL: "https://" + address, CAFile: ca, log: p.log}
}

// Requests returns what has arrived.
func (o *OTLP) Requests(t testing.TB) (requests []*collectorpb.ExportLogsServiceRequest) {
	t.Helper()
	text, err := os.ReadFile(o.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var request collectorpb.ExportLogsServiceRequest
		if err := protojson.Unmarshal(line, &request); err != nil {
			t.Fatalf("the collector printed %q: %v", line, err)
		}
		requests = append(requests, &request)
	}
	return requests
}

// SendOTLP lets the exporter of OpenTelemetry's SDK for Go send that many records to a collector, in one batch. The error
// says that it gave up; what it printed is in the log of the test. The environment is what sets it.
func SendOTLP(t testing.TB, records int, env ...string) error {
	t.Helper()
	cmd, err := server("otlp", "send", strconv.Itoa(records))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	return cmd.Run()
}
