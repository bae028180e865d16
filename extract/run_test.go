// SPDX-License-Identifier: Apache-2.0

package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// fake is a source that does what the test says.
type fake struct {
	name record.SourceName
	read func(ctx context.Context, stats *Stats, emit func(record.Record) error) error
}

func (f fake) Name() record.SourceName { return f.name }

func (f fake) Extract(ctx context.Context, _ record.Window, stats *Stats, emit func(record.Record) error) error {
	return f.read(ctx, stats, emit)
}

var day = record.Window{Since: at("2026-01-15T00:00:00Z"), Until: at("2026-01-16T00:00:00Z")}

// created is a record of a namespace that was created then.
func created(uidText, when string) record.Record {
	return &record.Namespace{UID: uid(uidText), Created: at(when)}
}

// These are ways in which reading a source can go.
func fine(_ context.Context, stats *Stats, emit func(record.Record) error) error {
	pass := stats.Pass(emit)
	stats.Bytes = 1000
	time.Sleep(time.Second)
	return errors.Join(
		pass(created("before", "2026-01-14T23:59:59Z"), nil), pass(created("first", "2026-01-15T00:00:00Z"), nil),
		pass(nil, errUID), pass(nil, nil), pass(created("behind", "2026-01-16T00:00:00Z"), nil))
}

func fails(err error) func(context.Context, *Stats, func(record.Record) error) error {
	return func(_ context.Context, stats *Stats, emit func(record.Record) error) error {
		return errors.Join(stats.Pass(emit)(created("some", "2026-01-15T01:00:00Z"), nil), err)
	}
}

func hangs(ctx context.Context, _ *Stats, _ func(record.Record) error) error {
	<-ctx.Done()
	return fmt.Errorf("list secret: %w", ctx.Err())
}

func panics(context.Context, *Stats, func(record.Record) error) error { panic("secret") }

var (
	forbidden = &Error{Outcome: record.OutcomeForbidden, Op: "list konfluxes", Status: 403, Hint: "grant list", Err: errors.New("secret")}
	absent    = &Error{Outcome: record.OutcomeAbsent, Op: "list konfluxes", Status: 404}
)

func TestRun(t *testing.T) {
	ok := record.SourceReport{Outcome: record.OutcomeOK, Objects: 5, Records: 1, Invalid: 1, Bytes: 1000, Seconds: 1}
	failed := func(outcome record.SourceOutcome, text string) record.SourceReport {
		return record.SourceReport{Outcome: outcome, Objects: 1, Records: 1, Error: text}
	}
	type source = func(context.Context, *Stats, func(record.Record) error) error
	tests := map[string]struct {
		sources []source
		strict  bool
		reports []record.SourceReport
		emitted string
		err     string
	}{
		"none":     {},
		"one":      {[]source{fine}, false, []record.SourceReport{ok}, "first", ""},
		"strictly": {[]source{fine, fine}, true, []record.SourceReport{ok, ok}, "first first", ""},
		"one fails": {
			[]source{fails(forbidden), fine},
			false,
			[]record.SourceReport{failed(record.OutcomeForbidden, "list konfluxes: forbidden (HTTP 403): grant list"), ok},
			"some first", "",
		},
		"one fails, strictly": {
			[]source{fine, fails(forbidden), fine},
			true,
			[]record.SourceReport{ok, failed(record.OutcomeForbidden, "list konfluxes: forbidden (HTTP 403): grant list")},
			"first some", "read source kube/components: list konfluxes: forbidden (HTTP 403): grant list",
		},
		"one is absent, strictly": {
			[]source{fails(absent), fine},
			true,
			[]record.SourceReport{failed(record.OutcomeAbsent, "list konfluxes: absent (HTTP 404)"), ok},
			"some first", "",
		},
		"all are absent": {
			[]source{fails(absent)},
			false,
			[]record.SourceReport{failed(record.OutcomeAbsent, "list konfluxes: absent (HTTP 404)")},
			"some", "",
		},
		"an error of others": {
			[]source{fails(errors.New("secret")), fine},
			false,
			[]record.SourceReport{failed(record.OutcomeError, "reading stopped for a reason that is not known"), ok},
			"some first", "",
		},
		"an answer that does not come": {
			[]source{fails(context.DeadlineExceeded), fine},
			false,
			[]record.SourceReport{failed(record.OutcomeTimeout, "no answer came in time"), ok},
			"some first", "",
		},
		"one hangs": {
			[]source{hangs, fine},
			false,
			[]record.SourceReport{{Outcome: record.OutcomeTimeout, Seconds: 60, Error: "not done within 1m0s: look at the load of the server, or allow more with --source-timeout"}, ok},
			"first", "",
		},
		"one panics": {
			[]source{panics, fine},
			false,
			[]record.SourceReport{{Outcome: record.OutcomeError, Error: errPanic.Error()}, ok},
			"first", "",
		},
		"all fail": {
			[]source{hangs, panics, fails(absent)},
			false,
			[]record.SourceReport{
				{Outcome: record.OutcomeTimeout, Seconds: 60, Error: "not done within 1m0s: look at the load of the server, or allow more with --source-timeout"},
				{Outcome: record.OutcomeError, Error: errPanic.Error()},
				failed(record.OutcomeAbsent, "list konfluxes: absent (HTTP 404)"),
			},
			"some", "no source could be read; kube/pipelineruns: not done within 1m0s: look at the load of the server, or allow more with --source-timeout",
		},
	}
	names := []record.SourceName{record.SourcePipelineRuns, record.SourceComponents, record.SourceResults}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sources []Source
				for i, read := range test.sources {
					sources = append(sources, fake{names[i], read})
				}
				for i := range test.reports {
					test.reports[i].Name = names[i]
				}
				var log bytes.Buffer
				var emitted outcomes
				options := Options{Timeout: time.Minute, Strict: test.strict, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				reports, err := Run(t.Context(), sources, day, options, func(r record.Record) error { return emitted.add(r, nil) })
				if len(reports)+len(test.reports) > 0 && !reflect.DeepEqual(reports, test.reports) {
					t.Errorf("got  %+v\nwant %+v", reports, test.reports)
				}
				if text := fmt.Sprint(err); emitted.String() != test.emitted || text != test.err && (err != nil || test.err != "") {
					t.Errorf("emitted %q, %v, want %q, %s", emitted, err, test.emitted, test.err)
				}
				if lines := strings.Count(log.String(), "\n"); lines != len(reports) {
					t.Errorf("logged %d lines for %d sources", lines, len(reports))
				}
				if all := fmt.Sprint(log.String(), reports, err); strings.Contains(all, "secret") {
					t.Errorf("words from outside came through: %s", all)
				}
			})
		})
	}
}

func TestRunAllFailed(t *testing.T) {
	_, err := Run(t.Context(), []Source{fake{record.SourceResults, fails(forbidden)}}, day, Options{}, func(record.Record) error { return nil })
	if !errors.Is(err, ErrAllFailed) {
		t.Errorf("got %v, want ErrAllFailed", err)
	}
}

// TestEmitFails has a source that goes on after an error of emit, which it should not.
func TestEmitFails(t *testing.T) {
	full, calls := errors.New("disk is full"), 0
	stubborn := fake{record.SourceResults, func(_ context.Context, _ *Stats, emit func(record.Record) error) error {
		for range 3 {
			_ = emit(created("a", "2026-01-15T01:00:00Z"))
		}
		return nil
	}}
	reports, err := Run(t.Context(), []Source{stubborn, stubborn}, day, Options{}, func(record.Record) error { calls++; return full })
	if !errors.Is(err, full) || calls != 1 || len(reports) != 1 {
		t.Errorf("got %v after %d calls and %d sources", err, calls, len(reports))
	}
}

func TestEmitPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a panic that is not of the source was contained")
		}
	}()
	_, _ = Run(t.Context(), []Source{fake{record.SourceResults, fine}}, day, Options{}, func(record.Record) error { panic("full") })
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reports, err := Run(ctx, []Source{fake{record.SourceResults, hangs}, fake{record.SourceComponents, fine}}, day,
			Options{Timeout: time.Minute}, func(record.Record) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) || len(reports) != 1 || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v after %d sources", err, len(reports))
		}
	})
}

func TestErrorIs(t *testing.T) {
	targets := []error{fs.ErrNotExist, fs.ErrPermission, fs.ErrExist}
	for _, test := range []struct {
		err error
		is  [3]bool // of targets
	}{{absent, [3]bool{0: true}}, {forbidden, [3]bool{1: true}}, {&Error{Outcome: record.OutcomeTimeout}, [3]bool{}}} {
		for i, target := range targets {
			if got := errors.Is(fmt.Errorf("wrapped: %w", test.err), target); got != test.is[i] {
				t.Errorf("%v is %v: %t", test.err, target, got)
			}
		}
	}
}
