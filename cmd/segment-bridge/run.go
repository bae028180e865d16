// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
)

// runFlags are the flags of a whole run.
type runFlags struct {
	sources      sourceFlags
	window       windowFlags
	slice        sliceFlags
	place        stageFlags
	transform    transformFlags
	destinations destinationFlags
}

func (p program) runCommand() *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "Extract, transform and load in one process",
		Long: `run does what the hourly job does, in one process: it extracts the window into a temporary folder, stages the events that
are new, and delivers every batch that has no receipt.`,
		Example: `  segment-bridge run --source dir:./must-gather --cluster-id my-cluster --since 2020-01-01 \
    --stage file:///tmp/stage --destination file:events.ndjson`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				return p.runAll(ctx, &flags, s, log)
			})
		},
	}
	flags.sources.register(c.Flags())
	flags.window.register(c.Flags(), p.now)
	flags.slice.register(c.Flags())
	flags.place.register(c.Flags())
	flags.transform.register(c.Flags())
	flags.destinations.register(c.Flags())
	return cli.Required(c, "stage")
}

// runAll is the whole data path. When no source could be read, what little was
// read before they failed is staged all the same, with a heartbeat that says so,
// and what is in the stage is delivered.
func (p program) runAll(ctx context.Context, flags *runFlags, s *summary, log *slog.Logger) (err error) {
	destinations, err := p.openDestinations(&flags.destinations, s, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, destinations.close()) }()
	bucket, err := flags.place.bucket(ctx)
	if err != nil {
		return err
	}
	if flags.destinations.dryRun {
		bucket = mem.Over(bucket)
	}
	ledger := flags.place.ledger(log, bucket)
	extractErr := p.extractAndStage(ctx, flags, ledger, s, log)
	if extractErr != nil && !errors.Is(extractErr, extract.ErrAllFailed) {
		return extractErr
	}
	return errors.Join(extractErr, destinations.load(ctx, ledger, s, portion{}))
}

func (p program) extractAndStage(ctx context.Context, flags *runFlags, ledger *stage.Ledger, s *summary, log *slog.Logger) error {
	x, err := flags.sources.prepare(ctx, p.now, log)
	if err != nil {
		return err
	}
	head, err := ledger.Head(ctx, x.names.Cluster())
	if err != nil {
		return err
	}
	window, err := flags.window.choose(p.now(), head, x.sourceNames())
	if err != nil {
		return err
	}
	chosen, err := flags.slice.choose(&flags.window, window)
	if err != nil {
		return err
	}
	x.report.Slice = flags.slice.shards > 0
	var failed error
	for _, x.report.Window = range chosen {
		err := x.stage(ctx, flags, ledger, s, log)
		if err != nil && !errors.Is(err, extract.ErrAllFailed) {
			return err
		}
		failed = errors.Join(failed, err)
	}
	s.Window = window
	return failed
}

// stage extracts the window of the report and stages what is new.
func (x *extraction) stage(ctx context.Context, flags *runFlags, ledger *stage.Ledger, s *summary, log *slog.Logger) error {
	dir, err := os.MkdirTemp(flags.place.workDir, "segment-bridge-")
	if err != nil {
		return fmt.Errorf("create working folder: %w", err)
	}
	defer os.RemoveAll(dir)
	report, extractErr := x.spool(ctx, dir, flags.sources, log)
	s.report(report)
	if extractErr != nil && !errors.Is(extractErr, extract.ErrAllFailed) {
		return extractErr
	}
	staged, err := stageSpool(ctx, ledger, dir, report, flags.transform)
	if err != nil {
		return err
	}
	s.staged(staged)
	return extractErr
}
