// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// degradedError says, under --strict, that a source could not be read.
type degradedError struct{}

func (degradedError) Error() string { return "a source could not be read, and --strict was given" }

// ExitCode is what the program ends with.
func (degradedError) ExitCode() int { return cli.ExitDegraded }

// program is the outside world as the commands see it.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	now            func() time.Time
	exec           func(path string, arguments, environment []string) error // as [syscall.Exec]
	terminationLog string
}

// run runs one command and returns its exit code.
func (p program) run(ctx context.Context, args []string) int {
	p.stdout = &lockedWriter{w: p.stdout}
	return cli.Execute(ctx, p.root(), args)
}

func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "segment-bridge",
		Short: "Usage telemetry for Kubernetes products: extracted, pseudonymised, staged in a bucket, delivered once",
		Long: `segment-bridge reads what happened in a cluster, hides every name before anything is written, stages the events as
Parquet in a bucket that anyone may audit, and delivers them from there to Segment, Splunk or a compatible API.

Every flag can also be set in the file given by --config, under its own name, and some by the environment variable named
in its description. Flags win over the environment, the environment over the file.

Exit codes: 0 done; 1 failed, nothing is lost, run it again; 2 wrong usage or configuration; 3 a source could not be read
and --strict was given. Each run prints one JSON summary on standard output.`,
	}
	root.AddCommand(
		p.windowCommand(), p.extractCommand(), p.transformCommand(), p.loadCommand(),
		p.runCommand(), p.replayCommand(), p.compactCommand(), p.expireCommand(), p.planCommand(), p.doctorCommand(), p.auditCommand(),
		p.operatorCommand(), p.manifestsCommand(), p.demoCommand(),
	)
	return cli.Prepare(root, p.stdout, p.stderr, p.getenv)
}

// lockedWriter lets destinations share standard output, a whole write at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// library is what every event says of the program that made it.
func library() telemetry.Library {
	return telemetry.Library{Name: "segment-bridge", Version: cli.Version}
}
