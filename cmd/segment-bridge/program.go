// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// The exit codes. Whoever runs the program tries again after 1, and not after 2.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDegraded = 3
)

// errDegraded says, under --strict, that a source could not be read.
var errDegraded = errors.New("a source could not be read, and --strict was given")

// usageError marks a mistake in flags, environment or configuration file: trying
// again does not help.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// program is the outside world as the commands see it.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	now            func() time.Time
	terminationLog string
}

// run runs one command and returns its exit code.
func (p program) run(ctx context.Context, args []string) int {
	p.stdout = &lockedWriter{w: p.stdout}
	root := p.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(p.stderr, "segment-bridge: %v\n", err)
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.Is(err, errDegraded):
		return exitDegraded
	default:
		return exitFailed
	}
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
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, c.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.String("config", "", "YAML file with values for flags, by their names")
	flags.String("log-level", "info", "least level to log: debug, info, warn, error")
	flags.String("log-format", "", "text or json (default: text on a terminal, json elsewhere)")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return p.settle(c) }
	root.AddCommand(
		p.windowCommand(), p.extractCommand(), p.transformCommand(), p.loadCommand(),
		p.runCommand(), p.replayCommand(), p.compactCommand(), p.expireCommand(), p.planCommand(), p.doctorCommand(),
		p.operatorCommand(), p.manifestsCommand(), p.demoCommand(), p.versionCommand(),
	)
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = noArguments
		}
	}
	return root
}

func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, only flags (see %s --help)", c.CommandPath(), c.CommandPath())
	}
	return nil
}

// logger returns the logger that the flags ask for. It writes to standard error;
// standard output belongs to the summary.
func (p program) logger(c *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	name, _ := c.Flags().GetString("log-level")
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, usagef("--log-level %q is not known: use debug, info, warn or error", name)
	}
	options := &slog.HandlerOptions{Level: level}
	format, _ := c.Flags().GetString("log-format")
	if format == "" {
		format = "json"
		if isTerminal(p.stderr) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(p.stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(p.stderr, options)), nil
	default:
		return nil, usagef("--log-format %q is not known: use text or json", format)
	}
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

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// library is what every event says of the program that made it.
func library() telemetry.Library {
	return telemetry.Library{Name: "segment-bridge", Version: version}
}

func (p program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version and commit",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(p.stdout, "segment-bridge %s (commit %s)\n", version, commit)
			return err
		},
	}
}
