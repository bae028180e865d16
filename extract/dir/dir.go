// SPDX-License-Identifier: Apache-2.0

// Package dir reads saved objects: a file, or a folder with all that is below it,
// such as a must-gather or an export.
//
// Files that end in .json, .ndjson, .jsonl, .yaml or .yml are read, also with .gz
// behind that; the others are passed over. They hold Kubernetes objects, lists of
// them and saved pages of Tekton Results, as many in a row as one likes.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A Source reads a file or folder. It implements [extract.Source].
type Source struct {
	path   string
	reader *reader
}

// New returns a Source for the file or folder at path. Whether there is one shows
// when it is read.
func New(path string, names *telemetry.Pseudonymizer) *Source {
	return &Source{path: path, reader: newReader(names)}
}

// Name implements [extract.Source].
func (s *Source) Name() record.SourceName { return record.SourceDir }

// Extract implements [extract.Source]. A file that is broken does not keep the others
// from being read. The error tells where it breaks off and which one it is by its
// number, since a path may hold names.
func (s *Source) Extract(ctx context.Context, _ record.Window, stats *extract.Stats, emit func(record.Record) error) error {
	files, err := find(s.path)
	if err != nil {
		return failure(err)
	}
	defer files.Close()

	var stopped error // by emit
	each := stats.Pass(func(r record.Record) error {
		stopped = emit(r)
		return stopped
	})
	broken := files.broken
	for i, name := range files.names {
		err := s.reader.read(ctx, files, name, stats, each)
		switch {
		case stopped != nil:
			return stopped
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			broken = append(broken, fmt.Sprintf("file %d of %d %s", i+1, len(files.names), err))
		}
	}
	switch {
	case len(broken) > 0:
		return failure(errors.New(list(broken)))
	case len(files.names) == 0:
		return failure(fmt.Errorf("none of the %d files there ends in %s, with or without .gz",
			files.passed, strings.Join(endings, ", ")))
	}
	return nil
}

// failure words an error whose text is this package's own.
func failure(err error) error {
	return &extract.Error{Outcome: record.OutcomeError, Op: "read saved objects", Hint: err.Error(), Err: err}
}

// list joins the first few of what is broken.
func list(broken []string) string {
	const shown = 5
	text := strings.Join(broken[:min(shown, len(broken))], "; ")
	if more := len(broken) - shown; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text + "; the others were read; files are numbered in the order of their paths"
}

// unopened words the error of opening a file or folder, without its path.
func unopened(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("may not be opened: check its permissions")
	default:
		return errors.New("cannot be opened")
	}
}
