// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// Three days of hourly jobs a month ago, then all that the stage needs over the
// years, as processes: compaction changes nothing that is staged or delivered, a
// forced replay sends a day again and shows how far it is, a rejected event arrives
// once it is fixed, and after expiry nothing is delivered that was before.
func TestRetention(t *testing.T) {
	const hours = 72
	now := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -30)
	sample := samplecluster.New(samplecluster.Config{Seed: 6, Runs: 400, Now: now})
	dir := t.TempDir()
	if err := sample.WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, sample: sample, bucket: world.MinIO(t), output: new(bytes.Buffer)}
	s.receiver, s.address = startReceiver(t)
	refused, refuse := "", true
	s.receiver.Refuse(func(e segmenttest.Event) bool {
		if refused == "" && strings.HasSuffix(e.MessageID, "-completed") {
			refused = e.MessageID
		}
		return refuse && e.MessageID == refused
	})
	day := func(n int) string { return now.AddDate(0, 0, n).Format(time.DateOnly) }

	for hour := range hours {
		until := now.Add(time.Duration(hour+1-hours) * time.Hour)
		s.mustRun(s.loadEnv(), "run", "--source", "dir:"+dir, "--cluster-id", sample.ID, "--until", until.Format(time.RFC3339))
	}
	staged := s.stagedCalls()
	if len(staged) < hours+300 || len(s.receiver.Duplicates()) > 0 || len(s.receiver.Events()) != len(staged)-1 {
		t.Fatalf("%d events are staged, %d came, %d of them twice", len(staged), len(s.receiver.Events()), len(s.receiver.Duplicates()))
	}
	quiet := func(after string) {
		t.Helper()
		requests := s.receiver.Report().Requests
		if s.mustRun(s.loadEnv(), "load"); s.receiver.Report().Requests != requests {
			t.Errorf("after %s, a load sends something", after)
		}
		if again := s.stagedCalls(); !reflect.DeepEqual(again, staged) {
			t.Errorf("after %s, %d events are staged, want the same %d", after, len(again), len(staged))
		}
	}

	compacted := s.mustRun(s.bucketEnv(), "compact", "--grace", "0").summary.Compacted
	if compacted == nil || compacted.Days < 2 || compacted.Merged != compacted.Days || compacted.Replaced < 40 || compacted.Removed < 3*compacted.Replaced {
		t.Errorf("compacted %+v", compacted)
	}
	quiet("compaction")

	shown := s.onTerminal("replay", "--destination", "segment", "--since", day(-2), "--until", day(-1), "--force")
	again := s.receiver.Duplicates()
	if !strings.Contains(shown, "% |") || !strings.Contains(shown, "events/s") {
		t.Errorf("no progress is shown: %q", shown)
	}
	if len(again) < 50 || len(again) >= len(staged) {
		t.Errorf("%d of %d events came again", len(again), len(staged))
	}
	quiet("a replay")

	refuse = false
	for _, want := range []int64{1, 0} {
		if d := s.mustRun(s.loadEnv(), "replay", "--rejected", "--destination", "segment").summary.Destinations; len(d) != 1 || d[0].Delivered != want {
			t.Errorf("replayed %+v, want %d delivered", d, want)
		}
	}
	var received []string
	for _, e := range s.receiver.Events() {
		received = append(received, e.MessageID)
	}
	if len(received) != len(staged) || !slices.Contains(received, refused) {
		t.Errorf("%d of %d events came", len(received), len(staged))
	}
	quiet("the rejected event")

	expired := s.mustRun(s.bucketEnv(), "expire", "--older-than", "240h").summary.Expired
	if expired == nil || expired.Batches < 1 || expired.Undelivered != 0 || expired.Objects < 3 {
		t.Errorf("expired %+v", expired)
	}
	left := s.stagedCalls()
	if len(left) == 0 || len(left) >= len(staged) {
		t.Errorf("%d of %d events are left", len(left), len(staged))
	}
	staged = left
	quiet("expiry")
	t.Logf("%d runs, %d events; compacted %+v; %d events replayed; expired %+v", hours, len(received), *compacted, len(again), *expired)
}

// onTerminal runs the program on a terminal and returns what it shows there.
func (s *site) onTerminal(args ...string) string {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), "script", "--quiet", "--return", "--command", path+" "+strings.Join(args, " "), "/dev/null")
	cmd.Env = append(s.loadEnv(), "HOME=/nonexistent", "TERM=xterm")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", args[0], err, out)
	}
	return string(out)
}
