// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/open"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
	"github.com/segment-bridge/segment-bridge/transform"
)

// bucket opens the bucket of --stage.
func (s *stageFlags) bucket(ctx context.Context) (stage.Bucket, error) {
	bucket, err := open.Bucket(ctx, s.url)
	if err != nil {
		return nil, cli.Usage(err)
	}
	return bucket, nil
}

// ledger returns the ledger that a bucket holds.
func (s *stageFlags) ledger(log *slog.Logger, bucket stage.Bucket) *stage.Ledger {
	return stage.NewLedger(bucket, stage.Options{
		Plan: catalogue.Plan(), Library: library(), WorkDir: s.workDir, Logger: log,
	})
}

// transformFlags choose how records become events.
type transformFlags struct{ installTime time.Duration }

func (t *transformFlags) register(f *pflag.FlagSet) {
	f.DurationVar(&t.installTime, "install-time", transform.DefaultInstallTime, "how long an installation may take before it counts as failed")
}

func (p program) transformCommand() *cobra.Command {
	var (
		in    string
		place stageFlags
		flags transformFlags
	)
	c := &cobra.Command{
		Use:   "transform",
		Short: "Turn records into events and stage those that are new",
		Long: `transform reads the folder that extract wrote, turns records into events, checks each against the tracking plan, and
stages those that no earlier batch holds. A second transform of the same folder stages nothing.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				report, err := record.ReadReport(in)
				if errors.Is(err, record.ErrIncomplete) {
					return cli.Usage(err)
				} else if err != nil {
					return err
				}
				s.report(report)
				bucket, err := place.bucket(ctx)
				if err != nil {
					return err
				}
				staged, err := stageSpool(ctx, place.ledger(log, bucket), in, report, flags)
				if err != nil {
					return err
				}
				s.staged(staged)
				return nil
			})
		},
	}
	c.Flags().StringVar(&in, "in", "", "folder that extract wrote (required)")
	place.register(c.Flags())
	flags.register(c.Flags())
	return cli.Required(c, "in", "stage")
}

// stageSpool stages the events of the records in dir.
func stageSpool(ctx context.Context, ledger *stage.Ledger, dir string, report record.Report, flags transformFlags) (staged stage.Staged, err error) {
	ctx, end := phase(ctx, "transform and stage")
	defer func() { end(err) }()
	head, err := ledger.Head(ctx, report.Cluster)
	if err != nil {
		return stage.Staged{}, err
	}
	var lastHeartbeat time.Time
	if head != nil {
		lastHeartbeat = head.Carried.Heartbeat
	} else {
		ledger.FirstUse(ctx)
	}
	return ledger.Stage(ctx, report, transform.Events(report, record.Read(dir), lastHeartbeat, flags.installTime))
}
