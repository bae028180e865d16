// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

// TestKongLines delivers to a syslog server that is not ours, which is away at first, is started while the program
// tries, and is restarted.
func TestKongLines(t *testing.T) {
	s, stage, calls := stagedFolder(t, 12)
	rsyslog := world.NewRsyslog(t)
	args := []string{"--stage", stage, "--destination", "kong", "--kong-address", rsyslog.Address, "--kong-ca-file", rsyslog.CAFile}

	away := s.run(nil, append([]string{"load", "--patience", "1s"}, args...)...)
	if away.code != 1 || !strings.Contains(string(away.stderr), "connection refused") {
		t.Fatalf("nobody listens: exit code %d\n%s", away.code, away.stderr)
	}
	done := make(chan result)
	go func() { done <- s.run(nil, append([]string{"load"}, args...)...) }()
	time.Sleep(2 * time.Second)
	rsyslog.Start(t)
	if r := <-done; r.code != 0 || !r.summary.OK {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	s.mustRun(nil, append([]string{"load"}, args...)...) // nothing is left to do
	doctor := s.run(nil, append([]string{"doctor", "--source", "dir:/", "--cluster-id", "c"}, args...)...)
	if doctor.code != 0 || !strings.Contains(string(doctor.stdout), "never says whether it stored") {
		t.Errorf("doctor: exit code %d\n%s", doctor.code, doctor.stdout)
	}
	untrusted := s.run(nil, append([]string{"replay", "--force", "--since", "9000h"}, args[:6]...)...)
	if untrusted.code != 1 || !strings.Contains(string(untrusted.stderr), "certificate not trusted") {
		t.Errorf("without its authority: exit code %d\n%s", untrusted.code, untrusted.stderr)
	}
	// What rsyslog has in memory is on the disk when it has ended.
	rsyslog.Stop()
	var want, got []string
	for _, call := range calls {
		want = append(want, text(call["messageId"]))
	}
	for _, line := range rsyslog.Lines(t) {
		got = append(got, checkLine(t, line))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines arrived of %d", len(got), len(want))
	}
	receipts, err := filepath.Glob(filepath.Join(strings.TrimPrefix(stage, "file://"), "v1/receipts/kong/*/*.json"))
	if err != nil || len(receipts) != 1 {
		t.Fatalf("%d receipts, %v", len(receipts), err)
	}
	if text, err := os.ReadFile(receipts[0]); err != nil || !strings.Contains(string(text), `"assurance":"sent"`) && !strings.Contains(string(text), `"assurance": "sent"`) {
		t.Errorf("the receipt does not say how much it means: %s", text)
	}

	rsyslog.Start(t)
	s.mustRun(nil, append([]string{"replay", "--force", "--since", "9000h"}, args...)...)
	rsyslog.Stop()
	if n := len(rsyslog.Lines(t)); n != 2*len(want) {
		t.Errorf("%d lines after a replay of %d", n, len(want))
	}
}

// checkLine reads a line as a program would that knows nothing but its separators, and returns the message ID.
func checkLine(t *testing.T, line string) string {
	t.Helper()
	text, ok := strings.CutPrefix(line, "<14>signal=")
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(strings.TrimSuffix("signal="+text, ";"), ";") {
		name, value, found := strings.Cut(pair, "=")
		if value, err := url.PathUnescape(value); !found || err != nil {
			t.Errorf("pair %q in %q", pair, line)
		} else {
			pairs[name] = value
		}
	}
	if !ok || !strings.HasSuffix(line, ";") || pairs["signal"] == "" || pairs["messageId"] == "" || pairs["timestamp"] == "" || len(pairs["clusterIdHash"]) != 12 {
		t.Errorf("line %q", line)
	}
	return pairs["messageId"]
}
