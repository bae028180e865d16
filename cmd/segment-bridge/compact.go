// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
)

func (p program) compactCommand() *cobra.Command {
	var (
		place   stageFlags
		options stage.CompactOptions
	)
	c := &cobra.Command{
		Use:   "compact",
		Short: "Merge the batches of each day into one",
		Long: `compact merges the batches of each day of each cluster into one and removes those it replaces, an hour later. What was
delivered, what is pending and what an auditor reads stays what it is. It waits for days on which a batch has no receipt of a
destination that the stage knows, and never touches the day of a cluster's newest batch. Run one at a time, once a day; run it
again after an error.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if options.After < 0 || options.Grace < 0 {
				return cli.Usagef("--after and --grace cannot be negative")
			}
			options.Now = p.now()
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				bucket, err := place.bucket(ctx)
				if err != nil {
					return err
				}
				done, err := place.ledger(log, bucket).Compact(ctx, options)
				s.Compacted = &done
				return err
			})
		},
	}
	place.register(c.Flags())
	c.Flags().DurationVar(&options.After, "after", 48*time.Hour, "how long ago a day must have ended")
	c.Flags().DurationVar(&options.Grace, "grace", time.Hour, "how long what was replaced stays for readers that are still at it; a later run removes it")
	c.Flags().BoolVar(&options.DryRun, "dry-run", false, "say what would be done and change nothing")
	return cli.Required(c, "stage")
}
