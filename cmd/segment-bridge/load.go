// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/file"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
)

// destinationFlags choose where events are delivered, and how.
type destinationFlags struct {
	destinations []string
	writeKey     secret
	writeKeyFile string
	url          string
	gzip         bool
	rate         int
	inFlight     int
	patience     time.Duration
	lease        time.Duration
	dryRun       bool
	network      networkFlags
}

func (d *destinationFlags) register(f *pflag.FlagSet) {
	f.StringSliceVar(&d.destinations, "destination", nil, "where to deliver, repeatable: segment, splunk, otlp (log records, set by the variables OTEL_EXPORTER_OTLP_*), kong (its line format), file:PATH (one track call a line), stdout (env SEGMENT_BRIDGE_DESTINATION; default: segment when there is a write key, else none)")
	f.Var(&d.writeKey, "segment-write-key", "Segment write key; set it by the environment variable SEGMENT_WRITE_KEY, where others cannot see it")
	f.StringVar(&d.writeKeyFile, "segment-write-key-file", "", "file with the Segment write key")
	f.StringVar(&d.url, "segment-url", "", "Segment or a compatible API (env SEGMENT_BATCH_API; default: https://api.segment.io)")
	f.BoolVar(&d.gzip, "segment-gzip", false, "compress requests")
	f.IntVar(&d.rate, "rate", load.DefaultRate, "events a second to each destination; 0 is no limit")
	f.IntVar(&d.inFlight, "in-flight", 4, "requests to each destination at the same time")
	f.DurationVar(&d.patience, "patience", 15*time.Minute, "how long one delivery may take with all its retries; what is left goes out with the next run")
	f.DurationVar(&d.lease, "lease", stage.DefaultLease, "how long this process may be silent before other loaders of the stage take over the batch that it is at work on (1s to 1h)")
	f.BoolVar(&d.dryRun, "dry-run", false, "print the exact bodies that would be sent, send nothing and write nothing to the stage")
	d.network.register(f)
}

// key returns the write key that the flags, the environment or a file give.
func (d *destinationFlags) key() (load.Secret, error) {
	if d.writeKeyFile == "" {
		return d.writeKey.Secret, nil
	}
	text, err := os.ReadFile(d.writeKeyFile)
	if err != nil {
		return load.Secret{}, cli.Usagef("read Segment write key: %w", err)
	}
	return load.NewSecret(strings.TrimSpace(string(text))), nil
}

// destinations are open, and closed together.
type destinations struct {
	open  []load.Destination
	flags *destinationFlags
	log   *slog.Logger
	// progress, unless nil, is told of each delivery.
	progress func(load.Summary)
}

// openDestinations opens what the flags choose. Nothing is dialled yet.
func (p program) openDestinations(flags *destinationFlags, s *summary, log *slog.Logger) (*destinations, error) {
	if flags.lease < time.Second || flags.lease > stage.MaxLease {
		return nil, cli.Usagef("--lease %s is not between 1s and %s", flags.lease, stage.MaxLease)
	}
	key, err := flags.key()
	if err != nil {
		return nil, err
	}
	chosen := flags.destinations
	if len(chosen) == 0 && (key.Reveal() != "" || flags.dryRun) {
		chosen = []string{"segment"}
	}
	if len(chosen) == 0 {
		log.Warn("no destination is given, so events are staged and not delivered: set --destination or SEGMENT_WRITE_KEY")
	}
	d := &destinations{flags: flags, log: log}
	for _, value := range chosen {
		s.toStderr = s.toStderr || value == "stdout" || flags.dryRun
		destination, err := p.openDestination(value, key, flags, log)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.open = append(d.open, destination)
	}
	return d, nil
}

func (p program) openDestination(value string, key load.Secret, flags *destinationFlags, log *slog.Logger) (load.Destination, error) {
	kind, path, _ := strings.Cut(value, ":")
	switch {
	case value == "segment":
		options := segment.Options{Key: key, Endpoint: flags.url, Version: cli.Version, Gzip: flags.gzip, Patience: flags.patience, Logger: log}
		if flags.dryRun {
			options.DryRun = p.stdout
		}
		destination, err := segment.New(options)
		if err != nil {
			return nil, cli.Usage(err)
		}
		return destination, nil
	case value == "stdout":
		return file.NewStream("stdout", p.stdout), nil
	case kind == "file" && path != "" && flags.dryRun:
		name, err := file.Name(path)
		if err != nil {
			return nil, cli.Usage(err)
		}
		return file.NewStream(name, p.stdout), nil
	case kind == "file" && path != "":
		destination, err := file.Open(path)
		if err != nil {
			return nil, cli.Usage(err)
		}
		return destination, nil
	default:
		return p.openNetwork(value, flags, log)
	}
}

func (d *destinations) close() error {
	var errs []error
	for _, destination := range d.open {
		errs = append(errs, destination.Close())
	}
	return errors.Join(errs...)
}

// load delivers the selected portion to all destinations at once; none waits
// for another.
func (d *destinations) load(ctx context.Context, ledger *stage.Ledger, s *summary, selected portion) error {
	summaries := make([]load.Summary, len(d.open))
	errs := make([]error, len(d.open))
	var group sync.WaitGroup
	for i, destination := range d.open {
		group.Go(func() {
			ctx, end := phase(ctx, "load "+destination.Name())
			defer func() { end(errs[i]) }()
			summaries[i], errs[i] = load.Run(ctx, ledger, destination, load.Options{
				Rate: d.flags.rate, InFlight: d.flags.inFlight, Lease: d.flags.lease, DryRun: d.flags.dryRun,
				Range: selected.Range, Force: selected.force, Rejected: selected.rejected, Progress: d.progress, Logger: d.log,
			})
			if errs[i] != nil {
				errs[i] = fmt.Errorf("deliver to %s: %w", destination.Name(), errs[i])
			}
		})
	}
	group.Wait()
	s.Destinations = summaries
	return errors.Join(errs...)
}

// A portion is what to deliver of the stage; the zero portion is every batch that has no
// receipt.
type portion struct {
	stage.Range
	force    bool // batches that have a receipt as well
	rejected bool // the rejected events alone
}

func (p program) loadCommand() *cobra.Command {
	var (
		place stageFlags
		flags destinationFlags
	)
	c := &cobra.Command{
		Use:   "load",
		Short: "Deliver every staged batch that has no receipt",
		Long: `load delivers the batches that have no receipt for a destination, oldest first, and writes a receipt for each. Events that a
destination refuses for good go to rejected/ in the stage.

Several may run at the same time: they share the batches. One that has nothing left to do but what others are at work on
leaves that to them, once it has seen that they are alive ("held" in the summary); what a dead one held it takes over.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				return p.deliver(ctx, log, &place, &flags, s, portion{})
			})
		},
	}
	place.register(c.Flags())
	flags.register(c.Flags())
	return cli.Required(c, "stage")
}

func (p program) replayCommand() *cobra.Command {
	var (
		place        stageFlags
		flags        destinationFlags
		since, until = instant{now: p.now}, instant{now: p.now}
		selected     portion
	)
	c := &cobra.Command{
		Use:   "replay",
		Short: "Deliver a range of batches again",
		Long: `replay delivers the batches whose window overlaps [--since, --until): those without a receipt, or with --force all of them.
Message IDs stay the same, so Segment drops what it has seen within a day or more; after that a forced replay counts twice.

With --rejected it delivers, once what was wrong is fixed, the events that a destination has refused and not taken since, and
nothing else.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case selected.force && selected.rejected:
				return cli.Usagef("--force and --rejected exclude each other: --force includes the rejected events")
			case since.time.IsZero() && !selected.rejected:
				return cli.Usagef("--since is required without --rejected (see %s --help)", c.CommandPath())
			}
			selected.Range = stage.Range{Since: since.time, Until: until.time}
			return p.summarise(c, func(ctx context.Context, log *slog.Logger, s *summary) error {
				return p.deliver(ctx, log, &place, &flags, s, selected)
			})
		},
	}
	place.register(c.Flags())
	flags.register(c.Flags())
	c.Flags().Var(&since, "since", "replay batches whose window ends after this time: RFC 3339, a day, or a span before now such as 24h (required without --rejected)")
	c.Flags().Var(&until, "until", "replay batches whose window begins before this time (default: now)")
	c.Flags().BoolVar(&selected.force, "force", false, "also deliver batches that have a receipt")
	c.Flags().BoolVar(&selected.rejected, "rejected", false, "deliver the rejected events that are still outstanding, and nothing else")
	return cli.Required(c, "stage")
}

func (p program) deliver(
	ctx context.Context, log *slog.Logger, place *stageFlags, flags *destinationFlags, s *summary, selected portion,
) (err error) {
	d, err := p.openDestinations(flags, s, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	bucket, err := place.bucket(ctx)
	if err != nil {
		return err
	}
	if flags.dryRun {
		bucket = mem.Over(bucket)
	}
	ledger := place.ledger(log, bucket)
	if selected.force && len(d.open) == 1 && cli.IsTerminal(p.stderr) {
		bar, err := p.progressBar(ctx, ledger, selected.Range)
		if err != nil {
			return err
		}
		defer bar.Close()
		d.progress = func(s load.Summary) { _ = bar.Set64(s.Delivered + s.Rejected) }
	}
	if s.Empty, err = empty(ctx, ledger); err != nil {
		return err
	}
	if s.Empty {
		log.Warn("nothing is staged here: either nothing was yet, or --stage names another place than transform's")
	}
	return d.load(ctx, ledger, s, selected)
}

// empty reports whether a stage has no batch at all.
func empty(ctx context.Context, ledger *stage.Ledger) (bool, error) {
	for _, err := range ledger.Batches(ctx, stage.Range{}) {
		return false, err
	}
	return true, nil
}
