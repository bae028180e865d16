// SPDX-License-Identifier: Apache-2.0

// Command segment-bridge tells how a Kubernetes product is used, without telling
// by whom: it extracts what happened in a cluster, hides every name, stages the
// events in a bucket and loads them from there to their destinations.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	// client-go writes addresses and bodies to standard error behind our back.
	klog.SetLogger(logr.Discard())
	// The first signal asks for an orderly end; the second, with its usual effect,
	// does not ask. Either way nothing is lost: the next run goes on.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := program{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.LookupEnv, now: time.Now,
		terminationLog: "/dev/termination-log",
	}.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
