// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	oneSeed  = flag.Int64("seed", -1, "run this seed alone, and tell its story")
	seeds    = flag.Uint64("seeds", defaultSeeds, "how many seeds to run")
	first    = flag.Uint64("first", 0, "the first seed")
	duration = flag.Duration("duration", 0, "run for so long instead")
)

// TestSimulation runs seeds, in parallel, until one fails.
func TestSimulation(t *testing.T) {
	if *oneSeed >= 0 {
		w := newWorld(uint64(*oneSeed), workDir(t))
		w.run(t)
		f, wrong := w.check()
		t.Logf("%s%+v", w.story(), f)
		for _, complaint := range wrong {
			t.Error(complaint)
		}
		return
	}
	var (
		next  atomic.Uint64
		mu    sync.Mutex
		total figures
	)
	next.Store(*first)
	began, told := time.Now(), time.Now()
	t.Run("seeds", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				dir := workDir(t)
				for !t.Failed() {
					seed := next.Add(1) - 1
					if *duration > 0 && time.Since(began) > *duration || *duration == 0 && seed >= *first+*seeds {
						return
					}
					w := newWorld(seed, dir)
					w.run(t)
					f, wrong := w.check()
					if len(wrong) > 0 {
						t.Errorf("seed %d:\n%s\nrun it again: go test ./internal/simulation -run TestSimulation -seed %d", seed, strings.Join(wrong, "\n"), seed)
					}
					mu.Lock()
					total.add(f)
					if time.Since(told) > 10*time.Second {
						told = time.Now()
						fmt.Fprintf(os.Stderr, "%s: %+v\n", time.Since(began).Round(time.Second), total)
					}
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%s: %+v", time.Since(began).Round(time.Second), total)
}

// workDir returns a folder for the temporary files of jobs: in memory, where there is
// one, since a spool is synced to disk.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "simulation-") //nolint:usetesting // that one is on disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
