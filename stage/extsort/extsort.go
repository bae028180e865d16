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

	// The current run. Its blocks are never moved or copied, and used again for the next.
	blocks [][]byte
	used   int     // how many of the blocks hold records
	bytes  int     // of all the records, and of what is left free behind them
	index  []place // where each is

	file *os.File // nil until the first spill
	runs []extent // where each run is in the file
	size int64
}

// A place is where a record is in the blocks.
type place struct{ block, offset, length uint32 }

// The memory for the index is counted with that for the records.
const placeBytes = 12

// blockBytes is the size of a block, unless a record is larger.
const blockBytes = 64 << 10

// An extent is a part of the file.
type extent struct{ offset, length int64 }

// Runs are read through buffers that share the memory, within these bounds.
const (
	minReadBuffer = 4 << 10
	maxReadBuffer = 64 << 10
)

// New returns a Sorter that takes at most about memory bytes, and spills to dir.
func New(dir string, memory int) *Sorter { return &Sorter{dir: dir, memory: memory} }

// Add adds a record; it is copied.
func (s *Sorter) Add(record []byte) error {
	if len(s.index) > 0 && s.bytes+len(record)+placeBytes*(len(s.index)+1) > s.memory {
		if err := s.spill(); err != nil {
			return fmt.Errorf("sort: spill to temporary file: %w", err)
		}
	}
	block := s.room(len(record))
	s.index = append(s.index, place{uint32(s.used - 1), uint32(len(*block)), uint32(len(record))})
	*block = append(*block, record...)
	s.bytes += len(record)
	return nil
}

// room returns the last block in use, which has room for n bytes.
func (s *Sorter) room(n int) *[]byte {
	if s.used > 0 {
		last := &s.blocks[s.used-1]
		free := cap(*last) - len(*last)
		if free >= n {
			return last
		}
		s.bytes += free
	}
	if s.used == len(s.blocks) {
		s.blocks = append(s.blocks, nil)
	}
	next := &s.blocks[s.used]
	if *next = (*next)[:0]; cap(*next) < n {
		*next = make([]byte, 0, max(n, blockBytes))
	}
	s.used++
	return next
}

func (s *Sorter) record(p place) []byte { return s.blocks[p.block][p.offset:][:p.length] }

func (s *Sorter) sort() {
	slices.SortFunc(s.index, func(a, b place) int { return bytes.Compare(s.record(a), s.record(b)) })
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
	for _, p := range s.index {
		n := binary.PutUvarint(head[:], uint64(p.length))
		if _, err := w.Write(head[:n]); err != nil {
			return err
		}
		if _, err := w.Write(s.record(p)); err != nil {
			return err
		}
		s.size += int64(n) + int64(p.length)
	}
	s.runs = append(s.runs, extent{start, s.size - start})
	s.used, s.bytes, s.index = 0, 0, s.index[:0]
	return w.Flush()
}

// Sorted yields the records in ascending order; each is valid until the next. It
// is called once, after the last Add.
func (s *Sorter) Sorted() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if s.file == nil {
			s.sort()
			for _, p := range s.index {
				if !yield(s.record(p), nil) {
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
	s.blocks, s.index = nil, nil // the read buffers take their place
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
