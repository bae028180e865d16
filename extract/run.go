// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Options say how sources are read.
type Options struct {
	// Timeout is how long each source may take; zero is no limit.
	Timeout time.Duration
	// Strict makes the first source that fails an error of the run.
	Strict bool
	// Logger gets one line for each source; nil discards them.
	Logger *slog.Logger
}

// Run reads the sources one after another and passes the records that touch the
// window to emit. It returns one report for each source that was asked.
//
// A source that fails does not stop the others, unless the options are strict; if not
// one of them can be read, the error is [ErrAllFailed], and says what is wrong with
// the first. An error of emit, and the end of ctx, stop everything.
func Run(
	ctx context.Context, sources []Source, window record.Window, options Options, emit func(record.Record) error,
) ([]record.SourceReport, error) {
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	reports := make([]record.SourceReport, 0, len(sources))
	read, failed := 0, 0
	var first record.SourceReport // of those that failed
	for _, source := range sources {
		report, err := runOne(ctx, source, window, options.Timeout, emit)
		reports = append(reports, report)
		if err != nil {
			return reports, err
		}
		switch {
		case report.Failed():
			if failed++; failed == 1 {
				first = report
			}
		case report.Outcome == record.OutcomeOK:
			read++
		}
		log(ctx, logger, &report)
		if options.Strict && failed > 0 {
			return reports, fmt.Errorf("read source %s: %s", report.Name, report.Error)
		}
	}
	if failed > 0 && read == 0 {
		return reports, fmt.Errorf("%w; %s: %s", ErrAllFailed, first.Name, first.Error)
	}
	return reports, nil
}

func log(ctx context.Context, logger *slog.Logger, report *record.SourceReport) {
	attributes := []slog.Attr{
		slog.String("source", report.Name.String()), slog.String("outcome", report.Outcome.String()),
		slog.Int64("objects", report.Objects), slog.Int64("records", report.Records),
		slog.Int64("invalid", report.Invalid), slog.Int64("bytes", report.Bytes),
		slog.Float64("seconds", report.Seconds),
	}
	if report.Failed() {
		logger.LogAttrs(ctx, slog.LevelWarn, "source failed", append(attributes, slog.String("error", report.Error))...)
		return
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "source read", attributes...)
}

// runOne reads one source. The error is one that ends the run.
func runOne(
	ctx context.Context, source Source, window record.Window, limit time.Duration, emit func(record.Record) error,
) (record.SourceReport, error) {
	report := record.SourceReport{Name: source.Name()}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		limited, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()

	var stats Stats
	var emitting error
	start := time.Now()
	err := contain(func(emitted *bool) error {
		return source.Extract(limited, window, &stats, func(r record.Record) error {
			if emitting != nil || !r.Touches(window) {
				return emitting
			}
			report.Records++
			*emitted = true
			emitting = emit(r)
			*emitted = false
			return emitting
		})
	})
	report.Seconds = time.Since(start).Seconds()
	report.Objects, report.Invalid, report.Bytes = stats.Objects, stats.Invalid, stats.Bytes
	switch report.Outcome, report.Error = outcome(err); {
	case emitting != nil:
		return report, emitting
	case err != nil && ctx.Err() != nil:
		return report, fmt.Errorf("read source %s: %w", report.Name, ctx.Err())
	case err != nil && limited.Err() != nil:
		report.Outcome = record.OutcomeTimeout
		report.Error = fmt.Sprintf("not done within %s: look at the load of the server, or allow more with --source-timeout", limit)
	}
	return report, nil
}

// errPanic stands for a panic of a source, whose value may hold names.
var errPanic = &Error{
	Outcome: record.OutcomeError, Op: "read source",
	Hint: "the program has a defect there; report it with the version and the kind of source",
}

// contain calls read and makes an error of a panic, unless it comes from what read
// passed its records to: that is not about the source.
func contain(read func(emitted *bool) error) (err error) {
	var emitted bool
	defer func() {
		if emitted {
			return
		}
		if recover() != nil {
			err = errPanic
		}
	}()
	return read(&emitted)
}

// outcome classifies the error of a source and words it. Only an Error is known to
// hold no word from outside.
func outcome(err error) (record.SourceOutcome, string) {
	own, ok := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return record.OutcomeOK, ""
	case ok:
		return own.Outcome, own.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return record.OutcomeTimeout, "no answer came in time"
	default:
		return record.OutcomeError, "reading stopped for a reason that is not known"
	}
}
