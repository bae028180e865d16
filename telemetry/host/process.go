// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// architectures and systems are those for which Kubernetes is released.
var (
	architectures = []string{"amd64", "arm64", "arm", "386", "ppc64le", "riscv64", "s390x", "other"}
	systems       = []string{"linux", "windows", "darwin", "other"}
)

// maxStatus bounds what is read of a file of the kernel's.
const maxStatus = 64 << 10

// Process tells what the program's own process takes: memory, processor time, and since
// when it runs, each rounded, beside the platform that it was built for. Started is when
// it began, since the version of the program that first reports this.
//
// The resident memory is the kernel's number where there is /proc, and absent elsewhere;
// the processor time is what the runtime estimates.
func Process(since string, started time.Time) telemetry.Provider {
	return process(since, started, "/proc/self/statm")
}

func process(since string, started time.Time, statm string) telemetry.Provider {
	const question = "How does the product perform?"
	spec := func(s telemetry.PropertySpec) telemetry.PropertySpec {
		s.Question, s.Sensitivity, s.Since = question, telemetry.SensitivityTechnical, since
		return s
	}
	specs := []telemetry.PropertySpec{
		spec(telemetry.PropertySpec{
			Name: "processMemoryMebibytes", Type: telemetry.TypeInteger, Unit: "mebibytes", Buckets: telemetry.Scale(100_000),
			Reason: "Tells how much memory the product takes in clusters of which size.", Source: "resident memory of the process",
		}),
		spec(telemetry.PropertySpec{
			Name: "processCpuPermille", Type: telemetry.TypeInteger, Unit: "thousandths of a processor", Buckets: telemetry.Scale(100_000),
			Reason: "Tells how much work the product makes in clusters of which size.", Source: "processor time of the process since it began, by the time that has passed",
		}),
		spec(telemetry.PropertySpec{
			Name: "processUptimeSeconds", Type: telemetry.TypeInteger, Unit: "seconds", Buckets: []int64{0, 60, 3600, 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600},
			Reason: "Tells programs that run well from those that keep failing.", Source: "time since the process began",
		}),
		spec(telemetry.PropertySpec{
			Name: "processArchitecture", Type: telemetry.TypeEnum, Words: architectures,
			Reason: "Tells which architectures to build for.", Source: "the architecture that the program was built for",
		}),
		spec(telemetry.PropertySpec{
			Name: "processOperatingSystem", Type: telemetry.TypeEnum, Words: systems,
			Reason: "Tells which operating systems to build for.", Source: "the operating system that the program was built for",
		}),
	}
	return telemetry.NewProvider("process", specs, func(_ context.Context, readings *telemetry.Readings) error {
		listedOr := func(words []string, word string) string {
			if slices.Contains(words, word) {
				return word
			}
			return "other"
		}
		readings.Word("processArchitecture", listedOr(architectures, runtime.GOARCH))
		readings.Word("processOperatingSystem", listedOr(systems, runtime.GOOS))
		up := max(0, time.Since(started))
		readings.Integer("processUptimeSeconds", int64(up/time.Second))
		if bytes, err := resident(statm); err != nil {
			readings.Fail("processMemoryMebibytes", err)
		} else {
			readings.Integer("processMemoryMebibytes", bytes>>20)
		}
		if up < time.Second {
			readings.Fail("processCpuPermille", fmt.Errorf("read the processor time: the process has just begun: %w", fs.ErrNotExist))
			return nil
		}
		readings.Integer("processCpuPermille", int64(1000*processorSeconds()/up.Seconds()))
		return nil
	})
}

// processorSeconds is the processor time that the process has taken, without that in
// which it was idle.
func processorSeconds() float64 {
	samples := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindFloat64 {
			return 0
		}
	}
	return max(0, samples[0].Value.Float64()-samples[1].Value.Float64())
}

// resident reads the resident memory from a file like /proc/self/statm: its second number,
// in pages.
func resident(path string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	text := make([]byte, maxStatus)
	n, err := file.Read(text)
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text[:n])
	if len(fields) < 2 {
		return 0, errors.New("read the resident memory: the file has another form")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the resident memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}
