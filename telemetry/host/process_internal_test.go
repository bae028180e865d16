// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	statm := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pages := func(mebibytes int) string {
		return strings.Repeat("0", 3) + strconv.Itoa(mebibytes<<20/os.Getpagesize())
	}
	hour := time.Now().Add(-time.Hour)
	tests := map[string]struct {
		provider telemetry.Provider
		want     []string
	}{
		"an hour": {process("1.0.0", hour, statm("ok", "9999 "+pages(345)+" 1 2 0 3 0\n")), []string{
			"processMemoryMebibytes=200", "processUptimeSeconds=3600", "processArchitecture=" + runtime.GOARCH, "processOperatingSystem=" + runtime.GOOS, "processCpuPermille=",
		}},
		"no /proc":     {process("1.0.0", hour, filepath.Join(dir, "missing")), []string{"processMemoryMebibytesOutcome=absent", "processUptimeSeconds=3600"}},
		"another form": {process("1.0.0", hour, statm("short", "1")), []string{"processMemoryMebibytesOutcome=error"}},
		"no number":    {process("1.0.0", hour, statm("text", "1 secret-name")), []string{"processMemoryMebibytesOutcome=error"}},
		"just begun":   {process("1.0.0", time.Now(), statm("new", "1 1")), []string{"processCpuPermilleOutcome=absent", "processUptimeSeconds=0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
			if err != nil {
				t.Fatal(err)
			}
			inventory, err := telemetry.NewInventory(0, tt.provider)
			if err != nil {
				t.Fatal(err)
			}
			properties, err := inventory.Collect(t.Context(), names)
			if err != nil {
				t.Fatal(err)
			}
			var found strings.Builder
			for _, p := range properties {
				found.WriteString(" " + p.Name + "=" + p.Value.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(found.String(), " "+want) {
					t.Errorf("%s is missing in%s", want, found.String())
				}
			}
		})
	}
}

// On Linux the kernel's number is there, and work shows in the processor time.
func TestProcessItself(t *testing.T) {
	if bytes, err := resident("/proc/self/statm"); runtime.GOOS == "linux" && (err != nil || bytes < 1<<20) {
		t.Errorf("resident memory is %d bytes, %v, want some MiB", bytes, err)
	}
	before, deadline := processorSeconds(), time.Now().Add(5*time.Second)
	for processorSeconds() <= before && time.Now().Before(deadline) {
		for range 1_000_000 {
			_ = strings.Repeat("x", 8)
		}
		runtime.GC() // the runtime counts at each collection
	}
	if now := processorSeconds(); now <= before {
		t.Errorf("processor time is %v, as before", now)
	}
}
