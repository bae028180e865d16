// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// SplunkHEC is the HTTP Event Collector of the OpenTelemetry Collector. It checks the format of what it takes and
// acknowledges at once; it does not know tokens.
type SplunkHEC struct {
	URL    string // with https
	CAFile string // to verify it with
	log    string
}

// HECEvent is an event as it arrived.
type HECEvent struct {
	Time                            float64
	Host, Source, SourceType, Index string
	Event                           json.RawMessage
}

// NewSplunkHEC starts a collector for this test.
func NewSplunkHEC(t testing.TB) *SplunkHEC {
	t.Helper()
	dir, port, ca := newTLSServer(t, "splunkhec")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd, err := server("splunkhec", "receive", "-cert", filepath.Join(dir, "server.crt"), "-key", filepath.Join(dir, "server.key"), address)
	if err != nil {
		t.Fatal(err)
	}
	p := startServer(t, dir, "splunkhec", address, cmd)
	return &SplunkHEC{URL: "https://" + address, CAFile: ca, log: p.log}
}

// Events returns what has arrived.
func (s *SplunkHEC) Events(t testing.TB) (events []HECEvent) {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e HECEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("the collector printed %q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

// SendHEC lets the OpenTelemetry Collector's client send that many events to a collector, in one batch. The error says
// that it gave up; what it printed is in the log of the test.
func SendHEC(t testing.TB, url, token string, events int, args ...string) error {
	t.Helper()
	cmd, err := server("splunkhec", append(append([]string{"send"}, args...), url, token, strconv.Itoa(events))...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	return cmd.Run()
}

// newTLSServer makes a folder with a server's certificate and key for localhost, and finds a port.
func newTLSServer(t testing.TB, name string) (dir string, port int, ca string) {
	t.Helper()
	dir, err := newFolder(name)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.issue(pkix.Name{CommonName: name}, "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(dir, "ca.crt")
	err = writeFiles(map[string][]byte{ca: authority.pem, filepath.Join(dir, "server.crt"): cert, filepath.Join(dir, "server.key"): key})
	if err != nil {
		t.Fatal(err)
	}
	if port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	return dir, port, ca
}

// startServer starts a server for this test and returns when it listens.
func startServer(t testing.TB, dir, name, address string, cmd *exec.Cmd) *process {
	t.Helper()
	p, err := start(dir, name, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(syscall.SIGTERM) })
	report(t, p.log)
	err = p.await(func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
