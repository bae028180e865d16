// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const output = "goos: linux\npkg: example.com/one\nBenchmarkRead/list-2 \t 3\t 105 ns/op\t 12.5 runs/s\t 1000 B/op\t 50 allocs/op\n" +
		"BenchmarkRead/list-2 3 99 ns/op 1100 B/op 52 allocs/op\nBenchmarkHash 3 10 ns/op 0 B/op 0 allocs/op\nBenchmarkSort 3 9 ns/op 83886080 B/op 40 allocs/op\nPASS\n"
	baseline := filepath.Join(t.TempDir(), "baseline.txt")
	if err := run([]string{baseline}, true, strings.NewReader(output), io.Discard); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(baseline)
	if want := "pkg: example.com/one\nBenchmarkHash 1 0 B/op 0 allocs/op\npkg: example.com/one\nBenchmarkRead/list 1 1000 B/op 50 allocs/op\n" +
		"pkg: example.com/one\nBenchmarkSort 1 83886080 B/op 40 allocs/op\n"; err != nil || string(written) != want {
		t.Fatalf("the baseline is, error %v:\n%s", err, written)
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"the same", "", "", ""},
		{"another machine", "list-2", "list-16", ""},
		{"a few bytes more", "1000 B/op", "1099 B/op", ""},
		{"many more bytes", "00 B/op", "0000 B/op", "example.com/one.Read/list allocates 100000 bytes, want 1000;"},
		{"a collector that was busy", "40 allocs", "60 allocs", ""},
		{"more than a collector takes", "40 allocs", "63 allocs", "example.com/one.Sort allocates 63 times, want 40;"},
		{"more allocations", "5", "6", "example.com/one.Read/list allocates 60 times, want 50;"},
		{"one for nothing", " 0 B/op 0 allocs", " 0 B/op 1 allocs", "example.com/one.Hash allocates 1 times, want 0;"},
		{"gone", "Hash", "Sum", "example.com/one.Hash was not run"},
		{"new", "Hash", "Sum", "example.com/one.Sum is not in the baseline"},
		{"not counted", " 0 B/op 0 allocs/op", "", "benchmark Hash says nothing of allocations"},
		{"nothing run", output, "PASS\n", "standard input has no benchmark in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := run([]string{baseline}, false, strings.NewReader(strings.ReplaceAll(output, test.old, test.new)), io.Discard)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
	if err := run(nil, false, strings.NewReader(output), io.Discard); err == nil {
		t.Error("no error without a baseline")
	}
}
