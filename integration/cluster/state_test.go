// SPDX-License-Identifier: Apache-2.0

//go:build integration && e2e

package cluster

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// state is what a cluster could leave on a machine, by kind, each thing on a line.
type state map[string][]string

// stateOfMachine lists what is there. Other tests come and go beside us: what Docker makes for them is left out, and memory
// that a process of the machine shares with another, as their PostgreSQL does.
func stateOfMachine(t *testing.T) state {
	t.Helper()
	dockers := func(line string) bool {
		for _, mark := range []string{"docker", "DOCKER", "172.17."} {
			if strings.Contains(line, mark) {
				return true
			}
		}
		return false
	}
	s := state{}
	add := func(kind string, lines ...string) {
		for _, line := range lines {
			if line = strings.TrimSpace(line); line != "" && !dockers(line) && !strings.HasPrefix(line, "#") {
				s[kind] = append(s[kind], line)
			}
		}
	}
	for kind, command := range map[string]string{
		"interface":     "ip -o -details link show | grep -v bridge_slave | cut -d: -f2", // those are Docker's cables
		"address":       "ip -o address show | grep -v veth | awk '{print $2, $3, $4}'",
		"route":         "{ ip route show table all; ip rule show; } | grep -v veth",
		"packet filter": "iptables-save; ip6tables-save",
		"shared memory": "ipcs -m | awk 'NR > 3 && $6 == 0 {print $1, $2, $3}'",
	} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		for line := range strings.Lines(string(out)) {
			line, _, _ = strings.Cut(line, " [") // counters of chains
			add(kind, line)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		add("mount", fields[4]+" "+strings.Join(fields[6:], " "))
	}
	// What is deeper belongs to others, who come and go.
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				add("cgroup", path)
			}
		}
	}
	for _, folder := range []string{"/", "/etc", "/etc/cni", "/etc/kubernetes", "/opt", "/opt/containerd", "/run", "/run/containerd", "/run/netns", "/usr/libexec", "/var", "/var/lib", "/var/lib/cni", "/var/log", "/var/log/pods", "/dev/shm"} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			// Of a cluster's programs PostgreSQL alone shares memory by files. Other tests keep folders there.
			if folder != "/dev/shm" || strings.HasPrefix(entry.Name(), "PostgreSQL.") && !mapped(path) {
				add("file", path)
			}
		}
	}
	for _, pattern := range []string{"vm/*", "kernel/panic*", "kernel/keys/*", "net/ipv4/*", "net/ipv4/conf/*/*", "net/bridge/*", "net/netfilter/nf_conntrack_*"} {
		files, err := filepath.Glob(filepath.Join("/proc/sys", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, "_count") && !strings.Contains(file, "/veth") {
				add("setting", file+" = "+strings.Join(strings.Fields(string(data)), " "))
			}
		}
	}
	for _, kind := range []string{"net", "pid"} {
		links, err := filepath.Glob("/proc/[0-9]*/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			cgroup, err1 := os.ReadFile(filepath.Join(filepath.Dir(link), "../cgroup"))
			namespace, err2 := os.Readlink(link)
			if err1 == nil && err2 == nil && !dockers(string(cgroup)) {
				add("namespace", namespace)
			}
		}
	}
	for kind, lines := range s {
		slices.Sort(lines)
		s[kind] = slices.Compact(lines)
	}
	return s
}

// mapped says whether a process has a file in its memory.
func mapped(path string) bool {
	maps, err := filepath.Glob("/proc/[0-9]*/maps")
	if err != nil {
		return false
	}
	for _, file := range maps {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), " "+path+"\n") {
			return true
		}
	}
	return false
}

// compareState wants the machine to be as it was. The kernel takes a moment to drop a network.
func compareState(t *testing.T, before state) {
	t.Helper()
	Eventually(t, 30*time.Second, func() error {
		var differences []string
		after := stateOfMachine(t)
		for _, kind := range slices.Sorted(maps.Keys(before)) {
			for _, line := range after[kind] {
				if _, found := slices.BinarySearch(before[kind], line); !found {
					differences = append(differences, kind+" left: "+line)
				}
			}
			for _, line := range before[kind] {
				if _, found := slices.BinarySearch(after[kind], line); !found {
					differences = append(differences, kind+" gone: "+line)
				}
			}
		}
		if len(differences) > 0 {
			return fmt.Errorf("the machine is not as it was:\n%s", strings.Join(differences, "\n"))
		}
		return nil
	})
}
