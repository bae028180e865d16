// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/segment-bridge/segment-bridge/stage/extsort"
	"github.com/segment-bridge/segment-bridge/stage/parquetfile"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Staged says what became of the events that Stage was given. Each event counts
// once: Events + Duplicates + AlreadyStaged + Rejected + Withheld were given.
type Staged struct {
	// Manifest describes the batch; nil when there was nothing new.
	Manifest *Manifest
	// Events are in the batch.
	Events int64
	// Duplicates are further copies of events that were given.
	Duplicates int64
	// AlreadyStaged are in an earlier batch.
	AlreadyStaged int64
	// Rejected break the plan, as Violations tells.
	Rejected   int64
	Violations []ViolationCount
	// Withheld may be in a batch of which an object is damaged, as Damaged tells. A
	// later run stages those that are not.
	Withheld int64
	Damaged  []Damage
}

// Stage writes one batch with every event that is not in a committed batch of the
// cluster yet, each once, and commits it. Events may come in any order and repeat;
// an event is not used after the next one was asked for. Of the copies of an event
// the one with the most tasks is taken, since that was read last. Events that
// break the plan are counted and left out. When nothing is new, nothing is written.
// Damage of earlier batches is no error; a batch of a newer format is [ErrNewer].
//
// The same events and report make the same batch, byte for byte, so that staging
// again after an error, at whatever point, is safe. After an error the batch may
// or may not be committed; staging again finds out. Two runs at the same time may
// stage the same event twice, in two batches, under the same message ID.
func (l *Ledger) Stage(ctx context.Context, report record.Report, events iter.Seq2[*telemetry.Event, error]) (Staged, error) {
	staged, err := l.stage(ctx, report, events)
	if err != nil {
		return Staged{}, fmt.Errorf("stage events: %w", err)
	}
	return staged, nil
}

func (l *Ledger) stage(ctx context.Context, report record.Report, events iter.Seq2[*telemetry.Event, error]) (staged Staged, err error) {
	schema, err := parquetfile.NewSchema(l.options.Plan)
	if err != nil {
		return staged, err
	}
	if err := normalise(&report); err != nil {
		return staged, err
	}
	// Sort by message ID, so that copies of an event meet, and meet the committed
	// IDs; then by event and time, for the file. Neither sort holds all in memory.
	byID := extsort.New(l.options.WorkDir, l.options.MemoryBytes)
	defer func() { err = errors.Join(err, byID.Close()) }()
	latest, err := l.collect(ctx, byID, report, events, &staged)
	if err != nil || latest.IsZero() {
		return staged, err
	}
	past, err := l.history(ctx, report.Cluster, report.Window)
	if err != nil {
		return staged, err
	}
	var buf []byte
	err = past.addIDs(ctx, latest, func(id []byte) error {
		buf = appendCommitted(buf[:0], id)
		return byID.Add(buf)
	})
	if err != nil {
		return staged, err
	}
	staged.Damaged = past.damaged
	byTime := extsort.New(l.options.WorkDir, l.options.MemoryBytes)
	defer func() { err = errors.Join(err, byTime.Close()) }()
	if err := past.distinct(ctx, byID, byTime, &staged); err != nil || staged.Events == 0 {
		return staged, err
	}
	data, err := l.writeData(ctx, schema, byTime)
	if err != nil {
		return staged, err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	staged.Manifest, err = l.commit(ctx, data, l.manifest(report, past, data, staged.Violations))
	return staged, err
}

// normalise makes the report what a manifest records of it.
func normalise(report *record.Report) error {
	w := &report.Window
	w.Since, w.Until = w.Since.UTC(), w.Until.UTC()
	switch {
	case report.Cluster.IsZero():
		return errors.New("the extract report names no cluster")
	case !w.Since.Before(w.Until) || w.Since.Nanosecond() != 0 || w.Until.Nanosecond() != 0:
		return errors.New("the window of the extract report is empty or not in whole seconds")
	}
	report.Format = record.ReportFormat
	if report.Slice {
		// Whoever reads a slice again gets the same batch, whatever else is written by then.
		report.Sources = slices.Clone(report.Sources)
		for i := range report.Sources {
			s := &report.Sources[i]
			s.Objects, s.Invalid, s.Bytes, s.Seconds = 0, 0, 0, 0
		}
	}
	return nil
}

// collect checks the events and adds those that keep to the plan to byID. It
// returns the time of the latest of them.
func (l *Ledger) collect(ctx context.Context, byID *extsort.Sorter, report record.Report, events iter.Seq2[*telemetry.Event, error], staged *Staged) (latest time.Time, err error) {
	violations := map[telemetry.Violation]int64{}
	var buf []byte
	for e, err := range events {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return latest, err
		}
		err := l.options.Plan.Check(e)
		if err == nil && e.Cluster != report.Cluster {
			err = &telemetry.Violation{Event: e.Name, Rule: "the cluster is not that of the extract report"}
		}
		if v, ok := errors.AsType[*telemetry.Violation](err); ok {
			violations[*v]++
			staged.Rejected++
			continue
		}
		if buf, err = appendCandidate(buf[:0], e); err != nil {
			return latest, err
		}
		if err := byID.Add(buf); err != nil {
			return latest, err
		}
		latest = later(latest, e.Time)
	}
	for v, n := range violations {
		staged.Violations = append(staged.Violations, ViolationCount{v, n})
		l.options.Logger.WarnContext(ctx, "events break the tracking plan and are not staged",
			"event", v.Event, "property", v.Property, "rule", v.Rule, "count", n)
	}
	slices.SortFunc(staged.Violations, func(a, b ViolationCount) int { return strings.Compare(a.Error(), b.Error()) })
	return latest, nil
}

// distinct moves one copy of each event that is not committed from byID to byTime.
func (h *history) distinct(ctx context.Context, byID, byTime *extsort.Sorter, staged *Staged) error {
	const (
		fresh     = iota // nothing is known of the ID
		committed        // it is in an earlier batch
		counted          // a copy of it was counted
	)
	var current []byte
	state := fresh
	for candidate, err := range byID.Sorted() {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		id, row := parseCandidate(candidate)
		if !bytes.Equal(id, current) {
			current, state = append(current[:0], id...), fresh
		}
		switch {
		case row == nil:
			state = committed // it sorts before the copies
			continue
		case state == fresh && h.withholds(rowTime(row)):
			staged.Withheld++
		case state == fresh:
			staged.Events++
			if err := byTime.Add(row); err != nil {
				return err
			}
		case state == committed:
			staged.AlreadyStaged++
		default:
			staged.Duplicates++
		}
		state = counted
	}
	return nil
}
