// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

func (p program) extractCommand() *cobra.Command {
	var (
		sources    sourceFlags
		window     windowFlags
		slice      sliceFlags
		windowFile string
		out        string
	)
	c := &cobra.Command{
		Use:   "extract",
		Short: "Read what happened in the window and write records, with every name hidden",
		Long: `extract reads the sources and writes one record for each object that tells of something within the window. Names become
pseudonyms as they are read; nothing else of an object is kept. The folder given by --out is complete when the command
ends well, and is the input of transform.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				x, err := sources.prepare(ctx, p.now, log)
				if err != nil {
					return err
				}
				if windowFile != "" {
					x.report.Window, err = readWindow(windowFile)
				} else {
					x.report.Window, err = window.choose(p.now(), nil, nil)
				}
				if err != nil {
					return err
				}
				chosen, err := slice.choose(&window, x.report.Window)
				if err != nil {
					return err
				}
				if len(chosen) > 1 {
					return cli.Usagef("--shard-index is required with --shards, environment variable JOB_COMPLETION_INDEX: extract reads one slice")
				}
				x.report.Window, x.report.Slice = chosen[0], slice.shards > 0
				report, err := x.spool(ctx, out, sources, log)
				s.report(report)
				return err
			})
		},
	}
	sources.register(c.Flags())
	window.register(c.Flags(), p.now)
	slice.register(c.Flags())
	c.Flags().StringVar(&windowFile, "window", "", "file with the window, written by the window command; wins over --since and --until")
	c.Flags().StringVar(&out, "out", "", "folder to write the records to (required)")
	return cli.Required(c, "out")
}

// spool extracts into the folder dir. The report it returns is as complete as the
// extraction was, also when there is an error. When every source failed, the folder
// still holds what was read before they did: it is worth staging, and since a
// failed source covers no time, it will be read again.
func (x *extraction) spool(ctx context.Context, dir string, flags sourceFlags, log *slog.Logger) (report record.Report, err error) {
	ctx, end := phase(ctx, "extract")
	defer func() { end(err) }()
	report = x.report
	spool, err := record.Create(dir)
	if err != nil {
		return report, err
	}
	defer spool.Abort()
	report.Sources, err = extract.Run(ctx, x.sources, report.Window, extract.Options{
		Timeout: flags.timeout, Strict: flags.strict, Logger: log,
	}, spool.Write)
	switch {
	case err == nil, errors.Is(err, extract.ErrAllFailed):
		return report, errors.Join(err, spool.Commit(report))
	case flags.strict && len(report.Failed()) > 0 && ctx.Err() == nil:
		return report, fmt.Errorf("%w: %w", degradedError{}, err)
	default:
		return report, err
	}
}
