// SPDX-License-Identifier: Apache-2.0

package dir

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"sigs.k8s.io/yaml"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/scan"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A reader reads files one after another. What its errors say is complete with
// "file 3" ahead, and holds nothing of the file.
type reader struct {
	projector *extract.Projector
	scanner   scan.Scanner
	buffer    *bufio.Reader
}

func newReader(names *telemetry.Pseudonymizer) *reader {
	return &reader{projector: extract.NewProjector(names), buffer: bufio.NewReader(nil)}
}

type each func(record.Record, error) error

// read reads one file.
func (r *reader) read(ctx context.Context, files *files, name string, stats *extract.Stats, each each) error {
	file, err := files.Open(name)
	if err != nil {
		return unopened(err)
	}
	defer file.Close()
	from := io.Reader(file)
	isYAML, isGzip, _ := format(name)
	if isGzip {
		if from, err = gzip.NewReader(file); err != nil {
			return errors.New("is not gzip")
		}
	}
	r.buffer.Reset(&counter{ctx: ctx, from: from, bytes: &stats.Bytes})
	if isYAML {
		return r.yaml(each)
	}
	return r.json(each)
}

// json reads documents in JSON, one after another.
func (r *reader) json(each each) error {
	if mark, err := r.buffer.Peek(3); err == nil && string(mark) == "\uFEFF" {
		_, _ = r.buffer.Discard(3) // they are there
	}
	r.scanner.Reset(r.buffer)
	for {
		err := r.projector.ReadDocument(&r.scanner, each)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("ends too early, after %d bytes", r.scanner.Offset())
		case errors.As(err, new(*scan.SyntaxError)):
			return fmt.Errorf("is not JSON at byte %d", r.scanner.Offset())
		case err != nil:
			return fmt.Errorf("cannot be read beyond byte %d", r.scanner.Offset())
		}
	}
}

// maxYAML is how large a document in YAML may be: it is held in memory as a tree.
const maxYAML = 64 << 20

// yaml reads documents in YAML, one after another.
func (r *reader) yaml(each each) error {
	documents := splitter{from: r.buffer}
	for {
		text, line, err := documents.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooLarge):
			return fmt.Errorf("has a YAML document of more than %d MiB at line %d: save it as JSON", maxYAML>>20, line)
		case err != nil:
			return fmt.Errorf("cannot be read beyond line %d", line)
		}
		document, err := yaml.YAMLToJSON(text)
		if err != nil {
			return fmt.Errorf("is not YAML at line %d", line+lineOf(err))
		}
		if err := r.projector.ReadDocumentBytes(document, each); err != nil {
			return fmt.Errorf("cannot be understood in the document at line %d", line)
		}
	}
}

var lineNumber = regexp.MustCompile(`line (\d+)`)

// lineOf returns the line, from 0, that an error of the YAML parser speaks of. The rest
// of its text may quote the document.
func lineOf(err error) int {
	if found := lineNumber.FindStringSubmatch(err.Error()); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			return n - 1
		}
	}
	return 0
}

// A counter counts the bytes that are read, and stops when ctx is done.
type counter struct {
	ctx   context.Context
	from  io.Reader
	bytes *int64
}

// Read implements [io.Reader].
func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	*c.bytes += int64(n)
	return n, err
}
