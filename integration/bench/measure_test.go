// SPDX-License-Identifier: Apache-2.0

//go:build integration

package bench

import (
	"bytes"
	"context"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
)

// A cost is what a process, or several of them, took, as the operating system tells it.
type cost struct {
	wall, cpu time.Duration
	peak      int64 // bytes of memory, the mapped program included
	note      string
}

// and is the cost of two processes, one after the other.
func (c cost) and(next cost) cost {
	return cost{wall: c.wall + next.wall, cpu: c.cpu + next.cpu, peak: max(c.peak, next.peak)}
}

// measure runs a process that has to end well, and returns what it wrote.
func measure(tb testing.TB, cmd *exec.Cmd) (cost, []byte) {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ctx, ended := context.WithCancel(context.Background())
	peak := make(chan int64)
	go func() { peak <- world.PeakMemory(ctx, cmd.Process.Pid) }()
	err := cmd.Wait()
	wall := time.Since(began)
	ended()
	c := cost{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak: <-peak}
	if err != nil {
		tb.Fatalf("%s: %v\n%s\n%s", cmd, err, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	return c, stdout.Bytes()
}

func tail(text []byte) []byte { return text[max(0, len(text)-4000):] }

func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medians are those of each of the costs' parts.
func medians(costs []cost) cost {
	var wall, cpu []time.Duration
	var peak []int64
	for _, c := range costs {
		wall, cpu, peak = append(wall, c.wall), append(cpu, c.cpu), append(peak, c.peak)
	}
	return cost{wall: median(wall), cpu: median(cpu), peak: median(peak)}
}
