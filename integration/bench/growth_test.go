// SPDX-License-Identifier: Apache-2.0

//go:build integration

package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
)

var (
	sizes = flag.String("sizes", "1000,10000,100000,1000000", "how many runs BenchmarkGrowth follows")
	pages = flag.String("pages", "", "how many records a page BenchmarkPages reads from Tekton Results")
)

// BenchmarkGrowth shows what each container takes for more and more runs, and reading Tekton Results for as many of them as
// -runs allows.
func BenchmarkGrowth(b *testing.B) {
	var all table
	for _, size := range numbers(b, *sizes) {
		b.Run(strconv.Itoa(size), func(b *testing.B) { all.grow(b, size) })
	}
	b.Run("results", func(b *testing.B) {
		r := newRig(b, *runs)
		for _, size := range numbers(b, *sizes) {
			if size > *runs {
				break
			}
			b.Run(strconv.Itoa(size), func(b *testing.B) {
				r.fill(b, size)
				all.backfill(b, r)
			})
		}
	})
	all.finish(b)
}

// BenchmarkPages shows what the size of a page does to reading Tekton Results.
func BenchmarkPages(b *testing.B) {
	var all table
	r := newRig(b, *runs)
	r.fill(b, *runs)
	for _, size := range numbers(b, *pages) {
		b.Run(strconv.Itoa(size), func(b *testing.B) { all.backfill(b, r, strconv.Itoa(size)) })
	}
	all.finish(b)
}

func numbers(b *testing.B, list string) (all []int) {
	b.Helper()
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(word)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// grow measures the steps for so many runs.
func (t *table) grow(b *testing.B, size int) {
	b.Helper()
	for _, step := range steps(b, size) {
		b.Run(step.name, func(b *testing.B) {
			t.compare(b, comparison{
				name: fmt.Sprintf("%s %d runs", step.name, size), unit: "runs", work: float64(size), by: wall, memory: containerMB << 20, ours: step.run,
			})
		})
	}
}

// TestMemoryIsFlat wants ten times as many runs to take hardly more memory, in each container.
func TestMemoryIsFlat(t *testing.T) {
	const few, many = 20_000, 200_000
	larger := steps(t, many)
	for i, step := range steps(t, few) {
		less, more := step.run().peak, larger[i].run().peak
		t.Logf("%-9s %3d MiB at %d runs, %3d MiB at %d", step.name, less>>20, few, more>>20, many)
		if float64(more) > 1.2*float64(less) || more > containerMB<<20 {
			t.Errorf("%s takes %d bytes at %d runs and %d at %d", step.name, less, few, more, many)
		}
	}
}

// A step is one container's work. Each of them leaves what the next one reads.
type step struct {
	name string
	run  func() cost
}

// steps takes runs that have ended through extract, transform, load and audit.
func steps(tb testing.TB, size int) []step {
	tb.Helper()
	input, spool, dir := filepath.Join(tb.TempDir(), "runs"), tb.TempDir(), tb.TempDir()
	if err := os.Mkdir(input, 0o700); err != nil {
		tb.Fatal(err)
	}
	// Some of the sample's runs have not ended.
	cluster := samplecluster.New(samplecluster.Config{Seed: 9, Runs: size * 5 / 4, Now: time.Now().UTC().Truncate(time.Hour)})
	path, place := slimRuns(tb, cluster, input, size), "file://"+dir
	return []step{
		{"extract", func() cost {
			c, _ := measure(tb, bridge(tb, nil, "extract", "--source", "dir:"+path, "--cluster-id", "c", "--since", "2020-01-01", "--out", spool))
			return c
		}},
		{"transform", func() cost {
			if err := os.RemoveAll(filepath.Join(dir, "v1")); err != nil {
				tb.Fatal(err)
			}
			c, _ := measure(tb, bridge(tb, nil, "transform", "--in", spool, "--stage", place))
			return c
		}},
		{"load", func() cost {
			return delivered(tb, int64(2*size+1), func(address string) *exec.Cmd {
				undeliver(tb, dir)
				return bridge(tb, []string{"SEGMENT_WRITE_KEY=" + segmenttest.Key, "SEGMENT_BATCH_API=" + address},
					"load", "--stage", place, "--destination", "segment", "--rate", "0")
			})
		}},
		{"audit", func() cost { c, _ := measure(tb, bridge(tb, nil, "audit", "--stage", place)); return c }},
	}
}
