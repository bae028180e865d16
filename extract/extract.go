// SPDX-License-Identifier: Apache-2.0

// Package extract reads what happened in a cluster and turns each object into a
// record. Raw names enter here and end here: a name becomes a pseudonym in the
// step that reads it (see [Projector]), everything not asked for is skipped
// without being looked at, and errors are built from status codes and this
// program's own words.
//
// The sources live in sub-packages named after what they read: kube, results,
// dir, inventory.
package extract

import (
	"context"
	"errors"
	"io/fs"
	"strconv"

	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A Source reads one kind of thing from one place.
type Source interface {
	// Name identifies the source in reports; it does not change.
	Name() record.SourceName
	// Extract reads the source once, from beginning to end, and passes each record
	// to emit, never two at a time; [Run] drops those that do not touch the window. It
	// counts what it reads in stats as it goes, so that the count is right when it
	// stops early. It stops at the first error of emit or when ctx is done.
	//
	// A nil return means that everything the source holds for the window was
	// passed on. An error about the source is an [*Error].
	Extract(ctx context.Context, window record.Window, stats *Stats, emit func(record.Record) error) error
}

// Stats counts what a source read. See [record.SourceReport].
type Stats struct {
	Objects, Invalid, Bytes int64
}

// Pass returns what [Projector.ReadList] calls for each item: it counts the object and
// passes its record, if there is one, to emit.
func (s *Stats) Pass(emit func(record.Record) error) func(record.Record, error) error {
	return func(r record.Record, err error) error {
		s.Objects++
		switch {
		case errors.Is(err, ErrInvalid):
			s.Invalid++
			return nil
		case err != nil || r == nil:
			return err
		default:
			return emit(r)
		}
	}
}

// An Error says how reading a source failed, without a word that came from the
// source.
type Error struct {
	// Outcome is the class of the failure.
	Outcome record.SourceOutcome
	// Op is what was tried, such as "list pipelineruns.tekton.dev".
	Op string
	// Status is the HTTP status, or 0.
	Status int
	// Hint says what to do.
	Hint string
	// Err is the cause; it is kept for errors.Is and is not printed.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Op + ": " + e.Outcome.String()
	if e.Status != 0 {
		text += " (HTTP " + strconv.Itoa(e.Status) + ")"
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes the error [fs.ErrNotExist] when what was asked for is absent, and [fs.ErrPermission] when it is forbidden.
func (e *Error) Is(target error) bool {
	return target == fs.ErrNotExist && e.Outcome == record.OutcomeAbsent ||
		target == fs.ErrPermission && e.Outcome == record.OutcomeForbidden
}

// ErrAllFailed says that not one source could be read.
var ErrAllFailed = errors.New("no source could be read")
