// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Memory is what the kernel has counted for one container, all kinds together: what the process holds, the pages of its
// program, and the files that it has written to memory.
type Memory struct {
	Peak, Limit int64 // bytes
	Failures    int64 // how often the limit stood in the way
}

// A Meter reads the cgroups of all containers, for as long as they are there. The kernel keeps the peak itself, so a
// container's last reading lacks at most what its last milliseconds added, or its last half second if it is one that stays.
type Meter struct {
	seen map[string]int // by the cgroup's folder: at how many ticks it was there

	mu       sync.Mutex
	readings map[string]Memory // by the container's ID
}

// Reading takes the kernel some time, so containers that stay are read at few of the ticks.
const (
	tick       = 20 * time.Millisecond
	ticksYoung = 250
	ticksApart = 25
)

// Measure starts reading. It ends with the test.
func (c *Cluster) Measure(t testing.TB) *Meter {
	t.Helper()
	m := &Meter{seen: map[string]int{}, readings: map[string]Memory{}}
	// Version 1 of cgroups has a hierarchy for memory, version 2 one for all.
	hierarchy, files := "/sys/fs/cgroup/memory", [3]string{"memory.max_usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		hierarchy, files = "/sys/fs/cgroup", [3]string{"memory.peak", "memory.max", "memory.events"}
	}
	node, err := os.ReadFile(filepath.Join("/proc", c.read(t, "pid"), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(node), "\n")
	pods := filepath.Join(hierarchy, filepath.Dir(line[strings.LastIndex(line, ":")+1:]), "kubepods")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var reader sync.WaitGroup
	reader.Go(func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for ctx.Err() == nil {
			for _, pattern := range []string{"pod*/*/", "*/pod*/*/"} { // guaranteed pods, and those of the other classes
				folders, err := filepath.Glob(filepath.Join(pods, pattern))
				if err != nil {
					continue
				}
				for _, folder := range folders {
					if m.seen[folder]++; m.seen[folder] <= ticksYoung || m.seen[folder]%ticksApart == 0 {
						m.read(folder, files)
					}
				}
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		reader.Wait()
	})
	return m
}

func (m *Meter) read(folder string, files [3]string) {
	var numbers [3]int64
	for i, file := range files {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return // it has gone, and what was read before stays
		}
		word := strings.TrimSpace(string(text))
		if _, after, found := strings.Cut(word, "\nmax "); found { // of memory.events
			word, _, _ = strings.Cut(after, "\n")
		}
		numbers[i], err = strconv.ParseInt(word, 10, 64)
		if err != nil && word != "max" {
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readings[filepath.Base(folder)] = Memory{numbers[0], numbers[1], numbers[2]}
}

// Of returns the memory of a container by its ID, as a pod's status has it ("containerd://..."), and whether it was seen.
func (m *Meter) Of(id string) (Memory, bool) {
	_, id, _ = strings.Cut(id, "://")
	m.mu.Lock()
	defer m.mu.Unlock()
	reading, ok := m.readings[id]
	return reading, ok
}
