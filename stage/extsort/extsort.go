// SPDX-License-Identifier: Apache-2.0

// Package extsort sorts more records than fit into memory.
package extsort

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// A Sorter sorts records bytewise in bounded memory. What does not fit is spilled
// to one temporary file, as runs that are sorted in themselves and merged when
// read; an input that fits is never written. It is not safe for concurrent use.
type Sorter struct {
	dir    string
	memory int

	buffer []byte   // the records of the current run, one after the other
	index  []extent // where each is
	file   *os.File // nil until the first spill
	runs   []extent // where each run is in the file
	size   int64
}

// An extent is a part of the buffer or of the file.
type extent struct{ offset, length int64 }

// The memory for the index is counted with that for the records.
const extentBytes = 16

const minBuffer = 64 << 10

// Runs are read through buffers that share the memory, within these bounds.
const (
	minReadBuffer = 4 << 10
	maxReadBuffer = 64 << 10
)

// New returns a Sorter that takes at most about memory bytes, and spills to dir.
func New(dir string, memory int) *Sorter { return &Sorter{dir: dir, memory: memory} }

// Add adds a record; it is copied.
func (s *Sorter) Add(record []byte) error {
	if len(s.index) > 0 && len(s.buffer)+len(record)+extentBytes*(len(s.index)+1) > s.memory {
		if err := s.spill(); err != nil {
			return fmt.Errorf("sort: spill to temporary file: %w", err)
		}
	}
	if free := cap(s.buffer) - len(s.buffer); free < len(record) {
		// Doubling up to the limit, and not beyond it as append would.
		size := max(len(s.buffer)+len(record), min(2*cap(s.buffer), s.memory), minBuffer)
		s.buffer = append(make([]byte, 0, size), s.buffer...)
	}
	s.index = append(s.index, extent{int64(len(s.buffer)), int64(len(record))})
	s.buffer = append(s.buffer, record...)
	return nil
}

func (s *Sorter) record(e extent) []byte { return s.buffer[e.offset : e.offset+e.length] }

func (s *Sorter) sort() {
	slices.SortFunc(s.index, func(a, b extent) int { return bytes.Compare(s.record(a), s.record(b)) })
}

func (s *Sorter) spill() error {
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, "segment-bridge-sort-*")
		if err != nil {
			return err
		}
		s.file = file
	}
	s.sort()
	w := bufio.NewWriterSize(s.file, maxReadBuffer)
	start := s.size
	var head [binary.MaxVarintLen64]byte
	for _, e := range s.index {
		n := binary.PutUvarint(head[:], uint64(e.length))
		if _, err := w.Write(head[:n]); err != nil {
			return err
		}
		if _, err := w.Write(s.record(e)); err != nil {
			return err
		}
		s.size += int64(n) + e.length
	}
	s.runs = append(s.runs, extent{start, s.size - start})
	s.buffer, s.index = s.buffer[:0], s.index[:0]
	return w.Flush()
}

// Sorted yields the records in ascending order; each is valid until the next. It
// is called once, after the last Add.
func (s *Sorter) Sorted() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if s.file == nil {
			s.sort()
			for _, e := range s.index {
				if !yield(s.record(e), nil) {
					return
				}
			}
			return
		}
		if err := s.merge(yield); err != nil {
			yield(nil, fmt.Errorf("sort: merge temporary file: %w", err))
		}
	}
}

// merge yields the smallest of the next records of all runs, again and again.
func (s *Sorter) merge(yield func([]byte, error) bool) error {
	if err := s.spill(); err != nil {
		return err
	}
	s.buffer, s.index = nil, nil // the read buffers take their place
	size := min(max(s.memory/len(s.runs), minReadBuffer), maxReadBuffer)
	var next heads
	for _, e := range s.runs {
		r := &run{source: bufio.NewReaderSize(io.NewSectionReader(s.file, e.offset, e.length), size)}
		if more, err := r.advance(); err != nil {
			return err
		} else if more {
			next = append(next, r)
		}
	}
	heap.Init(&next)
	for len(next) > 0 {
		if !yield(next[0].record, nil) {
			return nil
		}
		more, err := next[0].advance()
		switch {
		case err != nil:
			return err
		case more:
			heap.Fix(&next, 0)
		default:
			heap.Pop(&next)
		}
	}
	return nil
}

// Close removes the temporary file.
func (s *Sorter) Close() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// A run is a sorted run of which record comes next.
type run struct {
	source *bufio.Reader
	record []byte
}

// advance reads the next record, if there is one.
func (r *run) advance() (more bool, err error) {
	n, err := binary.ReadUvarint(r.source)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	r.record = slices.Grow(r.record[:0], int(n))[:n]
	_, err = io.ReadFull(r.source, r.record)
	return err == nil, err
}

type heads []*run

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return bytes.Compare(h[i].record, h[j].record) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(any)          { panic("extsort: no run comes later") }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
