// SPDX-License-Identifier: Apache-2.0

// Command allocations holds what benchmarks allocate to a baseline. Times differ from machine to machine; allocations hardly
// do, and what a loop allocates for each run or event is what a day with a million of them costs.
//
//	go test -run '^$' -bench . -benchmem ./... | allocations [-update] baseline.txt
//
// The baseline is in the format of the benchmarks themselves, so that benchstat reads it too. A benchmark that allocates
// more, one that is missing and one that is not in the baseline are errors; -update writes the baseline anew.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// What a benchmark may allocate beyond its baseline, as a factor: a pool that was just emptied is filled again with whole
// buffers. What the garbage collector allocates is counted too: a little in each of its cycles, of which there is one for
// every 4 MiB at most.
const (
	moreAllocs     = 1.05
	moreBytes      = 1.15
	bytesPerCycle  = 4 << 20
	allocsPerCycle = 1
)

// A measurement is what one iteration of a benchmark allocates.
type measurement struct{ bytes, allocs float64 }

// most is what an iteration may allocate whose baseline this is.
func (m measurement) most() measurement {
	cycles := math.Floor(m.bytes / bytesPerCycle)
	return measurement{bytes: m.bytes * moreBytes, allocs: m.allocs*moreAllocs + cycles*allocsPerCycle}
}

func main() {
	update := flag.Bool("update", false, "write the baseline instead of comparing")
	flag.Parse()
	if err := run(flag.Args(), *update, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "allocations: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, update bool, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("say the file of the baseline")
	}
	path := args[0]
	got, err := read(in, "standard input")
	if err != nil {
		return err
	}
	if update {
		return os.WriteFile(path, []byte(format(got)), 0o644) //nolint:gosec // it is committed
	}
	file, err := os.Open(path) //nolint:gosec // the caller names it
	if err != nil {
		return err
	}
	defer file.Close()
	want, err := read(file, path)
	if err != nil {
		return err
	}
	problems := compare(want, got)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		_, _ = fmt.Fprintf(out, "%-84s %12.0f B/op %9.0f allocs/op, was %.0f and %.0f\n", name, got[name].bytes, got[name].allocs, want[name].bytes, want[name].allocs)
	}
	return errors.Join(problems...)
}

// read returns the least that each benchmark allocated in any of its rounds.
func read(from io.Reader, name string) (map[string]measurement, error) {
	found := map[string]measurement{}
	var flaws []error
	for reader := benchfmt.NewReader(from, name); reader.Scan(); {
		switch r := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			flaws = append(flaws, r)
		case *benchfmt.Result:
			bytes, hasBytes := r.Value("B/op")
			allocs, hasAllocs := r.Value("allocs/op")
			if !hasBytes || !hasAllocs {
				flaws = append(flaws, fmt.Errorf("benchmark %s says nothing of allocations: run it with -benchmem", r.Name))
				continue
			}
			name := nameOf(r)
			if known, ok := found[name]; ok {
				bytes, allocs = min(bytes, known.bytes), min(allocs, known.allocs)
			}
			found[name] = measurement{bytes, allocs}
		}
	}
	if len(found) == 0 {
		flaws = append(flaws, fmt.Errorf("%s has no benchmark in it", name))
	}
	return found, errors.Join(flaws...)
}

// nameOf is the benchmark's name after its package, and without the number of processors.
func nameOf(r *benchfmt.Result) string {
	name := string(r.Name.Full())
	if at := strings.LastIndexByte(name, '-'); at > 0 && strings.Trim(name[at+1:], "0123456789") == "" {
		name = name[:at]
	}
	return r.GetConfig("pkg") + "." + name
}

func compare(want, got map[string]measurement) (problems []error) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w, most := want[name], want[name].most()
		g, ok := got[name]
		switch {
		case !ok:
			problems = append(problems, fmt.Errorf("%s was not run; if it is gone for good, update the baseline", name))
		case g.allocs > most.allocs:
			problems = append(problems, fmt.Errorf("%s allocates %.0f times, want %.0f; see why with -memprofile, or update the baseline", name, g.allocs, w.allocs))
		case g.bytes > most.bytes:
			problems = append(problems, fmt.Errorf("%s allocates %.0f bytes, want %.0f; see why with -memprofile, or update the baseline", name, g.bytes, w.bytes))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			problems = append(problems, fmt.Errorf("%s is not in the baseline; update it", name))
		}
	}
	return problems
}

// format writes measurements as benchmarks of one iteration.
func format(measurements map[string]measurement) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(measurements)) {
		dot := strings.LastIndexByte(name, '.')
		fmt.Fprintf(&b, "pkg: %s\nBenchmark%s 1 %.0f B/op %.0f allocs/op\n", name[:dot], name[dot+1:], measurements[name].bytes, measurements[name].allocs)
	}
	return b.String()
}
