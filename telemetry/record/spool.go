// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// A spool is a folder with two files: the records, gzip-compressed, one JSON
// object a line, and the report, which is written last. A spool without a report
// is an extraction that did not finish.
const (
	recordsFile = "records.ndjson.gz"
	reportFile  = "report.json"
)

// line is one line of the records file: exactly one field is set.
type line struct {
	PipelineRun  *PipelineRun  `json:"pipelineRun,omitempty"`
	Component    *Component    `json:"component,omitempty"`
	Namespace    *Namespace    `json:"namespace,omitempty"`
	Installation *Installation `json:"installation,omitempty"`
	Inventory    *Inventory    `json:"inventory,omitempty"`
}

func (l line) record() (Record, error) {
	var found []Record
	if l.PipelineRun != nil {
		found = append(found, l.PipelineRun)
	}
	if l.Component != nil {
		found = append(found, l.Component)
	}
	if l.Namespace != nil {
		found = append(found, l.Namespace)
	}
	if l.Installation != nil {
		found = append(found, l.Installation)
	}
	if l.Inventory != nil {
		found = append(found, l.Inventory)
	}
	if len(found) != 1 {
		return nil, errors.New("line does not hold exactly one record")
	}
	return found[0], nil
}

// A Writer writes a spool. It is not safe for concurrent use.
type Writer struct {
	dir  string
	file *os.File
	buf  *bufio.Writer
	gzip *gzip.Writer
	json *json.Encoder
	line []byte
}

// Create starts a spool in dir, which is made if need be. A spool that was there
// stops being complete at once.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	// The report goes first: from here on the folder is an unfinished extraction.
	if err := os.Remove(filepath.Join(dir, reportFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	file, err := os.Create(filepath.Join(dir, recordsFile))
	if err != nil {
		return nil, fmt.Errorf("create spool: %w", err)
	}
	w := &Writer{dir: dir, file: file, buf: bufio.NewWriter(file)}
	if w.gzip, err = gzip.NewWriterLevel(w.buf, gzip.BestSpeed); err != nil {
		return nil, errors.Join(fmt.Errorf("create spool: %w", err), file.Close())
	}
	w.json = json.NewEncoder(w.gzip)
	return w, nil
}

// Write appends one record.
func (w *Writer) Write(r Record) error {
	var l line
	switch r := r.(type) {
	case *PipelineRun:
		w.line = append(appendRun(w.line[:0], r), '\n')
		if _, err := w.gzip.Write(w.line); err != nil {
			return fmt.Errorf("write record: %w", err)
		}
		return nil
	case *Component:
		l.Component = r
	case *Namespace:
		l.Namespace = r
	case *Installation:
		l.Installation = r
	case *Inventory:
		l.Inventory = r
	}
	if err := w.json.Encode(l); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// Commit makes the spool complete: the records reach the disk, then the report
// appears under its name at once.
func (w *Writer) Commit(report Report) error {
	report.Format = ReportFormat
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("write extract report: %w", err)
	}
	if err := errors.Join(w.gzip.Close(), w.buf.Flush(), w.file.Sync(), w.file.Close()); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	final := filepath.Join(w.dir, reportFile)
	if err := os.WriteFile(final+".tmp", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write extract report: %w", err)
	}
	if err := os.Rename(final+".tmp", final); err != nil {
		return fmt.Errorf("write extract report: %w", err)
	}
	return nil
}

// Abort gives the spool up. Calling it after Commit does nothing that matters.
func (w *Writer) Abort() { _ = w.file.Close() }

// ErrIncomplete says that a folder holds no complete spool.
var ErrIncomplete = errors.New("no complete extraction is there: run extract with this folder as --out first")

// ReadReport reads the report of the spool in dir.
func ReadReport(dir string) (Report, error) {
	text, err := os.ReadFile(filepath.Join(dir, reportFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Report{}, fmt.Errorf("read spool: %w", ErrIncomplete)
	} else if err != nil {
		return Report{}, fmt.Errorf("read spool: %w", err)
	}
	var report Report
	if err := json.Unmarshal(text, &report); err != nil {
		return Report{}, fmt.Errorf("read extract report: %w", err)
	}
	if report.Format != ReportFormat {
		return Report{}, fmt.Errorf("read extract report: format %d is not known: use the same release for extract and transform", report.Format)
	}
	return report, nil
}

// Read yields the records of the spool in dir, in the order of writing, and ends
// with the first error.
func Read(dir string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := os.Open(filepath.Join(dir, recordsFile))
		if err != nil {
			yield(nil, fmt.Errorf("read records: %w", err))
			return
		}
		defer file.Close()
		for r, err := range decode(bufio.NewReader(file)) {
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// maxLineBytes is far beyond what the longest record takes, an Inventory.
const maxLineBytes = 1 << 20

func decode(compressed io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		plain, err := gzip.NewReader(compressed)
		if err != nil {
			yield(nil, fmt.Errorf("read records: %w", err))
			return
		}
		lines := bufio.NewScanner(plain)
		lines.Buffer(nil, maxLineBytes)
		n := 1
		for ; lines.Scan(); n++ {
			r, err := parse(lines.Bytes())
			if err != nil {
				yield(nil, fmt.Errorf("read record %d: %w", n, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("read record %d: %w", n, err))
		}
	}
}

func parse(text []byte) (Record, error) {
	if r, ok := parseRun(text); ok {
		return r, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var l line
	if err := decoder.Decode(&l); err != nil {
		return nil, err
	}
	if decoder.InputOffset() != int64(len(text)) {
		return nil, errors.New("line goes on after its record")
	}
	return l.record()
}
