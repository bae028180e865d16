// SPDX-License-Identifier: Apache-2.0

package dir

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A splitter splits a stream of YAML into documents. A line that starts with a
// document marker is never part of a scalar.
type splitter struct {
	from  *bufio.Reader
	lines int    // read so far
	text  []byte // of the document
	head  []byte // the marker that ended the one before
}

var errTooLarge = errors.New("document is too large")

// next returns the next document, valid until the next call, and the number of its
// first line, or of the line where reading failed. A document may be empty.
func (s *splitter) next() (text []byte, line int, err error) {
	s.text = append(s.text[:0], s.head...)
	line = s.lines + 1
	if len(s.head) > 0 {
		line = s.lines
		s.head = s.head[:0]
	}
	for {
		start := len(s.text)
		if err := s.readLine(); errors.Is(err, io.EOF) && start > 0 {
			return s.text, line, nil
		} else if err != nil {
			return nil, s.lines + 1, err
		}
		switch last := s.text[start:]; {
		case isMarker(last, "---") && !isPreamble(s.text[:start]):
			s.head = append(s.head, last...)
			return s.text[:start], line, nil
		case isMarker(last, "..."):
			return s.text[:start], line, nil
		}
	}
}

// readLine appends a line to the document.
func (s *splitter) readLine() error {
	for start := len(s.text); ; {
		part, err := s.from.ReadSlice('\n')
		s.text = append(s.text, part...)
		switch {
		case len(s.text) > maxYAML:
			return errTooLarge
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(s.text) > start:
			err = nil
		}
		if err == nil {
			s.lines++
		}
		return err
	}
}

// isMarker reports whether the line is the given document marker.
func isMarker(line []byte, marker string) bool {
	rest, found := bytes.CutPrefix(line, []byte(marker))
	return found && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// isPreamble reports whether there are only directives, comments and empty lines,
// which belong to the document behind them.
func isPreamble(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '%' && line[0] != '#' {
			return false
		}
	}
	return true
}
