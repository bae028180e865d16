// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
)

// minRetention is longer than runs reach back by default. A run that reaches
// beyond what is kept stages the same events again.
const minRetention = 8 * 24 * time.Hour

func (p program) expireCommand() *cobra.Command {
	var (
		place     stageFlags
		olderThan = instant{now: p.now}
		options   stage.ExpireOptions
	)
	c := &cobra.Command{
		Use:   "expire",
		Short: "Remove old batches, and what crashes have left",
		Long: `expire removes the batches whose window ended before --older-than, with their receipts and rejected events, and objects that
belong to no batch and are older than --grace. It keeps each cluster's newest batch, a batch that a destination known to the
stage has no receipt of, and the newest batch with a receipt of each destination. With --dry-run it prints the objects that it
would remove, one a line, and the summary on standard error.`,
		Example: `  segment-bridge expire --stage file:///tmp/stage --older-than 2160h --dry-run`,
		RunE: func(c *cobra.Command, _ []string) error {
			options.Now = p.now()
			options.OlderThan = options.Now.Sub(olderThan.time)
			if options.OlderThan < minRetention {
				return cli.Usagef("--older-than is less than 8 days ago: a run that reaches back a week would stage the same events again")
			}
			if options.Grace < 0 {
				return cli.Usagef("--grace cannot be negative")
			}
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				bucket, err := place.bucket(ctx)
				if err != nil {
					return err
				}
				if options.DryRun {
					s.toStderr = true
					options.Removed = func(info stage.ObjectInfo) { fmt.Fprintln(p.stdout, info.Key) }
				}
				done, err := place.ledger(log, bucket).Expire(ctx, options)
				s.Expired = &done
				if done.Undelivered > 0 {
					log.Warn("old batches are kept because a destination has no receipt of them: deliver them, or give them up with --undelivered", "batches", done.Undelivered)
				}
				return err
			})
		},
	}
	place.register(c.Flags())
	c.Flags().Var(&olderThan, "older-than", "remove batches whose window ended before this time: RFC 3339, a day, or a span before now such as 2160h; at least 8 days ago (required)")
	c.Flags().BoolVar(&options.Undelivered, "undelivered", false, "also remove batches that were never delivered to every destination; their events are lost")
	c.Flags().DurationVar(&options.Grace, "grace", 24*time.Hour, "how old an object without a batch must be")
	c.Flags().BoolVar(&options.DryRun, "dry-run", false, "print what would be removed and remove nothing")
	return cli.Required(c, "stage", "older-than")
}
