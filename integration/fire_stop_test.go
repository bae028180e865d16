// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

// grace is how long a pod has between SIGTERM and SIGKILL, less something for a busy
// machine.
const grace = 27 * time.Second

var (
	halfOpen = world.Toxic{Type: "timeout", Attributes: map[string]any{"timeout": 0}}
	deaf     = world.Toxic{Type: "timeout", Stream: "upstream", Attributes: map[string]any{"timeout": 0}}
	sluggish = world.Toxic{Type: "bandwidth", Attributes: map[string]any{"rate": 5}}
)

// start starts a run, and calls stuck once it waits for a server. It returns how long
// the run took from then on.
func (z *zone) start(stuck func(*exec.Cmd)) (took time.Duration, output string) {
	z.t.Helper()
	path, err := binary()
	if err != nil {
		z.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(z.t.Context(), longestRun)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, z.next()...)
	cmd.Env = append(z.env, "HOME=/nonexistent", "TMPDIR="+z.t.TempDir())
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		z.t.Fatal(err)
	}
	stuck(cmd)
	start := time.Now()
	err = cmd.Wait()
	took = time.Since(start)
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		z.t.Errorf("exit code %d, %v\n%s", code, err, &said)
	}
	z.t.Logf("ended after %.1fs: %s", took.Seconds(), lastLine(said.String()))
	return took, said.String()
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func terminate(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// stop tells a run to stop that waits for a server which does not answer.
func (z *zone) stop(server int) {
	z.set(server)
	z.proxies[server].Add(z.t, halfOpen)
	waiting := time.After(5 * time.Second)
	if server == receiver {
		waiting = z.arrival(func() {})
	}
	took, output := z.start(func(cmd *exec.Cmd) {
		z.await(waiting)
		terminate(z.t, cmd)
	})
	if took > grace || !strings.Contains(output, "told to stop (terminated signal received)") {
		z.t.Errorf("the run went on for %v after it was told to stop: %s", took, lastLine(output))
	}
	z.proxies[server].Heal(z.t)
	z.recovers(server == receiver)
}

// arrival calls do when the first request arrives at the receiver.
func (z *zone) arrival(do func()) <-chan time.Time {
	arrived := make(chan time.Time)
	z.watch.arrived = func() {
		do()
		close(arrived)
	}
	return arrived
}

func (z *zone) await(event <-chan time.Time) {
	z.t.Helper()
	select {
	case <-event:
	case <-time.After(longestRun):
		z.t.Error("nothing is delivered")
	}
}

// fallsSilent lets a source that is being read answer no more.
func (z *zone) fallsSilent(server int) {
	z.set(server)
	z.proxies[server].Add(z.t, sluggish)
	time.AfterFunc(4*time.Second, func() { z.proxies[server].Add(z.t, halfOpen) })
	z.under(server, short)
	z.proxies[server].Heal(z.t)
	z.recovers(false)
}

// losesReceipt lets the bucket answer no more once the events are being delivered: what
// was delivered is sent again, since nothing says so.
func (z *zone) losesReceipt(told bool) {
	z.file = ""                               // whose receipt would be lost or not, as it comes
	z.args = append(z.args, "--lease", "10s") // which nobody can give back
	delivered := z.arrival(func() { z.proxies[store].Add(z.t, deaf) })
	took, output := z.start(func(cmd *exec.Cmd) {
		z.await(delivered)
		if told {
			time.Sleep(2 * time.Second) // the answer is there: only the receipt is missing
			terminate(z.t, cmd)
		}
	})
	if told && took > grace {
		z.t.Errorf("the run went on for %v after it was told to stop", took)
	}
	if !strings.Contains(output, "no answer from http://"+z.proxies[store].Addr) {
		z.t.Errorf("the error does not name the bucket: %s", lastLine(output))
	}
	z.proxies[store].Heal(z.t)
	z.recovers(true)
}

// delaysNobody shows that a file is delivered, receipt and all, while Segment is down
// for good.
func (z *zone) delaysNobody() {
	z.args = append(z.args, "--patience", "1h")
	z.proxies[receiver].Add(z.t, halfOpen)
	z.start(func(cmd *exec.Cmd) {
		defer terminate(z.t, cmd)
		for start := time.Now(); time.Since(start) < longestRun/2; time.Sleep(100 * time.Millisecond) {
			for object := range z.bucket.Client.ListObjects(z.t.Context(), z.bucket.Name, minio.ListObjectsOptions{Prefix: "telemetry/v1/receipts/", Recursive: true}) {
				if object.Err == nil && strings.Contains(object.Key, "/receipts/file") {
					return
				}
			}
		}
		z.t.Error("there is no receipt of the file while Segment is down")
	})
	z.checkFile()
	z.proxies[receiver].Heal(z.t)
	z.recovers(true)
}

// asksForPatience checks the times between the requests of a client that is told to
// come back later.
func (z *zone) asksForPatience() {
	z.proxies[receiver].Add(z.t, world.Toxic{Type: "latency", Attributes: map[string]any{"latency": 20, "jitter": 20}})
	z.receiver.Inject(segmenttest.Fault{Status: 503}, segmenttest.Fault{Status: 429, RetryAfter: "4"}, segmenttest.Fault{Reset: true}, segmenttest.Fault{Status: 500})
	if r := z.once(); r.code != 0 {
		z.t.Errorf("exit code %d", r.code)
	}
	// Back-off is 0.5, 1, 2 and 4 seconds less at most a half; the latency and a busy machine come on top.
	least := []time.Duration{250 * time.Millisecond, 4 * time.Second, time.Second, 2 * time.Second}
	times := z.watch.times
	if len(times) != len(least)+1 {
		z.t.Fatalf("%d requests came", len(times))
	}
	for i, least := range least {
		if pause := times[i+1].Sub(times[i]); pause < least || pause > 2*least+5*time.Second {
			z.t.Errorf("pause %d took %v, want %v or a little more", i, pause, least)
		}
	}
	z.recovers(false)
}

// inFlight checks how many requests a receiver far away gets at the same time.
func (z *zone) inFlight() {
	const most = 3
	sample := samplecluster.New(samplecluster.Config{Seed: 8, Runs: 6000, Now: z.sample.Now})
	dir := z.t.TempDir()
	if err := sample.WriteDir(dir); err != nil {
		z.t.Fatal(err)
	}
	z.proxies[receiver].Add(z.t, world.Toxic{Type: "latency", Attributes: map[string]any{"latency": 100, "jitter": 100}})
	z.receiver.Inject(slices.Repeat([]segmenttest.Fault{{Delay: time.Second}}, 50)...) // each is there long enough to meet others
	z.run(z.env, append([]string{
		"run", "--source", "dir:" + dir, "--since", "2000-01-01", "--until", z.sample.Now.Format(time.RFC3339), "--rate", "0", "--in-flight", "3", "--destination", "segment",
	}, "--log-level=info")...)
	report := z.receiver.Report()
	z.t.Logf("%d requests with %d events, %d at a time", report.Requests, report.Accepted, z.watch.most)
	if z.watch.most != most || report.Requests < 2*most || report.Duplicates > 0 {
		z.t.Errorf("the receiver saw up to %d requests at a time, want %d; %+v", z.watch.most, most, report)
	}
}
