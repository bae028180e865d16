// SPDX-License-Identifier: Apache-2.0

// Package cli is what the programs have in common: how they begin and end, where their settings come from, how they log,
// and what the linker knows of them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"
)

// Set by the linker: see the Makefile.
var (
	Version = "dev"
	Commit  = "unknown"
	// SegmentWriteKey is the write key where nobody sets one; "" is none.
	SegmentWriteKey string
)

// The exit codes. Whoever runs a program tries again after 1, and not after 2.
const (
	ExitDone     = 0
	ExitFailed   = 1
	ExitUsage    = 2
	ExitDegraded = 3
)

// UsageError marks a mistake in flags, environment or configuration file: trying again does not help.
type UsageError struct{ err error }

// Usage marks an error as one.
func Usage(err error) error { return UsageError{err} }

// Usagef is Usage of [fmt.Errorf].
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

func (e UsageError) Error() string { return e.err.Error() }
func (e UsageError) Unwrap() error { return e.err }

// ExitCode is what a program that ends so exits with.
func (e UsageError) ExitCode() int { return ExitUsage }

// Main runs a program and exits with the code that run returns. The context ends with the first signal, which asks for an
// orderly end; the second, with its usual effect, does not ask. Either way nothing is lost: the next run goes on.
func Main(run func(context.Context) int) {
	// client-go writes addresses and bodies to standard error behind our back, net/http and gRPC what servers said.
	log.SetOutput(io.Discard)
	klog.SetLogger(logr.Discard())
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx)
	stop()
	os.Exit(code)
}

// Prepare gives a command with all its subcommands what every program has: outputs, the flags of all commands, and settings
// from the environment, which getenv reads, and from the configuration file.
func Prepare(root *cobra.Command, stdout, stderr io.Writer, getenv func(string) (string, bool)) *cobra.Command {
	root.SilenceUsage, root.SilenceErrors, root.Version = true, true, Version
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Usagef("%w (see %s --help)", err, c.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.String("config", "", "YAML file with values for flags, by their names")
	flags.String("log-level", "info", "least level to log: debug, info, warn, error")
	flags.String("log-format", "", "text or json (default: text on a terminal, json elsewhere)")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return Settle(c, getenv) }
	root.AddCommand(versionCommand(root.Name()))
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = noArguments
		}
	}
	return root
}

// Execute runs the command that args name, says what went wrong, on a line of the log where that is read by machines, and
// returns the exit code: that of the error where it has a method ExitCode.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}
	if log, unset := Logger(c); unset == nil && format(c) == "json" {
		log.ErrorContext(ctx, "ended with an error", "error", err)
	} else {
		_, _ = fmt.Fprintf(root.ErrOrStderr(), "%s: %v\n", root.Name(), err) // nobody is left to be told
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return ExitFailed
}

func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("%s takes no arguments, only flags (see %s --help)", c.CommandPath(), c.CommandPath())
	}
	return nil
}

// Logger returns the logger that the flags of a command ask for. It writes to standard error.
func Logger(c *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	name, _ := c.Flags().GetString("log-level")
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, Usagef("--log-level %q is not known: use debug, info, warn or error", name)
	}
	options := &slog.HandlerOptions{Level: level}
	switch format := format(c); format {
	case "text":
		return slog.New(slog.NewTextHandler(c.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), options)), nil
	default:
		return nil, Usagef("--log-format %q is not known: use text or json", format)
	}
}

// format is how a command writes its log.
func format(c *cobra.Command) string {
	if format, _ := c.Flags().GetString("log-format"); format != "" {
		return format
	}
	if IsTerminal(c.ErrOrStderr()) {
		return "text"
	}
	return "json"
}

// IsTerminal reports whether somebody watches what is written to w.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func versionCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version and commit",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s (commit %s)\n", program, Version, Commit)
			return err
		},
	}
}
