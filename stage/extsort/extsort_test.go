// SPDX-License-Identifier: Apache-2.0

package extsort

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

func TestSorterAgreesWithSort(t *testing.T) {
	const plenty = 64 << 20
	for _, memory := range []int{1, 64, 1000, 20_000, 1 << 20, plenty} {
		for _, n := range []int{0, 1, 2, 100, 3000} {
			t.Run(fmt.Sprintf("%d records in %d bytes", n, memory), func(t *testing.T) { agree(t, memory, n, 40, memory >= 1<<20) })
		}
	}
	for _, memory := range []int{1, 1 << 20, plenty} { // several blocks, some of them for one record
		t.Run(fmt.Sprintf("large records in %d bytes", memory), func(t *testing.T) { agree(t, memory, 100, 2*blockBytes, memory == plenty) })
	}
}

// agree sorts n records of less than most bytes.
func agree(t *testing.T, memory, n, most int, fits bool) {
	random := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	dir := t.TempDir()
	s := New(dir, memory)
	for range n {
		record := make([]byte, random.IntN(most)) // empty ones and repetitions too
		for i := range record {
			record[i] = byte(random.IntN(4))
		}
		want = append(want, bytes.Clone(record))
		if err := s.Add(record); err != nil {
			t.Fatal(err)
		}
		clear(record) // it was copied
	}
	slices.SortFunc(want, bytes.Compare)
	var got [][]byte
	for record, err := range s.Sorted() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, bytes.Clone(record))
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("got %d records in another order than the %d that went in", len(got), len(want))
	}
	entries, err := os.ReadDir(dir)
	if spilled := len(entries) > 0; err != nil || spilled != (s.file != nil) || spilled && fits {
		t.Fatalf("temporary files: %v, %v", entries, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Fatalf("left behind: %v", entries)
	}
}

// Records of little more than half a block leave the rest of it free, which counts as memory too.
func TestSorterKeepsToItsMemory(t *testing.T) {
	const memory = 1 << 20
	s := New(t.TempDir(), memory)
	defer s.Close()
	for range 100 {
		if err := s.Add(make([]byte, blockBytes/2+1)); err != nil {
			t.Fatal(err)
		}
	}
	held := 0
	for _, block := range s.blocks {
		held += cap(block)
	}
	if held > memory+blockBytes {
		t.Errorf("%d bytes are held, of %d", held, memory)
	}
}

func TestSorterStopsEarly(t *testing.T) {
	for _, memory := range []int{10, 1 << 20} {
		s := New(t.TempDir(), memory)
		defer s.Close()
		for i := range 100 {
			if err := s.Add([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, err := range s.Sorted() {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 10 {
				break
			}
		}
	}
}

func TestSorterReportsErrors(t *testing.T) {
	s := New(t.TempDir()+"/missing", 1)
	if err := s.Add([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Add([]byte("b")); err == nil {
		t.Error("no error although there is no folder to spill to")
	}

	s = New(t.TempDir(), 1)
	for _, record := range []string{"b", "a", "c"} {
		if err := s.Add([]byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.file.Close(); err != nil { // the disk is gone
		t.Fatal(err)
	}
	var last error
	for _, err := range s.Sorted() {
		last = err
	}
	if last == nil {
		t.Error("no error although records are lost")
	}
}

func BenchmarkSorter(b *testing.B) {
	const records = 100_000
	for _, memory := range []int{64 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("%dMiB", memory>>20), func(b *testing.B) {
			record := make([]byte, 300)
			b.SetBytes(records * int64(len(record)))
			b.ReportAllocs()
			for b.Loop() {
				s := New(b.TempDir(), memory)
				random := rand.New(rand.NewPCG(1, 2))
				for range records {
					binary.BigEndian.PutUint64(record, random.Uint64())
					if err := s.Add(record); err != nil {
						b.Fatal(err)
					}
				}
				for _, err := range s.Sorted() {
					if err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
