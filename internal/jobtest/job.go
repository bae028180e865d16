// SPDX-License-Identifier: Apache-2.0

// Package jobtest is the hourly job for tests that break it: the real packages,
// wired as the program wires them, with a seam wherever the job touches the world.
package jobtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
	"github.com/segment-bridge/segment-bridge/transform"
)

// The window of the job, unless the Job says otherwise: the program's defaults.
const (
	Lookback    = 4 * time.Hour
	MaxLookback = 7 * 24 * time.Hour
	Overlap     = 15 * time.Minute
)

// A Job is one process of the hourly job: what survives between two of them is in
// the bucket, at the destination and, for a restarted container, in the folder. It
// is not safe for concurrent use; two Jobs may share all but the folder.
type Job struct {
	// Names are those that the sources hide names with.
	Names *telemetry.Pseudonymizer
	// Sources are read in this order.
	Sources []extract.Source
	Bucket  stage.Bucket
	// Destination may be nil: then nothing is loaded.
	Destination load.Destination
	// Dir is a folder for the spool and for temporary files.
	Dir string

	// Create starts a spool; nil means [record.Create].
	Create func(dir string) (Spool, error)
	// Lookback and MaxLookback are the constants unless set.
	Lookback, MaxLookback time.Duration
	// Rate is the most events in a second; 0 is no limit.
	Rate int
	// Now and Wait are the clock of leases, as in [load.Options].
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error
	// Logger may be nil.
	Logger *slog.Logger
}

// A Spool takes records: a [record.Writer].
type Spool interface {
	Write(r record.Record) error
	Commit(report record.Report) error
	Abort()
}

// An Outcome is what the steps of an hour return.
type Outcome struct {
	Report record.Report
	Staged stage.Staged
	Loaded load.Summary
}

// Segment returns a destination that sends to a receiver through transport, such
// as a [segmenttest.Receiver] or something before one.
func Segment(transport http.RoundTripper) (load.Destination, error) {
	return segment.New(segment.Options{Key: load.NewSecret(segmenttest.Key), Endpoint: "http://localhost", Transport: transport})
}

// Ledger returns the ledger in the bucket.
func (j *Job) Ledger() *stage.Ledger {
	return stage.NewLedger(j.Bucket, stage.Options{
		Plan: catalogue.Plan(), Library: telemetry.Library{Name: "segment-bridge", Version: "test"}, WorkDir: j.Dir, Logger: j.Logger,
	})
}

// Spool returns the folder of the spool.
func (j *Job) Spool() string { return filepath.Join(j.Dir, "spool") }

// Hour is the whole job at the time now. When no source can be read, what little
// was read is staged, the stage is delivered, and the error is
// [extract.ErrAllFailed].
func (j *Job) Hour(ctx context.Context, now time.Time) (o Outcome, err error) {
	var extractErr error
	if o.Report, extractErr = j.Extract(ctx, now); extractErr != nil && !errors.Is(extractErr, extract.ErrAllFailed) {
		return o, extractErr
	}
	if o.Staged, err = j.Transform(ctx); err != nil {
		return o, err
	}
	o.Loaded, err = j.Load(ctx)
	return o, errors.Join(extractErr, err)
}

// Extract reads the window that ends at now into the spool. The error is
// [extract.ErrAllFailed] when no source could be read; the spool is complete
// nevertheless.
func (j *Job) Extract(ctx context.Context, now time.Time) (record.Report, error) {
	report := record.Report{
		Producer: "segment-bridge test", Cluster: j.Names.Cluster(), Scheme: j.Names.Scheme(), KeyID: j.Names.KeyID(),
	}
	head, err := j.Ledger().Head(ctx, report.Cluster)
	if err != nil {
		return report, err
	}
	names := make([]record.SourceName, len(j.Sources))
	for i, source := range j.Sources {
		names[i] = source.Name()
	}
	report.Window = stage.NextWindow(head, names, now, cmp.Or(j.Lookback, Lookback), cmp.Or(j.MaxLookback, MaxLookback), Overlap)
	spool, err := j.create()
	if err != nil {
		return report, err
	}
	defer spool.Abort()
	report.Sources, err = extract.Run(ctx, j.Sources, report.Window, extract.Options{Logger: j.Logger}, spool.Write)
	if err != nil && !errors.Is(err, extract.ErrAllFailed) {
		return report, err
	}
	return report, errors.Join(err, spool.Commit(report))
}

func (j *Job) create() (Spool, error) {
	if j.Create != nil {
		return j.Create(j.Spool())
	}
	return record.Create(j.Spool())
}

// Transform stages the events of the spool, and the heartbeat when it is due.
func (j *Job) Transform(ctx context.Context) (stage.Staged, error) {
	report, err := record.ReadReport(j.Spool())
	if err != nil {
		return stage.Staged{}, err
	}
	return j.Stage(ctx, report, record.Read(j.Spool()))
}

// Stage is Transform for records that are in no spool.
func (j *Job) Stage(ctx context.Context, report record.Report, records iter.Seq2[record.Record, error]) (stage.Staged, error) {
	ledger := j.Ledger()
	head, err := ledger.Head(ctx, report.Cluster)
	if err != nil {
		return stage.Staged{}, err
	}
	var lastHeartbeat time.Time
	if head != nil {
		lastHeartbeat = head.Carried.Heartbeat
	}
	return ledger.Stage(ctx, report, transform.Events(report, records, lastHeartbeat, 0))
}

// Load delivers every batch that has no receipt.
func (j *Job) Load(ctx context.Context) (load.Summary, error) {
	if j.Destination == nil {
		return load.Summary{}, nil
	}
	summary, err := load.Run(ctx, j.Ledger(), j.Destination, load.Options{Rate: j.Rate, Now: j.Now, Wait: j.Wait, Logger: j.Logger})
	if err != nil {
		err = fmt.Errorf("deliver to %s: %w", j.Destination.Name(), err)
	}
	return summary, err
}
