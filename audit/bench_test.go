// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"flag"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/file"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

var benchRows = flag.Int("rows", 1_000_000, "how many events BenchmarkAudit audits")

// large stages n runs in batches of up to 50,000, so that a batch is as large as that of a busy day.
func large(b testing.TB, runs int) (bucket stage.Bucket, events int64) {
	b.Helper()
	bucket = file.New(b.TempDir())
	l := stagetest.NewLedger(b, bucket)
	const most = 50_000
	for from := 0; from < runs; from += most {
		n := min(most, runs-from)
		since := stagetest.Noon.AddDate(0, 0, from/most)
		events := func(yield func(*telemetry.Event, error) bool) {
			for i := range n {
				started, completed := stagetest.Run(from+i, since.Add(time.Duration(i)*time.Second), 5+i%40)
				if !yield(started, nil) || !yield(completed, nil) {
					return
				}
			}
		}
		if _, err := l.Stage(b.Context(), stagetest.Report(since, since.AddDate(0, 0, 1)), events); err != nil {
			b.Fatal(err)
		}
	}
	return bucket, int64(2 * runs)
}

// watch returns the most memory that was in use until stop is called, in bytes.
func watch() (stop func() uint64) {
	var peak atomic.Uint64
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var m runtime.MemStats
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse+m.StackInuse))
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return peak.Load()
	}
}

// BenchmarkAudit audits many events, without names and with a thousand.
func BenchmarkAudit(b *testing.B) {
	bucket, events := large(b, *benchRows/2)
	var names []string
	for i := range 1000 {
		names = append(names, "tenant-of-team-"+string(rune('a'+i%26))+time.Duration(i).String())
	}
	for name, list := range map[string][]string{"plain": nil, "names": names} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				debug.FreeOSMemory()
				stop := watch()
				began := time.Now()
				r, err := audit.Run(b.Context(), bucket, audit.Options{
					Plan: catalogue.Plan(), Library: stagetest.Library, Now: now, WorkDir: b.TempDir(), Names: list,
				})
				if err != nil || !r.Clean || r.Totals.Events != events {
					b.Fatalf("%+v, %v", r, err)
				}
				b.ReportMetric(float64(events)/time.Since(began).Seconds(), "rows/s")
				b.ReportMetric(float64(stop())/(1<<20), "MiB-peak")
			}
		})
	}
}
