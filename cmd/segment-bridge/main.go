// SPDX-License-Identifier: Apache-2.0

// Command segment-bridge tells how a Kubernetes product is used, without telling
// by whom: it extracts what happened in a cluster, hides every name, stages the
// events in a bucket and loads them from there to their destinations.
package main

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/cli"
)

func main() {
	p := program{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.LookupEnv, now: time.Now,
		exec: syscall.Exec, terminationLog: "/dev/termination-log",
	}
	cli.Main(func(ctx context.Context) int { return p.run(ctx, os.Args[1:]) })
}
