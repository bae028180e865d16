// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const (
	defaultLookback    = 4 * time.Hour
	defaultMaxLookback = 7 * 24 * time.Hour
	// windowOverlap is how far a window that reaches back goes behind the
	// first moment that was not read: what was being written while the last run read is seen then.
	windowOverlap = 15 * time.Minute
)

// windowFlags choose the window [since, until) of events to collect.
type windowFlags struct {
	since, until          instant
	lookback, maxLookback time.Duration
}

func (w *windowFlags) register(f *pflag.FlagSet, now func() time.Time) {
	w.since.now, w.until.now = now, now
	f.Var(&w.since, "since", "collect events from this time on: RFC 3339, a day, or a span before now such as 24h (default: --lookback before --until, and further back after an outage)")
	f.Var(&w.until, "until", "collect events before this time (default: now)")
	f.DurationVar(&w.lookback, "lookback", defaultLookback, "how far before --until the window begins")
	f.DurationVar(&w.maxLookback, "max-lookback", defaultMaxLookback, "how far back the window may reach after an outage")
}

// choose returns the window: as the flags say, or from the first moment that was not read.
func (w *windowFlags) choose(now time.Time, head *stage.Manifest, sources []record.SourceName) (record.Window, error) {
	until := w.until.time
	if until.IsZero() {
		until = now.UTC().Truncate(time.Second)
	}
	if w.lookback <= 0 || w.maxLookback < w.lookback {
		return record.Window{}, cli.Usagef("--lookback must be positive and --max-lookback not less than it")
	}
	if !w.since.time.IsZero() {
		if !w.since.time.Before(until) {
			return record.Window{}, cli.Usagef("--since is not before --until: the window is empty")
		}
		return record.Window{Since: w.since.time, Until: until}, nil
	}
	return stage.NextWindow(head, sources, until, w.lookback, w.maxLookback, windowOverlap), nil
}

// sliceFlags divide the window of a back-fill.
type sliceFlags struct{ shards, index int }

func (s *sliceFlags) register(f *pflag.FlagSet) {
	f.IntVar(&s.shards, "shards", 0, "divide the time from --since to --until into as many equal slices, each a batch of its own")
	f.IntVar(&s.index, "shard-index", -1, "read the slice with this number alone, of --shards; 0 is the latest (env JOB_COMPLETION_INDEX)")
}

// choose returns what is to be read of the window: all of it, as one, or slices.
func (s *sliceFlags) choose(w *windowFlags, window record.Window) ([]record.Window, error) {
	switch {
	case s.shards == 0 && s.index < 0:
		return []record.Window{window}, nil
	case s.shards == 0:
		return nil, cli.Usagef("--shard-index is given without --shards: say how many slices there are")
	case w.since.time.IsZero() || w.until.time.IsZero() && s.index >= 0:
		return nil, cli.Usagef("--shards divides the time between --since and --until: give both, and to all shards the same")
	case s.shards < 0 || time.Duration(s.shards)*time.Minute > window.Until.Sub(window.Since):
		return nil, cli.Usagef("--shards %d does not leave a minute for each slice", s.shards)
	case s.index >= s.shards:
		return nil, cli.Usagef("--shard-index %d is not below --shards %d: the slices are counted from 0", s.index, s.shards)
	case s.index >= 0:
		return []record.Window{window.Slice(s.index, s.shards)}, nil
	}
	slices := make([]record.Window, s.shards)
	for i := range slices {
		slices[i] = window.Slice(i, s.shards)
	}
	return slices, nil
}

func (p program) windowCommand() *cobra.Command {
	var (
		window  windowFlags
		sources []string
		place   stageFlags
		cluster string
		out     string
	)
	c := &cobra.Command{
		Use:   "window",
		Short: "Decide which window the next extraction reads, from what the stage says was read",
		Long: `window reads the last manifest of the cluster and writes the window of the next run: the last --lookback, or back to the
first moment that a source has not been read for. It is for a job whose extract container has no access to the bucket;
extract takes the file by --window.`,
		RunE: func(c *cobra.Command, _ []string) error {
			selected, err := parseSources(sources)
			if err != nil {
				return err
			}
			names, err := telemetry.NewPseudonymizer(cluster)
			if err != nil {
				return cli.Usage(err)
			}
			log, err := cli.Logger(c)
			if err != nil {
				return err
			}
			bucket, err := place.bucket(c.Context())
			if err != nil {
				return err
			}
			head, err := place.ledger(log, bucket).Head(c.Context(), names.Cluster())
			if err != nil {
				return err
			}
			chosen, err := window.choose(p.now(), head, sourceNames(selected))
			if err != nil {
				return err
			}
			return writeWindow(out, chosen)
		},
	}
	window.register(c.Flags(), p.now)
	place.register(c.Flags())
	c.Flags().StringSliceVar(&sources, "source", defaultSources, sourceUsage)
	c.Flags().StringVar(&cluster, "cluster-id", "", "ID of the cluster (env CLUSTER_ID)")
	c.Flags().StringVar(&out, "out", "", "file to write the window to (required)")
	return cli.Required(c, "stage", "out")
}

func writeWindow(path string, w record.Window) error {
	text, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("write window: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write window: %w", err)
	}
	return nil
}

func readWindow(path string) (record.Window, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return record.Window{}, fmt.Errorf("read window: %w", err)
	}
	var w record.Window
	if err := json.Unmarshal(text, &w); err != nil || w.Since.IsZero() || !w.Since.Before(w.Until) {
		return record.Window{}, cli.Usagef("read window: the file of --window holds no window with since before until: write it with the window command")
	}
	return w, nil
}

// stageFlags choose the stage.
type stageFlags struct {
	url     string
	workDir string
}

func (s *stageFlags) register(f *pflag.FlagSet) {
	f.StringVar(&s.url, "stage", "", "where events are staged: file:///folder or s3://bucket/prefix?endpoint=http://host:9000&region=r (env SEGMENT_BRIDGE_STAGE)")
	f.StringVar(&s.workDir, "work-dir", "", "folder for temporary files, which hold no names (default: the system's)")
}
