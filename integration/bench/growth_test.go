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
	var r *rig
	for _, size := range numbers(b, *sizes) {
		b.Run(strconv.Itoa(size), func(b *testing.B) { all.grow(b, size) })
	}
	for _, size := range numbers(b, *sizes) {
		if size > *runs {
			break
		}
		b.Run("results/"+strconv.Itoa(size), func(b *testing.B) {
			if r == nil {
				r = newRig(b, *runs)
			}
			r.fill(b, size)
			all.backfill(b, r)
		})
	}
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

// grow takes runs that have ended through extract, transform, load and audit.
func (t *table) grow(b *testing.B, size int) {
	input, spool, dir := filepath.Join(b.TempDir(), "runs"), b.TempDir(), b.TempDir()
	if err := os.Mkdir(input, 0o700); err != nil {
		b.Fatal(err)
	}
	// Some of the sample's runs have not ended.
	cluster := samplecluster.New(samplecluster.Config{Seed: 9, Runs: size * 5 / 4, Now: time.Now().UTC().Truncate(time.Hour)})
	path, place := slimRuns(b, cluster, input, size), "file://"+dir
	step := func(b *testing.B, name string, run func() cost) {
		t.compare(b, comparison{name: fmt.Sprintf("%s %d runs", name, size), unit: "runs", work: float64(size), by: wall, memory: containerMB << 20, ours: run})
	}
	b.Run("extract", func(b *testing.B) {
		step(b, "extract", func() cost {
			c, _ := measure(b, bridge(b, nil, "extract", "--source", "dir:"+path, "--cluster-id", "c", "--since", "2020-01-01", "--out", spool))
			return c
		})
	})
	b.Run("transform", func(b *testing.B) {
		step(b, "transform", func() cost {
			if err := os.RemoveAll(filepath.Join(dir, "v1")); err != nil {
				b.Fatal(err)
			}
			c, _ := measure(b, bridge(b, nil, "transform", "--in", spool, "--stage", place))
			return c
		})
	})
	b.Run("load", func(b *testing.B) {
		step(b, "load", func() cost {
			return delivered(b, int64(2*size+1), func(address string) *exec.Cmd {
				undeliver(b, dir)
				return bridge(b, []string{"SEGMENT_WRITE_KEY=" + segmenttest.Key, "SEGMENT_BATCH_API=" + address},
					"load", "--stage", place, "--destination", "segment", "--rate", "0")
			})
		})
	})
	b.Run("audit", func(b *testing.B) {
		step(b, "audit", func() cost { c, _ := measure(b, bridge(b, nil, "audit", "--stage", place)); return c })
	})
}
